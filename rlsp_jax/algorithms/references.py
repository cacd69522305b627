"""How the reference policy follows the policy: not at all, by copies, or as a moving average."""

import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.trees import choose
from rlsp_jax.types import Params


@runtime_checkable
class Reference(Protocol):
    """`update(reference, policy, step)` is the reference to use after `step` policy updates.

    Both are what is learned of a policy: where it has adapters, those, and the base is not copied.
    """

    def update(self, reference: Params, policy: Params, step: jax.Array) -> Params: ...


@dataclasses.dataclass(frozen=True)
class Fixed:
    """The policy that the stage began with (RLSP §2.3)."""

    def update(self, reference: Params, policy: Params, step: jax.Array) -> Params:
        return reference


@dataclasses.dataclass(frozen=True)
class Refreshed:
    """A copy of the policy, taken anew every `every` steps."""

    every: int

    def __post_init__(self):
        if self.every < 1:
            raise UserError(f"reference.every is {self.every}; it must be at least 1.")

    def update(self, reference: Params, policy: Params, step: jax.Array) -> Params:
        return choose(step % self.every == 0, policy, reference)


@dataclasses.dataclass(frozen=True)
class MovingAverage:
    """θ_ref ← decay · θ_ref + (1 − decay) · θ, every `every` steps (T1 §2.2.3)."""

    decay: float = 0.99
    every: int = 1

    def __post_init__(self):
        if not 0 <= self.decay < 1:
            raise UserError(f"reference.decay is {self.decay}; it must lie in [0, 1).")
        if self.every < 1:
            raise UserError(f"reference.every is {self.every}; it must be at least 1.")

    def update(self, reference: Params, policy: Params, step: jax.Array) -> Params:
        mixed = jax.tree.map(lambda r, p: self.decay * r + (1 - self.decay) * p, reference, policy)
        return choose(jnp.asarray(step) % self.every == 0, mixed, reference)


def check_reference(reference: Reference, *, used: bool) -> None:
    """Raise `UserError` when a reference is asked to follow the policy, but no KL compares with it."""
    if not used and reference != Fixed():
        raise UserError(
            f"reference is {reference}, but kl is None: nothing is compared with it; set kl, or leave it out."
        )
