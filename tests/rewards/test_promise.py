"""Rewards by an outcome model's promises: they telescope, and they stand where steps end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.common.errors import UserError
from rlsp_jax.rewards import Finished, Promise, PromiseSteps, Stream, Sum, needed_columns
from tests.rewards.texts import Tokens, spelled, verdicts

TOKENS = Tokens(pieces=["\n", "\n\n", "a\nb", "ab", "-", "->", ">x"])
BATCH, TIME = 6, 24
KERNELS = {marker: PromiseSteps(marker) for marker in ("\n", "->")}
RUN = {
    marker: jax.jit(
        lambda rollout, promise, kernel=kernel: kernel(rollout, said(rollout, promise), TOKENS.device, ())[0]
    )
    for marker, kernel in KERNELS.items()
}
texts = st.lists(st.text(alphabet="ab\n->x", max_size=10), min_size=BATCH, max_size=BATCH)


def said(rollout, promise):
    return verdicts(rollout)._replace(promise=promise)


def promises(seed: int):
    return jnp.asarray(np.random.default_rng(seed).uniform(size=(BATCH, TIME)), jnp.float32)


@given(texts, st.integers(0, 99), st.sampled_from(list(KERNELS)))
def test_rewards_sum_to_the_promise_at_the_end_less_that_at_the_start(texts, seed, marker):
    rollout, promise = TOKENS.rollout(texts, TIME), promises(seed)
    reward, valid = RUN[marker](rollout, promise)
    lengths = np.asarray(rollout.mask).sum(axis=1)
    expected = [promise[i, n - 1] - promise[i, 0] if n else 0.0 for i, n in enumerate(lengths)]
    np.testing.assert_allclose(np.asarray(reward).sum(axis=1), expected, atol=1e-5)
    assert np.asarray(valid).all()


@given(texts, st.integers(0, 99), st.sampled_from(list(KERNELS)))
def test_each_step_is_paid_by_how_far_it_raised_the_promise_at_the_token_that_ends_it(texts, seed, marker):
    rollout, promise = TOKENS.rollout(texts, TIME), promises(seed)
    reward, _ = RUN[marker](rollout, promise)
    for i, (ids, real) in enumerate(zip(np.asarray(rollout.tokens), np.asarray(rollout.mask), strict=True)):
        expected, text, before = np.zeros(TIME), b"", 0
        places = np.flatnonzero(real)
        for t in places:
            grown = text + TOKENS.pieces[ids[t]]
            completes = any(
                grown[end - len(marker) : end] == marker.encode() for end in range(len(text) + 1, len(grown) + 1)
            )
            if completes or t == places[-1]:
                expected[t] = promise[i, t] - promise[i, before]
                before = t
            text = grown
        np.testing.assert_allclose(reward[i], expected, atol=1e-6)


def test_a_response_is_worth_what_is_said_at_its_last_token():
    rollout, promise = TOKENS.rollout(["ab", "a\nb\n", "", "x", "ab", "b"], TIME), promises(0)
    reward, valid = Promise()(rollout, said(rollout, promise), TOKENS.device, ())[0]
    for i, text in enumerate(spelled(TOKENS, rollout)):
        n = int(rollout.mask[i].sum())
        assert bool(valid[i]) == bool(n), text
        expected = np.zeros(TIME)
        if n:
            expected[n - 1] = promise[i, n - 1]
        np.testing.assert_allclose(reward[i], expected)


def test_a_text_that_is_not_read_to_its_end_is_not_valid():
    long = Tokens(pieces=["ab" * 20])
    rollout = long.rollout([[len(long.pieces) - 1] * TIME, "ab"], TIME)
    promise = jnp.zeros((2, TIME))
    _, valid = PromiseSteps()(rollout, said(rollout, promise), long.device, ())[0]
    assert valid.tolist() == [False, True]


def test_streams_say_that_they_need_a_promise_through_whatever_holds_the_kernel():
    for kernel in (Promise(), PromiseSteps(), Finished(PromiseSteps()), Sum(((0.5, Finished(Promise())),))):
        assert needed_columns((Stream("outcome", kernel),)) == {"promise"}


def test_without_an_outcome_model_one_sentence_says_so():
    rollout = TOKENS.rollout(["ab"], TIME)
    for kernel in (Promise(), PromiseSteps()):
        with pytest.raises(UserError, match=r"have no promise; a stage outcome_model.Config\(…\) must come before"):
            kernel(rollout, verdicts(rollout), TOKENS.device, ())
    with pytest.raises(UserError, match="marker is empty"):
        PromiseSteps("")
