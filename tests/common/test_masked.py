import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.common.masked import masked_mean, masked_sum, masked_var, masked_whiten

LENGTHS = np.array([5, 0, 3, 1])
COUNTED = np.arange(5) < LENGTHS[:, None]
X = np.random.default_rng(0).normal(2.0, 3.0, COUNTED.shape).astype(np.float32)
MASK, POISONED = jnp.asarray(COUNTED), jnp.where(COUNTED, X, jnp.nan)


def test_sum_mean_and_variance_are_those_of_the_counted_values():
    counted = X[COUNTED]
    np.testing.assert_allclose(masked_sum(POISONED, MASK), counted.sum(), rtol=1e-5)
    np.testing.assert_allclose(masked_mean(POISONED, MASK), counted.mean(), rtol=1e-5)
    np.testing.assert_allclose(masked_var(POISONED, MASK), counted.var(), rtol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
def test_the_mean_along_an_axis_is_that_of_each_slice_and_0_where_nothing_is_counted(axis):
    expected = np.ma.filled(np.ma.masked_array(X, ~COUNTED).mean(axis=axis), 0)
    np.testing.assert_allclose(masked_mean(POISONED, MASK, axis=axis), expected, rtol=1e-5)


def test_nothing_counted_gives_0_and_no_nan():
    empty = jnp.zeros_like(MASK)
    assert masked_sum(POISONED, empty) == masked_mean(POISONED, empty) == masked_var(POISONED, empty) == 0
    assert not masked_whiten(POISONED, empty, min_std=0.01).any()


def test_whitening_gives_mean_0_and_variance_1_over_the_counted_values():
    whitened = np.asarray(masked_whiten(POISONED, MASK, min_std=0.01))
    counted = X[COUNTED]
    np.testing.assert_allclose(whitened[COUNTED], (counted - counted.mean()) / counted.std(), rtol=1e-4, atol=1e-5)
    assert not whitened[~COUNTED].any()


def test_whitening_divides_a_spread_below_the_smallest_by_the_smallest():
    whitened = np.asarray(masked_whiten(POISONED, MASK, min_std=50.0))
    counted = X[COUNTED]
    np.testing.assert_allclose(whitened[COUNTED], (counted - counted.mean()) / 50, rtol=1e-4, atol=1e-6)
    assert not whitened[~COUNTED].any()


def test_equal_values_whiten_to_0_but_for_rounding():
    whitened = masked_whiten(jnp.full(MASK.shape, 0.1), MASK, min_std=0.01)
    assert np.abs(whitened).max() < 1e-5


def test_no_gradient_reaches_a_masked_place():
    cubes = lambda x: masked_sum(masked_whiten(x, MASK, min_std=0.01) ** 3, MASK)  # noqa: E731
    gradient = np.asarray(jax.grad(cubes)(jnp.asarray(X)))
    assert np.isfinite(gradient).all() and gradient[COUNTED].any()
    assert not gradient[~COUNTED].any()
