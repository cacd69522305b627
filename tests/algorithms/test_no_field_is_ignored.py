"""No field of a stage's config is silently ignored: another value is another computation, or it is refused.

Every leaf of a config, nested values included, is changed in turn. What a config comes to is read off the traced
programs of its stage (drawing, paying, experience, update) and off its loop, run with scripted responses and updates.
A new field without a change listed here fails the test.
"""

import contextlib
import dataclasses
import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from rlsp_jax import data, rewards
from rlsp_jax.algorithms import ppo, rloo, sft
from rlsp_jax.algorithms.aggregation import ConstantLength, TokenMean
from rlsp_jax.algorithms.baselines import GroupNormalized, LeaveOneOut, Mixed
from rlsp_jax.algorithms.combination import Coupled
from rlsp_jax.algorithms.entropy import EntropyTarget
from rlsp_jax.algorithms.references import Fixed, MovingAverage
from rlsp_jax.checkpoints import Saver
from rlsp_jax.common.describe import flatten
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import Difficulty
from rlsp_jax.evaluation import Responder
from rlsp_jax.generation import SamplingConfig, make_generate_fn
from rlsp_jax.models import ActorCritic, nano
from rlsp_jax.optim import AdamW
from rlsp_jax.records import Draw
from rlsp_jax.rewards import Stream
from rlsp_jax.schedules import Constant, Linear
from rlsp_jax.sharding import make_mesh
from rlsp_jax.training import load_experiment, problems, rl, stage, supervised, train
from rlsp_jax.training.metrics import make_measure_fn
from rlsp_jax.training.progress import Display
from rlsp_jax.training.rl import make_score_fn
from rlsp_jax.training.run import Run
from rlsp_jax.training.spent import Spent
from rlsp_jax.types import Demonstrations, PromptBatch, Rollout, Scores, TokenBytes, TrainState, Verdicts
from tests.algorithms import batches
from tests.models.builders import VOCAB
from tests.training.conftest import DEBUG

PROMPT = batches.PROMPT
KEY = jax.random.key(0)


# ---- configs, and another value for every leaf ----

SHARED = {
    "num_steps": 2,
    "prompts_per_step": 8,
    "samples_per_prompt": 8,
    "sampling.max_response": 5,
    "sampling.temperature": 0.9,
    "sampling.top_k": 3,
    "sampling.top_p": 0.8,
    "sampling.min_p": 0.2,
    "sampling.stop_ids": (7,),
    "sampling.suppress": (3,),
    "select": Difficulty(candidates=8, samples=2),
    "streams.0.name": "other",
    "streams.0.kernel.correct": 2.0,
    "streams.0.kernel.wrong": -0.5,
    "streams.0.weight.start": 0.7,
    "streams.0.weight.end": 0.3,
    "streams.0.weight.num_steps": 9,
    "streams.0.clip": 0.5,
    "reference.decay": 0.8,
    "reference.every": 2,
    "epochs": 3,
    "minibatch_size": 8,
    "micro_batches": 1,
    "optimizer.learning_rate.value": 1e-3,
    "optimizer.b1": 0.8,
    "optimizer.b2": 0.8,
    "optimizer.eps": 1e-6,
    "optimizer.weight_decay": 0.1,
    "optimizer.clip_norm": None,
    "optimizer.first_moment": "bfloat16",
    "max_logp_gap": 0.01,
    "max_bad_steps": 2,
}
CORRECTNESS = Stream("correctness", rewards.Correctness(), Linear(0.8, 0.4, 10))
SAMPLING = SamplingConfig(max_response=6, temperature=0.8, top_k=5, top_p=0.9, min_p=0.05)

RLOO = rloo.Config(
    streams=(CORRECTNESS,), num_steps=4, prompts_per_step=4, samples_per_prompt=4, sampling=SAMPLING, chunk_prompts=2,
    dynamic=rloo.DynamicSampling(2), baseline=GroupNormalized(0.1), loss=rloo.ClippedSurrogate(),
    aggregation=ConstantLength(6), reference=MovingAverage(0.9), entropy_coef=EntropyTarget(1.0, 0.1), epochs=2,
    minibatch_size=4, micro_batches=2,
)  # fmt: skip
RLOO_CHANGES = SHARED | {
    "streams.0.gamma": 0.9,
    "streams.0.lam": 0.9,
    "streams.0.normalization": rewards.Whiten(),
    "chunk_prompts": 4,
    "dynamic.max_draws": 3,
    "baseline": LeaveOneOut(),
    "baseline.eps": 0.2,
    "mixing": Mixed(),
    "loss": rloo.PolicyGradient(),
    "loss.clip": 0.1,
    "aggregation": TokenMean(),
    "aggregation.length": 7,
    "kl": rloo.KLLoss(),
    "kl.coef": 0.1,
    "reference": Fixed(),
    "entropy_coef": Constant(0.1),
    "entropy_coef.target": 0.9,
    "entropy_coef.max_coef": 0.2,
}
RLOO_REFUSED = {"streams.0.gamma", "streams.0.lam", "streams.0.normalization", "loss"}

