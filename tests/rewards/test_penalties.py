"""Penalties against Python's own counting and its UTF-8 decoder."""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.rewards import (
    Correctness,
    GarbledBytes,
    HighPerplexity,
    NoAnswer,
    Penalized,
    RepeatedNgrams,
    TrainingNovelty,
    Truncation,
)
from tests.rewards.texts import Tokens, verdicts

TOKENS = Tokens()
BATCH, TIME = 8, 24
REPEATS = RepeatedNgrams(n=2, allowed=0.3, penalty=-2.0)
RUN_REPEATS = jax.jit(lambda rollout: REPEATS(rollout, verdicts(rollout), TOKENS.device, ())[0])
RUN_BYTES = jax.jit(lambda rollout: GarbledBytes()(rollout, verdicts(rollout), TOKENS.device, ())[0])


def test_truncation_is_charged_at_the_last_token_of_responses_that_met_the_limit():
    stops = [StopReason.EOS, StopReason.LENGTH, StopReason.STOP]
    rollout = TOKENS.rollout([[1, 2], [1, 2, 3], [1]], 4, stop_reason=stops)
    (reward, valid), _ = Truncation(penalty=-0.5)(rollout, verdicts(rollout), TOKENS.device, ())
    np.testing.assert_array_equal(reward, [[0] * 4, [0, 0, -0.5, 0], [0] * 4])
    assert np.asarray(valid).all()


def test_a_missing_answer_is_charged_and_an_empty_response_has_no_place_to_charge():
    rollout = TOKENS.rollout([[1, 2], [1, 2, 3], []], 4)
    said = verdicts(rollout, answered=[True, False, False])
    (reward, _), _ = NoAnswer()(rollout, said, TOKENS.device, ())
    np.testing.assert_array_equal(reward, [[0] * 4, [0, 0, -1, 0], [0] * 4])


@given(st.lists(st.lists(st.integers(0, 6), max_size=TIME), min_size=BATCH, max_size=BATCH))
def test_repetition_is_charged_above_the_allowed_share_of_ngrams_that_were_there_before(ids):
    reward, valid = RUN_REPEATS(TOKENS.rollout(ids, TIME))
    for row in range(BATCH):
        pairs = list(zip(ids[row], ids[row][1:], strict=False))
        repeated = len(pairs) - len(set(pairs))
        assert float(reward[row].sum()) == (-2.0 if pairs and repeated / len(pairs) > 0.3 else 0.0)
    assert np.asarray(valid).all()


