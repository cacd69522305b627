"""Grouped-query attention: of whole sequences, by one of several implementations, and of one token against a cache.

Whole sequences are given with `segments`, which number the sequences packed into a row from 1 (0 is padding); each
place attends to its own segment up to itself. A Boolean `segments` says more: that every row holds one run of tokens.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rlsp_jax.common.errors import UserError
from rlsp_jax.models.blockwise import blockwise
from rlsp_jax.models.cudnn import lengths_attention

Queries = Float[Array, "batch time heads head_dim"]
Keys = Float[Array, "batch time kv_heads head_dim"]
Segments = Int[Array, "batch time"] | Bool[Array, "batch time"]

LONG = 256  # places: from here on `Auto` does not hold a score for every pair of them
HALVES = (jnp.bfloat16, jnp.float16)
LANES = 128  # of a TPU: the blocks of its kernel are multiples of them


@dataclasses.dataclass(frozen=True)
class Plain:
    """All scores at once: `[batch, heads, time, time]` in memory."""

    def __call__(self, queries: Queries, keys: Keys, values: Keys, segments: Segments) -> Queries:
        return attend(queries, to_cache(keys, values), causal_mask(segments.astype(jnp.int32)))


@dataclasses.dataclass(frozen=True)
class Blockwise:
    """`block` queries against `block` keys at a time; memory grows with time, not with its square. On any device."""

    block: int = 128

    def __post_init__(self):
        if self.block < 1:
            raise UserError(f"The block of model.attention is {self.block}; it must be at least 1.")

    def __call__(self, queries: Queries, keys: Keys, values: Keys, segments: Segments) -> Queries:
        block = min(self.block, queries.shape[1])
        return blockwise(queries, keys, values, segments.astype(jnp.int32), block)


@dataclasses.dataclass(frozen=True)
class CuDNN:
    """cuDNN's fused kernel on NVIDIA GPUs, in half precision; `Blockwise` where sequences are packed into rows."""

    def __call__(self, queries: Queries, keys: Keys, values: Keys, segments: Segments) -> Queries:
        _need("CuDNN", "gpu", "an NVIDIA GPU")
        if queries.dtype not in HALVES:
            raise UserError(
                f"model.attention = CuDNN() computes in half precision, not in {queries.dtype}; set model.dtype to "
                "'bfloat16' or 'float16', or take Auto()."
            )
        if queries.shape[-1] % 8 or queries.shape[-1] > 128:
            raise UserError(
                f"model.attention = CuDNN() needs a head_dim that is a multiple of 8 and at most 128, but "
                f"model.head_dim is {queries.shape[-1]}; take Auto()."
            )
        if segments.dtype != bool:
            return Blockwise()(queries, keys, values, segments)
        return lengths_attention(queries, keys, values, segments)


@dataclasses.dataclass(frozen=True)
class Splash:
    """JAX's Pallas kernel on TPUs, `block` queries against `block` keys at a time."""

    block: int = 512

    def __post_init__(self):
        if self.block < 1 or self.block % LANES:
            raise UserError(f"The block of model.attention is {self.block}; Splash() needs a multiple of {LANES}.")

    def __call__(self, queries: Queries, keys: Keys, values: Keys, segments: Segments) -> Queries:
        _need("Splash", "tpu", "a TPU")
        from rlsp_jax.models.splash import splash  # Pallas takes half a second to load, and only TPUs need it

        return splash(queries, keys, values, segments.astype(jnp.int32), self.block)


@dataclasses.dataclass(frozen=True)
class Auto:
    """The device's own kernel where it fits; else `Blockwise` for long rows and `Plain` for short ones."""

    def __call__(self, queries: Queries, keys: Keys, values: Keys, segments: Segments) -> Queries:
        return self.choose(jax.default_backend(), queries, segments)(queries, keys, values, segments)

    def choose(self, platform: str, queries: Queries, segments: Segments) -> "Plain | Blockwise | CuDNN | Splash":
        """What these arrays are computed with on a platform, which is named as JAX names it."""
        _, time, _, head_dim = queries.shape
        if platform == "gpu" and queries.dtype in HALVES and segments.dtype == bool and head_dim in (64, 128):
            return CuDNN()
        if platform == "tpu" and time >= LANES and head_dim % 64 == 0:
            return Splash()
        return Plain() if time < LONG else Blockwise()


Implementation = Plain | Blockwise | CuDNN | Splash | Auto


def _need(name: str, platform: str, device: str) -> None:
    if jax.default_backend() != platform:
        raise UserError(
            f"model.attention = {name}() needs {device}, but this process computes on {jax.default_backend()}; "
            "take Auto(), which finds what fits."
        )


class LayerCache(NamedTuple):
    """Keys and values of one layer, in the layouts that decode fastest on XLA:CPU."""

    keys: Float[Array, "*layers batch kv_heads head_dim columns"]
    values: Float[Array, "*layers batch kv_heads columns head_dim"]


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
