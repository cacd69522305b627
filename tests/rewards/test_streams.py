"""Streams: where rewards are put, how they are stacked, what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.rewards import (
    Correctness,
    Finished,
    HyperbolicLength,
    LinearLength,
    Stream,
    Sum,
    TokenEntropy,
    TrainingNovelty,
    Truncation,
    init_memory,
    score,
)
from rlsp_jax.rewards.streams import terminal
from rlsp_jax.schedules import Linear
from rlsp_jax.sharding import MeshConfig, make_mesh, place_rows
from tests.rewards.texts import Tokens, verdicts

TOKENS = Tokens()


@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=3, max_size=3))
def test_terminal_pays_the_last_real_token_and_an_empty_response_nowhere(mask):
    paid = np.asarray(terminal(jnp.asarray([1.0, 2.0, -3.0]), jnp.asarray(mask)))
    for row, value in enumerate([1.0, 2.0, -3.0]):
        expected = np.zeros(5)
        if any(mask[row]):
            expected[max(np.flatnonzero(mask[row]))] = value
        np.testing.assert_array_equal(paid[row], expected)


def test_an_infinite_score_of_an_empty_response_leaks_nowhere():
    paid = terminal(jnp.asarray([jnp.inf, jnp.nan]), jnp.zeros((2, 4), bool))
    assert not np.any(np.asarray(paid))


def test_correctness_pays_by_verdict_and_knows_nothing_of_unknown_ones():
    rollout = TOKENS.rollout([b"ab", b"abc", b"a", b""], 4)
    outcome = [Verdict.CORRECT, Verdict.WRONG, Verdict.UNKNOWN, Verdict.WRONG]
    (reward, valid), _ = Correctness(correct=2.0, wrong=-0.5)(rollout, verdicts(rollout, outcome), TOKENS.device, ())
    lengths = np.asarray(rollout.mask).sum(axis=1)
    assert np.asarray(reward)[0, lengths[0] - 1] == 2.0 and np.asarray(reward)[1, lengths[1] - 1] == -0.5
    assert np.asarray(reward).sum(axis=1)[[0, 1, 3]].tolist() == [2.0, -0.5, 0.0]
    assert np.asarray(valid).tolist() == [True, True, False, True]


STREAMS = (
    Stream("correctness", Correctness()),
    Stream("length", HyperbolicLength(scale=10.0), clip=2.0),
    Stream("novelty", TrainingNovelty(buckets=64, n=1), weight=Linear(0.2, 0.0, 10), gamma=0.9, lam=0.5),
)


def test_scores_stack_the_clipped_streams_in_order_and_carry_their_memories():
    rollout = TOKENS.rollout([list(b"ab"), list(b"abcdefghij")], 12)
    said = verdicts(rollout, [Verdict.UNKNOWN, Verdict.CORRECT])
    memory = init_memory(STREAMS)
    scores, after = score(STREAMS, rollout, said, TOKENS.device, memory)
    assert scores.rewards.shape == (3, 2, 12) and scores.valid.tolist() == [[False, True], [True, True], [True, True]]
    np.testing.assert_allclose(scores.rewards[1].sum(axis=1), [-2.0, -1.0])  # −10/2 is clipped, −10/10 is not
    for k, stream in enumerate(STREAMS):
        if stream.clip is None:
            (alone, _), _ = stream.kernel(rollout, said, TOKENS.device, memory[stream.name])
            np.testing.assert_array_equal(scores.rewards[k], alone)
    assert after.keys() == memory.keys() and int(after["novelty"].sum()) == 12 and not np.any(memory["novelty"])


def test_scores_are_the_same_on_a_mesh():
    texts = [b"try 1+2=3\n" * i for i in range(8)]
    rollout = TOKENS.rollout(texts, 100)
    said = verdicts(rollout)
    run = jax.jit(lambda rollout, said, memory: score(STREAMS, rollout, said, TOKENS.device, memory))
    mesh = make_mesh(MeshConfig(data=4, fsdp=2))
    with jax.set_mesh(mesh):
        spread = run(place_rows(mesh, rollout), place_rows(mesh, said), init_memory(STREAMS))
    alone = run(rollout, said, init_memory(STREAMS))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), spread, alone)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"name": "two words"}, "name is 'two words'"),
        ({"name": ""}, "name is ''"),
        ({"gamma": 1.5}, "gamma of stream 'a' is 1.5"),
        ({"lam": -0.1}, "lam of stream 'a' is -0.1"),
        ({"clip": 0.0}, "clip of stream 'a' is 0.0"),
    ],
)
def test_an_impossible_stream_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(Stream("a", Correctness()), **change)


@pytest.mark.parametrize(
    "streams, message",
    [
        ((), "no reward streams"),
        ((Stream("a", Correctness()), Stream("a", Truncation())), "2 streams are named 'a'"),
    ],
)
def test_streams_that_cannot_be_scored_together_are_refused(streams, message):
    with pytest.raises(ValueError, match=message):
        init_memory(streams)


def test_finished_replaces_what_a_cut_off_response_earned_and_nothing_else():
    stops = [StopReason.EOS, StopReason.LENGTH, StopReason.STOP, StopReason.LENGTH]
    rollout = TOKENS.rollout([list(b"abcd")] * 3 + [[]], 4, stop_reason=stops, entropies=np.ones((4, 4)))
    said = verdicts(rollout, [Verdict.UNKNOWN] * 4)
    reward, valid = Finished(TokenEntropy(cap=2.0), truncated=-1.0)(rollout, said, TOKENS.device, ())[0]
    np.testing.assert_allclose(reward, [[0.25] * 4, [0, 0, 0, -1], [0.25] * 4, [0] * 4])
    (_, known), _ = Finished(Correctness())(rollout, said, TOKENS.device, ())
    assert np.asarray(valid).all() and np.asarray(known).tolist() == [False, True, False, True]


def test_a_sum_adds_its_terms_and_is_valid_where_all_of_them_are():
    stops = [StopReason.LENGTH, StopReason.EOS]
    rollout = TOKENS.rollout([list(b"abc"), list(b"ab")], 4, stop_reason=stops)
    kernel = Sum(((2.0, LinearLength(cap=4)), (0.5, Truncation()), (1.0, TrainingNovelty(8, 1)), (1.0, Correctness())))
    said = verdicts(rollout, [Verdict.WRONG, Verdict.UNKNOWN])
    (reward, valid), memory = kernel(rollout, said, TOKENS.device, kernel.init())
    (novelty, _), counts = TrainingNovelty(8, 1)(rollout, said, TOKENS.device, jnp.zeros(8, jnp.int32))
    np.testing.assert_allclose(reward, np.asarray(novelty) + [[0, 0, 1.5 - 0.5, 0], [0, 1.0, 0, 0]])
    assert np.asarray(valid).tolist() == [True, False] and memory[0] == ()
    np.testing.assert_array_equal(memory[2], counts)


def test_an_empty_sum_is_refused():
    with pytest.raises(ValueError, match="terms is empty"):
        Sum(())