# Bytes at the edges of the ranges that UTF-8 allows after each other.
EDGES = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF]
EDGES += [0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]
TEXTS = ["a", "é", "€", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff"]
characters = [list(text.encode()) for text in TEXTS]
mostly_valid = st.lists(st.sampled_from(characters * 4 + [[edge] for edge in EDGES]), max_size=6).map(
    lambda parts: sum(parts, [])[:TIME]
)


@given(st.lists(mostly_valid, min_size=BATCH, max_size=BATCH))
def test_garbled_bytes_are_those_that_python_does_not_decode(rows):
    assert_garbled(rows)


def test_every_pair_of_edge_bytes_is_judged_as_python_does():
    rows = [[a, b, c] for a in EDGES for b in EDGES for c in (0x41, 0x80)]
    rows += [[0xF0, 0x90, 0x80, 0x80], [0xF4, 0x8F, 0xBF, 0xBF], [0xF4, 0x90, 0x80, 0x80]]
    rows += [[0xF0, 0x90, 0x80], [0xE2, 0x82]]
    for start in range(0, len(rows), 200):
        part = rows[start : start + 200]
        assert_garbled(part + [[]] * (200 - len(part)))


def test_a_character_cut_at_the_end_of_a_full_text_is_garbled():
    assert_garbled([[0x41] * (TIME - 1) + [0xC3]] * BATCH)


def assert_garbled(rows):
    reward, valid = RUN_BYTES(TOKENS.rollout(rows, TIME))
    for row, ids in enumerate(rows):
        try:
            bytes(ids).decode()
            expected = 0.0
        except UnicodeDecodeError:
            expected = -1.0
        assert float(reward[row].sum()) == expected, bytes(ids)
    assert np.asarray(valid).all()


def test_perplexity_is_that_of_the_tokens_drawn_and_is_charged_above_the_limit():
    """Padding, whose log-probs are 0, does not count: a long certain tail would hide a short surprise."""
    rollout = TOKENS.rollout([[1, 2], [1, 2, 3], [1], []], 4)
    surprises = np.array([[2.0, 0.5, 0, 0], [0.1, 0.2, 0.3, 0], [1.2, 0, 0, 0], [0, 0, 0, 0]])
    rollout = rollout._replace(logprobs=jax.numpy.asarray(-surprises, "float32"))
    means = [2.5 / 2, 0.6 / 3, 1.2]
    for limit in (1.1, np.exp(1.21), np.exp(1.3)):
        (reward, valid), _ = HighPerplexity(float(limit), penalty=-0.5)(rollout, verdicts(rollout), TOKENS.device, ())
        expected = [-0.5 if np.exp(mean) > limit else 0.0 for mean in means] + [0.0]
        np.testing.assert_allclose(reward.sum(axis=1), expected)
        assert np.asarray(valid).all()
    assert sum(np.exp(mean) > np.exp(1.21) for mean in means) == 1


# Rows: right, right but cut off, wrong, unknown, unknown and cut off, right but garbled.
PATTERNS = [[65, 66], [65, 66, 67], [65], [66, 67], [65, 65], [0xFF, 65]]
OUTCOMES = [Verdict.CORRECT, Verdict.CORRECT, Verdict.WRONG, Verdict.UNKNOWN, Verdict.UNKNOWN, Verdict.CORRECT]
STOPS = [StopReason.EOS, StopReason.LENGTH, StopReason.EOS, StopReason.EOS, StopReason.LENGTH, StopReason.EOS]


def test_a_bad_pattern_is_paid_its_penalty_in_place_of_all_else_and_whatever_the_verdict():
    rollout = TOKENS.rollout(PATTERNS, 4, stop_reason=STOPS)
    kernel = Penalized(Correctness(), (Truncation(), GarbledBytes(penalty=-0.5)))
    (reward, valid), _ = kernel(rollout, verdicts(rollout, OUTCOMES), TOKENS.device, kernel.init())
    expected = [[0, 1, 0, 0], [0, 0, -1, 0], [0] * 4, [0] * 4, [0, -1, 0, 0], [0, -0.5, 0, 0]]
    known = np.asarray(valid)
    np.testing.assert_array_equal(np.where(known[:, None], reward, 0), expected)
    np.testing.assert_array_equal(known, [True, True, True, False, True, True])


def test_the_worst_of_several_penalties_is_charged_and_a_dense_reward_is_replaced_as_a_whole():
    rollout = TOKENS.rollout([[0xFF, 1, 2], [65, 66, 67]], 4, stop_reason=[StopReason.LENGTH, StopReason.EOS])
    kernel = Penalized(TrainingNovelty(n=1), (Truncation(penalty=-2.0), GarbledBytes(penalty=-3.0)))
    (reward, _), memory = kernel(rollout, verdicts(rollout), TOKENS.device, kernel.init())
    (plain, _), plain_memory = TrainingNovelty(n=1)(rollout, verdicts(rollout), TOKENS.device, kernel.init())
    np.testing.assert_array_equal(reward[0], [0, 0, -3, 0])
    np.testing.assert_array_equal(reward[1], plain[1])
    np.testing.assert_array_equal(memory, plain_memory)


def test_what_one_penalty_cannot_judge_is_unknown_unless_another_one_charges_it():
    @dataclasses.dataclass(frozen=True)
    class Blind(Truncation):
        def grade(self, rollout, verdicts, token_bytes):
            return jax.numpy.full(len(rollout.tokens), -9.0), jax.numpy.zeros(len(rollout.tokens), bool)

    rollout = TOKENS.rollout([[1], [2]], 4, stop_reason=[StopReason.LENGTH, StopReason.EOS])
    kernel = Penalized(Correctness(), (Blind(), Truncation()))
    (reward, valid), _ = kernel(rollout, verdicts(rollout), TOKENS.device, ())
    assert np.asarray(valid).tolist() == [True, False] and float(reward[0].sum()) == -1


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Truncation(penalty=1.0), "penalty is 1.0"),
        (lambda: NoAnswer(penalty=0.1), "penalty is 0.1"),
        (lambda: GarbledBytes(penalty=0.1), "penalty is 0.1"),
        (lambda: RepeatedNgrams(penalty=0.1), "penalty is 0.1"),
        (lambda: RepeatedNgrams(n=0), "n is 0"),
        (lambda: HighPerplexity(1.0), "limit is 1.0; no perplexity is below 1"),
        (lambda: HighPerplexity(2.0, penalty=0.1), "penalty is 0.1"),
        (lambda: Penalized(Correctness(), ()), "penalties is empty"),
        (lambda: RepeatedNgrams(allowed=1.5), "allowed is 1.5"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
