"""Splash attention, the Pallas kernel that JAX ships for TPUs, on rows of packed segments."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from rlsp_jax.models.attention import LANES
from rlsp_jax.sharding import ROWS


def splash(
    queries: Float[Array, "batch time heads head_dim"],
    keys: Float[Array, "batch time kv_heads head_dim"],
    values: Float[Array, "batch time kv_heads head_dim"],
    segments: Int[Array, "batch time"],
    block: int,
    *,
    interpret: bool = False,
) -> Float[Array, "batch time heads head_dim"]:
    """Each place attends to its own segment (0 is padding: it gets 0) up to itself, `block` places at a time.

    On a mesh every device computes its own rows and heads. `interpret` runs the kernel without a TPU, slowly.
    """
    time, head_dim = queries.shape[1], queries.shape[-1]
    block = min(block, -(-time // LANES) * LANES)
    pad = ((0, 0), (0, -time % block))
    q, k, v = (jnp.pad(jnp.einsum("bthd->bhtd", x), (pad[0], *pad, (0, 0))) for x in (queries, keys, values))

    def local(queries, keys, values, segments):
        kernel = _kernel(queries.shape[1], queries.shape[2], block, interpret)

        def row(queries, keys, values, segments):
            return kernel(queries, keys, values, segment_ids=kernels.SegmentIds(segments, segments))

        return jax.vmap(row)(queries, keys, values, segments)

    mixed = _split(local, len(queries), keys.shape[2])(q * head_dim**-0.5, k, v, jnp.pad(segments, pad))
    # padding is a segment of its own to the kernel
    return jnp.where(segments[..., None, None] > 0, jnp.einsum("bhtd->bthd", mixed)[:, :time], 0)


def _kernel(heads: int, time: int, block: int, interpret: bool):
    mask = masks.MultiHeadMask([masks.CausalMask((time, time))] * heads)
    forward = dict(block_q=block, block_kv=block)
    backward = dict(block_q_dkv=block, block_kv_dkv=block, block_q_dq=block, block_kv_dq=block)
    sizes = kernels.BlockSizes(**forward, **backward)  # pyright: ignore[reportArgumentType]  other fields are no int
    return kernels.make_splash_mha(mask, block_sizes=sizes, head_shards=1, q_seq_shards=1, interpret=interpret)


def _split(local: Callable[..., Any], batch: int, kv_heads: int) -> Callable[..., Any]:
    """The function of a device's own rows and heads, over the mesh; what a mesh axis does not divide is not split."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return local
    rows = None if batch % math.prod(mesh.shape[axis] for axis in ROWS) else ROWS
    heads = None if kv_heads % mesh.shape["tensor"] else "tensor"
    arrays = PartitionSpec(rows, heads)
    return jax.shard_map(
        local, in_specs=(arrays, arrays, arrays, PartitionSpec(rows)), out_specs=arrays, check_vma=False
    )
