import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlsp_jax.common.errors import UserError
from rlsp_jax.models import AXES, ActorCritic, Lora, learned, nano
from rlsp_jax.optim import Adafactor, AdamW, decay_mask, make_optimizer
from rlsp_jax.schedules import Constant, Linear
from rlsp_jax.sharding import MeshConfig, make_mesh, tree_shardings

RNG = np.random.default_rng(0)
PARAMS = {
    "policy": {"kernel": jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32), "bias": jnp.ones(2)},
    "value": {"kernel": jnp.asarray(RNG.normal(size=(2, 2)), jnp.float32)},
}
GRADIENTS = [jax.tree.map(lambda x: jnp.asarray(RNG.normal(size=x.shape), jnp.float32), PARAMS) for _ in range(3)]


def run(optimizer, gradients):
    params, state = PARAMS, optimizer.init(PARAMS)
    update = jax.jit(optimizer.update)
    for step, gradient in enumerate(gradients):
        updates, state = update(gradient, state, params, step=step)
        params = optax.apply_updates(params, updates)
    return params


def slow_adamw(params, gradients, config):
    """Loshchilov & Hutter, 1711.05101, Algorithm 2, for the leaves of one part; the clip is over all of them."""
    params = {name: np.asarray(x, np.float64) for name, x in params.items()}
    m, v = ({name: np.zeros(x.shape) for name, x in params.items()} for _ in range(2))
    for step, gradient in enumerate(gradients):
        rate = float(config.learning_rate(step))
        norm = np.sqrt(sum((np.asarray(g, np.float64) ** 2).sum() for g in gradient.values()))
        scale = 1.0 if config.clip_norm is None else min(1.0, config.clip_norm / norm)
        for name, g in gradient.items():
            g = np.asarray(g, np.float64) * scale
            m[name] = config.b1 * m[name] + (1 - config.b1) * g
            v[name] = config.b2 * v[name] + (1 - config.b2) * g**2
            mean, square = m[name] / (1 - config.b1 ** (step + 1)), v[name] / (1 - config.b2 ** (step + 1))
            decay = config.weight_decay * params[name] * (params[name].ndim > 1)
            params[name] = params[name] - rate * (mean / (np.sqrt(square) + config.eps) + decay)
    return params


@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_three_steps_equal_a_slow_adamw_with_its_own_clip_for_each_part(clip_norm):
    policy = AdamW(Linear(0.1, 0.01, 3), weight_decay=0.2, clip_norm=clip_norm)
    value = AdamW(Constant(0.03), b1=0.5, clip_norm=clip_norm)
    result = run(make_optimizer(policy=policy, value=value), GRADIENTS)
    for name, config in (("policy", policy), ("value", value)):
        expected = slow_adamw(PARAMS[name], [gradient[name] for gradient in GRADIENTS], config)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), result[name], expected)


def test_a_first_moment_in_bfloat16_is_stored_in_two_bytes_and_is_optaxs():
    config = AdamW(Constant(0.1), clip_norm=None, weight_decay=0.2, first_moment="bfloat16")
    ours = make_optimizer(policy=config, value=config)
    moments = [leaf.dtype for leaf in jax.tree.leaves(ours.init(PARAMS)) if leaf.ndim]
    assert moments.count(jnp.bfloat16) == moments.count(jnp.float32) == 3
    theirs = optax.adamw(0.1, b1=0.9, b2=0.95, weight_decay=0.2, mu_dtype="bfloat16", mask=decay_mask)
    expected = run(optax.with_extra_args_support(theirs), GRADIENTS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), run(ours, GRADIENTS), expected)
    exact = dataclasses.replace(config, first_moment="float32")
    whole = run(make_optimizer(policy=exact, value=exact), GRADIENTS)
    assert not np.array_equal(whole["policy"]["kernel"], expected["policy"]["kernel"])


def slow_adafactor(kernel, gradients, config):
    """Shazeer & Stern, 1804.04235, Algorithm 4 with an absolute step size, of one matrix."""
    kernel = np.asarray(kernel, np.float64)
    rows, columns = np.zeros(kernel.shape[0]), np.zeros(kernel.shape[1])
    for step, gradient in enumerate(np.asarray(g, np.float64) for g in gradients):
        memory = 1 - (step + 1.0) ** -config.decay
        square = gradient**2 + 1e-30
        rows = memory * rows + (1 - memory) * square.mean(axis=1)
        columns = memory * columns + (1 - memory) * square.mean(axis=0)
        update = gradient / np.sqrt(np.outer(rows, columns) / rows.mean())
        update /= max(1.0, np.sqrt((update**2).mean()) / config.clip_update)
        kernel = kernel - float(config.learning_rate(step)) * (update + config.weight_decay * kernel)
    return kernel


def test_three_steps_equal_a_slow_adafactor():
    config = Adafactor(Linear(0.1, 0.01, 3), min_size=2, weight_decay=0.2, clip_update=0.7, clip_norm=None)
    kernel = PARAMS["policy"]["kernel"]
    result = run(make_optimizer(policy=config, value=AdamW()), GRADIENTS)
    expected = slow_adafactor(kernel, [gradient["policy"]["kernel"] for gradient in GRADIENTS], config)
    np.testing.assert_allclose(result["policy"]["kernel"], expected, rtol=1e-5, atol=1e-6)