PPO = ppo.Config(
    streams=(dataclasses.replace(CORRECTNESS, normalization=rewards.Whiten()),), num_steps=4, prompts_per_step=4,
    samples_per_prompt=4, sampling=SAMPLING, kl=ppo.KLReward(Constant(0.1), normalization=rewards.Whiten()),
    reference=MovingAverage(0.9), epochs=2, minibatch_size=4, micro_batches=2, target_kl=0.5, value_warmup_steps=2,
)  # fmt: skip
PPO_CHANGES = SHARED | {
    "streams.0.gamma": 0.9,
    "streams.0.lam": 0.9,
    "streams.0.normalization.min_std": 0.1,
    "combination": Coupled(),
    "kl": ppo.KLLoss(),
    "kl.weight.value": 0.2,
    "kl.gamma": 0.9,
    "kl.lam": 0.9,
    "kl.normalization.min_std": 0.1,
    "reference": Fixed(),
    "clip": 0.1,
    "value_clip": 0.3,
    "value_coef": 0.5,
    "entropy_coef.value": 0.1,
    "target_kl": None,
    "value_warmup_steps": 1,
    **{f"value_{path}": value for path, value in SHARED.items() if path.startswith("optimizer.")},
}
PPO_REFUSED = {"combination"}

SFT = sft.Config(
    data.SearchTraces(), num_steps=4, batch_size=8, row_length=200, num_demonstrations=60, micro_batches=2,
    optimizer=AdamW(Constant(1e-3)),
)  # fmt: skip
SFT_CHANGES = {
    "demonstrations.direct": 0.5,
    "demonstrations.keep": 0.9,
    "demonstrations.budget": 2,
    "demonstrations.noise": 0.9,
    "demonstrations.shuffle": 0.9,
    "demonstrations.largest": 20,
    "demonstrations.nearest": 1,
    "demonstrations.give_up": False,
    "demonstrations.seed": 1,
    "num_steps": 2,
    "batch_size": 16,
    "row_length": 208,
    "num_demonstrations": 40,
    "micro_batches": 1,
    "max_bad_steps": 2,
    **{path: value for path, value in SHARED.items() if path.startswith("optimizer.")},
    "optimizer.learning_rate.value": 2e-3,
}


def changed(config, path: str, value):
    """The config with another value at a path, rebuilt from the inside out."""
    head, _, rest = path.partition(".")
    if isinstance(config, tuple):
        at = int(head)
        return (*config[:at], changed(config[at], rest, value), *config[at + 1 :])
    return dataclasses.replace(config, **{head: changed(getattr(config, head), rest, value) if rest else value})


def leaves(config) -> set[str]:
    """Every path at which a config holds a value that is no config."""
    return {path for path in flatten(config) if path.rpartition(".")[2] != "type"}


# ---- the traced programs ----


class Functions(NamedTuple):
    """What a stage of reinforcement learning compiles, beside generating and scoring."""

    init_state: Callable
    make_experience: Callable
    update: Callable


MODEL = ActorCritic(nano(num_layers=1, value_heads=("correctness", "other", "kl", "total")), VOCAB)


def rloo_functions(config: rloo.Config) -> Functions:
    init = functools.partial(rloo.init_state, config)
    return Functions(init, rloo.make_experience_fn(MODEL, config), rloo.make_update_fn(MODEL, config))


def ppo_functions(config: ppo.Config) -> Functions:
    heads = tuple(MODEL.config.value_heads.index(name) for name in config.value_heads)
    init = functools.partial(ppo.init_state, config)
    return Functions(init, ppo.make_experience_fn(MODEL, config, heads), ppo.make_update_fn(MODEL, config, heads))


def trace(function, *arguments) -> tuple[str, Any]:
    """A program as text, with the names and shapes of its results, and these results' shapes."""
    program, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return re.sub(r"0x[0-9a-f]+", "", f"{program} {shapes}"), shapes


