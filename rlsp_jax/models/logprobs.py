"""Log-probabilities and entropies of tokens without ever holding `[batch, time, vocab]`.

Time is cut into chunks; each chunk's logits are made, used and dropped, and made again in the
backward pass. Cross-entropy is the negative of the log-probability: there is no second kernel.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Warp = Callable[[Float[Array, "*rows vocab"], Int[Array, "*rows"]], Float[Array, "*rows vocab"]]


def token_logprobs(
    hidden: Float[Array, "batch time embed"],
    head: Float[Array, "embed vocab"],
    tokens: Int[Array, "batch time"],
    *,
    warp: Warp | None = None,
    chunk: int = 64,
) -> tuple[Float[Array, "batch time"], Float[Array, "batch time"]]:
    """`log p(tokens)` and the entropy (nats) of p at each place, in float32.

    `hidden[b, t]` is the state that predicts `tokens[b, t]`. `warp(logits, tokens)` turns raw logits
    into those of the distribution sampled from (`generation.sampling`); without it p is the softmax.
    Chunks are cut along time, so rows stay sharded.
    """
    batch, time, embed = hidden.shape
    size = min(chunk, time)
    pieces = -(-time // size)
    pad = pieces * size - time

    def cut(x):
        x = jnp.pad(x, [(0, 0), (0, pad)] + [(0, 0)] * (x.ndim - 2))
        return jnp.moveaxis(x.reshape(batch, pieces, size, *x.shape[2:]), 1, 0)

    @jax.checkpoint
    def piece(arrays):
        states, targets = arrays
        logits = jnp.einsum("bte,ev->btv", states, head.astype(states.dtype), preferred_element_type=jnp.float32)
        return gather_logprobs(logits if warp is None else warp(logits, targets), targets)

    logprobs, entropies = jax.lax.map(piece, (cut(hidden), cut(tokens)))
    join = lambda x: jnp.moveaxis(x, 0, 1).reshape(batch, pieces * size)[:, :time]  # noqa: E731
    return join(logprobs), join(entropies)


def gather_logprobs(logits: Float[Array, "*rows vocab"], tokens: Int[Array, "*rows"]):
    """`log softmax(logits)[tokens]` and the entropy; logits of -inf are outside the distribution."""
    normalizer = jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    logp = logits - normalizer
    chosen = jnp.take_along_axis(logp, tokens[..., None], axis=-1)[..., 0]
    inside = jnp.isfinite(logits)
    entropy = -jnp.sum(jnp.where(inside, jnp.exp(logp) * jnp.where(inside, logp, 0.0), 0.0), axis=-1)
    return chosen, entropy
