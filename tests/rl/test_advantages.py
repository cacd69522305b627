import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax import rl


def leave_one_out(scores, valid, group_size):
    return np.asarray(jax.jit(rl.leave_one_out, static_argnums=2)(scores, valid, group_size))


def slow_leave_one_out(scores, valid, group_size):
    advantages = np.zeros(len(scores))
    for i in range(len(scores)):
        group = i // group_size * group_size
        others = [scores[j] for j in range(group, group + group_size) if j != i and valid[j]]
        if valid[i] and others:
            advantages[i] = scores[i] - np.mean(others)
    return advantages


@pytest.mark.parametrize("group_size", [1, 2, 4, 12])
@settings(max_examples=20)
@given(seed=st.integers(0, 1000), share=st.floats(0, 1))
def test_leave_one_out_equals_a_slow_loop_whichever_rows_are_valid(seed, group_size, share):
    rng = np.random.default_rng(seed)
    valid = rng.random(12) < share
    scores = np.where(valid, rng.normal(size=12), np.nan).astype(np.float32)
    advantages = leave_one_out(scores, valid, group_size)
    np.testing.assert_allclose(advantages, slow_leave_one_out(scores, valid, group_size), rtol=1e-4, atol=1e-5)


def test_a_group_of_equal_scores_has_advantages_of_exactly_0():
    assert not leave_one_out(np.full(7 * 3, 0.1, np.float32), np.ones(21, bool), 7).any()


def slow_group(scores, valid, group_size, eps):
    """Centred and normalised scores by numpy's own mean and standard deviation."""
    centered, normalized = np.zeros(len(scores)), np.zeros(len(scores))
    for i in range(len(scores)):
        group = i // group_size * group_size
        known = [float(scores[j]) for j in range(group, group + group_size) if valid[j]]
        if valid[i]:
            centered[i] = scores[i] - np.mean(known)
            normalized[i] = centered[i] / (np.std(known) + eps)
    return centered, normalized


@pytest.mark.parametrize("group_size", [1, 4, 12])
@settings(max_examples=20)
@given(seed=st.integers(0, 1000), share=st.floats(0, 1))
def test_centred_and_normalised_scores_equal_a_slow_loop_whichever_rows_are_valid(seed, group_size, share):
    rng = np.random.default_rng(seed)
    valid = rng.random(12) < share
    scores = np.where(valid, rng.normal(size=12), np.nan).astype(np.float32)
    centered, normalized = slow_group(scores, valid, group_size, eps=0.1)
    scores, valid = jnp.asarray(scores), jnp.asarray(valid)
    np.testing.assert_allclose(rl.group_centered(scores, valid, group_size), centered, rtol=1e-4, atol=1e-5)
    ours = rl.group_normalized(scores, valid, group_size, eps=0.1)
    np.testing.assert_allclose(ours, normalized, rtol=1e-4, atol=1e-5)


def test_equal_scores_are_normalised_to_exactly_0_however_small_the_divisor():
    scores, valid = jnp.full(7 * 3, 0.1), jnp.ones(21, bool)
    assert not rl.group_centered(scores, valid, 7).any()
    assert not rl.group_normalized(scores, valid, 7, eps=1e-8).any()


def test_normalising_undoes_any_scale_and_centring_keeps_it():
    scores, valid = jax.random.normal(jax.random.key(0), 8), jnp.ones(8, bool)
    small = [rl.group_normalized(scores * scale, valid, 8, eps=1e-9) for scale in (1.0, 0.01)]
    np.testing.assert_allclose(*small, rtol=1e-4)
    np.testing.assert_allclose(
        rl.group_centered(scores * 0.5, valid, 8) * 2, rl.group_centered(scores, valid, 8), rtol=1e-4
    )


def test_advantages_of_a_group_with_all_rows_valid_sum_to_0():
    scores = np.random.default_rng(0).normal(size=24).astype(np.float32)
    advantages = leave_one_out(scores, np.ones(24, bool), 8).reshape(-1, 8)
    np.testing.assert_allclose(advantages.sum(axis=1), 0, atol=1e-5)


def test_a_lone_row_has_no_baseline_and_no_advantage():
    assert not leave_one_out(np.array([5.0, 3.0], np.float32), np.ones(2, bool), 1).any()


@pytest.mark.parametrize("group_size", [0, 5])
def test_a_batch_of_broken_groups_is_refused(group_size):
    for function in (leave_one_out, rl.group_centered, functools.partial(rl.group_normalized, eps=1.0)):
        with pytest.raises(ValueError, match=f"8 rows does not divide into groups of {group_size}"):
            function(jnp.zeros(8), jnp.ones(8, bool), group_size)


def test_streams_combine_to_their_weighted_sum():
    rng = np.random.default_rng(0)
    advantages, weights = rng.normal(size=(3, 4, 5)).astype(np.float32), np.array([0.8, 0.2, -1.0], np.float32)
    expected = sum(weight * stream for weight, stream in zip(weights, advantages, strict=True))
    np.testing.assert_allclose(
        rl.combine(jnp.asarray(advantages), jnp.asarray(weights)), expected, rtol=1e-5, atol=1e-6
    )


def test_combining_is_linear_so_one_stream_of_weight_1_passes_through():
    advantages = jax.random.normal(jax.random.key(0), (2, 4, 5))
    np.testing.assert_array_equal(rl.combine(advantages, jnp.array([0.0, 1.0])), advantages[1])
