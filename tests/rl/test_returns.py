import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax import rl

BATCH, TIME = 6, 9
DISCOUNTS = [0.0, 0.9, 1.0]


@functools.partial(jax.jit, static_argnames=("gamma", "lam"))
def gae(rewards, values, mask, *, gamma, lam):
    return rl.gae(rewards, values, mask, gamma=gamma, lam=lam)


def ragged(seed):
    """Rewards, values and a mask of rows of all lengths, 0 and full included; masked places hold NaN."""
    rng = np.random.default_rng(seed)
    lengths = rng.permutation([0, 1, TIME, *rng.integers(0, TIME + 1, BATCH - 3)])
    mask = np.arange(TIME) < lengths[:, None]
    rewards, values = rng.normal(size=(2, BATCH, TIME)).astype(np.float32)
    return np.where(mask, rewards, np.nan), np.where(mask, values, np.nan), mask


def slow_gae(rewards, values, mask, gamma, lam):
    """A_t = Σ_l (γλ)^l δ_{t+l}, summed out for every token (1506.02438, Eq. 16)."""
    advantages = np.zeros(mask.shape)
    for row in range(mask.shape[0]):
        length = int(mask[row].sum())
        value = [float(v) for v in values[row, :length]] + [0.0]
        delta = [rewards[row, t] + gamma * value[t + 1] - value[t] for t in range(length)]
        for t in range(length):
            advantages[row, t] = sum((gamma * lam) ** (u - t) * delta[u] for u in range(t, length))
    return advantages


@pytest.mark.parametrize("gamma", DISCOUNTS)
@pytest.mark.parametrize("lam", DISCOUNTS)
@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_gae_equals_a_slow_loop_on_ragged_masks(seed, gamma, lam):
    rewards, values, mask = ragged(seed)
    advantages, returns = gae(rewards, values, mask, gamma=gamma, lam=lam)
    expected = slow_gae(rewards, values, mask, gamma, lam)
    np.testing.assert_allclose(advantages, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(returns, np.where(mask, expected + values, 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gamma", DISCOUNTS)
@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_with_lambda_1_the_returns_are_the_discounted_rewards_whatever_the_values(seed, gamma):
    rewards, values, mask = ragged(seed)
    expected = np.zeros(mask.shape)
    for row in range(BATCH):
        for t in range(int(mask[row].sum())):
            expected[row, t] = sum(gamma ** (u - t) * rewards[row, u] for u in range(t, int(mask[row].sum())))
    _, returns = gae(rewards, values, mask, gamma=gamma, lam=1.0)
    np.testing.assert_allclose(returns, expected, rtol=1e-4, atol=1e-5)


def test_with_lambda_0_the_advantage_is_the_one_step_error():
    rewards, values, mask = ragged(1)
    advantages, _ = gae(rewards, values, mask, gamma=0.9, lam=0.0)
    live = np.where(mask, values, 0)
    following = np.concatenate([live[:, 1:], np.zeros((BATCH, 1))], axis=1)
    np.testing.assert_allclose(advantages, np.where(mask, rewards + 0.9 * following - live, 0), rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing():
    rewards, values, mask = ragged(2)
    wide = [
        jnp.pad(x, ((0, 0), (0, 4)), constant_values=fill) for x, fill in ((rewards, 7), (values, 7), (mask, False))
    ]
    for narrow, padded in zip(
        gae(rewards, values, mask, gamma=0.9, lam=0.8), gae(*wide, gamma=0.9, lam=0.8), strict=True
    ):
        np.testing.assert_array_equal(narrow, padded[:, :TIME])
        assert not padded[:, TIME:].any()


def test_half_precision_input_is_summed_in_single_precision():
    ones = np.ones((1, 300), np.float32)
    half = jax.numpy.asarray(ones, jax.numpy.bfloat16)
    _, returns = gae(half, jnp.zeros_like(half), ones > 0, gamma=1.0, lam=1.0)
    np.testing.assert_array_equal(returns[0], np.arange(300, 0, -1))


def test_gae_is_the_same_outside_jit():
    inputs = [jnp.asarray(x) for x in ragged(3)]
    for a, b in zip(rl.gae(*inputs, gamma=0.9, lam=0.8), gae(*inputs, gamma=0.9, lam=0.8), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
