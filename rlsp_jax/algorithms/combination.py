"""From reward streams to one advantage per token: kept apart to the end, or mixed at the start.

decoupled:  A = Σ_k w_k · norm_k(GAE(r_k, V_k; γ_k, λ_k))     a critic per stream
coupled:    r = Σ_k w_k · r_k, one critic, one GAE             (RLSP Eq. 1)
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.masked import masked_var, masked_whiten
from rlsp_jax.rewards import LeaveOneOut, Normalization, Whiten
from rlsp_jax.rl import combine, gae, leave_one_out
from rlsp_jax.schedules import Constant, Schedule
from rlsp_jax.types import Scores


class Advantages(NamedTuple):
    """What the policy and the critics learn from."""

    advantages: Float[Array, "batch time"]
    returns: Float[Array, "batch head time"]
    mask: Bool[Array, "batch time"]  # rows that some stream knows nothing of are out
    value_mask: Bool[Array, "batch head time"]
    spreads: Float[Array, " head"]  # standard deviation of each critic's advantages, before normalization


@runtime_checkable
class Channel(Protocol):
    """What the combination needs to know of a reward stream, or of the KL to the reference."""

    @property
    def name(self) -> str: ...
    @property
    def weight(self) -> Schedule: ...
    @property
    def gamma(self) -> float: ...
    @property
    def lam(self) -> float: ...
    @property
    def normalization(self) -> Normalization | None: ...


@runtime_checkable
class Combination(Protocol):
    """How channels become advantages. `heads(channels)` names the critics that it needs, in order."""

    def heads(self, channels: Sequence[Channel]) -> tuple[str, ...]: ...

    def check(self, channels: Sequence[Channel], group: int) -> None:
        """Raise `UserError` when these channels, `group` samples per prompt, would teach nothing or be misread."""
        ...

    def __call__(
        self,
        channels: Sequence[Channel],
        scores: Scores,
        values: Float[Array, "batch head time"],
        mask: Bool[Array, "batch time"],
        step: jax.Array,
        group: int,
    ) -> Advantages: ...


@dataclasses.dataclass(frozen=True)
class Decoupled:
    """Every stream has its own critic, γ, λ and normalization; weights meet only the finished advantages."""

    def heads(self, channels: Sequence[Channel]) -> tuple[str, ...]:
        return tuple(channel.name for channel in channels)

    def check(self, channels: Sequence[Channel], group: int) -> None:
        for channel in channels:
            check_siblings(channel.normalization, group, f"stream {channel.name!r}")

    def __call__(self, channels, scores, values, mask, step, group) -> Advantages:
        known = scores.valid[:, :, None] & mask
        total = jnp.zeros(mask.shape)
        returns, spreads = [], []
        for k, channel in enumerate(channels):
            rewards = scores.rewards[k]
            advantages, target = gae(rewards, values[:, k], mask, gamma=channel.gamma, lam=channel.lam)
            total += channel.weight(step) * normalize(channel.normalization, advantages, rewards, known[k], group)
            returns.append(target)
            spreads.append(jnp.sqrt(masked_var(advantages, known[k])))
        return Advantages(
            advantages=total,
            returns=jnp.stack(returns, axis=1),
            mask=jnp.all(known, axis=0),
            value_mask=jnp.moveaxis(known, 0, 1),
            spreads=jnp.stack(spreads),
        )


@dataclasses.dataclass(frozen=True)
class Coupled:
    """One mixed reward and one critic named "total", as in the papers; γ, λ and normalization are the mixture's.

    `clip` bounds each token's mixed reward, the KL to the reference included, to [-clip, clip] before anything else.
    """

    gamma: float = 1.0
    lam: float = 1.0
    normalization: Normalization | None = None
    clip: float | None = None

    def __post_init__(self):
        for name, value in (("gamma", self.gamma), ("lam", self.lam)):
            if not 0 <= value <= 1:
                raise UserError(f"{name} of Coupled is {value}; it must lie in [0, 1].")
        if self.clip is not None and not self.clip > 0:
            raise UserError(f"clip of Coupled is {self.clip}; it must be positive, or None for no clip.")

    def heads(self, channels: Sequence[Channel]) -> tuple[str, ...]:
        return ("total",)

    def check(self, channels: Sequence[Channel], group: int) -> None:
        for channel in channels:
            if (channel.gamma, channel.lam, channel.normalization) != (1.0, 1.0, None):
                raise UserError(
                    f"Stream {channel.name!r} has a gamma, lam or normalization of its own, but Coupled streams share "
                    "one: set Coupled(gamma=…, lam=…, normalization=…) and leave the stream's at their defaults."
                )
        check_siblings(self.normalization, group, "Coupled")

    def __call__(self, channels, scores, values, mask, step, group) -> Advantages:
        reward = combine(scores.rewards, jnp.stack([channel.weight(step) for channel in channels]))
        if self.clip is not None:
            reward = jnp.clip(reward, -self.clip, self.clip)
        known = jnp.all(scores.valid, axis=0)[:, None] & mask
        advantages, returns = gae(reward, values[:, 0], mask, gamma=self.gamma, lam=self.lam)
        spreads = jnp.sqrt(masked_var(advantages, known))[None]
        advantages = normalize(self.normalization, advantages, reward, known, group)
        return Advantages(advantages, returns[:, None], known, known[:, None], spreads)


def check_siblings(normalization: Normalization | None, group: int, whose: str) -> None:
    """Leave-one-out compares siblings: with one sample per prompt every advantage would be 0."""
    if isinstance(normalization, LeaveOneOut) and group < 2:
        raise UserError(f"LeaveOneOut of {whose} compares samples of a prompt; set samples_per_prompt to 2 or more.")


def normalize(
    normalization: Normalization | None,
    advantages: Float[Array, "batch time"],
    rewards: Float[Array, "batch time"],
    known: Bool[Array, "batch time"],
    group: int,
) -> Float[Array, "batch time"]:
    """Advantages on a common scale. Leave-one-out replaces the critic by the siblings' mean return."""
    match normalization:
        case Whiten(min_std):
            advantages = masked_whiten(advantages, known, min_std=min_std)
        case LeaveOneOut():
            scores = leave_one_out(rewards.sum(axis=1), jnp.any(known, axis=1), group)
            advantages = jnp.broadcast_to(scores[:, None], advantages.shape)
    return jnp.where(known, advantages, 0.0)


def logged_weights(channels: Sequence[Channel], step) -> dict[str, jax.Array]:
    """The weight of each channel at a step, for the log; constants are left out."""
    return {f"weight/{c.name}": c.weight(step) for c in channels if not isinstance(c.weight, Constant)}
