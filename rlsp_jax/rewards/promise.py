"""Pay by what an outcome model expects of a response: p(the final answer will be correct), after each token."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from rlsp_jax.common.errors import UserError
from rlsp_jax.rewards.byte_text import expand, find
from rlsp_jax.rewards.streams import ResponseKernel, Score
from rlsp_jax.types import PyTree, Rollout, TokenBytes, Verdicts


@dataclasses.dataclass(frozen=True)
class Promise(ResponseKernel):
    """The promise of the whole response, at its last token: in [0, 1]."""

    needs: ClassVar[frozenset[str]] = frozenset({"promise"})

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        promise = promise_of(verdicts)
        last = jnp.maximum(rollout.mask.sum(axis=1) - 1, 0)
        return jnp.take_along_axis(promise, last[:, None], axis=1)[:, 0], jnp.any(rollout.mask, axis=1)


@dataclasses.dataclass(frozen=True)
class PromiseSteps:
    """At the end of each step, how much the promise has risen since the end of the step before: a dense reward.

    A step ends with the token that completes `marker`, and with the last token; the first one starts from the promise
    after the response's first token. The rewards of a response sum to its promise at the end less that at the start.
    They are differences of potentials, but not a shaping that changes no optimal policy (Ng et al. 1999): for that the
    last potential would have to be the same for all responses, and here one that the outcome model likes without reason
    is paid. How Havrilla et al. 2024 (2403.04642) place an outcome model's rewards is not known. Responses that outgrow
    `byte_text.expand` are not valid.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"promise"})

    marker: str = "\n"

    def __post_init__(self):
        if not self.marker:
            raise UserError("marker is empty; a step needs something to end with, such as a line break.")

    def init(self) -> PyTree:
        return ()

    def __call__(
        self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes, memory: PyTree
    ) -> tuple[Score, PyTree]:
        promise = promise_of(verdicts)
        ends, overflow = self._ends(rollout, token_bytes)
        columns = jnp.arange(promise.shape[1])
        here = jnp.where(ends, columns, 0)
        before = jnp.pad(jax.lax.cummax(here, axis=1)[:, :-1], ((0, 0), (1, 0)))  # the end of the step before
        rise = promise - jnp.take_along_axis(promise, before, axis=1)
        return Score(jnp.where(ends, rise, 0.0), ~overflow), memory

    def _ends(
        self, rollout: Rollout, token_bytes: TokenBytes
    ) -> tuple[Bool[Array, "batch time"], Bool[Array, " batch"]]:
        """The tokens with which steps end, and which texts were not read to their end."""
        batch, time = rollout.mask.shape
        text = expand(rollout.tokens, rollout.mask, token_bytes)
        marker = self.marker.encode()
        size = text.bytes.shape[1]
        begins = find(text, marker)
        last_byte = jnp.minimum(jnp.arange(size) + len(marker) - 1, size - 1)
        token = jnp.where(begins, text.owner[:, last_byte], time)  # beyond the last column: dropped
        ends = jnp.zeros((batch, time), bool).at[jnp.arange(batch)[:, None], token].set(True, mode="drop")
        last = jnp.arange(time) == rollout.mask.sum(axis=1, keepdims=True) - 1
        return (ends | last) & rollout.mask, text.overflow


def promise_of(verdicts: Verdicts) -> Float[Array, "batch time"]:
    """The column that an outcome model fills."""
    if verdicts.promise is None:
        raise UserError("The verdicts have no promise; a stage outcome_model.Config(…) must come before.")
    return verdicts.promise