def rl_programs(functions: Functions, config) -> Iterator[str]:
    """From the prompts to the state after the update, on the shapes that the config asks for."""
    params = jax.eval_shape(MODEL.init, KEY)
    state = jax.eval_shape(functions.init_state, params)
    prompts = prompts_like(config.rows)
    generate = make_generate_fn(MODEL, config.sampling, eos_id=1, pad_id=0)
    program, rollout = trace(generate, params["policy"], prompts, KEY, jnp.float32(1))
    yield program
    verdicts = jax.eval_shape(lambda: verdicts_like(config.rows))
    token_bytes = TokenBytes(jnp.zeros((VOCAB, 2), jnp.uint8), jnp.ones(VOCAB, jnp.int32))
    program, (scores, _) = trace(make_score_fn(config.streams), rollout, verdicts, token_bytes, state.memory)
    yield program
    yield trace(make_measure_fn(config.streams), rollout, verdicts, scores, token_bytes)[0]
    program, (experience, _) = trace(functions.make_experience, state, rollout, scores)
    yield program
    yield trace(functions.update, state, experience, KEY)[0]


def prompts_like(rows: int) -> PromptBatch:
    number = jnp.zeros(rows, jnp.int32)
    shown = jnp.ones((rows, PROMPT), jnp.int32)
    return PromptBatch(shown, shown > 0, number, number, ())


def verdicts_like(rows: int) -> Verdicts:
    return Verdicts(jnp.ones(rows, jnp.int8), jnp.zeros(rows, jnp.int32), jnp.ones(rows, bool))


# ---- the loops, with what they call replaced ----


class Scripted(Responder):
    """Writes down which problems it is asked; all responses are right, so that no group teaches."""

    def __init__(self, log):
        self._log = log

    def prompts(self, problems, *, samples=1, first=0):
        self._log.append(("drawn", samples, tuple(problem.number for problem in problems)))
        return prompts_like(len(problems) * samples)

    def generate(self, policy, prompts, key, *, greedy=False):
        zeros = jnp.zeros((len(prompts.problem), 2))
        reason = jnp.zeros(len(zeros), jnp.int8)
        return Rollout(prompts, zeros.astype(jnp.int32), zeros == 0, zeros, zeros, reason)

    def verify(self, rollout, problems):
        return verdicts_like(len(problems))


class Nothing(Saver):
    """A saver that neither has nor keeps anything."""

    def __init__(self, folder):
        pass

    def save(self, step, state, progress):
        pass

    def latest_step(self):
        return None

    def close(self):
        pass


def unpaid(rollout) -> Scores:
    return Scores(jnp.zeros((1, *rollout.mask.shape)), jnp.ones((1, len(rollout.mask)), bool))


def state_of(bad_steps: int) -> TrainState:
    count = jnp.asarray(bad_steps, jnp.int32)
    return TrainState(count, {"policy": {}, "value": {}}, (), (), {}, count, count)


def one_of_two(run, responder, policy, candidates, key, file, *, samples, greedy):
    """Draws of which every second problem's first sample is right."""
    return [
        Draw(p.number, sample, p.question, (), "", 0, "eos", "correct" if p.number % 2 and not sample else "wrong")
        for p in candidates
        for sample in range(samples)
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run for all configs: tokenizer and problems of the debug experiment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "TOKENIZER_TEXTS", 200)
        patch.setattr(stage, "Saver", Nothing)
        patch.setattr(rl, "make_score_fn", lambda streams: lambda rollout, *told: (unpaid(rollout), {}))
        patch.setattr(rl, "make_measure_fn", lambda streams: lambda *measured: {"rollout/tokens": np.zeros(())})
        patch.setattr(problems, "draw_responses", one_of_two)
        experiment = dataclasses.replace(load_experiment(DEBUG).experiment, evals=())
        mesh = make_mesh(experiment.mesh)
        folder, display = tmp_path_factory.mktemp("run"), Display(Console(), enabled=False)
        with jax.set_mesh(mesh), train.open_run(experiment, folder, mesh, display) as run:
            yield run


def enter(run: Run, config, folder) -> Run:
    """A run that consists of this stage, in a folder of its own."""
    model = dataclasses.replace(run.experiment.model, value_heads=MODEL.config.value_heads, max_length=400)
    experiment = dataclasses.replace(run.experiment, model=model, stages=(config,))
    shared = {name: getattr(run, name) for name in ("mesh", "tokenizer", "judge", "display", "interrupts")}
    return Run(experiment, folder, **shared, log=run._log, spent=Spent())


def rl_events(run, config, monkeypatch, folder) -> list:
    """What the loop draws and does when every update fails and sampler and learner are 0.04 nats apart."""
    log: list = []

    def make_experience(state, rollout, scores):
        log.append(("experience", len(rollout.tokens)))
        return (), {"policy/logp_gap": np.asarray(0.04)}

    def update(state, experience, key):
        return state_of(int(state.bad_steps) + 1), {}

    monkeypatch.setattr(Run, "responder", lambda run, sampling, rows: Scripted(log))
    algorithm = rl.Algorithm(lambda params: state_of(0), make_experience, update)
    try:
        rl.train_rl(enter(run, config, folder), 0, config, algorithm, {})
    except UserError as error:
        log.append(str(error))
    return log


