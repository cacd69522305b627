"""Everything is an exact expectation over a vocabulary of five tokens: no sampling error, tight tolerances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.rl import k1, k2, k3

LOGITS = jnp.array([0.3, -1.2, 0.8, 0.1, -0.5])
REFERENCE = jax.nn.log_softmax(jnp.array([-0.4, 0.9, 0.2, -1.0, 0.6]))
ESTIMATORS = [k1, k2, k3]


def logprobs_of(logits):
    return jax.nn.log_softmax(logits)


def kl(logprobs, other):
    return jnp.sum(jnp.exp(logprobs) * (logprobs - other))


def expected_value(estimator, logits):
    """E_{x~π}[k(x)], with the probabilities that weigh it a part of the function."""
    logprobs = logprobs_of(logits)
    return jnp.sum(jnp.exp(logprobs) * estimator(logprobs, REFERENCE))


def loss_gradient(estimator):
    """E_{x~π}[∇k(x)]: what minimising the mean of k over samples follows; the samples are fixed."""
    weights = jnp.exp(logprobs_of(LOGITS))
    return jax.grad(lambda logits: jnp.sum(weights * estimator(logprobs_of(logits), REFERENCE)))(LOGITS)


def reward_gradient(estimator):
    """E_{x~π}[k(x) ∇log π(x)]: what the score function follows when k is a (negative) reward."""
    fixed = logprobs_of(LOGITS)
    weights = jnp.exp(fixed) * estimator(fixed, REFERENCE)
    return jax.grad(lambda logits: jnp.sum(weights * logprobs_of(logits)))(LOGITS)


def gradient(function):
    return jax.grad(function)(LOGITS)


FORWARD = gradient(lambda logits: kl(logprobs_of(logits), REFERENCE))
REVERSE = gradient(lambda logits: kl(REFERENCE, logprobs_of(logits)))


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


def test_the_two_directions_of_kl_have_gradients_that_can_be_told_apart():
    assert np.abs(FORWARD - REVERSE).max() > 0.05


@pytest.mark.parametrize("estimator", [k1, k3])
def test_k1_and_k3_are_unbiased(estimator):
    assert_close(expected_value(estimator, LOGITS), kl(logprobs_of(LOGITS), REFERENCE))


def test_k2_is_half_the_mean_squared_log_ratio_which_is_not_the_kl():
    logprobs = logprobs_of(LOGITS)
    assert_close(expected_value(k2, LOGITS), jnp.sum(jnp.exp(logprobs) * (logprobs - REFERENCE) ** 2) / 2)
    assert abs(expected_value(k2, LOGITS) - kl(logprobs, REFERENCE)) > 1e-3


@pytest.mark.parametrize("estimator", [k2, k3])
def test_k2_and_k3_are_never_negative_and_k1_can_be(estimator):
    values = estimator(logprobs_of(LOGITS), REFERENCE)
    assert (values > 0).all()
    assert (k1(logprobs_of(LOGITS), REFERENCE) < 0).any()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_is_0_where_policy_and_reference_agree(estimator):
    assert not estimator(REFERENCE, REFERENCE).any()


def test_k1_as_a_loss_has_no_gradient_in_expectation():
    assert_close(loss_gradient(k1), np.zeros(5))


def test_k2_as_a_loss_has_exactly_the_gradient_of_the_kl():
    assert_close(loss_gradient(k2), FORWARD)


def test_k3_as_a_loss_has_the_gradient_of_the_kl_in_the_other_direction():
    assert_close(loss_gradient(k3), REVERSE)


def test_k1_as_a_reward_has_exactly_the_gradient_of_the_kl():
    assert_close(reward_gradient(k1), FORWARD)


def test_k2_as_a_reward_lacks_the_gradient_of_the_kl_from_the_gradient_of_its_own_mean():
    assert_close(reward_gradient(k2), gradient(lambda logits: expected_value(k2, logits)) - FORWARD)
    assert np.abs(reward_gradient(k2) - FORWARD).max() > 0.05


def test_k3_as_a_reward_lacks_the_gradient_of_the_other_direction():
    assert_close(reward_gradient(k3), FORWARD - REVERSE)


def test_k3_keeps_its_precision_where_the_two_are_close():
    logprobs = jnp.array([-1.0, -2.0])
    assert_close(k3(logprobs, logprobs + 2.0**-10), [2.0**-21] * 2)
