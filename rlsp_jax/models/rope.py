"""Rotary positions: the rate at which each pair of a head's dimensions turns, and the turning.

Rotary position embedding (Su et al., 2104.09864) in the halves convention: dimensions i and i + half are a pair.
Checkpoints in the other convention, where neighbours are a pair, are reordered when they are read.
"""

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rlsp_jax.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class LinearScaling:
    """Every position counts as a `factor`-th of itself (Chen et al., 2306.15595)."""

    factor: float

    def __post_init__(self):
        _check_positive(self)

    def __call__(self, frequencies: Float[Array, " pairs"]) -> Float[Array, " pairs"]:
        return frequencies / self.factor


@dataclasses.dataclass(frozen=True)
class Llama3Scaling:
    """Llama-3.1's: pairs that turn slowly are slowed down by `factor`, fast ones are left, those between are blended.

    What is slow and what is fast is said in turns within the original context: fewer than `low_frequency` turns are
    slow, more than `high_frequency` fast.
    """

    factor: float = 8.0
    low_frequency: float = 1.0
    high_frequency: float = 4.0
    original_length: int = 8192  # tokens of context that the model was first trained on

    def __post_init__(self):
        _check_positive(self)
        if self.low_frequency >= self.high_frequency:
            raise UserError(
                f"low_frequency = {self.low_frequency} must be smaller than high_frequency = {self.high_frequency}."
            )

    def __call__(self, frequencies: Float[Array, " pairs"]) -> Float[Array, " pairs"]:
        turns = self.original_length * frequencies / (2 * math.pi)
        fast = jnp.clip((turns - self.low_frequency) / (self.high_frequency - self.low_frequency), 0.0, 1.0)
        return frequencies * (fast + (1 - fast) / self.factor)


Scaling = LinearScaling | Llama3Scaling


def frequencies(theta: float, num_dims: int, scaling: Scaling | None = None) -> Float[Array, " pairs"]:
    """Radians per position of each pair of `num_dims` dimensions; float32."""
    half = num_dims // 2
    plain = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    return plain if scaling is None else scaling(plain)


def rotate(
    x: Float[Array, "batch time heads head_dim"],
    positions: Int[Array, "batch time"],
    frequencies: Float[Array, " pairs"],
) -> Float[Array, "batch time heads head_dim"]:
    """Turn the first 2 · pairs dimensions of each head by its position; angles in float32."""
    half = len(frequencies)
    angles = positions[..., None, None].astype(jnp.float32) * frequencies
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    left, right = x[..., :half].astype(jnp.float32), x[..., half : 2 * half].astype(jnp.float32)
    turned = jnp.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1).astype(x.dtype)
    return turned if 2 * half == x.shape[-1] else jnp.concatenate([turned, x[..., 2 * half :]], axis=-1)


def _check_positive(scaling: Scaling) -> None:
    for name, value in vars(scaling).items():
        if value <= 0:
            raise UserError(f"{name} of a rope_scaling is {value}; it must be positive.")
