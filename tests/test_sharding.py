import dataclasses
import functools
import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, PartitionSpec

from rlsp_jax import rewards
from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.data import pack
from rlsp_jax.evaluation import Responder, make_judge
from rlsp_jax.models import AXES, ActorCritic, Lora, ModelConfig, learned, nano
from rlsp_jax.sharding import (
    ROWS,
    MeshConfig,
    check_rows,
    constrain_rows,
    make_mesh,
    place_rows,
    replicated,
    row_shards,
    rows,
    tree_shardings,
)
from rlsp_jax.verifiers import VerifierPool

MESHES = {"8×1×1": (8, 1, 1), "1×8×1": (1, 8, 1), "2×2×2": (2, 2, 2)}
ONE = (1, 1, 1)
EXPERIMENT = Path(__file__).parent.parent / "experiments" / "debug.py"


def mesh_of(shape: tuple[int, int, int]) -> Mesh:
    devices = jax.devices()[: int(np.prod(shape))]
    return jax.make_mesh(shape, ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3, devices=devices)


# ---- meshes and rows ----


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (MeshConfig(), (8, 1, 1)),
        (MeshConfig(fsdp=4), (2, 4, 1)),
        (MeshConfig(tensor=2, fsdp=2), (2, 2, 2)),
        (MeshConfig(data=1, fsdp=8), (1, 8, 1)),
    ],
    ids=repr,
)
def test_data_takes_the_devices_that_the_other_axes_leave(config, shape):
    assert make_mesh(config).shape == dict(zip(("data", "fsdp", "tensor"), shape, strict=True))


@pytest.mark.parametrize(
    ("config", "numbers"),
    [
        (MeshConfig(data=3), "data=3 × fsdp=1 × tensor=1 needs 3 devices, but 8 are here"),
        (MeshConfig(fsdp=3), "data=2 × fsdp=3 × tensor=1 needs 6 devices, but 8 are here"),
        (MeshConfig(fsdp=16), "data=1 × fsdp=16 × tensor=1 needs 16 devices, but 8 are here"),
    ],
)
def test_an_impossible_mesh_is_one_sentence_with_the_numbers(config, numbers):
    with pytest.raises(UserError, match=f"^A mesh of {numbers}; change mesh.data, mesh.fsdp or mesh.tensor\\.$"):
        make_mesh(config)


def test_an_axis_without_devices_is_one_clear_sentence():
    with pytest.raises(UserError, match=r"^mesh.tensor is 0; an axis of the mesh has at least 1 device\.$"):
        MeshConfig(tensor=0)


def test_rows_must_divide_over_data_and_fsdp_together():
    mesh = mesh_of((2, 2, 2))
    assert row_shards(mesh) == 4
    check_rows(mesh, batch_size=8, minibatch_size=4)
    with pytest.raises(
        UserError, match=r"^minibatch_size is 6; it must be a multiple of the mesh's data × fsdp = 4 dev"
    ):
        check_rows(mesh, batch_size=8, minibatch_size=6)


def test_placed_rows_lie_apart_and_hold_the_same_numbers():
    mesh = mesh_of((2, 2, 2))
    placed = place_rows(mesh, {"x": np.arange(24).reshape(8, 3)})["x"]
    assert placed.sharding.spec == PartitionSpec(ROWS) and placed.addressable_shards[0].data.shape == (2, 3)
    np.testing.assert_array_equal(placed, np.arange(24).reshape(8, 3))
    assert rows(mesh, axis=1).spec == PartitionSpec(None, ROWS)


def test_rows_are_kept_apart_inside_jit_and_left_alone_without_a_mesh():
    double = lambda: jax.jit(lambda x: constrain_rows(2 * x, None))  # noqa: E731  a new function for each mesh
    x = np.arange(24.0).reshape(8, 3)
    np.testing.assert_array_equal(double()(x), 2 * x)
    mesh = mesh_of((2, 2, 2))
    with jax.set_mesh(mesh):
        kept = double()(jax.device_put(x, replicated(mesh)))
    assert kept.addressable_shards[0].data.shape == (2, 3)
    np.testing.assert_array_equal(kept, 2 * x)


# ---- the table of parameters ----

MODELS = {
    "tied": nano(value_heads=("a",)),
    "untied with biases": nano(tie_embeddings=False, qkv_bias=True, value_heads=("a", "b"), value_hidden=8),
    "a critic of its own": nano(value_heads=("a",), value_trunk="separate"),
    "scanned": nano(scan_layers=True, qkv_bias=True, value_heads=("a",)),
    "adapters": nano(value_heads=("a",), value_trunk="separate", lora=Lora(rank=4)),
}
REMEMBERING = dict(
    streams=(
        rewards.Stream("a", rewards.TrainingNovelty(buckets=64)),
        rewards.Stream("b", rewards.Sum(((1.0, rewards.TrainingNovelty(buckets=32)), (0.5, rewards.Correctness())))),
    ),
    prompts_per_step=8,
    minibatch_size=8,
)


