"""How the losses of tokens become the loss of a batch: the weight of each token, from the mask of the whole minibatch.

The loss is Σ weight · loss. Weights belong to rows, so that micro-batches and meshes change nothing; rows without a
counted token count in no number of rows.
"""

import dataclasses
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from rlsp_jax.common.errors import UserError


@runtime_checkable
class Aggregation(Protocol):
    """`aggregation(mask)` are the tokens' weights; 0 where not counted."""

    def __call__(self, mask: Bool[Array, "batch time"]) -> Float[Array, "batch time"]: ...


@dataclasses.dataclass(frozen=True)
class SequenceSum:
    """The sum over a response's tokens, then the mean over responses: E[A log π(y)] (RLOO; T1)."""

    def __call__(self, mask) -> Float[Array, "batch time"]:
        return mask / _num_rows(mask)


@dataclasses.dataclass(frozen=True)
class SequenceMean:
    """The mean over a response's tokens, then over responses (GRPO): a token of a long response weighs less."""

    def __call__(self, mask) -> Float[Array, "batch time"]:
        return mask / jnp.maximum(mask.sum(axis=1, keepdims=True), 1) / _num_rows(mask)


@dataclasses.dataclass(frozen=True)
class TokenMean:
    """The mean over all tokens of the minibatch: every token weighs the same (DAPO)."""

    def __call__(self, mask) -> Float[Array, "batch time"]:
        return mask / jnp.maximum(mask.sum(), 1).astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class ConstantLength:
    """The sum over a response's tokens over a constant `length`, then the mean over responses (Dr. GRPO)."""

    length: int

    def __post_init__(self):
        if self.length < 1:
            raise UserError(f"aggregation.length is {self.length}; it must be at least 1 token.")

    def __call__(self, mask) -> Float[Array, "batch time"]:
        return mask / (self.length * _num_rows(mask))


def _num_rows(mask: Bool[Array, "batch time"]) -> Float[Array, ""]:
    return jnp.maximum(jnp.any(mask, axis=1).sum(), 1).astype(jnp.float32)
