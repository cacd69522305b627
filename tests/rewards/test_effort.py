"""Search effort against a slow count of markers with their continuations."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.common.words import BACK, CHECK, TRY
from rlsp_jax.rewards import SearchEffort
from tests.rewards.texts import Tokens, spelled, verdicts

TOKENS = Tokens()
BATCH, TIME = 4, 160
KERNEL = SearchEffort(cap=6, continuation=4)
RUN = jax.jit(lambda rollout, said: KERNEL(rollout, said, TOKENS.device, ())[0])


def slow_effort(data: bytes) -> float:
    found = set()
    for marker in (BACK.encode(), CHECK.encode(), TRY.encode()):
        start = data.find(marker)
        while start >= 0:
            found.add((marker, data[start + len(marker) :][:4].ljust(4, b"\0")))
            start = data.find(marker, start + 1)
    return min(len(found), 6) / 6


fragments = st.sampled_from(["try ", "check ", "back\n", "tr", "y 1", "1+2=3", "back", "33"])
texts = st.lists(fragments, max_size=12).map("".join)


@given(st.lists(texts, min_size=BATCH, max_size=BATCH), st.lists(st.integers(0, 60), min_size=BATCH, max_size=BATCH))
def test_effort_counts_each_marker_once_per_continuation_before_the_answer(responses, answers):
    rollout = TOKENS.rollout(responses, TIME)
    lengths = np.asarray(rollout.mask).sum(axis=1)
    answers = np.minimum(answers, lengths)
    reward, valid = RUN(rollout, verdicts(rollout, answer_start=answers))
    reasoning = rollout._replace(mask=rollout.mask & (np.arange(TIME) < answers[:, None]))
    for row, data in enumerate(spelled(TOKENS, reasoning)):
        assert float(reward[row].sum()) == pytest.approx(slow_effort(data) if lengths[row] else 0.0)
    assert np.asarray(valid).all()


def test_repetition_earns_no_effort_and_neither_does_writing_after_the_answer():
    once = list(b"try 1+2=3\nback\n")
    rollout = TOKENS.rollout([once, once * 10, once + list(b"try 7*7=49"), once + list(b"try 7*7=49")], TIME)
    answers = [len(once), len(once) * 10, len(once), len(once) + 10]
    plain, often, after, before = np.asarray(RUN(rollout, verdicts(rollout, answer_start=answers))[0]).sum(axis=1)
    assert plain == after == np.float32(2 / 6) and before == np.float32(3 / 6)
    assert often == np.float32(3 / 6)  # "back" at the very end of the text has another continuation than before "try"


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"cap": 0}, "cap is 0"),
        ({"cap": 1, "markers": ()}, "at least one marker"),
        ({"cap": 1, "markers": ("",)}, "none may be empty"),
        ({"cap": 1, "continuation": 0}, "continuation is 0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SearchEffort(**settings)
