"""Answers asked for behind a part of the thinking, held against a slow reader without a cache."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.common.codes import StopReason
from rlsp_jax.evaluation.elicit import kept_tokens, make_elicit_fns, thinking_tokens
from rlsp_jax.generation import SamplingConfig, make_generate_fn
from rlsp_jax.models import nano
from rlsp_jax.types import PromptBatch, Rollout, Verdicts
from tests.models.builders import VOCAB, build, left_padded

EOS, PAD, MAX_PROMPT, MAX_RESPONSE, MAX_ANSWER = 1, 0, 5, 12, 7
MARKER = (7, 3)
QUESTIONS = [[5, 9, 4], [8, 2, 6, 11, 3], [10, 12]]
KEPT = (0, 5, 11)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def model():
    return build(nano(num_layers=2))[0]


@pytest.fixture(scope="module")
def policies():
    return [build(nano(num_layers=2), seed)[1]["policy"] for seed in (0, 1)]


@pytest.fixture(scope="module")
def elicited(model, policies):
    """The rollout of the first policy, and what each of the two answers behind `KEPT` tokens of it."""
    rows = jnp.arange(len(QUESTIONS))
    prompts = PromptBatch(*left_padded(QUESTIONS, MAX_PROMPT), rows, 0 * rows, None)
    sampling = SamplingConfig(max_response=MAX_RESPONSE)
    generate = make_generate_fn(model, sampling, eos_id=EOS, pad_id=PAD)
    rollout = generate(policies[0], prompts, KEY, jnp.float32(1.0))
    read, elicit = make_elicit_fns(model, MARKER, MAX_ANSWER, eos_id=EOS, pad_id=PAD)
    kept = jnp.asarray(KEPT, jnp.int32)
    return rollout, [elicit(policy, read(policy, rollout), rollout, kept) for policy in policies]


@pytest.fixture(scope="module")
def continued(model):
    """(policy, tokens, count) → what greedy decoding writes behind them, each from a fresh reading of all before it."""
    width = MAX_PROMPT + MAX_RESPONSE + len(MARKER) + MAX_ANSWER

    @jax.jit
    def following(policy, tokens, size):
        hidden = model.hidden(policy, tokens[None], (jnp.arange(width) < size)[None])[0, size - 1]
        return jnp.argmax(hidden @ model.head(policy))

    def continued(policy, ids: list[int], count: int) -> list[int]:
        written: list[int] = []
        while len(written) < count and EOS not in written:
            seen = [*ids, *written]
            written.append(int(following(policy, jnp.asarray(seen + [PAD] * (width - len(seen))), len(seen))))
        return written

    return continued


def test_the_response_judged_is_the_kept_tokens_the_marker_and_the_answer_of_a_slow_reader(
    continued, policies, elicited
):
    rollout, judged = elicited
    for policy, found in zip(policies, judged, strict=True):
        for row, (question, kept) in enumerate(zip(QUESTIONS, KEPT, strict=True)):
            thinking = rollout.tokens[row].tolist()[:kept]
            answer = continued(policy, [*question, *thinking, *MARKER], MAX_ANSWER)
            expected = [*thinking, *MARKER, *answer]
            assert found.tokens[row][found.mask[row]].tolist() == expected
            assert found.mask[row].tolist() == [i < len(expected) for i in range(found.mask.shape[1])]
    np.testing.assert_array_equal(judged[0].prompts.tokens, rollout.prompts.tokens)


def test_another_policy_answers_otherwise_behind_the_same_thinking(elicited):
    _, (first, second) = elicited
    assert not np.array_equal(first.tokens, second.tokens)


def test_a_policy_that_is_stopped_before_its_own_marker_goes_on_as_it_did(model, policies):
    prompts = PromptBatch(*left_padded([QUESTIONS[1]], MAX_PROMPT), jnp.arange(1), jnp.arange(1), None)
    generate = make_generate_fn(model, SamplingConfig(max_response=MAX_RESPONSE), eos_id=VOCAB, pad_id=PAD)
    rollout = generate(policies[0], prompts, KEY, jnp.float32(0.0))
    own, kept = rollout.tokens[0].tolist(), 6
    rest = MAX_RESPONSE - kept - 2
    read, elicit = make_elicit_fns(model, own[kept : kept + 2], rest, eos_id=VOCAB, pad_id=PAD)
    judged = elicit(policies[0], read(policies[0], rollout), rollout, jnp.asarray([kept], jnp.int32))
    assert len(set(own)) > 1 and judged.tokens[0][judged.mask[0]].tolist() == own


def test_kept_tokens_are_the_nearest_number_to_the_fraction_and_never_more_than_the_budget():
    thinking = np.arange(0, 400, dtype=np.int32)
    for thousandths in (1, 100, 333, 500, 900, 1000):
        for budget in (0, 7, 1000):
            exact = [Fraction(int(n)) * thousandths / 1000 for n in thinking]
            expected = [min(int(x + Fraction(1, 2)), budget) for x in exact]
            assert kept_tokens(jnp.asarray(thinking), thousandths, budget).tolist() == expected


def test_kept_tokens_rise_with_the_fraction_and_with_the_budget():
    thinking = jnp.asarray(np.random.default_rng(0).integers(0, 200, 50), jnp.int32)
    for cuts in ([(i, 500) for i in range(0, 1001, 50)], [(1000, budget) for budget in range(0, 220, 10)]):
        kept = np.array([kept_tokens(thinking, *cut) for cut in cuts])
        assert np.all(np.diff(kept, axis=0) >= 0) and np.array_equal(kept[-1], thinking)


def test_thinking_ends_before_the_first_answer_or_before_the_token_that_ended_a_response_without_one():
    lengths, starts = [9, 9, 9, 4], [6, 9, 9, 0]
    reasons = [StopReason.EOS, StopReason.EOS, StopReason.LENGTH, StopReason.LENGTH]
    mask = jnp.arange(9) < jnp.asarray(lengths)[:, None]
    empty = jnp.zeros(mask.shape)
    rollout = Rollout(None, mask.astype(jnp.int32), mask, empty, empty, jnp.asarray(reasons, jnp.int8))  # pyright: ignore
    verdicts = Verdicts(jnp.zeros(4, jnp.int8), jnp.asarray(starts), jnp.asarray([True, False, False, True]))
    assert thinking_tokens(rollout, verdicts).tolist() == [6, 8, 9, 0]
