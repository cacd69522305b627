"""32-bit hashes of short sequences, and how many distinct ones a row holds. A collision costs one count in 2³²."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Shaped, UInt32

_GOLDEN = 0x9E3779B1


def mix(hashed: UInt32[Array, "*shape"], item: Shaped[Array, "*shape"]) -> UInt32[Array, "*shape"]:
    """A hash with one more item; the order of items matters."""
    hashed = (hashed ^ item.astype(jnp.uint32)) * jnp.uint32(_GOLDEN)
    hashed ^= hashed >> 15
    hashed *= jnp.uint32(0x85EBCA6B)
    return hashed ^ (hashed >> 13)


def hash_items(items: Shaped[Array, "*shape items"], seed: int = 0) -> UInt32[Array, "*shape"]:
    """The hash of the last axis, which is short and static."""
    hashed = jnp.full(items.shape[:-1], seed + 1, jnp.uint32)
    for place in range(items.shape[-1]):
        hashed = mix(hashed, items[..., place])
    return hashed


def ngrams(
    tokens: Int[Array, "batch time"], mask: Bool[Array, "batch time"], n: int
) -> tuple[UInt32[Array, "batch time"], Bool[Array, "batch time"]]:
    """The hash of the n tokens that begin at each place, and whether all of them are real."""
    time = tokens.shape[1]
    tokens, mask = (jnp.pad(x, ((0, 0), (0, n - 1))) for x in (tokens, mask))
    hashed, real = jnp.ones((len(tokens), time), jnp.uint32), jnp.ones((len(tokens), time), bool)
    for offset in range(n):
        hashed = mix(hashed, tokens[:, offset : offset + time])
        real &= mask[:, offset : offset + time]
    return hashed, real


def count_distinct(keys: UInt32[Array, "batch n"], valid: Bool[Array, "batch n"]) -> Int[Array, " batch"]:
    """How many different keys each row holds among the valid ones."""
    ordered = jnp.sort(jnp.where(valid, keys, jnp.uint32(2**32 - 1)), axis=1)  # the valid ones come first
    inside = jnp.arange(1, keys.shape[1]) < valid.sum(axis=1, keepdims=True)
    changes = jnp.sum((ordered[:, 1:] != ordered[:, :-1]) & inside, axis=1)
    return changes.astype(jnp.int32) + jnp.any(valid, axis=1)
