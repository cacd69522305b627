"""A few bytes of each response from a given place on, without spelling out the whole of it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from rlsp_jax.rewards.automaton import END
from rlsp_jax.types import TokenBytes

SKIP = -1  # in place of a symbol: nothing is read


class Symbols(NamedTuple):
    """Bytes in the order of reading, with the token and the offset that each one stands at."""

    symbol: Int[Array, "size batch"]  # or SKIP, or END from the end of the text on
    place: Int[Array, "size batch"]
    offset: Int[Array, "size batch"]


def read_symbols(
    tokens: Int[Array, "batch time"],
    token_bytes: TokenBytes,
    place: Int[Array, " batch"],
    offset: Int[Array, " batch"],
    size: int,
) -> Symbols:
    """`size` symbols from a byte of a token on.

    A token without bytes is a SKIP; a token id beyond the table ends the text.
    """
    vocab, width = token_bytes.table.shape
    time = tokens.shape[1]
    table, lengths = jnp.asarray(token_bytes.table).reshape(-1), jnp.asarray(token_bytes.lengths)

    def read(at: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], Symbols]:
        place, offset = at
        token = jnp.take_along_axis(tokens, place[:, None], axis=1, mode="clip")[:, 0]
        over = (place >= time) | (token >= vocab)
        token = jnp.minimum(token, vocab - 1)
        left = lengths[token].astype(jnp.int32) - offset
        byte = table[token * width + jnp.minimum(offset, width - 1)].astype(jnp.int32)
        symbol = jnp.where(over, END, jnp.where(left > 0, byte, SKIP))
        last = left <= 1
        return (place + last, jnp.where(last, 0, offset + 1)), Symbols(symbol, place, offset)

    _, symbols = jax.lax.scan(read, (jnp.maximum(place, 0), offset), None, length=size)
    return symbols


def read_symbols_before(
    tokens: Int[Array, "batch time"],
    token_bytes: TokenBytes,
    place: Int[Array, " batch"],
    offset: Int[Array, " batch"],
    size: int,
) -> Int[Array, "size batch"]:
    """`size` symbols backwards from the byte before that one; END from the beginning of the text on."""
    vocab, width = token_bytes.table.shape
    table, lengths = jnp.asarray(token_bytes.table).reshape(-1), jnp.asarray(token_bytes.lengths)

    def read(at: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        place, offset = at
        token = jnp.take_along_axis(tokens, jnp.maximum(place, 0)[:, None], axis=1)[:, 0]
        byte = table[jnp.minimum(token, vocab - 1) * width + jnp.maximum(offset - 1, 0)].astype(jnp.int32)
        symbol = jnp.where(place < 0, END, jnp.where(offset > 0, byte, SKIP))
        before = jnp.take_along_axis(tokens, jnp.maximum(place - 1, 0)[:, None], axis=1)[:, 0]
        length = jnp.where(before < vocab, lengths[jnp.minimum(before, vocab - 1)].astype(jnp.int32), 0)
        first = offset <= 1
        return (place - first, jnp.where(first, length, offset - 1)), symbol

    _, symbols = jax.lax.scan(read, (place, offset), None, length=size)
    return symbols
