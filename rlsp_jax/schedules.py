"""Scalars of the step: a frozen value with a pure `__call__(step)` that works inside and outside jit.

Used for loss and stream weights (α), temperatures, entropy weights and learning rates.
"""

import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlsp_jax.common.errors import UserError


@runtime_checkable
class Schedule(Protocol):
    """A scalar of the step."""

    def __call__(self, step: ArrayLike) -> jax.Array: ...


@dataclasses.dataclass(frozen=True)
class Constant:
    """The same value at every step."""

    value: float

    def __call__(self, step: ArrayLike) -> jax.Array:
        return jnp.full_like(jnp.asarray(step, jnp.float32), self.value)


@dataclasses.dataclass(frozen=True)
class Linear:
    """From `start` to `end` in a straight line over `num_steps`, then flat."""

    start: float
    end: float
    num_steps: int

    def __post_init__(self):
        _check_positive(self)

    def __call__(self, step: ArrayLike) -> jax.Array:
        progress = jnp.clip(jnp.asarray(step, jnp.float32) / self.num_steps, 0.0, 1.0)
        return self.start + (self.end - self.start) * progress


@dataclasses.dataclass(frozen=True)
class Cosine:
    """A linear warm-up to `peak`, then half a cosine down to `peak * final_fraction` at `num_steps`."""

    peak: float
    num_steps: int
    warmup_steps: int = 0
    final_fraction: float = 0.1

    def __post_init__(self):
        _check_positive(self)
        if not 0 <= self.warmup_steps <= self.num_steps:
            raise UserError(
                f"warmup_steps is {self.warmup_steps}; it must lie between 0 and num_steps = {self.num_steps}."
            )

    def __call__(self, step: ArrayLike) -> jax.Array:
        step = jnp.asarray(step, jnp.float32)
        warm = (step + 1) / max(self.warmup_steps, 1)
        progress = jnp.clip((step - self.warmup_steps) / max(self.num_steps - self.warmup_steps, 1), 0.0, 1.0)
        cosine = self.final_fraction + (1 - self.final_fraction) * 0.5 * (1 + jnp.cos(jnp.pi * progress))
        return self.peak * jnp.where(step < self.warmup_steps, warm, cosine)


@dataclasses.dataclass(frozen=True)
class Complement:
    """1 − α, where α is the schedule given: two weights that always add up to 1."""

    schedule: Schedule

    def __call__(self, step: ArrayLike) -> jax.Array:
        return 1.0 - self.schedule(step)


def _check_positive(schedule) -> None:
    if schedule.num_steps < 1:
        raise UserError(f"num_steps is {schedule.num_steps}; a schedule needs at least 1 step.")
