r"""Boxes that may be one list: `\boxed{1}` and `\boxed{2}` with a comma, “and” or “or” and layout between them."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from rlsp_jax.rewards.answer_markers import BLANKS, TAGS
from rlsp_jax.rewards.automaton import (
    DEAD,
    SYMBOLS,
    Automaton,
    compile_patterns,
    either,
    many,
    maybe,
    one_of,
    sequence,
    some,
)
from rlsp_jax.rewards.final_answer import FinalAnswer
from rlsp_jax.rewards.token_reader import SKIP, read_symbols
from rlsp_jax.types import TokenBytes

_LONGEST_GAP = 64  # symbols looked at; a longer gap of such bytes only is left to the host
_NOT_ASCII = bytes(range(128, 256))
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@functools.cache
def _gaps() -> Automaton:
    """Gaps that part two items of a list, up to and with the next box; and such gaps whose comma has been read."""
    blank = some(either(one_of(BLANKS + _NOT_ASCII), *TAGS))
    letter, word = one_of(_LETTERS), one_of(_LETTERS + b"0123456789_" + _NOT_ASCII)
    text = sequence(b"\\", either(b"text", b"mathrm"), blank, b"{", some(one_of(set(range(256)) - set(b"{}"))), b"}")
    spaces = sequence(b"\\", either(b"quad", b"qquad", one_of(b",;")))
    separator = either(one_of(b",;"), spaces, text, b"and", b"or")
    index = sequence(b"_", maybe(b"{"), many(word), maybe(b"}"))
    name = sequence(letter, maybe(word), maybe(index), blank, b"=")
    layout = either(
        one_of(BLANKS + _NOT_ASCII + b"$&"), *TAGS, sequence(b"\\", either(one_of(b"()[]:! "), *TAGS)), name
    )
    filler = some(either(separator, layout))
    box = sequence(b"\\", maybe(b"\\"), either(b"boxed", b"fbox"), blank, b"{", some(one_of(range(SYMBOLS))))
    return compile_patterns(sequence(filler, separator, filler, box), sequence(filler, box))


def may_be_joined(
    tokens: Int[Array, "batch time"], token_bytes: TokenBytes, found: FinalAnswer
) -> Bool[Array, " batch"]:
    """Whether the last box and the one before it may be one list; without meaning where there is none before."""
    machine = _gaps()
    table = jnp.asarray(machine.table).reshape(-1)
    fresh, separated = machine.starts
    unread = -1

    def read(state: jax.Array, item) -> tuple[jax.Array, None]:
        symbol, place, offset = item
        before = (place < found.box) | ((place == found.box) & (offset < found.box_offset))
        moved = table[jnp.maximum(state, 0) * SYMBOLS + jnp.maximum(symbol, 0)]
        moved = jnp.where(state == unread, unread, moved)
        # Which brace of its token closes the earlier box is not known, so the gap begins anew behind each of them.
        brace = (place == found.closed) & (symbol == ord("}"))
        moved = jnp.where(brace, jnp.where(state == unread, fresh, separated), moved)
        return jnp.where(before & (symbol != SKIP), moved, state), None

    symbols = read_symbols(tokens, token_bytes, found.closed, jnp.zeros_like(found.closed), _LONGEST_GAP)
    state, _ = jax.lax.scan(read, jnp.full_like(found.closed, unread), symbols)
    return state != DEAD