def shapes(config: ModelConfig):
    return jax.eval_shape(ActorCritic(config, 64).init, jax.random.key(0))


def state_shapes(config: ModelConfig):
    return jax.eval_shape(functools.partial(ppo.init_state, ppo.Config(**REMEMBERING)), shapes(config))


@pytest.mark.parametrize("config", MODELS.values(), ids=MODELS.keys())
def test_every_parameter_moment_and_reference_finds_its_line(config):
    state = state_shapes(config)
    shardings = tree_shardings(mesh_of((2, 2, 2)), state, AXES)
    assert jax.tree.structure(shardings) == jax.tree.structure(state)
    policies = (learned(shardings.params["policy"]), shardings.reference)
    assert policies[0] == policies[1]
    split = [s for s in jax.tree.leaves(policies[0]) if s.spec != PartitionSpec() and any(s.spec)]
    assert len(split) > 0.5 * len(jax.tree.leaves(policies[0]))


def test_every_line_of_the_table_is_of_use():
    unused = set()
    states = [state_shapes(config) for config in MODELS.values()]
    for line in AXES:
        rest = [other for other in AXES if other != line]
        try:
            for state in states:
                tree_shardings(mesh_of((2, 2, 2)), state, rest)
            unused.add(line[0])
        except KeyError:
            continue
    assert unused == set()


def test_embeddings_lie_over_fsdp_and_heads_and_vocabulary_over_tensor():
    shardings = tree_shardings(mesh_of((2, 2, 2)), shapes(MODELS["scanned"]), AXES)["policy"]
    assert shardings["embed"]["embedding"].spec == PartitionSpec("tensor", "fsdp")
    block = shardings["blocks"]
    assert block["attention"]["query"]["kernel"].spec == PartitionSpec(None, "fsdp", "tensor", None)
    assert block["mlp"]["down"]["kernel"].spec == PartitionSpec(None, "tensor", "fsdp")


def test_an_axis_that_does_not_divide_is_not_split():
    one_kv_head = shapes(nano(num_kv_heads=1))
    spec = tree_shardings(mesh_of((2, 2, 2)), one_kv_head, AXES)["policy"]["block_0"]["attention"]["key"]["kernel"].spec
    assert spec == PartitionSpec("fsdp", None, None)


def test_an_unknown_parameter_is_a_loud_key_error():
    strange = {"policy": {"adapter": {"kernel": jax.ShapeDtypeStruct((4, 4), jnp.float32)}}}
    with pytest.raises(
        KeyError, match=r"No line of the sharding table matches the parameter 'policy/adapter/kernel' of sh"
    ):
        tree_shardings(mesh_of((8, 1, 1)), strange, AXES)


# ---- one device and eight ----