def sft_events(run, config, monkeypatch, folder) -> list:
    """What supervised learning reads, when every update fails."""
    log: list = []

    def update(state, batch):
        log.append(tuple((leaf.shape, np.asarray(leaf).tobytes()) for leaf in batch))
        return state_of(int(state.bad_steps) + 1), {}

    monkeypatch.setattr(sft, "init_state", lambda config, params: state_of(0))
    monkeypatch.setattr(sft, "make_update_fn", lambda model, config: update)
    monkeypatch.setattr(supervised, "LOG_EVERY", 1)
    try:
        supervised.train_supervised(enter(run, config, folder), 0, config, {})
    except UserError as error:
        log.append(str(error))
    return log


def sft_programs(config: sft.Config) -> list[str]:
    state = jax.eval_shape(functools.partial(sft.init_state, config), jax.eval_shape(MODEL.init, KEY))
    tokens = jnp.zeros((config.batch_size, config.row_length), jnp.int32)
    batch = Demonstrations(tokens, tokens, tokens == 0)
    return [trace(sft.make_update_fn(MODEL, config), state, batch)[0]]


# ---- the walks ----

RL = {"rloo": (RLOO, RLOO_CHANGES, RLOO_REFUSED), "ppo": (PPO, PPO_CHANGES, PPO_REFUSED)}
FUNCTIONS = {"rloo": rloo_functions, "ppo": ppo_functions}


@pytest.mark.parametrize(
    ("config", "changes"),
    [(RLOO, RLOO_CHANGES), (PPO, PPO_CHANGES), (SFT, SFT_CHANGES)],
    ids=["rloo", "ppo", "sft"],
)
def test_every_field_has_another_value_to_try(config, changes):
    assert leaves(config) - changes.keys() == set(), "give these fields another value"
    for path, value in changes.items():
        with contextlib.suppress(UserError):
            assert changed(config, path, value) != config, path


@functools.cache
def base_programs(kind: str) -> list[str]:
    return list(rl_programs(FUNCTIONS[kind](RL[kind][0]), RL[kind][0]))


def same_programs(kind: str, config) -> bool:
    """Whether a config is traced to what the base of its kind is; stops at the first difference."""
    pairs = zip(rl_programs(FUNCTIONS[kind](config), config), base_programs(kind), strict=True)
    return all(own == base for own, base in pairs)


@pytest.mark.parametrize("kind", ["rloo", "ppo"])
def test_one_config_always_comes_to_the_same(kind, run, monkeypatch, tmp_path):
    """Else any comparison below would be won by an address in memory."""
    config = RL[kind][0]
    assert same_programs(kind, config)
    logs = [rl_events(run, config, monkeypatch, tmp_path / name) for name in "ab"]
    assert logs[0] == logs[1] and len(logs[0]) > config.num_steps


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "path"), [(kind, path) for kind, (_, changes, _) in RL.items() for path in changes], ids=str
)
def test_another_value_is_another_computation(kind, path, run, monkeypatch, tmp_path):
    config, changes, refused = RL[kind]
    try:
        other = changed(config, path, changes[path])
    except UserError:
        assert path in refused
        return
    assert path not in refused
    events = [rl_events(run, c, monkeypatch, tmp_path / name) for c, name in ((config, "a"), (other, "b"))]
    differs = events[0] != events[1] or not same_programs(kind, other)
    assert differs, f"{path} of {kind}.Config changes nothing"


@pytest.mark.slow
@pytest.mark.parametrize("path", SFT_CHANGES)
def test_another_value_is_another_imitation(path, run, monkeypatch, tmp_path):
    other = changed(SFT, path, SFT_CHANGES[path])
    programs = [sft_programs(config) for config in (SFT, other)]
    events = [sft_events(run, c, monkeypatch, tmp_path / name) for c, name in ((SFT, "a"), (other, "b"))]
    differs = programs[0] != programs[1] or events[0] != events[1]
    assert differs, f"{path} of sft.Config changes nothing"


def test_a_field_that_nobody_reads_would_be_noticed(run, monkeypatch, tmp_path):
    """A config with a field more: the walk finds no difference."""

    @dataclasses.dataclass(frozen=True)
    class WithSpare(rloo.Config):
        spare: int = 0

    fields = {field.name: getattr(RLOO, field.name) for field in dataclasses.fields(RLOO)}
    configs = [WithSpare(**fields, spare=spare) for spare in (0, 1)]
    events = [rl_events(run, config, monkeypatch, tmp_path / str(config.spare)) for config in configs]
    assert events[0] == events[1]
    assert same_programs("rloo", configs[1])
    assert leaves(configs[0]) - RLOO_CHANGES.keys() == {"spare"}
