"""RLSP's rewards against the formulas written out in plain Python, one response at a time."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.rewards import Finished, GroupNovelty, Judged, Stream, Sum, init_memory, needed_columns, rlsp, score
from rlsp_jax.rewards.correctness import Correctness
from rlsp_jax.schedules import Constant, Linear
from tests.rewards.texts import Tokens, verdicts

TOKENS = Tokens()
BATCH, TIME = 4, 24

responses = st.fixed_dictionaries(
    {
        "length": st.integers(1, TIME),
        "answer": st.none() | st.integers(0, TIME - 1),  # where the first final answer begins
        "outcome": st.sampled_from(list(Verdict)),
        "grade": st.none() | st.floats(0, 1, width=32),
    }
)


def slow_paper(response, alpha, scale):
    """Eq. 1; None is unknown."""
    if response["outcome"] == Verdict.UNKNOWN:
        return None
    correct = 1.0 if response["outcome"] == Verdict.CORRECT else 0.0
    return alpha * correct + (1 - alpha) * (-scale / response["length"])


def slow_code(response, scale, judge):
    """The released reward server, line by line, but for what it pays where something failed."""
    length, answer = response["length"], response["answer"]
    if answer is None:
        base = -0.5
        reasoning = length
    else:
        if response["outcome"] == Verdict.UNKNOWN:
            return None
        base = 1.0 if response["outcome"] == Verdict.CORRECT else 0.0
        reasoning = min(answer, length - 1)
    if scale != 0:
        base -= scale / max(reasoning, 1)
    if judge:
        return None if response["grade"] is None else 0.8 * base + 0.2 * response["grade"]
    return base


def rollout_of(batch):
    rollout = TOKENS.rollout([[1] * response["length"] for response in batch], TIME)
    lengths = [response["length"] for response in batch]
    starts = [n if r["answer"] is None else min(r["answer"], n - 1) for r, n in zip(batch, lengths, strict=True)]
    said = verdicts(rollout, [r["outcome"] for r in batch], starts, [r["answer"] is not None for r in batch])
    grades = [math.nan if response["grade"] is None else response["grade"] for response in batch]
    return rollout, said._replace(effort=jnp.asarray(grades, jnp.float32))


@functools.cache
def total_fn(streams):
    """The sum that a coupled combination pays each response at a step, and which responses count in it."""

    def total(rollout, said, step):
        scores, _ = score(streams, rollout, said, TOKENS.device, init_memory(streams))
        weights = jnp.stack([stream.weight(step) for stream in streams])
        mixed = jnp.einsum("k,kbt->bt", weights, scores.rewards)
        last = rollout.mask.sum(axis=1) - 1
        elsewhere = jnp.where(jnp.arange(TIME) == last[:, None], 0.0, mixed)
        return mixed.sum(axis=1), jnp.all(scores.valid, axis=0), jnp.abs(elsewhere).max()

    return jax.jit(total)


def check(streams, batch, expected, step=0):
    paid, valid, elsewhere = total_fn(streams)(*rollout_of(batch), step)
    assert valid.tolist() == [value is not None for value in expected]
    assert float(elsewhere) == 0 and np.isfinite(paid).all()  # one terminal reward; no NaN lurks in a masked row
    for got, value in zip(paid.tolist(), expected, strict=True):
        assert value is None or got == pytest.approx(value, rel=1e-5, abs=1e-6)


batches = st.lists(responses, min_size=BATCH, max_size=BATCH)


@given(batches)
def test_the_papers_reward_is_its_equation(batch):
    check(rlsp.paper(), batch, [slow_paper(response, 0.8, 1000.0) for response in batch])


@given(batches, st.integers(0, 12))
def test_alpha_may_follow_a_schedule_and_both_weights_do(batch, step):
    alpha = 0.2 + 0.7 * min(step / 10, 1)
    streams = rlsp.paper(Linear(0.2, 0.9, 10), rlsp.HyperbolicLength(scale=20.0))
    check(streams, batch, [slow_paper(response, alpha, 20.0) for response in batch], step)


@given(batches)
def test_the_judge_form_of_the_papers_reward_is_masked_where_the_judge_is_silent(batch):
    def slow(response):
        if response["outcome"] == Verdict.UNKNOWN or response["grade"] is None:
            return None
        return 0.8 * (response["outcome"] == Verdict.CORRECT) + 0.2 * response["grade"]

    check(rlsp.paper(exploration=Judged()), batch, [slow(response) for response in batch])


@pytest.mark.parametrize("judge", [False, True])
@pytest.mark.parametrize("scale", [0.0, 20.0, 1000.0])
@given(batch=batches)
def test_the_codes_reward_is_that_of_its_server(scale, judge, batch):
    check(rlsp.code(scale, judge), batch, [slow_code(response, scale, judge) for response in batch])


def test_a_response_that_nobody_could_check_is_never_worth_more_than_a_short_correct_one():
    """The released server pays 0.0 for an exception and 1 − 1000/10 for this correct answer."""
    correct = dict(length=12, answer=10, outcome=Verdict.CORRECT, grade=None)
    batch = [correct, correct | {"outcome": Verdict.UNKNOWN}] * 2
    paid, valid, _ = total_fn(rlsp.code())(*rollout_of(batch), 0)
    assert paid.tolist()[0] == pytest.approx(1 - 1000 / 10)
    assert valid.tolist() == [True, False] * 2


def test_streams_that_read_a_judges_grade_say_so_however_they_are_wrapped():
    assert needed_columns(rlsp.paper()) == needed_columns(rlsp.code(judge=False)) == frozenset()
    assert needed_columns(rlsp.code(judge=True)) == {"effort"}
    for kernel in (Judged(), Finished(Judged()), Sum(((1.0, Correctness()), (0.5, Finished(Judged()))))):
        assert needed_columns([Stream("effort", kernel)]) == {"effort"}
    assert needed_columns([Stream("novelty", Finished(GroupNovelty()))]) == frozenset()


def test_a_grade_that_nobody_gave_is_a_sentence():
    rollout, said = rollout_of([dict(length=1, answer=None, outcome=Verdict.WRONG, grade=None)])
    with pytest.raises(UserError, match="nobody has judged: set effort_judge"):
        Judged()(rollout, said._replace(effort=None), TOKENS.device, ())


def test_a_negative_scale_is_refused():
    with pytest.raises(UserError, match="scale is -1"):
        rlsp.code(-1.0)


def test_the_weights_of_a_constant_alpha_are_constant_and_add_up_to_one():
    first, second = rlsp.paper(Constant(0.6))
    assert [float(first.weight(s) + second.weight(s)) for s in (0, 7)] == [1.0, 1.0]
