import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.common.masked import masked_sum
from rlsp_jax.rl import approx_kl, clip_fraction, clipped_surrogate, clipped_value_loss, policy_gradient

SHAPE = (4, 6)
seeds = st.integers(0, 1000)


def draw(seed, count):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(count, *SHAPE)), jnp.float32)


@pytest.mark.parametrize("clip", [0.0, 0.2, 0.5])
@settings(max_examples=20)
@given(seed=seeds)
def test_the_clipped_surrogate_equals_a_slow_loop(seed, clip):
    logprobs, old, advantages = np.asarray(draw(seed, 3)) * 0.5
    expected = np.zeros(SHAPE)
    for place in np.ndindex(SHAPE):
        ratio, advantage = np.exp(logprobs[place] - old[place]), advantages[place]
        expected[place] = -min(ratio * advantage, min(max(ratio, 1 - clip), 1 + clip) * advantage)
    losses = clipped_surrogate(*map(jnp.asarray, (logprobs, old, advantages)), clip=clip)
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("clip", [0.1, 0.5, None])
@settings(max_examples=20)
@given(seed=seeds)
def test_the_clipped_value_loss_equals_a_slow_loop(seed, clip):
    values, old, returns = np.asarray(draw(seed, 3))
    expected = np.zeros(SHAPE)
    for place in np.ndindex(SHAPE):
        v, v_old, target = float(values[place]), float(old[place]), float(returns[place])
        near = v if clip is None else v_old + min(max(v - v_old, -clip), clip)
        expected[place] = max((v - target) ** 2, (near - target) ** 2) / 2
    losses = clipped_value_loss(*map(jnp.asarray, (values, old, returns)), clip=clip)
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("ratio", "advantage", "moves"),
    [(1.5, 1.0, False), (1.5, -1.0, True), (0.5, 1.0, True), (0.5, -1.0, False), (1.1, 1.0, True), (0.9, -1.0, True)],
)
def test_the_surrogate_stops_pushing_only_where_the_ratio_left_the_interval_in_the_paid_direction(
    ratio, advantage, moves
):
    def total(logprobs):
        return clipped_surrogate(logprobs, jnp.zeros((1, 1)), jnp.full((1, 1), advantage), clip=0.2).sum()

    gradient = jax.grad(total)(jnp.log(jnp.full((1, 1), ratio)))
    np.testing.assert_allclose(gradient, -ratio * advantage if moves else 0.0, rtol=1e-5)


def test_on_policy_the_surrogate_has_the_policy_gradient():
    logprobs, advantages = draw(0, 2)
    gradient = jax.grad(lambda x: clipped_surrogate(x, logprobs, advantages, clip=0.2).sum())(logprobs)
    np.testing.assert_allclose(gradient, -advantages, rtol=1e-6)


def test_the_policy_gradient_is_that_of_the_expected_reward():
    """Over all tokens of a small vocabulary, each as often as the policy draws it: ∇ Σ π r in closed form."""
    logits, rewards = draw(0, 2)[:, 0]
    probabilities = jax.nn.softmax(logits)

    def loss(logits):
        losses = policy_gradient(jax.nn.log_softmax(logits), rewards)
        return jnp.sum(probabilities * losses)

    expected = probabilities * (rewards - jnp.sum(probabilities * rewards))
    np.testing.assert_allclose(-jax.grad(loss)(logits), expected, rtol=1e-4, atol=1e-6)


def test_a_clipped_value_has_no_gradient_while_it_moves_towards_its_return():
    def total(values):
        return clipped_value_loss(values, jnp.zeros((1, 1)), jnp.ones((1, 1)), clip=0.2).sum()

    assert jax.grad(total)(jnp.full((1, 1), 0.5)) == 0
    assert jax.grad(total)(jnp.full((1, 1), -0.5)) == -1.5  # it moved away: no clipping protects that


@pytest.mark.parametrize("micro_batches", [1, 2, 4])
@settings(max_examples=5)
@given(seed=seeds)
def test_masked_sums_over_global_counts_do_not_depend_on_micro_batches(seed, micro_batches):
    logprobs, old, advantages = draw(seed, 3)
    mask = jnp.asarray(np.arange(SHAPE[1]) < np.random.default_rng(seed).permutation([0, 1, 4, 6])[:, None])

    def loss(x, old, advantages, mask):
        return masked_sum(clipped_surrogate(x, old, advantages, clip=0.2), mask) / 11

    parts = [jnp.split(x, micro_batches) for x in (logprobs, old, advantages, mask)]
    gradient = jax.jit(jax.grad(loss))
    gradients = [gradient(*part) for part in zip(*parts, strict=True)]
    expected = gradient(logprobs, old, advantages, mask)
    np.testing.assert_allclose(np.concatenate(gradients), expected, rtol=1e-6)
    assert not np.asarray(expected)[~np.asarray(mask)].any()


@settings(max_examples=20)
@given(seeds)
def test_the_clip_fraction_counts_ratios_outside_the_interval(seed):
    logprobs, old = draw(seed, 2) * 0.3
    ratio = np.exp(np.asarray(logprobs, np.float64) - np.asarray(old))
    expected = (ratio < 0.8) | (ratio > 1.2)
    np.testing.assert_array_equal(clip_fraction(logprobs, old, clip=0.2), expected)


def test_the_approximate_kl_is_unbiased_for_the_kl_from_the_old_policy_to_the_new():
    old, new = jax.nn.log_softmax(draw(0, 2), axis=-1)
    probabilities = jnp.exp(old)
    estimate = (probabilities * approx_kl(new, old)).sum(axis=-1)
    np.testing.assert_allclose(estimate, (probabilities * (old - new)).sum(axis=-1), rtol=1e-4)


def test_losses_take_a_head_axis_like_any_other():
    values, old, returns = draw(0, 3)
    heads = clipped_value_loss(*(jnp.stack([x, -x], axis=1) for x in (values, old, returns)), clip=0.2)
    np.testing.assert_allclose(heads[:, 0], clipped_value_loss(values, old, returns, clip=0.2), rtol=1e-6)
