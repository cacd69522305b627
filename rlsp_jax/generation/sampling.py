"""From logits to the distribution really sampled from, and from it to a token."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from rlsp_jax.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How responses are drawn.

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1 and `min_p` 0 switch their truncation off. The tokens in `suppress`
    are never chosen; the others share what these would have had.
    """

    max_response: int = 128
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    stop_ids: tuple[int, ...] = ()
    suppress: tuple[int, ...] = ()

    def __post_init__(self):
        if self.max_response < 1:
            raise UserError(f"sampling.max_response is {self.max_response}; a response has at least 1 token.")
        if self.temperature < 0:
            raise UserError(f"sampling.temperature is {self.temperature}; it must be 0 (greedy) or more.")
        if self.top_k < 0:
            raise UserError(f"sampling.top_k is {self.top_k}; it must be 0 (off) or more.")
        if not 0 < self.top_p <= 1:
            raise UserError(f"sampling.top_p is {self.top_p}; it must lie in (0, 1].")
        if not 0 <= self.min_p < 1:
            raise UserError(f"sampling.min_p is {self.min_p}; it must lie in [0, 1).")
        if any(token < 0 for token in self.suppress):
            raise UserError(f"sampling.suppress is {self.suppress}; token ids are 0 or more.")


def with_stops(config: SamplingConfig, stop_ids: tuple[int, ...]) -> SamplingConfig:
    """The same, where these tokens end a response too."""
    return dataclasses.replace(config, stop_ids=tuple(dict.fromkeys((*config.stop_ids, *stop_ids))))


def warp(
    logits: Float[Array, "*rows vocab"],
    config: SamplingConfig,
    *,
    temperature: Float[Array, ""] | float | None = None,
    keep: Int[Array, "*rows"] | None = None,
) -> Float[Array, "*rows vocab"]:
    """The logits of the distribution sampled from: divided by the temperature, -inf where suppressed or truncated.

    Truncations apply in the order top-k, top-p, min-p, each to the whole tempered distribution of the tokens that are
    not suppressed. A learner passes the sampled tokens as `keep`: they stay inside the support even when its own
    logits have moved a little since (otherwise their log-probability would be -inf). `UserError` where `suppress`
    names a token that is none, or leaves none.
    """
    if config.suppress:
        logits = jnp.where(_allowed(config.suppress, logits.shape[-1]), logits, -jnp.inf)
    temperature = config.temperature if temperature is None else temperature
    logits = logits / jnp.where(jnp.asarray(temperature) == 0, 1.0, temperature)
    inside = jnp.ones(logits.shape, bool)
    if config.top_k:
        inside &= logits >= jax.lax.top_k(logits, min(config.top_k, logits.shape[-1]))[0][..., -1:]
    if config.top_p < 1:
        inside &= _nucleus(logits, config.top_p)
    if config.min_p:
        inside &= logits >= jnp.max(logits, axis=-1, keepdims=True) + jnp.log(config.min_p)
    if keep is not None:
        inside |= jnp.arange(logits.shape[-1]) == keep[..., None]
    return jnp.where(inside, logits, -jnp.inf)


def _allowed(suppress: tuple[int, ...], vocab_size: int) -> np.ndarray:
    """Which tokens of the vocabulary may be chosen."""
    allowed = ~np.isin(np.arange(vocab_size), suppress)
    if max(suppress) >= vocab_size or not allowed.any():
        raise UserError(
            f"sampling.suppress is {suppress}, of a vocabulary of {vocab_size} tokens, 0 to {vocab_size - 1}; name "
            "tokens of it, and not all of them."
        )
    return allowed


def _nucleus(logits: Float[Array, "*rows vocab"], top_p: float) -> Bool[Array, "*rows vocab"]:
    """The smallest set of most likely tokens whose probability reaches `top_p` (Holtzman et al., 1904.09751)."""
    ordered = -jnp.sort(-logits, axis=-1)
    before = jnp.cumsum(jax.nn.softmax(ordered, axis=-1), axis=-1) - jax.nn.softmax(ordered, axis=-1)
    smallest = jnp.min(jnp.where(before < top_p, ordered, jnp.inf), axis=-1, keepdims=True)
    return logits >= smallest


def choose(logits: Float[Array, "batch vocab"], uniform: Float[Array, " batch"], greedy: Bool[Array, ""]):
    """A token per row by the inverse of the distribution function: one uniform number a row, not one a logit.

    XLA's parallel sums round each prefix in its own way, so that the cumulative weights may rise or fall by a bit
    between two tokens of which the second has no weight: only tokens inside the support are looked at.
    """
    tokens = jnp.arange(logits.shape[-1], dtype=jnp.int32)
    weights = jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True))
    cumulative = jnp.cumsum(weights, axis=-1)
    inside = weights > 0
    reached = inside & (cumulative > uniform[:, None] * cumulative[:, -1:])
    last = jnp.max(jnp.where(inside, tokens, 0), axis=-1)  # where rounding leaves no token reached
    drawn = jnp.min(jnp.where(reached, tokens, last[:, None]), axis=-1)
    return jnp.where(greedy, jnp.argmax(logits, axis=-1).astype(jnp.int32), drawn)
