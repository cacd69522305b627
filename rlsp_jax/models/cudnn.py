"""cuDNN's fused attention, for rows that hold one sequence each."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def lengths_attention(
    queries: Float[Array, "batch time heads head_dim"],
    keys: Float[Array, "batch time kv_heads head_dim"],
    values: Float[Array, "batch time kv_heads head_dim"],
    mask: Bool[Array, "batch time"],
    implementation: Literal["cudnn", "xla"] = "cudnn",
) -> Float[Array, "batch time heads head_dim"]:
    """Causal attention among the places of the mask, one run of them a row, padded left or right; the others get 0.

    cuDNN knows causal attention with lengths: sequences are moved to the left of their rows, and back afterwards
    (they have been turned by their positions before). Masks are not given to it: without a bias it refuses some of
    them (jax #28974). Its gradients for places beyond a length are not looked at.
    """
    real = mask[..., None, None]
    starts = jnp.argmax(mask, axis=1)
    aligned = (_turn(jnp.where(real, x, 0), starts) for x in (queries, keys, values))
    lengths = jnp.maximum(mask.sum(axis=1, dtype=jnp.int32), 1)  # a row of padding is one of a single token of zeros
    mixed = jax.nn.dot_product_attention(
        *aligned, is_causal=True, key_value_seq_lengths=lengths, implementation=implementation
    )
    return jnp.where(real, _turn(mixed, -starts), 0)


def _turn(x: Float[Array, "batch time heads head_dim"], places: Int[Array, " batch"]):
    """Each row moved to the left, around its end."""
    batch, time = x.shape[:2]
    columns = (jnp.arange(time) + places[:, None]) % time
    # said to be unique, so that the gradient writes where this reads, without adding atomically
    return x.at[jnp.arange(batch)[:, None], columns].get(unique_indices=True, mode="promise_in_bounds")
