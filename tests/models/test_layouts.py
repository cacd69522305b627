import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.models import ActorCritic, nano, token_logprobs
from tests.models.builders import VOCAB, build, scanned, unrolled

PLAIN = nano(value_heads=("a", "b"), qkv_bias=True)
TOKENS = jnp.asarray(np.random.default_rng(0).integers(0, VOCAB, (3, 9)), jnp.int32)
SEGMENTS = jnp.asarray([[0, 0, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 2, 2, 2, 2, 0, 0], [1] * 9], jnp.int32)


def measure(config, params):
    """Log-probs and values, and the gradients of a function of both; parameters are given unrolled."""
    model = ActorCritic(config, VOCAB)

    def outputs(params):
        if config.scan_layers:
            params = params | {"policy": scanned(params["policy"])}
        hidden = model.hidden(params["policy"], TOKENS, SEGMENTS)
        logprobs, _ = token_logprobs(hidden[:, :-1], model.head(params["policy"]), TOKENS[:, 1:])
        return logprobs, model.values(params, TOKENS, SEGMENTS, hidden)

    def loss(params):
        logprobs, values = outputs(params)
        return jnp.mean(jnp.exp(logprobs)) + jnp.mean(values**2)

    return jax.jit(lambda params: (outputs(params), jax.grad(loss)(params)))(params)


@pytest.fixture(scope="module")
def reference():
    _, params = build(PLAIN)
    return params, measure(PLAIN, params)


@pytest.mark.parametrize(("scan_layers", "remat"), [(True, "none"), (False, "full"), (True, "dots"), (True, "full")])
def test_remat_and_scan_change_nothing_in_values_and_gradients(reference, scan_layers, remat):
    params, expected = reference
    result = measure(dataclasses.replace(PLAIN, scan_layers=scan_layers, remat=remat), params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6), result, expected)


def test_each_policy_of_remat_needs_less_memory_than_the_one_before():
    """By the compiler's analysis of a gradient."""
    tokens = jnp.ones((4, 128), jnp.int32)

    def temporary(remat):
        model = ActorCritic(nano(num_layers=4, scan_layers=True, remat=remat, max_length=128), VOCAB)
        policy = jax.eval_shape(model.init, jax.random.key(0))["policy"]
        gradient = jax.jit(jax.grad(lambda policy: model.hidden(policy, tokens, tokens).sum()))
        return gradient.lower(policy).compile().memory_analysis().temp_size_in_bytes

    none, dots, full = map(temporary, ("none", "dots", "full"))
    assert full < 0.8 * dots < 0.8 * 0.8 * none


def test_the_layout_of_scanned_layers_is_a_stack_of_unrolled_ones():
    policy = build(nano(scan_layers=True))[1]["policy"]
    shapes = jax.eval_shape(ActorCritic(nano(), VOCAB).init, jax.random.key(0))["policy"]
    assert jax.tree.map(jnp.shape, unrolled(policy)) == jax.tree.map(jnp.shape, shapes)
    jax.tree.map(np.testing.assert_array_equal, scanned(unrolled(policy)), policy)
