"""Length kernels against closed forms, and steps against Python's split."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.rewards import HyperbolicLength, HyperbolicReasoning, LinearLength, NumSteps
from tests.rewards.texts import Tokens, spelled, verdicts

TOKENS = Tokens()
BATCH, TIME = 4, 64
CAP = 5
NEWLINES = NumSteps(cap=CAP)
COMMAS = NumSteps(cap=CAP, marker=", ")
STEPS = jax.jit(lambda r, v: [k(r, v, TOKENS.device, ())[0] for k in (NEWLINES, COMMAS)])


def paid(kernel, rollout, said):
    (reward, valid), memory = kernel(rollout, said, TOKENS.device, kernel.init())
    assert np.asarray(valid).all() and memory == ()
    return np.asarray(reward)


def test_length_kernels_pay_their_closed_form_at_the_last_token():
    rollout = TOKENS.rollout([[1] * 4, [1] * 8, [1], []], 8)
    said = verdicts(rollout, answer_start=[2, 8, 0, 0])
    for kernel, expected in (
        (HyperbolicLength(scale=20.0), [-5.0, -2.5, -20.0]),
        (HyperbolicReasoning(scale=20.0), [-10.0, -2.5, -20.0]),
        (LinearLength(cap=5), [0.8, 1.0, 0.2]),
    ):
        reward = paid(kernel, rollout, said)
        np.testing.assert_allclose(reward[[0, 1, 2], [3, 7, 0]], expected)
        np.testing.assert_allclose(reward.sum(axis=1), [*expected, 0.0])


def test_padding_after_the_answer_earns_nothing_where_only_reasoning_counts():
    rollout = TOKENS.rollout([[1] * 4, [1] * 8], 8)
    said = verdicts(rollout, answer_start=[3, 3])
    short, long = paid(HyperbolicReasoning(), rollout, said).sum(axis=1)
    assert short == long


texts = st.lists(st.sampled_from(["a", "b", "ab", "\n", "\n", ", ", ",", "try 1+2=3"]), max_size=14).map("".join)


@given(st.lists(texts, min_size=BATCH, max_size=BATCH), st.lists(st.integers(0, 30), min_size=BATCH, max_size=BATCH))
def test_steps_are_the_distinct_stretches_between_markers_before_the_answer(responses, answers):
    rollout = TOKENS.rollout(responses, 128)
    lengths = np.asarray(rollout.mask).sum(axis=1)
    answers = np.minimum(answers, lengths)
    reasoning = rollout._replace(mask=rollout.mask & (np.arange(128) < answers[:, None]))
    scores = STEPS(rollout, verdicts(rollout, answer_start=answers))
    for (reward, valid), marker in zip(scores, (b"\n", b", "), strict=True):
        for row, data in enumerate(spelled(TOKENS, reasoning)):
            expected = min(len({step for step in data.split(marker) if step}), CAP) / CAP
            assert float(reward[row].sum()) == pytest.approx(expected if lengths[row] else 0.0)
        assert np.asarray(valid).all()


def test_repeating_a_step_earns_nothing():
    rollout = TOKENS.rollout([b"a\nb\n", b"a\nb\n" * 8], TIME)
    once, often = paid(NumSteps(cap=10), rollout, verdicts(rollout)).sum(axis=1)
    assert once == often == np.float32(0.2)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: HyperbolicLength(0.0), "scale is 0.0"),
        (lambda: HyperbolicReasoning(-1.0), "scale is -1.0"),
        (lambda: LinearLength(0), "cap is 0"),
        (lambda: NumSteps(0), "cap is 0"),
        (lambda: NumSteps(1, marker=""), "marker is empty"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
