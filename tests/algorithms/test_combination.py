import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.algorithms.combination import Coupled, Decoupled, logged_weights
from rlsp_jax.common.errors import UserError
from rlsp_jax.rewards import Correctness, LeaveOneOut, Stream, Whiten
from rlsp_jax.schedules import Constant, Linear
from rlsp_jax.types import Scores
from tests.algorithms import slow

ROWS, TIME, GROUP = 6, 5, 3
NORMALIZATIONS = [None, Whiten(), LeaveOneOut()]


def streams(first=None, second=None):
    return (
        Stream("a", Correctness(), Linear(1.0, 0.5, 4), gamma=0.9, lam=0.8, normalization=first),
        Stream("b", Correctness(), Constant(0.3), gamma=1.0, lam=0.95, normalization=second),
    )


def arrays(seed, num_streams=2, num_heads=2):
    """Scores, values and a mask of rows of all lengths; some rows are known to one stream only."""
    rng = np.random.default_rng(seed)
    lengths = rng.permutation([1, TIME, *rng.integers(1, TIME + 1, ROWS - 2)])
    mask = np.arange(TIME) < lengths[:, None]
    rewards = rng.normal(size=(num_streams, ROWS, TIME)).astype(np.float32) * mask
    valid = rng.random((num_streams, ROWS)) < 0.8
    valid[:, 0] = True
    values = rng.normal(size=(ROWS, num_heads, TIME)).astype(np.float32)
    return Scores(jnp.asarray(rewards), jnp.asarray(valid)), jnp.asarray(values), jnp.asarray(mask)


@functools.partial(jax.jit, static_argnums=(0, 1))
def combined(combination, channels, scores, values, mask, step):
    return combination(channels, scores, values, mask, step, GROUP)


def assert_equal_to_slow(combination, channels, scores, values, mask, step):
    result = combined(combination, channels, scores, values, mask, step)
    lengths = np.asarray(mask.sum(axis=1))
    ragged = lambda rows: [np.asarray(row)[:n] for row, n in zip(rows, lengths, strict=True)]  # noqa: E731
    rewards, by_head = map(ragged, scores.rewards), map(ragged, jnp.moveaxis(values, 1, 0))
    valid = [list(map(bool, stream)) for stream in np.asarray(scores.valid)]
    advantages, returns, known, value_known = slow.combine(
        combination, channels, list(rewards), list(by_head), valid, step, GROUP
    )
    for b, n in enumerate(lengths):
        np.testing.assert_array_equal(result.mask[b], np.asarray(mask[b]) & known[b])
        if known[b]:
            np.testing.assert_allclose(result.advantages[b, :n], advantages[b], rtol=1e-3, atol=1e-4)
        for k, rows in enumerate(returns):
            np.testing.assert_array_equal(result.value_mask[b, k], np.asarray(mask[b]) & value_known[k][b])
            np.testing.assert_allclose(result.returns[b, k, :n], rows[b], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("normalization", NORMALIZATIONS, ids=repr)
@settings(max_examples=8)
@given(st.integers(0, 1000), st.integers(0, 6))
def test_decoupled_equals_a_slow_loop_over_streams_rows_and_tokens(normalization, seed, step):
    assert_equal_to_slow(Decoupled(), streams(normalization, Whiten(min_std=5.0)), *arrays(seed), step)


@pytest.mark.parametrize("clip", [None, 0.5], ids=["free", "clipped"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS, ids=repr)
@settings(max_examples=8)
@given(st.integers(0, 1000), st.integers(0, 6))
def test_coupled_equals_a_slow_loop_over_streams_rows_and_tokens(normalization, clip, seed, step):
    combination = Coupled(gamma=0.9, lam=0.8, normalization=normalization, clip=clip)
    assert_equal_to_slow(combination, streams(), *arrays(seed, num_heads=1), step)


@pytest.mark.parametrize("normalization", NORMALIZATIONS, ids=repr)
def test_coupled_with_one_stream_of_weight_1_is_decoupled_with_that_stream(normalization):
    stream = Stream("a", Correctness(), Constant(1.0), gamma=0.9, lam=0.8, normalization=normalization)
    inputs = arrays(0, num_streams=1, num_heads=1)
    coupled = combined(Coupled(0.9, 0.8, normalization), (stream,), *inputs, 0)
    decoupled = combined(Decoupled(), (stream,), *inputs, 0)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6), coupled, decoupled)


def test_a_clip_bounds_the_mixed_reward_and_no_stream_of_it():
    """Two streams that cancel out are within the bounds; each alone is not."""
    mask = jnp.ones((GROUP, TIME), bool)
    scores = Scores(jnp.stack([jnp.full(mask.shape, 3.0), jnp.full(mask.shape, -9.0)]), jnp.ones((2, GROUP), bool))
    values, channels = jnp.zeros((GROUP, 1, TIME)), (Stream("a", Correctness()), Stream("b", Correctness()))
    first = lambda clip, a: combined(  # noqa: E731
        Coupled(lam=0.0, clip=clip), channels, scores._replace(rewards=scores.rewards.at[0].set(a)), values, mask, 0
    ).advantages[0, 0]
    assert [float(first(clip, a)) for clip, a in ((None, 3.0), (2.0, 3.0), (2.0, 8.0), (2.0, 20.0))] == [-6, -2, -1, 2]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"clip": 0.0}, r"^clip of Coupled is 0.0; it must be positive, or None for no clip\.$"),
        ({"gamma": 1.1}, r"^gamma of Coupled is 1.1; it must lie in \[0, 1\]\.$"),
        ({"lam": -0.1}, r"^lam of Coupled is -0.1; it must lie in \[0, 1\]\.$"),
    ],
)
def test_a_setting_out_of_range_is_one_clear_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        Coupled(**changes)


