"""Log-probabilities and entropies of tokens without ever holding `[batch, time, vocab]`.

Time is cut into chunks; each chunk's logits are made, used and dropped, and made again in the
backward pass, where what was summed over the vocabulary is still known. Cross-entropy is the
negative of the log-probability: there is no second kernel.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int

Warp = Callable[[Float[Array, "*rows vocab"], Int[Array, "*rows"]], Float[Array, "*rows vocab"]]

CHUNK = 64  # places of a row, at most
LOGITS = 2**24  # of one chunk of the whole batch: 64 MiB in float32
SUMS = "sums over the vocabulary"  # kept for the backward pass; the logits are not


def token_logprobs(
    hidden: Float[Array, "batch time embed"],
    head: Float[Array, "embed vocab"],
    tokens: Int[Array, "batch time"],
    *,
    warp: Warp | None = None,
    chunk: int | None = None,
) -> tuple[Float[Array, "batch time"], Float[Array, "batch time"]]:
    """`log p(tokens)` and the entropy (nats) of p at each place, in float32.

    `hidden[b, t]` is the state that predicts `tokens[b, t]`. `warp(logits, tokens)` turns raw logits
    into those of the distribution sampled from (`generation.sampling`); without it p is the softmax.
    Chunks of `chunk` places (None: `chunk_size`) are cut along time, so rows stay sharded.
    """
    batch, time, _ = hidden.shape
    size = min(chunk or chunk_size(batch, *head.shape), time)
    pieces = -(-time // size)
    pad = pieces * size - time

    def cut(x):
        x = jnp.pad(x, [(0, 0), (0, pad)] + [(0, 0)] * (x.ndim - 2))
        return jnp.moveaxis(x.reshape(batch, pieces, size, *x.shape[2:]), 1, 0)

    @functools.partial(jax.checkpoint, policy=jax.checkpoint_policies.save_only_these_names(SUMS))
    def piece(arrays):
        states, targets = arrays
        logits = jnp.einsum("bte,ev->btv", states, head.astype(states.dtype), preferred_element_type=jnp.float32)
        return gather_logprobs(logits if warp is None else warp(logits, targets), targets)

    logprobs, entropies = jax.lax.map(piece, (cut(hidden), cut(tokens)))
    join = lambda x: jnp.moveaxis(x, 0, 1).reshape(batch, pieces * size)[:, :time]  # noqa: E731
    return join(logprobs), join(entropies)


def chunk_size(batch: int, embed: int, vocab: int) -> int:
    """How many places of each row are looked at together.

    `CHUNK`, or fewer: until these are no more than `LOGITS` logits, or than an eighth of the head where it is large.
    (Every chunk reads the whole head and adds to its whole gradient: a few rows a chunk would do little else.)
    """
    most = max(LOGITS, embed * vocab // 8)
    return min(CHUNK, max(1, most // (batch * vocab)))


@jax.custom_vjp
def gather_logprobs(
    logits: Float[Array, "*rows vocab"], tokens: Int[Array, "*rows"]
) -> tuple[Float[Array, "*rows"], Float[Array, "*rows"]]:
    """`log softmax(logits)[tokens]` and the entropy; logits of -inf are outside the distribution.

    Differentiable once, in the logits: the gradient is written out, so that no array of the logits' size is held
    beside them and it.
    """
    return _gather_forward(logits, tokens)[0]


def _gather_forward(logits, tokens):
    top = jnp.max(logits, axis=-1, keepdims=True)
    shifted = logits - top
    weights = jnp.exp(shifted)
    total = weights.sum(axis=-1, keepdims=True)
    mean = jnp.sum(jnp.where(weights > 0, weights * shifted, 0.0), axis=-1, keepdims=True) / total
    normalizer = checkpoint_name(top + jnp.log(total), SUMS)
    entropy = checkpoint_name(jnp.log(total) - mean, SUMS)
    chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1) - normalizer
    return (chosen[..., 0], entropy[..., 0]), (logits, tokens, normalizer, entropy)


def _gather_backward(kept, gradients):
    """d log p(token) = [token] - p, and d entropy = -p · (log p + entropy)."""
    logits, tokens, normalizer, entropy = kept
    of_logprob, of_entropy = (gradient[..., None] for gradient in gradients)
    logp = logits - normalizer
    p = jnp.exp(logp)
    falls = jnp.where(p > 0, p * (of_logprob + of_entropy * (logp + entropy)), 0.0)
    chosen = jnp.arange(logits.shape[-1]) == tokens[..., None]
    return jnp.where(chosen, of_logprob, 0.0) - falls, np.zeros(tokens.shape, jax.dtypes.float0)


gather_logprobs.defvjp(_gather_forward, _gather_backward)
