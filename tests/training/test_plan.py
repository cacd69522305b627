"""What is counted before anything is allocated, held against the compiler's own memory analysis."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from rlsp_jax import data, models, rewards
from rlsp_jax.algorithms import ppo, rloo, sft
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import SentencePiece
from rlsp_jax.generation import SamplingConfig, make_generate_fn
from rlsp_jax.models import AXES, ActorCritic, ModelConfig
from rlsp_jax.models.attention import Blockwise
from rlsp_jax.sharding import MeshConfig, replicated, rows, tree_shardings
from rlsp_jax.training import Experiment, fit, load_experiment
from rlsp_jax.training.memory import temporary_bytes, tree_bytes
from rlsp_jax.training.plan import (
    GIB,
    Moment,
    abstract,
    abstract_experience,
    abstract_params,
    abstract_prompts,
    abstract_state,
    columns,
    decoding_bytes,
    make_plan,
)
from rlsp_jax.training.suggest import suggest
from rlsp_jax.types import Demonstrations

DEBUG = load_experiment(Path(__file__).parent.parent.parent / "experiments" / "debug.py").experiment
VOCAB = 1024
MODEL = ModelConfig(num_layers=3, embed_dim=128, num_heads=4, num_kv_heads=2, head_dim=32, mlp_dim=352)
SCANNED = dataclasses.replace(MODEL, scan_layers=True, max_length=1024)
AGAIN = dataclasses.replace(SCANNED, remat="full")  # activations are computed again
BLOCKS = dataclasses.replace(SCANNED, attention=Blockwise())
PAID = (rewards.Stream("correctness", rewards.Correctness()),)
SAMPLING = SamplingConfig(max_response=112)
FAST = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}  # the same buffers, compiled soon


def imitate(rows: int, length: int, micro_batches: int = 1) -> sft.Config:
    return sft.Config(data.SearchTraces(), batch_size=rows, row_length=length, micro_batches=micro_batches)


def experiment(model: ModelConfig, stage, mesh: MeshConfig = MeshConfig()) -> Experiment:
    tokenizer = SentencePiece(vocab_size=VOCAB)
    return dataclasses.replace(DEBUG, model=model, tokenizer=tokenizer, stages=(stage,), evals=(), mesh=mesh)


def update_of(planned: Experiment) -> Moment:
    return next(moment for moment in make_plan(planned).stages[0].moments if moment.name == "update")


# ---- what a program needs ------------------------------------------------------------------------


def test_a_product_of_two_matrices_needs_its_result_alone():
    x = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    assert temporary_bytes(lambda a, b: a @ b, x, x) == 64 * 64 * 4


def test_elementwise_results_are_not_stored_on_the_way_to_one_reader():
    x = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    assert temporary_bytes(lambda a: jnp.sum((2 * a + 1) ** 2), x) < 100
    assert temporary_bytes(lambda a: jnp.sum((b := jnp.exp(a)) * b[::-1]), x) >= 64 * 64 * 4


def test_a_donated_argument_gives_its_memory_to_the_result():
    x = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    assert temporary_bytes(lambda a: a + 1, x, donated=(0,)) == 0
    assert temporary_bytes(lambda a: a @ a, x, donated=(0,)) == 64 * 64 * 4  # which is read while it is written


def test_the_layers_of_a_scan_share_what_they_need_and_each_leaves_its_result():
    def through(x):
        return jax.lax.scan(lambda x, _: (y := jnp.tanh(x @ x), y), x, length=10)

    size = 64 * 64 * 4
    x = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    assert 11 * size <= temporary_bytes(through, x) <= 14 * size


# ---- against the compiler --------------------------------------------------------------------------

CASES = {
    "layers one by one": (MODEL, imitate(8, 192, micro_batches=4), MeshConfig()),
    "layers scanned, attention in blocks": (BLOCKS, imitate(4, 512), MeshConfig()),
    "activations again": (dataclasses.replace(BLOCKS, remat="full"), imitate(8, 512, micro_batches=4), MeshConfig()),
    "adapters": (dataclasses.replace(SCANNED, lora=models.Lora(8)), imitate(8, 192, micro_batches=4), MeshConfig()),
    "PPO, a critic of its own": (
        dataclasses.replace(AGAIN, value_heads=("correctness", "kl"), value_trunk="separate"),
        ppo.Config(PAID, prompts_per_step=16, minibatch_size=8, sampling=SAMPLING),
        MeshConfig(),
    ),
    "RLOO": (
        AGAIN,
        rloo.Config(PAID, prompts_per_step=4, samples_per_prompt=4, sampling=SAMPLING, micro_batches=4),
        MeshConfig(),
    ),
    "parameters split over eight devices": (AGAIN, imitate(32, 192, micro_batches=2), MeshConfig(data=1, fsdp=8)),
    "every axis of the mesh": (SCANNED, imitate(16, 192), MeshConfig(data=2, fsdp=2, tensor=2)),
}


@pytest.mark.parametrize("case", CASES)
def test_an_update_needs_what_the_compiler_says(case):
    model, stage, mesh = CASES[case]
    planned = experiment(model, stage, mesh)
    assert abs(update_of(planned).total / compiled_bytes(planned) - 1) < 0.15


def compiled_bytes(planned: Experiment) -> int:
    """What an update needs of one device, as XLA:CPU assigns its buffers."""
    model = ActorCritic(planned.model, VOCAB)
    shape = (planned.mesh.data or 1, planned.mesh.fsdp, planned.mesh.tensor)
    mesh = jax.make_mesh(shape, ("data", "fsdp", "tensor"), axis_types=(jax.sharding.AxisType.Auto,) * 3)
    arguments, update = arguments_of(planned, model)
    state, batch, *key = arguments
    placed = [
        tree_shardings(mesh, state, AXES),
        jax.tree.map(lambda _: rows(mesh), batch),
        *(replicated(mesh) for _ in key),
    ]
    shapes = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), arguments, tuple(placed))
    with jax.set_mesh(mesh):
        found = update.lower(*shapes).compile(compiler_options=FAST).memory_analysis()
    lying = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    return lying + found.temp_size_in_bytes


def arguments_of(planned: Experiment, model: ActorCritic):
    stage = planned.stages[0]
    state = abstract_state(model, stage)
    if isinstance(stage, sft.Config):
        integers, booleans = columns(stage.batch_size, stage.row_length)
        return (state, Demonstrations(integers, integers, booleans)), sft.make_update_fn(model, stage)
    heads = tuple(range(len(planned.model.value_heads)))
    batch = abstract_experience(stage.rows, planned.max_prompt, stage.sampling.max_response, len(heads))
    is_ppo = isinstance(stage, ppo.Config)
    update = ppo.make_update_fn(model, stage, heads) if is_ppo else rloo.make_update_fn(model, stage)
    return (state, batch, abstract(lambda key: key)), update


def test_decoding_needs_what_the_compiler_says():
    model, sampling = ActorCritic(SCANNED, VOCAB), SamplingConfig(max_response=128)
    arguments = (abstract_params(model)["policy"], abstract_prompts(64, 16), abstract(lambda key: key), jnp.float32(1))
    generate = make_generate_fn(model, sampling, eos_id=1, pad_id=0)
    found = generate.lower(*arguments).compile(compiler_options=FAST).memory_analysis()
    cache, decoding = decoding_bytes(model, 16, sampling, 64)
    assert cache == 2 * 3 * 64 * 2 * 32 * (16 + 128) * 4
    total = tree_bytes(arguments[0]) + cache + decoding
    compiled = found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
    assert abs(total / compiled - 1) < 0.15


# ---- of an experiment ------------------------------------------------------------------------------


def test_a_billion_parameters_are_counted_in_moments_without_being_allocated():
    model = models.llama32_1b(max_length=2048, remat="full")
    update = update_of(experiment(model, imitate(8, 2048, micro_batches=8), MeshConfig(data=1)))
    number = 1_235_814_400
    assert update.parts["parameters"] == 4 * number
    assert update.parts["optimizer"] == pytest.approx(8 * number, rel=1e-6)
    assert update.parts["gradients"] == 8 * number  # the sum, and the next part's


def test_the_state_is_split_over_devices_as_the_mesh_says():
    model = dataclasses.replace(AGAIN, tie_embeddings=False)
    alone = update_of(experiment(model, imitate(32, 192))).parts
    split = update_of(experiment(model, imitate(32, 192), MeshConfig(data=1, fsdp=4, tensor=2))).parts
    assert split["parameters"] == pytest.approx(alone["parameters"] / 8, rel=0.02)  # norms are on every device
    assert split["head, gathered"] == 128 * VOCAB // 2 * 4


def test_every_stage_has_its_programs_and_an_evaluation():
    planned = make_plan(DEBUG)
    assert [stage.name for stage in planned.stages] == ["sft", "ppo"]
    assert [moment.name for moment in planned.stages[1].moments] == ["rollout", "update", "evaluation"]
    stage, moment = planned.fullest
    assert planned.total == moment.total == max(m.total for s in planned.stages for m in s.moments)
    assert planned.fits(2 * planned.total) and not planned.fits(planned.total)


def test_a_suggestion_makes_the_experiment_fit():
    planned = experiment(SCANNED, imitate(16, 192))
    plan = make_plan(planned)
    words = suggest(planned, None, plan, int(0.6 * plan.total))
    assert words is not None and words.startswith("--set stages.0.micro_batches=")
    changed = dataclasses.replace(planned.stages[0], micro_batches=int(words.split("=")[1].split()[0]))
    assert make_plan(experiment(SCANNED, changed)).total <= 0.6 * plan.total
    less = dataclasses.replace(changed, micro_batches=changed.micro_batches // 2)
    assert make_plan(experiment(SCANNED, less)).total > 0.6 * plan.total  # and no more than it takes


def test_where_the_state_alone_is_too_much_adapters_or_devices_are_suggested():
    planned = experiment(AGAIN, imitate(16, 192, micro_batches=16), MeshConfig(data=1))
    plan = make_plan(planned)
    words = suggest(planned, None, plan, int(0.7 * plan.total))
    assert words is not None and words.startswith(("adapters", "2 devices"))
    assert suggest(planned, None, plan, 1000) is None


def test_training_is_refused_before_anything_is_allocated(monkeypatch):
    monkeypatch.setattr(fit, "device_room", lambda: 1000)
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"needs \d+\.\d\d MiB of each device, of which 0\.00 MiB can be used; nothing"):
        fit.check_memory(DEBUG)
    monkeypatch.setattr(fit, "device_room", lambda: None)
    fit.check_memory(DEBUG)


def test_sizes_are_read_as_makers_write_them():
    assert fit.room_of("80GB") == int(0.92 * 80e9)
    assert fit.room_of("1.5 GiB") == int(0.92 * 1.5 * GIB)
    for wrong in ("much", "80", "0GB", "8 0GB"):
        with pytest.raises(UserError, match="such as 80GB or 16GiB"):
            fit.room_of(wrong)


def test_a_mesh_of_another_size_and_rows_that_do_not_divide_are_refused():
    with pytest.raises(UserError, match="needs 8 devices, not 4"):
        make_plan(experiment(AGAIN, imitate(32, 192), MeshConfig(data=1, fsdp=8)), 4)
    with pytest.raises(UserError, match="must be a multiple of the mesh"):
        make_plan(experiment(AGAIN, imitate(4, 192), MeshConfig(data=1, fsdp=8)))