def test_a_weight_scales_its_own_streams_advantages_and_no_others():
    scores, values, mask = arrays(1)
    first, second = streams(Whiten(), Whiten())
    total = combined(Decoupled(), (first, second), scores, values, mask, 0)
    alone = [
        combined(
            Decoupled(),
            (stream,),
            Scores(scores.rewards[k : k + 1], scores.valid[k : k + 1]),
            values[:, k : k + 1],
            mask,
            0,
        )
        for k, stream in enumerate((first, second))
    ]
    counted = np.asarray(total.mask)
    expected = alone[0].advantages + alone[1].advantages
    np.testing.assert_allclose(total.advantages[counted], expected[counted], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("combination", [Decoupled(), Coupled(normalization=Whiten())], ids=["decoupled", "coupled"])
def test_what_is_paid_to_a_row_that_is_not_known_changes_nothing_elsewhere(combination):
    scores, values, mask = arrays(2, num_heads=2 if combination == Decoupled() else 1)
    valid = scores.valid.at[:, 1].set(False)
    channels = streams(Whiten(), LeaveOneOut())
    results = [
        combined(combination, channels, Scores(scores.rewards.at[:, 1].set(paid), valid), values, mask, 0)
        for paid in (0.0, 1e6, jnp.nan)
    ]
    for result in results:
        assert not result.mask[1].any() and not result.value_mask[1].any()
        counted = np.asarray(result.mask)
        np.testing.assert_array_equal(result.advantages[counted], results[0].advantages[counted])
        critics = np.asarray(result.value_mask)
        np.testing.assert_array_equal(result.returns[critics], results[0].returns[critics])


def test_a_critic_learns_from_rows_that_another_stream_knows_nothing_of():
    scores, values, mask = arrays(3)
    valid = jnp.ones_like(scores.valid).at[0, 2].set(False)
    result = combined(Decoupled(), streams(), Scores(scores.rewards, valid), values, mask, 0)
    assert not result.mask[2].any() and not result.value_mask[2, 0].any()
    np.testing.assert_array_equal(result.value_mask[2, 1], mask[2])


def test_heads_are_named_after_streams_or_total():
    assert Decoupled().heads(streams()) == ("a", "b") and Coupled().heads(streams()) == ("total",)


def test_what_coupled_streams_share_is_not_a_streams_own():
    plain = (Stream("a", Correctness()), Stream("b", Correctness(), Constant(0.3)))
    Coupled(gamma=0.9, normalization=Whiten()).check(plain, 1)
    for change in ({"gamma": 0.9}, {"lam": 0.9}, {"normalization": Whiten()}):
        with pytest.raises(UserError, match="^Stream 'b' has a gamma, lam or normalization of its own"):
            Coupled().check((plain[0], dataclasses.replace(plain[1], **change)), 1)


def test_leave_one_out_needs_siblings():
    Decoupled().check(streams(LeaveOneOut()), 2)
    with pytest.raises(UserError, match="^LeaveOneOut of stream 'a' compares samples of a prompt; set samples_per"):
        Decoupled().check(streams(LeaveOneOut()), 1)
    with pytest.raises(UserError, match="^LeaveOneOut of Coupled compares"):
        Coupled(normalization=LeaveOneOut()).check((Stream("a", Correctness()),), 1)


@pytest.mark.parametrize("noise, size", [(1e-3, 0.1), (0.3, 1.0)])
def test_whitening_does_not_blow_up_what_a_stream_that_pays_everyone_alike_leaves(noise, size):
    """Advantages are then the critic's errors: below `min_std` they are divided by it, above it they get size 1."""
    _, _, mask = arrays(4)
    values = jnp.asarray(noise * np.random.default_rng(0).normal(size=(ROWS, 1, TIME)), jnp.float32)
    scores = Scores(jnp.zeros((1, ROWS, TIME)), jnp.ones((1, ROWS), bool))
    stream = Stream("a", Correctness(), normalization=Whiten(min_std=0.01), lam=0.0)
    result = combined(Decoupled(), (stream,), scores, values, mask, 0)
    spread = float(np.std(np.asarray(result.advantages)[np.asarray(mask)]))
    assert spread == pytest.approx(size, rel=0.9) and (noise > 0.01) == (abs(spread - 1) < 1e-3)
    np.testing.assert_allclose(spread, min(1.0, float(result.spreads[0]) / 0.01), rtol=1e-5)


def test_only_weights_that_change_are_logged():
    logged = logged_weights(streams(), 2)
    assert list(logged) == ["weight/a"] and float(logged["weight/a"]) == 0.75
