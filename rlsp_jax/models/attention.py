"""Rotary positions, the key-value cache and grouped-query attention, as functions of arrays."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class LayerCache(NamedTuple):
    """Keys and values of one layer, in the layouts that decode fastest on XLA:CPU."""

    keys: Float[Array, "*layers batch kv_heads head_dim columns"]
    values: Float[Array, "*layers batch kv_heads columns head_dim"]


def rotate(x: Float[Array, "batch time heads head_dim"], positions: Int[Array, "batch time"], *, theta: float):
    """Rotary position embedding (Su et al., 2104.09864), halves convention; angles in float32."""
    half = x.shape[-1] // 2
    frequencies = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions[..., None, None].astype(jnp.float32) * frequencies
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    left, right = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    return jnp.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1).astype(x.dtype)


def attend(
    queries: Float[Array, "batch time heads head_dim"],
    cache: LayerCache,
    mask: Bool[Array, "batch time columns"],
) -> Float[Array, "batch time heads head_dim"]:
    """Scaled dot-product attention of grouped queries; softmax in float32, rows without a key give 0."""
    batch, time, heads, head_dim = queries.shape
    kv_heads = cache.keys.shape[-3]
    grouped = queries.reshape(batch, time, kv_heads, heads // kv_heads, head_dim)
    scores = jnp.einsum("btkgd,bkds->bkgts", grouped, cache.keys, preferred_element_type=jnp.float32)
    scores = scores * head_dim**-0.5
    scores = jnp.where(mask[:, None, None], scores, -jnp.inf)
    top = jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True))
    weights = jnp.exp(scores - jnp.where(jnp.isfinite(top), top, 0.0))
    weights = weights / jnp.maximum(weights.sum(axis=-1, keepdims=True), 1e-30)
    mixed = jnp.einsum("bkgts,bksd->btkgd", weights.astype(queries.dtype), cache.values)
    return mixed.reshape(batch, time, heads, head_dim)


def to_cache(keys: Float[Array, "batch time kv_heads head_dim"], values: Float[Array, "batch time kv_heads head_dim"]):
    """The cache that holds exactly these keys and values."""
    return LayerCache(jnp.einsum("btkd->bkdt", keys), jnp.einsum("btkd->bktd", values))


def write(cache: LayerCache, new: LayerCache, column: Int[Array, ""]) -> LayerCache:
    """Write the columns of `new` into the cache, beginning at `column`."""
    keys = jax.lax.dynamic_update_slice_in_dim(cache.keys, new.keys, column, axis=3)
    values = jax.lax.dynamic_update_slice_in_dim(cache.values, new.values, column, axis=2)
    return LayerCache(keys, values)


def grow(cache: LayerCache, columns: int) -> LayerCache:
    """The same cache with room for `columns` columns (a reading loop never slices a larger buffer)."""
    extra = columns - cache.keys.shape[-1]
    pad = [(0, 0)] * cache.keys.ndim
    return LayerCache(
        jnp.pad(cache.keys, [*pad[:-1], (0, extra)]), jnp.pad(cache.values, [*pad[:-2], (0, extra), (0, 0)])
    )


def causal_mask(segments: Int[Array, "batch time"]) -> Bool[Array, "batch time time"]:
    """Each place attends to the tokens of its own segment (0 is padding) up to and including itself."""
    columns = jnp.arange(segments.shape[1])
    same = (segments[:, :, None] == segments[:, None, :]) & (segments[:, None, :] > 0)
    return same & (columns[None, :, None] >= columns[None, None, :])
