r"""Where the final answer of a response stands: its last `\boxed{…}` or `\fbox{…}`, else what follows its last `####`.

Only the text after the last `</think>` counts. Whatever is rare is flagged `odd` and left to the host: a `\boxed`
without braces, a box inside a box, the marks of a chat (`<|…|>`), a `<think>`, a single token with two boxes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from rlsp_jax.rewards.answer_markers import (
    BOX_NAMES,
    HAS_BOX,
    HAS_HASH,
    HAS_THINK,
    IS_ODD,
    MARKS,
    MARKS_HERE,
    PENDING,
    STATE_BITS,
    Vocabulary,
    braces_before_box,
    braces_in_box,
    has,
)


class FinalAnswer(NamedTuple):
    """Where each response's last final answer stands. Places are tokens, -1 for none; offsets are bytes in a token."""

    first: Int[Array, " batch"]  # where the first answer's marker begins
    box: Int[Array, " batch"]  # where the last box's contents begin …
    box_offset: Int[Array, " batch"]  # … and after how many bytes
    hash: Int[Array, " batch"]  # where what follows the last #### begins …
    hash_offset: Int[Array, " batch"]
    closed: Int[Array, " batch"]  # where the outermost box before the last one closes
    odd: Bool[Array, " batch"]  # the last box is not the whole answer, or that cannot be told

    @property
    def in_box(self) -> tuple[Int[Array, " batch"], Int[Array, " batch"]]:
        return self.box, self.box_offset

    @property
    def behind_hash(self) -> tuple[Int[Array, " batch"], Int[Array, " batch"]]:
        return self.hash, self.hash_offset


class _Reading(NamedTuple):
    """What is carried from token to token, [batch] each; places are -1 for none."""

    state: jax.Array
    begun: jax.Array  # the token in which the marker that may be complete soon has begun
    depth: jax.Array  # braces open since the outermost box opened, its own included; 0 outside of boxes
    shut: jax.Array  # the token in which the outermost box closed last
    nested: jax.Array  # the last box opened inside another one
    odd: jax.Array
    first: jax.Array
    box: jax.Array
    box_state: jax.Array  # the state before that token
    closed: jax.Array
    hash: jax.Array
    hash_state: jax.Array


def absent_as_last(
    tokens: Int[Array, "batch time"], mask: Bool[Array, "batch time"], vocabulary: Vocabulary
) -> Int[Array, "batch time"]:
    """The tokens, with the number of the vocabulary's last row where `mask` does not hold."""
    return jnp.where(mask, tokens, len(vocabulary.effects) - 1).astype(jnp.int32)


def find_final_answer(tokens: Int[Array, "batch time"], vocabulary: Vocabulary) -> FinalAnswer:
    """Read the tokens once. `tokens` are those of `absent_as_last`."""
    num_states = vocabulary.effects.shape[1]
    effects = jnp.asarray(vocabulary.effects).reshape(-1)

    def read(carry: _Reading, item: tuple[jax.Array, jax.Array]) -> tuple[_Reading, None]:
        token, place = item
        was = carry
        effect = effects[token * num_states + was.state]
        thought = has(effect, HAS_THINK)
        depth = jnp.where(thought, 0, was.depth)
        odd = (was.odd & ~thought) | has(effect, IS_ODD)
        shut, first, box, hash_ = (jnp.where(thought, -1, x) for x in (was.shut, was.first, was.box, was.hash))
        begins = jnp.where(has(effect, MARKS_HERE), place, was.begun)
        first = jnp.where(has(effect, MARKS) & (first < 0), begins, first)
        depth, shuts = braces_before_box(depth, effect)
        shut = jnp.where(shuts, place, shut)
        boxes, hashes = has(effect, HAS_BOX), has(effect, HAS_HASH)
        closed = jnp.where(boxes, shut, was.closed)
        nested = jnp.where(boxes, depth > 0, was.nested)
        depth, shuts = braces_in_box(depth + boxes, effect)
        return _Reading(
            state=effect & (2**STATE_BITS - 1),
            begun=jnp.where(has(effect, PENDING), place, was.begun),
            depth=depth,
            shut=jnp.where(shuts, place, shut),
            nested=nested,
            odd=odd,
            first=first,
            box=jnp.where(boxes, place, box),
            box_state=jnp.where(boxes, was.state, was.box_state),
            closed=closed,
            hash=jnp.where(hashes, place, hash_),
            hash_state=jnp.where(hashes, was.state, was.hash_state),
        ), None

    zero = jnp.zeros_like(tokens[:, 0])
    none, no = zero - 1, zero != 0
    start = _Reading(zero, zero, zero, none, no, no, none, none, zero, none, none, zero)
    places = jnp.arange(tokens.shape[1], dtype=jnp.int32)
    end, _ = jax.lax.scan(read, start, (tokens.T, places))
    offsets = jnp.asarray(vocabulary.offsets)

    def offset(place: jax.Array, state: jax.Array) -> jax.Array:
        token = jnp.take_along_axis(tokens, jnp.maximum(place, 0)[:, None], axis=1)[:, 0]
        return offsets[token, state]

    return FinalAnswer(
        first=end.first,
        box=end.box,
        box_offset=offset(end.box, end.box_state),
        hash=end.hash,
        hash_offset=offset(end.hash, end.hash_state),
        closed=end.closed,
        odd=end.odd | ((end.box >= 0) & end.nested) | jnp.isin(end.state, jnp.asarray(BOX_NAMES)),
    )
