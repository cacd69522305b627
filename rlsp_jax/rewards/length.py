"""Pay for length: the simplest exploration rewards. Their known weakness is that any token earns, repeated or not."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from rlsp_jax.common.errors import UserError
from rlsp_jax.rewards.byte_text import expand, find, places, take
from rlsp_jax.rewards.hashing import count_distinct, mix
from rlsp_jax.rewards.streams import ResponseKernel
from rlsp_jax.types import Rollout, TokenBytes, Verdicts

_BASE = 0x01000193  # odd, so that it has an inverse modulo 2³²
_MAX_STEPS = 256


@dataclasses.dataclass(frozen=True)
class HyperbolicLength(ResponseKernel):
    """−scale / |o| over the whole response of |o| tokens (RLSP §2.2, with C = 1000 for responses of about 1000)."""

    scale: float = 1000.0

    def __post_init__(self):
        _check_positive("scale", self.scale)

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        return _hyperbolic(self.scale, rollout.mask.sum(axis=1)), _all_valid(rollout)


@dataclasses.dataclass(frozen=True)
class HyperbolicReasoning(ResponseKernel):
    """−scale / L over the L tokens before the first final answer, as RLSP's released code has it.

    Padding after the answer earns nothing. Without an answer the whole response counts; L is at least 1.
    """

    scale: float = 1000.0

    def __post_init__(self):
        _check_positive("scale", self.scale)

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        return _hyperbolic(self.scale, verdicts.answer_start), _all_valid(rollout)


@dataclasses.dataclass(frozen=True)
class LinearLength(ResponseKernel):
    """The response's tokens up to `cap`, over `cap`: in [0, 1]."""

    cap: int

    def __post_init__(self):
        _check_positive("cap", self.cap)

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        return _capped(rollout.mask.sum(axis=1), self.cap), _all_valid(rollout)


@dataclasses.dataclass(frozen=True)
class NumSteps(ResponseKernel):
    """Distinct steps before the first final answer, up to `cap`, over `cap`: in [0, 1].

    Steps are the non-empty stretches between markers, of which the first 256 are read. A repeated step counts once.
    Responses that outgrow `byte_text.expand` are not valid.
    """

    cap: int
    marker: str = "\n"

    def __post_init__(self):
        _check_positive("cap", self.cap)
        if not self.marker:
            raise UserError("marker is empty; steps need something between them.")

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        reasoning = rollout.mask & (jnp.arange(rollout.mask.shape[1]) < verdicts.answer_start[:, None])
        text = expand(rollout.tokens, reasoning, token_bytes)
        inside = text.mask & ~_covered(find(text, self.marker.encode()), len(self.marker.encode()))
        return _capped(_count_distinct_runs(text.bytes, inside), self.cap), ~text.overflow


def _covered(starts: Bool[Array, "batch n"], size: int) -> Bool[Array, "batch n"]:
    """The places within `size` from a start on."""
    n = starts.shape[1]
    padded = jnp.pad(starts, ((0, 0), (size - 1, 0)))
    covered = starts
    for offset in range(size - 1):
        covered = covered | padded[:, offset : offset + n]
    return covered


def _count_distinct_runs(data: UInt8[Array, "batch n"], inside: Bool[Array, "batch n"]) -> Int[Array, " batch"]:
    """How many different byte strings the runs of `inside` places spell."""
    n = inside.shape[1]
    # A run from s to e has the key Σ h(byte) · base^(i − s): one cumulative sum, and powers of the base's inverse.
    coded = mix(jnp.ones(data.shape, jnp.uint32), data) * jnp.asarray(_powers(_BASE, n))
    total = jnp.cumsum(jnp.where(inside, coded, jnp.uint32(0)), axis=1)
    before = jnp.pad(total, ((0, 0), (1, 0)))
    starts = inside & ~jnp.pad(inside, ((0, 0), (1, 0)))[:, :n]
    at, exists = places(starts, _MAX_STEPS + 1)
    sums = take(before, at)  # what lies outside adds nothing: the next run's start serves as this one's end
    keys = (sums[:, 1:] - sums[:, :-1]) * jnp.asarray(_powers(pow(_BASE, -1, 2**32), n + 1))[at[:, :-1]]
    return count_distinct(keys, exists[:, :-1])


def _powers(base: int, count: int) -> np.ndarray:
    """base⁰ … base^(count − 1) modulo 2³²."""
    return np.cumprod(np.array([1] + [base] * (count - 1), np.uint32), dtype=np.uint32)


def _hyperbolic(scale: float, length: Int[Array, " batch"]) -> Float[Array, " batch"]:
    return -scale / jnp.maximum(length, 1).astype(jnp.float32)


def _capped(count: Int[Array, " batch"], cap: int) -> Float[Array, " batch"]:
    return jnp.minimum(count, cap).astype(jnp.float32) / cap


def _all_valid(rollout: Rollout) -> Bool[Array, " batch"]:
    return jnp.ones(len(rollout.tokens), bool)


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise UserError(f"{name} is {value}; it must be positive.")
