"""What is learned from a rollout does not depend on the columns that no response reaches, so that they may be cut."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax import rewards
from rlsp_jax.algorithms import ppo, rloo
from rlsp_jax.algorithms.entropy import EntropyTarget
from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.data import Countdown
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.generation.trim import trim
from rlsp_jax.models import nano
from rlsp_jax.optim import AdamW
from rlsp_jax.rewards import Stream, Whiten
from rlsp_jax.schedules import Constant
from rlsp_jax.training.rl import make_score_fn
from rlsp_jax.types import Rollout, Verdicts
from tests.models.builders import build
from tests.rewards.texts import Tokens

FULL, CUT, ROWS, GROUP = 40, 20, 8, 4
PROBLEMS = Countdown(numbers=2).problems("train", 0, ROWS // GROUP)
TEXTS = ["try 5+2=7\nback\n", "try 3+4=7\n", "7=7\n7=7\nanswer: 9", "answer: 1+2", "12=12", b"\xff", "((((((((((((", ""]
TOKENS = Tokens()
MODEL_CONFIG = nano(num_layers=1, value_heads=("correctness", "exploration", "kl"))
MODEL, _ = build(MODEL_CONFIG, vocab=len(TOKENS.pieces))


def parameters():
    """The same numbers in new memory each time."""
    return build(MODEL_CONFIG, vocab=len(TOKENS.pieces))[1]


@functools.cache
def rollout() -> Rollout:
    """Short responses to two problems in a wide batch."""
    rows = [problem for problem in PROBLEMS for _ in range(GROUP)]
    reasons = [StopReason.LENGTH, *[StopReason.EOS] * (ROWS - 1)]
    rng = np.random.default_rng(0)
    made = TOKENS.rollout(
        TEXTS,
        FULL,
        truth=rewards.CountdownChecker().encode_truth(rows),
        problem=[problem.number for problem in rows],
        stop_reason=reasons,
    )
    said, surprise = (jnp.where(made.mask, x, 0) for x in rng.exponential(1.0, (2, *made.mask.shape)).astype("float32"))
    return made._replace(logprobs=-surprise, entropies=said)


def verdicts() -> Verdicts:
    """One response is right, of one nothing is known, the others are wrong."""
    outcome = [Verdict.CORRECT, Verdict.WRONG, Verdict.UNKNOWN, *[Verdict.WRONG] * (ROWS - 3)]
    return Verdicts(jnp.asarray(outcome, jnp.int8), rollout().mask.sum(axis=1) // 2, jnp.arange(ROWS) % 2 == 0)


def close(left, right, rtol=1e-4, atol=1e-6):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=atol), left, right)


def widened(x):
    """An array whose last axis is time, with the columns put back that were cut."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, FULL - CUT)])


PAID = dict(
    streams=(
        Stream("correctness", rewards.Correctness(), normalization=Whiten()),
        Stream("exploration", rewards.HyperbolicLength(5.0), normalization=Whiten()),
    ),
    prompts_per_step=ROWS // GROUP,
    samples_per_prompt=GROUP,
    sampling=SamplingConfig(max_response=FULL, temperature=0.8, top_p=0.95),
    minibatch_size=4,
    epochs=2,
)
PLAIN = AdamW(Constant(1.0), clip_norm=None, eps=1e3)  # so large: plain gradient descent, which blows nothing up
UNNORMALIZED = tuple(Stream(stream.name, stream.kernel) for stream in PAID["streams"])
GROUPS = PAID | dict(streams=UNNORMALIZED, optimizer=PLAIN)
CONFIGS = {
    "ppo": ppo.Config(**PAID, entropy_coef=Constant(0.1), optimizer=PLAIN, value_optimizer=PLAIN),
    "t1": rloo.Config(
        **GROUPS | dict(minibatch_size=None, epochs=1), kl=rloo.SequenceKL(0.1), entropy_coef=EntropyTarget(5.0, 0.5)
    ),
    "dr grpo": rloo.dr_grpo(**GROUPS),
}


def paid(config):
    """The rollout and its scores."""
    memory = rewards.init_memory(config.streams)
    return rollout(), make_score_fn(config.streams)(rollout(), verdicts(), TOKENS.device, memory)[0]


def learn(config, drawn, scores):
    """The experience of a step, its figures, and how far each parameter moved."""
    if isinstance(config, ppo.Config):
        heads = tuple(range(3))
        init, make = ppo.init_state, ppo.make_experience_fn(MODEL, config, heads)
        update = ppo.make_update_fn(MODEL, config, heads)
    else:
        init, make, update = rloo.init_state, rloo.make_experience_fn(MODEL, config), rloo.make_update_fn(MODEL, config)
    state = init(config, parameters())._replace(memory=rewards.init_memory(config.streams))
    experience, health = make(state, drawn, scores)
    state, learned = update(state, experience, jax.random.key(0))
    return experience, health | learned, jax.tree.map(jnp.subtract, state.params, parameters())


def farthest_move(moved) -> float:
    farthest = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(moved["policy"]))
    assert farthest > 1e-5
    return farthest


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_experience_and_update_are_the_same(config):
    whole = paid(config)
    results = [learn(config, drawn, scores) for drawn, scores in (whole, trim(*whole))]
    assert [result[0].mask.shape for result in results] == [(ROWS, FULL), (ROWS, CUT)]
    (experience, figures, moved), (cut_experience, cut_figures, cut_moved) = results
    close(experience.advantages, widened(cut_experience.advantages), rtol=1e-3, atol=1e-4)
    close(experience.returns, widened(cut_experience.returns), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(experience.mask, widened(cut_experience.mask))
    close(figures, cut_figures, rtol=1e-3, atol=1e-5)
    close(moved, cut_moved, rtol=1e-2, atol=1e-2 * farthest_move(moved))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_micro_batches_of_like_length_learn_what_the_whole_minibatch_does(config):
    results = [learn(dataclasses.replace(config, micro_batches=parts), *paid(config)) for parts in (1, 2)]
    (experience, figures, moved), (part_experience, part_figures, part_moved) = results
    close(experience, part_experience, rtol=1e-4, atol=1e-5)
    close(figures, part_figures, rtol=1e-4, atol=1e-5)
    close(moved, part_moved, rtol=1e-3, atol=1e-3 * farthest_move(moved))
