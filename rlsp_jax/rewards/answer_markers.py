r"""What each token of a vocabulary does to the search for `\boxed{`, `\fbox{`, `####`, `<think>` and `</think>`.

Tokens may cut a marker anywhere, so markers are matched by an automaton over bytes. What a whole token does to each of
its states is worked out once for a vocabulary; a response then costs one look-up a token. Braces are matched as TeX
does: `\{` is none.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from rlsp_jax.types import TokenBytes

BLANKS = b" \t\n\v\f\r\x1c\x1d\x1e\x1f"  # what Python's \s and strip() take for blank in ASCII
TAGS = (b"<answer>", b"</answer>")  # the host takes them for blanks
_BOXES, _HASHES, _THINK, _THINKING = (rb"\boxed", rb"\fbox"), b"####", b"</think>", b"<think>"
_BOX, _BLANK_BOX = _BOXES[0], _BOXES[0] + b" "  # the states after either box's name, without and with blanks

# What is known while a text is read: the part of a marker that its last bytes are.
_STATES = sorted(
    {b"\\", rb"\\", _BLANK_BOX}
    | {m[:n] for m in (*_BOXES, _HASHES, _THINK, _THINKING) for n in range(len(m))}
    | {_BOX},
    key=len,
)

BOX_NAMES = tuple(_STATES.index(state) for state in (_BOX, _BLANK_BOX))  # states that wait for a box's brace

# What a byte completes.
_NOTHING, _OPENS, _CLOSES, _OPENS_BOX, _ODD_BOX, _HASH, _THOUGHT, _ODD = range(8)

# A token's effect on a state, packed into an int32: the next state, the flags, then four numbers about braces.
STATE_BITS = 5
PENDING, MARKS, MARKS_HERE, HAS_BOX, HAS_HASH, IS_ODD, HAS_THINK = (1 << bit for bit in range(5, 12))
_FALL_BITS, _RISE_BITS = 4, 5
_FALL_1, _RISE_1, _FALL_2, _RISE_2 = 12, 16, 21, 25
_MAX_FALL, _MIN_RISE = 2**_FALL_BITS - 1, -(2 ** (_RISE_BITS - 1))


class Vocabulary(NamedTuple):
    """What is read off a vocabulary once. The last row of `effects` and `offsets` is a token that is not there."""

    token_bytes: TokenBytes
    effects: Int[Array | np.ndarray, "rows states"]  # of each token in each state, packed
    offsets: Int[Array | np.ndarray, "rows states"]  # where the text behind the token's last marker begins in it


def _step(state: bytes, byte: int) -> tuple[bytes, int]:
    """The next state and what has been completed."""
    character = bytes([byte])
    if state in (_BOX, _BLANK_BOX):
        if character == b"{":
            return b"", _OPENS_BOX
        if character in BLANKS:
            return _BLANK_BOX, _NOTHING
        if state == _BLANK_BOX or byte >= 128 or not character.isalpha():  # else another command
            return character if character in b"<#\\" else b"", _ODD_BOX  # `\boxed 5`, `\boxed$5$`
    if state == rb"\\" and character in b"bf":
        state = b"\\"  # `\\boxed{`, a backslash too many
    grown = state + character
    if grown == _HASHES:
        return b"", _HASH
    if grown == _THINK:
        return b"", _THOUGHT
    if grown in (b"<|", _THINKING):
        return b"", _ODD
    if grown in _BOXES:
        return _BOX, _NOTHING
    if grown in _STATES:
        return grown, _NOTHING
    if character in b"<#\\":
        return character, _NOTHING
    event = {b"{": _OPENS, b"}": _CLOSES}.get(character, _NOTHING)
    return b"", _NOTHING if state == b"\\" else event  # after a backslash a brace is a character


def read_vocabulary(token_bytes: TokenBytes) -> Vocabulary:
    """Work out what every token does, in numpy: seconds for a vocabulary of 150,000."""
    table, lengths = (np.asarray(x) for x in token_bytes)
    steps = [[_step(state, byte) for byte in range(256)] for state in _STATES]
    successor = np.array([[_STATES.index(state) for state, _ in row] for row in steps], np.int8)
    completed = np.array([[event for _, event in row] for row in steps], np.int8)
    fresh = np.array([len(state) == 1 for state in _STATES])  # states that only a marker's first byte leads to

    order = np.argsort(-lengths, kind="stable")
    shape = (len(table) + 1, len(_STATES))
    state = np.tile(np.arange(len(_STATES), dtype=np.int8), (shape[0], 1))
    flags, offset = np.zeros(shape, np.int16), np.zeros(shape, np.int16)
    rise, fall = np.zeros((2, *shape), np.int16), np.zeros((2, *shape), np.int16)  # before and after a box opens
    for place in range(table.shape[1]):
        live = slice(0, int(np.sum(lengths > place)))  # the longest tokens come first
        byte = table[order[live], place][:, None]
        event, state[live] = completed[state[live], byte], successor[state[live], byte]
        flag = flags[live]
        np.copyto(flag, HAS_THINK | (flag & PENDING), where=event == _THOUGHT)
        for numbers in (*rise, *fall, offset):
            np.copyto(numbers[live], 0, where=event == _THOUGHT)
        marks = (event == _OPENS_BOX) | (event == _ODD_BOX) | (event == _HASH)
        first = marks & (flag & MARKS == 0)
        flag |= np.where(first, MARKS | np.where(flag & PENDING, MARKS_HERE, 0), 0).astype(np.int16)
        boxed = flag & HAS_BOX != 0
        flag |= np.where((event == _ODD_BOX) | (event == _ODD) | (boxed & (event == _OPENS_BOX)), IS_ODD, 0).astype(
            np.int16
        )
        np.copyto(offset[live], place + 1, where=(event == _OPENS_BOX) | ((event == _HASH) & ~boxed))
        flag |= np.where(event == _OPENS_BOX, HAS_BOX, np.where(event == _HASH, HAS_HASH, 0)).astype(np.int16)
        for after in (0, 1):
            here = boxed == after
            rise[after, live] += np.where(here, (event == _OPENS).astype(np.int16) - (event == _CLOSES), 0)
            fall[after, live] = np.maximum(fall[after, live], -rise[after, live])
        np.copyto(flag, flag | PENDING, where=fresh[state[live]])
    flags |= np.where(np.any((fall > _MAX_FALL) | (abs(rise) > -_MIN_RISE - 1), axis=0), IS_ODD, 0).astype(np.int16)
    fall, rise = np.minimum(fall, _MAX_FALL), np.clip(rise, _MIN_RISE, -_MIN_RISE - 1) - _MIN_RISE
    packed = state | flags.astype(np.int32)
    for number, shift in zip((fall[0], rise[0], fall[1], rise[1]), (_FALL_1, _RISE_1, _FALL_2, _RISE_2), strict=True):
        packed |= number.astype(np.int32) << shift
    effects, offsets = np.empty_like(packed), np.empty(shape, np.int32)
    rows = np.append(order, len(table))
    effects[rows], offsets[rows] = packed, offset
    return Vocabulary(token_bytes, effects, offsets)


def has(effect: jax.Array, flag: int) -> jax.Array:
    return (effect & flag) != 0


def braces_before_box(depth: jax.Array, effect: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The depth after a token's braces up to its box, if it has one; whether the outermost box closes by them."""
    return _braces(depth, effect, _FALL_1, _RISE_1)


def braces_in_box(depth: jax.Array, effect: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same of its braces behind that."""
    return _braces(depth, effect, _FALL_2, _RISE_2)


def _braces(depth: jax.Array, effect: jax.Array, fall: int, rise: int) -> tuple[jax.Array, jax.Array]:
    shuts = (depth > 0) & (depth <= (effect >> fall) & _MAX_FALL)
    risen = depth + ((effect >> rise) & (2**_RISE_BITS - 1)) + _MIN_RISE
    return jnp.where((depth > 0) & ~shuts, risen, 0), shuts
