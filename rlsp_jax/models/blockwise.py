"""Causal attention that never holds a score for every pair of places: blocks of queries against blocks of keys.

The softmax is summed up as blocks of keys go by (Rabe and Staats, 2112.05682); the backward pass makes each block's
weights again from the remembered normalizers (Dao, 2307.08691). Blocks of keys after the queries are never looked at.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Blocks = Float[Array, "blocks batch kv_heads group place head_dim"]


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def blockwise(
    queries: Float[Array, "batch time heads head_dim"],
    keys: Float[Array, "batch time kv_heads head_dim"],
    values: Float[Array, "batch time kv_heads head_dim"],
    segments: Int[Array, "batch time"],
    block: int,
) -> Float[Array, "batch time heads head_dim"]:
    """Each place attends to its own segment (0 is padding: it gets 0) up to itself, `block` places at a time.

    Softmax in float32. Differentiable once, in queries, keys and values.
    """
    return _forward(queries, keys, values, segments, block)[0]


def _forward(queries, keys, values, segments, block):
    q, k, v, s = _cut(queries, keys, values, segments, block)

    def mix(i):
        """Block i of the queries, against the blocks of keys up to its own."""

        def see(j, sums):
            top, total, mixed = sums
            scores = _scores(q[i], k[j], s, i, j)
            higher = jnp.maximum(top, scores.max(axis=-1, keepdims=True))
            level = jnp.where(jnp.isfinite(higher), higher, 0.0)
            weights, fade = jnp.exp(scores - level), jnp.exp(top - level)
            seen = jnp.einsum("bkgts,bksd->bkgtd", weights.astype(v.dtype), v[j], preferred_element_type=jnp.float32)
            return higher, total * fade + weights.sum(axis=-1, keepdims=True), mixed * fade + seen

        column = jnp.zeros((*q.shape[1:-1], 1), jnp.float32)
        top, total, mixed = jax.lax.fori_loop(
            0, i + 1, see, (column - jnp.inf, column, jnp.zeros(q.shape[1:], jnp.float32))
        )
        total = jnp.maximum(total, 1e-30)
        return (mixed / total).astype(q.dtype), jnp.where(jnp.isfinite(top), top, 0.0) + jnp.log(total)

    mixed, normalizers = jax.lax.map(mix, jnp.arange(len(q)))
    out = _join(mixed, queries.shape)
    return out, (queries, keys, values, segments, out, normalizers)


def _backward(block, kept, gradient):
    queries, keys, values, segments, out, normalizers = kept
    q, k, v, s = _cut(queries, keys, values, segments, block)
    kv_heads = keys.shape[2]
    g = _cut_queries(gradient, kv_heads, block)
    rises = jnp.sum(g.astype(jnp.float32) * _cut_queries(out, kv_heads, block), axis=-1, keepdims=True)

    def learn(dq, j):
        """Block j of keys and values, against the blocks of queries from its own on."""

        def hear(i, sums):
            dq, dk, dv = sums
            weights = jnp.exp(_scores(q[i], k[j], s, i, j) - normalizers[i])
            dv += jnp.einsum("bkgts,bkgtd->bksd", weights.astype(g.dtype), g[i], preferred_element_type=jnp.float32)
            dweights = jnp.einsum("bkgtd,bksd->bkgts", g[i], v[j], preferred_element_type=jnp.float32)
            dscores = (weights * (dweights - rises[i]) * q.shape[-1] ** -0.5).astype(q.dtype)
            dk += jnp.einsum("bkgts,bkgtd->bksd", dscores, q[i], preferred_element_type=jnp.float32)
            more = jnp.einsum("bkgts,bksd->bkgtd", dscores, k[j], preferred_element_type=jnp.float32)
            return dq.at[i].add(more), dk, dv

        none = jnp.zeros(k.shape[1:], jnp.float32)
        dq, dk, dv = jax.lax.fori_loop(j, len(q), hear, (dq, none, none))
        return dq, (dk.astype(k.dtype), dv.astype(v.dtype))

    dq, (dk, dv) = jax.lax.scan(learn, jnp.zeros(q.shape, jnp.float32), jnp.arange(len(k)))
    dk, dv = (_join(x[:, :, :, None], keys.shape) for x in (dk, dv))
    return _join(dq, queries.shape).astype(queries.dtype), dk, dv, np.zeros(segments.shape, jax.dtypes.float0)


blockwise.defvjp(_forward, _backward)


def _scores(q, k, segments, i, j):
    """Scaled scores of block i of the queries for block j of the keys, float32; -inf where a place may not look."""
    scores = jnp.einsum("bkgtd,bksd->bkgts", q, k, preferred_element_type=jnp.float32) * q.shape[-1] ** -0.5
    block = q.shape[-2]
    own, other = segments[i], segments[j]
    same = (own[:, :, None] == other[:, None, :]) & (other[:, None, :] > 0)
    place = jnp.arange(block)
    before = i * block + place[:, None] >= j * block + place
    return jnp.where((same & before)[:, None, None], scores, -jnp.inf)


def _cut(queries, keys, values, segments, block):
    """Queries `[blocks, batch, kv_heads, group, block, head_dim]`; keys and values without group; segments."""
    kv_heads = keys.shape[2]
    q = _cut_queries(queries, kv_heads, block)
    k, v = (_cut_queries(x, kv_heads, block)[:, :, :, 0] for x in (keys, values))
    return q, k, v, jnp.moveaxis(_pad(segments, block).reshape(len(segments), -1, block), 1, 0)


def _cut_queries(x: Float[Array, "batch time heads head_dim"], kv_heads: int, block: int) -> Blocks:
    batch, _, heads, head_dim = x.shape
    x = _pad(x, block).reshape(batch, -1, block, kv_heads, heads // kv_heads, head_dim)
    return jnp.einsum("bntkgd->nbkgtd", x)


def _join(blocks: Blocks, shape: tuple[int, ...]) -> Float[Array, "batch time heads head_dim"]:
    batch, time, heads, head_dim = shape
    return jnp.einsum("nbkgtd->bntkgd", blocks).reshape(batch, -1, heads, head_dim)[:, :time]


def _pad(x: Array, block: int) -> Array:
    """Up to whole blocks; the places that are added are padding (segment 0)."""
    return jnp.pad(x, [(0, 0), (0, -x.shape[1] % block)] + [(0, 0)] * (x.ndim - 2))
