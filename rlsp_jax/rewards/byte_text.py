"""Token ids as the bytes they spell, on the device: expansion, search, and small readers at given places.

Everything is a gather, a compare or a cumulative sum over `[batch, …]` with static shapes: no loop over bytes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Shaped, UInt8

from rlsp_jax.types import TokenBytes

BYTES_PER_TOKEN = 8  # room kept per token where some tokens are longer: more than any text needs on average
MAX_DIGITS = 9  # of a number that is read: the most that int32 holds whatever the digits
TOO_LARGE = -2  # read in place of a longer number


class ByteText(NamedTuple):
    """A batch of texts. Real bytes come first; the rest is zero."""

    bytes: UInt8[Array, "batch max_bytes"]
    mask: Bool[Array, "batch max_bytes"]
    owner: Int[Array, "batch max_bytes"]  # the place of the token that a byte belongs to
    overflow: Bool[Array, " batch"]  # the text is longer than max_bytes and was cut: judge nothing by it


class Numbers(NamedTuple):
    """The unsigned decimal numbers that begin at each place, read to the end of their digits."""

    value: Int[Array, "batch n"]  # TOO_LARGE with more than MAX_DIGITS digits
    length: Int[Array, "batch n"]  # digits; 0 where no number begins, at most MAX_DIGITS + 1 are seen


def expand(
    tokens: Int[Array, "batch time"],
    mask: Bool[Array, "batch time"],
    token_bytes: TokenBytes,
    *,
    max_bytes: int | None = None,
) -> ByteText:
    """The bytes of the tokens where `mask` holds.

    By default `max_bytes` is the time times the longest token's bytes, or times `BYTES_PER_TOKEN` if that is less;
    a longer text is cut and flagged in `overflow`.
    """
    batch, time = tokens.shape
    width = token_bytes.table.shape[1]
    size = time * min(width, BYTES_PER_TOKEN) if max_bytes is None else max_bytes
    lengths = jnp.where(mask, token_bytes.lengths[tokens], 0).astype(jnp.int32)
    ends = jnp.cumsum(lengths, axis=1)
    starts = ends - lengths
    columns = jnp.arange(size, dtype=jnp.int32)
    # A byte belongs to the token after all those that end at or before it.
    owner = jnp.minimum(_searchsorted(ends, columns, "right"), time - 1)
    first = jnp.take_along_axis(tokens.astype(jnp.int32) * width - starts, owner, axis=1)
    real = columns < ends[:, -1:]
    flat = jnp.where(real, first + columns, 0)
    text = jnp.where(real, token_bytes.table.reshape(-1)[flat], jnp.uint8(0))
    return ByteText(text, real, owner, ends[:, -1] > size)


def find(text: ByteText, pattern: bytes) -> Bool[Array, "batch max_bytes"]:
    """True where the pattern begins."""
    if not pattern:
        raise ValueError("pattern is empty; there is nothing to find.")
    size = text.bytes.shape[1]
    end = len(pattern) - 1
    hit = jnp.pad(text.mask, ((0, 0), (0, end)))[:, end:]  # the whole match lies in the text
    ahead = jnp.pad(text.bytes, ((0, 0), (0, end)))
    for offset, byte in enumerate(pattern):
        hit &= ahead[:, offset : offset + size] == byte
    return hit


def first_match(text: ByteText, pattern: bytes) -> Int[Array, " batch"]:
    """Where the pattern first begins; max_bytes if it does not occur."""
    hits, size = find(text, pattern), text.bytes.shape[1]
    return jnp.min(jnp.where(hits, jnp.arange(size, dtype=jnp.int32), size), axis=1)


def last_match(text: ByteText, pattern: bytes) -> Int[Array, " batch"]:
    """Where the pattern last begins; -1 if it does not occur."""
    hits, size = find(text, pattern), text.bytes.shape[1]
    return jnp.max(jnp.where(hits, jnp.arange(size, dtype=jnp.int32), -1), axis=1)


def places(flags: Bool[Array, "batch n"], size: int) -> tuple[Int[Array, "batch size"], Bool[Array, "batch size"]]:
    """The first `size` places where a row's flags hold, in order, and which of them exist; n where they do not."""
    rank = jnp.cumsum(flags.astype(jnp.int32), axis=1)
    wanted = jnp.arange(1, size + 1, dtype=jnp.int32)
    return _searchsorted(rank, wanted, "left"), wanted <= rank[:, -1:]


def take(x: Shaped[Array, "batch n"], at: Int[Array, "batch places"]) -> Shaped[Array, "batch places"]:
    """What stands at the given places, which are not negative; 0 or False beyond the end."""
    return jnp.take_along_axis(x, at, axis=1, mode="fill", fill_value=0)


def windows(
    data: UInt8[Array, "batch n"], start: Int[Array, "batch places"], size: int
) -> UInt8[Array, "batch places size"]:
    """`size` bytes from each start on; zeros beyond the end."""
    index = start[:, :, None] + jnp.arange(size, dtype=jnp.int32)
    return take(data, index.reshape(len(data), -1)).reshape(index.shape)


def read_numbers(data: UInt8[Array, "batch n"]) -> Numbers:
    """The number that begins at each place, wherever that is in a run of digits."""
    n = data.shape[1]
    ahead = jnp.pad(data, ((0, 0), (0, MAX_DIGITS)))
    value = length = jnp.zeros(data.shape, jnp.int32)
    inside = jnp.ones(data.shape, bool)
    for offset in range(MAX_DIGITS + 1):
        digit = ahead[:, offset : offset + n].astype(jnp.int32) - ord("0")
        inside &= (digit >= 0) & (digit <= 9)
        value = jnp.where(inside, value * 10 + digit, value)
        length += inside
    return Numbers(jnp.where(length > MAX_DIGITS, TOO_LARGE, value), length)


def _searchsorted(rows: Int[Array, "batch n"], values: Int[Array, " m"], side: str) -> Int[Array, "batch m"]:
    return jax.vmap(lambda row: jnp.searchsorted(row, values, side=side))(rows).astype(jnp.int32)
