"""Sums and moments over the places that a mask counts; what stands elsewhere, NaN included, is never read."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Axis = int | Sequence[int] | None


def masked_sum(x: Float[Array, "*shape"], mask: Bool[Array, "*shape"], axis: Axis = None) -> Float[Array, "..."]:
    """Σ x over the counted places along `axis` (all axes by default)."""
    return jnp.sum(jnp.where(mask, x, 0), axis=axis)


def masked_mean(x: Float[Array, "*shape"], mask: Bool[Array, "*shape"], axis: Axis = None) -> Float[Array, "..."]:
    """The mean of x over the counted places along `axis`; 0 where none is counted."""
    return masked_sum(x, mask, axis) / jnp.maximum(jnp.sum(mask, axis=axis), 1).astype(x.dtype)


def masked_var(x: Float[Array, "*shape"], mask: Bool[Array, "*shape"]) -> Float[Array, ""]:
    """The population variance of x over all counted places; 0 where none is counted."""
    return masked_mean(jnp.square(_centered(x, mask)), mask)


def masked_whiten(x: Float[Array, "*shape"], mask: Bool[Array, "*shape"], *, min_std: float) -> Float[Array, "*shape"]:
    """x less its mean, over its standard deviation or over `min_std` where that is larger; 0 where not counted.

    Mean and deviation are over the counted places.
    """
    centered = _centered(x, mask)
    std = jnp.sqrt(masked_mean(jnp.square(centered), mask))
    return jnp.where(mask, centered / jnp.maximum(std, min_std), 0)


def _centered(x: Float[Array, "*shape"], mask: Bool[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.where(mask, x, 0) - masked_mean(x, mask)