@pytest.fixture(scope="module")
def debug():
    """experiments/debug.py, with a dense exploration reward: an untrained policy earns nothing else."""
    spec = importlib.util.spec_from_file_location("debug_experiment", EXPERIMENT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    experiment = module.get_config()
    imitate, explore = experiment.stages
    correctness, exploration = explore.streams
    dense = dataclasses.replace(exploration, kernel=rewards.TokenEntropy(cap=6.0))
    explore = dataclasses.replace(explore, streams=(correctness, dense), value_warmup_steps=0)
    return dataclasses.replace(experiment, stages=(imitate, explore))


@pytest.fixture(scope="module")
def demonstrations(debug):
    problems = debug.problems.problems("train", 0, 200)
    return [p.question for p in problems], [debug.stages[0].demonstrations.trace(p, i) for i, p in enumerate(problems)]


@pytest.fixture(scope="module")
def tokenizer(debug, demonstrations, tmp_path_factory):
    texts = map(str.__add__, *demonstrations)
    return debug.tokenizer.train(texts, tmp_path_factory.mktemp("tokenizer") / "tokenizer.model")


@pytest.fixture(scope="module")
def run(debug, demonstrations, tokenizer):
    """mesh shape → losses of two steps of SFT and, with PPO, of two of PPO, and the rollouts drawn.

    Rounding differs between meshes and now and then turns a draw, so that every mesh but the first draws for itself
    and then learns from what one device has drawn.
    """
    model = ActorCritic(debug.model, tokenizer.vocab_size)

    def begin(mesh):
        key = jax.random.key(debug.seed)
        init = jax.jit(model.init, out_shardings=tree_shardings(mesh, jax.eval_shape(model.init, key), AXES))
        return init(key)

    def imitate(mesh, config, params):
        rows = pack(tokenizer, *demonstrations, length=config.row_length)
        update, state = sft.make_update_fn(model, config), place(mesh, sft.init_state(config, params))
        losses = []
        for step in range(2):
            here = slice(step * config.batch_size, (step + 1) * config.batch_size)
            state, metrics = update(state, place_rows(mesh, jax.tree.map(lambda x, here=here: x[here], rows)))
            losses.append(metrics)
        return state.params, losses

    def explore(mesh, config, params, given):
        heads = tuple(map(debug.model.value_heads.index, config.value_heads))
        make_experience = ppo.make_experience_fn(model, config, heads)
        update, state = ppo.make_update_fn(model, config, heads), place(mesh, ppo.init_state(config, params))
        # the policy before SFT: a reference equal to the policy would have the KL's critic learn from rounding alone
        state = state._replace(reference=begin(mesh)["policy"])
        pay = jax.jit(functools.partial(rewards.score, config.streams))
        losses, drawn = [], []
        with VerifierPool(debug.verifier) as pool:
            judge = make_judge(mesh, debug.checker, pool, tokenizer)
            responder = Responder(mesh, model, judge, config.sampling, config.rows, debug.max_prompt)
            for step in range(2):
                key = jax.random.key(step)
                problems = debug.problems.problems("train", step * config.prompts_per_step, config.prompts_per_step)
                prompts = responder.prompts(problems, samples=config.samples_per_prompt)
                rollout = responder.generate(state.params["policy"], prompts, key_of(key, "rollout", step))
                drawn.append(jax.device_get(rollout))
                rollout = place_rows(mesh, given[step]) if given else rollout
                verdicts = responder.verify(rollout, [p for p in problems for _ in range(config.samples_per_prompt)])
                scores, memory = pay(rollout, verdicts, judge.token_bytes, state.memory)
                experience, health = make_experience(state, rollout, scores)
                state, metrics = update(state._replace(memory=memory), experience, key_of(key, "update", step))
                losses.append(metrics | health)
        return losses, drawn

    def place(mesh, state):
        return jax.device_put(state, tree_shardings(mesh, state, AXES))

    @functools.cache
    def run(shape, *, with_ppo):
        given = [] if shape == ONE or not with_ppo else run(ONE, with_ppo=True)[1]
        mesh = mesh_of(shape)
        with jax.set_mesh(mesh):
            params, losses = imitate(mesh, debug.stages[0], begin(mesh))
            more, drawn = explore(mesh, debug.stages[1], params, given) if with_ppo else ([], [])
        return jax.device_get([*losses, *more]), drawn

    return run


LOSSES = ("sft/loss", "sft/entropy", "sft/grad_norm", "policy/loss", "policy/entropy", "policy/ratio", "value/loss")
LOSSES = (*LOSSES, "policy/approx_kl", "policy/kl_reference", "policy/grad_norm", "policy/updates")


def assert_equal(result, expected):
    """Not of metrics that jump, such as a fraction of clipped tokens, or divide rounding by rounding."""
    for step, (left, right) in enumerate(zip(result, expected, strict=True)):
        for name in right.keys() & set(LOSSES):
            np.testing.assert_allclose(left[name], right[name], atol=1e-4, rtol=1e-4, err_msg=f"{name} of step {step}")


def test_two_steps_of_sft_are_the_same_on_one_device_and_on_2_2_2(run):
    assert_equal(run((2, 2, 2), with_ppo=False)[0], run(ONE, with_ppo=False)[0])


@pytest.mark.slow
@pytest.mark.parametrize("shape", MESHES.values(), ids=MESHES.keys())
def test_two_steps_of_sft_and_of_ppo_are_the_same_on_one_device_and_on_eight(run, shape):
    losses, drawn = run(shape, with_ppo=True)
    expected, expected_drawn = run(ONE, with_ppo=True)
    assert_equal(losses, expected)
    assert len(losses) == 4 and abs(expected[2]["value/loss"]) > 1e-3 and expected[3]["policy/updates"] > 0
    for left, right in zip(drawn, expected_drawn, strict=True):
        same_rows = (left.tokens == right.tokens).all(axis=1)
        assert same_rows.mean() > 0.8
        np.testing.assert_allclose(left.logprobs[same_rows], right.logprobs[same_rows], atol=1e-3)