def test_adafactor_is_optaxs_and_remembers_rows_and_columns_only():
    """On stacked layers and heads too, whose two largest dimensions are factored."""
    params = ActorCritic(nano(num_layers=3, scan_layers=True, embed_dim=64, mlp_dim=96), 40).init(jax.random.key(0))
    config = Adafactor(Constant(0.1), min_size=8, clip_norm=None)
    ours = config.make()
    theirs = optax.adafactor(0.1, min_dim_size_to_factor=8, multiply_by_parameter_scale=False)
    rng, states = np.random.default_rng(1), [optimizer.init(params) for optimizer in (ours, theirs)]
    for step in range(2):
        gradient = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), params)
        update, states[0] = ours.update(gradient, states[0], params, step=step)
        expected, states[1] = theirs.update(gradient, states[1], params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), update, expected)
    size = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))  # noqa: E731
    assert size(states[0]) < size(params) / 5


@pytest.mark.parametrize("config", [AdamW(first_moment="bfloat16"), Adafactor(min_size=8)])
def test_every_optimizers_state_has_its_place_on_the_mesh(config):
    model = ActorCritic(nano(scan_layers=True, qkv_bias=True, value_heads=("a",), lora=Lora(8)), 16)
    whole = jax.eval_shape(model.init, jax.random.key(0))
    for params in (whole, learned(whole)):
        state = jax.eval_shape(make_optimizer(policy=config, value=config).init, params)
        for leaf, place in zip(
            jax.tree.leaves(state), jax.tree.leaves(tree_shardings(mesh(), state, AXES)), strict=True
        ):
            place.shard_shape(leaf.shape)  # raises where it does not divide


def mesh():
    return make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))


def test_only_matrices_decay():
    assert decay_mask(PARAMS) == {"policy": {"kernel": True, "bias": False}, "value": {"kernel": True}}
    zero = [jax.tree.map(jnp.zeros_like, PARAMS)]
    result = run(make_optimizer(policy=AdamW(Constant(0.1), weight_decay=0.5), value=AdamW()), zero)
    np.testing.assert_allclose(result["policy"]["kernel"], 0.95 * PARAMS["policy"]["kernel"], rtol=1e-6)
    np.testing.assert_array_equal(result["policy"]["bias"], PARAMS["policy"]["bias"])
    np.testing.assert_array_equal(result["value"]["kernel"], PARAMS["value"]["kernel"])


def test_the_learning_rate_is_a_function_of_the_step_told_and_not_of_the_updates_taken():
    rates = Linear(1.0, 0.0, 10)
    optimizer = make_optimizer(policy=AdamW(rates, b1=0.0, b2=0.0, eps=0.0, clip_norm=None), value=AdamW())
    state, ones = optimizer.init(PARAMS), jax.tree.map(jnp.ones_like, PARAMS)
    for step in (0, 0, 0, 4, 4, 9):
        updates, state = optimizer.update(ones, state, PARAMS, step=step)
        np.testing.assert_allclose(updates["policy"]["bias"], -rates(step), rtol=1e-6)


@pytest.mark.parametrize("scan_layers", [False, True])
def test_norms_and_biases_never_decay_whatever_their_shape(scan_layers):
    model = ActorCritic(nano(scan_layers=scan_layers, qkv_bias=True, value_heads=("a",), value_hidden=4), 16)
    mask = decay_mask(jax.eval_shape(model.init, jax.random.key(0)))
    names = {jax.tree_util.keystr(path): decays for path, decays in jax.tree_util.tree_leaves_with_path(mask)}
    assert all(decays == name.endswith(("kernel']", "embedding']")) for name, decays in names.items())
    assert any("bias" in name for name in names) and any("scale" in name for name in names)


def test_every_part_of_the_parameters_needs_an_optimizer():
    with pytest.raises(ValueError, match="value"):
        make_optimizer(policy=AdamW()).init(PARAMS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"b1": 1.0}, r"^b1 is 1.0; it must lie in \[0, 1\)\.$"),
        ({"b2": -0.1}, r"^b2 is -0.1; it must lie in \[0, 1\)\.$"),
        ({"clip_norm": 0.0}, r"^clip_norm is 0.0; it must be positive, or None for no clipping\.$"),
    ],
)
def test_a_setting_out_of_range_is_one_clear_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        AdamW(**changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"decay": 0.0}, r"^decay is 0.0; it must lie in \(0, 1\]\.$"),
        ({"clip_update": 0.0}, r"^clip_update is 0.0 and min_size is 128; both are positive\.$"),
        ({"clip_norm": -1.0}, r"^clip_norm is -1.0; it must be positive, or None for no clipping\.$"),
    ],
)
def test_a_setting_of_adafactor_out_of_range_is_one_clear_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        Adafactor(**changes)
