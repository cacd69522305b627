"""From the rewards of a group of siblings to one advantage per response, without a critic.

A baseline compares a response with its siblings; a mixing says whether reward streams are compared apart or as one.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rlsp_jax.common.errors import UserError
from rlsp_jax.rewards import Stream
from rlsp_jax.rl import group_centered, group_normalized, leave_one_out


@runtime_checkable
class Baseline(Protocol):
    """`baseline(scores, valid, group)` is 0 for rows that are not valid, and has no gradient where all are equal."""

    def __call__(
        self, scores: Float[Array, " batch"], valid: Bool[Array, " batch"], group: int
    ) -> Float[Array, " batch"]: ...


@dataclasses.dataclass(frozen=True)
class LeaveOneOut:
    """r_i less the mean of its siblings (RLOO; T1 Eq. 2): unbiased, in the units of the reward."""

    def __call__(self, scores, valid, group) -> Float[Array, " batch"]:
        return leave_one_out(scores, valid, group)


@dataclasses.dataclass(frozen=True)
class GroupMean:
    """r_i less the mean of the whole group (Dr. GRPO)."""

    def __call__(self, scores, valid, group) -> Float[Array, " batch"]:
        return group_centered(scores, valid, group)


@dataclasses.dataclass(frozen=True)
class GroupNormalized:
    """(r_i − mean) / (std + eps) over the group (GRPO): every group weighs the same, however little sets it apart."""

    eps: float = 1e-4

    def __post_init__(self):
        if not self.eps > 0:
            raise UserError(f"eps is {self.eps}; it must be positive: in a group of equal rewards it is the divisor.")

    def __call__(self, scores, valid, group) -> Float[Array, " batch"]:
        return group_normalized(scores, valid, group, eps=self.eps)


@runtime_checkable
class Mixing(Protocol):
    """`rewards` and `valid` of each stream → one advantage per response. `step` is that of the weights."""

    def __call__(
        self,
        baseline: Baseline,
        streams: Sequence[Stream],
        rewards: Float[Array, "stream batch"],
        valid: Bool[Array, "stream batch"],
        step: Int[Array, ""],
        group: int,
    ) -> Float[Array, " batch"]: ...


@dataclasses.dataclass(frozen=True)
class Apart:
    """A = Σ_k w_k · baseline(r_k): each stream is compared on its own scale, by the rows it knows of."""

    def __call__(self, baseline, streams, rewards, valid, step, group) -> Float[Array, " batch"]:
        parts = [
            stream.weight(step) * baseline(own, known, group)
            for stream, own, known in zip(streams, rewards, valid, strict=True)
        ]
        return jnp.sum(jnp.stack(parts), axis=0)


@dataclasses.dataclass(frozen=True)
class Mixed:
    """A = baseline(Σ_k w_k · r_k): one mixed reward, of the rows that all streams know of."""

    def __call__(self, baseline, streams, rewards, valid, step, group) -> Float[Array, " batch"]:
        weights = jnp.stack([jnp.asarray(stream.weight(step)) for stream in streams])
        known = jnp.all(valid, axis=0)
        mixed = jnp.sum(jnp.where(known, weights[:, None] * rewards, 0.0), axis=0)
        return baseline(mixed, known, group)
