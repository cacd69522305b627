"""Pay for intermediate results that a reference solution has too: a heuristic dense reward (2403.04642, §3).

The values right of `=` are read as plain numbers: `=24`, `= $1,250`, `=-.50`. What they are computed from is not looked
at, so that this pays for agreeing with the reference and not for being right.
"""

import dataclasses
import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt8, UInt32

from rlsp_jax.common.errors import UserError
from rlsp_jax.records import Problem
from rlsp_jax.rewards.byte_text import MAX_DIGITS, TOO_LARGE, ByteText, expand, find, places, read_numbers, take
from rlsp_jax.rewards.hashing import hash_items
from rlsp_jax.rewards.streams import Score
from rlsp_jax.types import PyTree, Rollout, TokenBytes, Verdicts

MAX_STEPS = 32  # distinct values of a reference that are kept; longer solutions are unheard of
_MAX_SKIP = 3  # blanks and dollar signs between = and a value
_NUMBER = re.compile(r"[ $]{0,3}(-?)(\d{1,3}(?!\d)(?:,\d{3}(?!\d)){0,2}|\d+)?(?:\.(\d+))?", re.ASCII)


class Values(NamedTuple):
    """The values right of `=` in the order of the text."""

    key: UInt32[Array, "batch values"]  # equal for equal numbers; 0 for one of more than `MAX_DIGITS` digits
    end: Int[Array, "batch values"]  # the token that its last digit belongs to
    exists: Bool[Array, "batch values"]


@dataclasses.dataclass(frozen=True)
class ReferenceSteps:
    """(|G ∩ M| − min(1, |M ∖ G|)) / (|G| + 1), where G are the reference's values and M the response's.

    Each part is paid at the token in which its value ends: 1 / (|G| + 1) for a value of the reference when it is first
    written, and −1 / (|G| + 1) once, for the first value that the reference does not have. M is what is written before
    the first final answer, its first `max_values` values. The first author's earlier code adds the second term, against
    its own comment. Problems without a reference, and responses that outgrow `byte_text.expand`, are not valid.
    """

    max_values: int = 64

    def __post_init__(self):
        if self.max_values < 1:
            raise UserError(f"max_values is {self.max_values}; at least 1 value must be read.")

    def init(self) -> PyTree:
        return ()

    def __call__(
        self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes, memory: PyTree
    ) -> tuple[Score, PyTree]:
        reference = rollout.prompts.steps
        if reference is None:
            raise UserError("ReferenceSteps compares with reference solutions, but the prompts carry none.")
        batch, time = rollout.mask.shape
        reasoning = rollout.mask & (jnp.arange(time) < verdicts.answer_start[:, None])
        text = expand(rollout.tokens, reasoning, token_bytes)
        values = read_values(text, self.max_values)
        size = jnp.sum(reference != 0, axis=1, keepdims=True)
        parts = _parts(values, reference).astype(jnp.float32) / (size + 1)
        reward = jnp.zeros((batch, time)).at[jnp.arange(batch)[:, None], values.end].add(parts)
        return Score(reward, (size[:, 0] > 0) & ~text.overflow), memory


def _parts(values: Values, reference: UInt32[Array, "batch steps"]) -> Int[Array, "batch values"]:
    """What each value adds to |G ∩ M| − min(1, |M ∖ G|)."""
    same = (values.key[:, :, None] == reference[:, None, :]) & (reference != 0)[:, None, :]
    same &= values.exists[:, :, None]
    first = same & (jnp.cumsum(same, axis=1) == 1)
    foreign = values.exists & ~jnp.any(same, axis=2)
    return jnp.any(first, axis=2).astype(jnp.int32) - (foreign & (jnp.cumsum(foreign, axis=1) == 1))


# ---- the device reads a response -----------------------------------------------------------------


def read_values(text: ByteText, max_values: int) -> Values:
    """The values right of the first `max_values` signs of equality."""
    data = text.bytes
    at, exists = places(find(text, b"="), max_values)
    at = at + 1
    for _ in range(_MAX_SKIP):
        at += _is(data, at, b" $")
    negative = _is(data, at, b"-")
    at += negative
    numbers, lengths = read_numbers(data)
    whole, whole_size = _read_whole(data, numbers, lengths, at)
    at += whole_size
    fraction_size = jnp.where(_is(data, at, b"."), take(lengths, at + 1), 0)
    fraction = jnp.where(fraction_size > 0, take(numbers, at + 1), 0)
    at += jnp.where(fraction_size > 0, 1 + fraction_size, 0)
    exists &= (whole_size > 0) | (fraction_size > 0)
    readable = (whole != TOO_LARGE) & (fraction != TOO_LARGE)
    key = _key(negative, whole, fraction, fraction_size)
    last = jnp.maximum(at - 1, 0)
    return Values(jnp.where(readable, key, jnp.uint32(0)), take(text.owner, last), exists)


def _is(data: UInt8[Array, "batch n"], at: Int[Array, "batch places"], which: bytes) -> Bool[Array, "batch places"]:
    byte = take(data, at)
    return functools.reduce(jnp.logical_or, [byte == one for one in which])


def _read_whole(data, numbers, lengths, at) -> tuple[Int[Array, "batch places"], Int[Array, "batch places"]]:
    """The digits before a decimal point with their separators of thousands: the number, and how long it is."""
    whole, size = take(numbers, at), take(lengths, at)
    groups = (size > 0) & (size <= 3)
    whole = jnp.where(size > 0, whole, 0)
    for _ in range(MAX_DIGITS // 3 - 1):
        after = at + size
        groups &= _is(data, after, b",") & (take(lengths, after + 1) == 3)
        whole = jnp.where(groups, whole * 1000 + take(numbers, after + 1), whole)
        size += jnp.where(groups, 4, 0)
    return whole, size


def _key(negative, whole, fraction, size) -> UInt32[Array, "batch values"]:
    """The hash of a number as it is written shortest; never 0."""
    for _ in range(MAX_DIGITS):
        idle = (size > 0) & (fraction % 10 == 0)
        fraction, size = jnp.where(idle, fraction // 10, fraction), size - idle
    negative &= (whole != 0) | (fraction != 0)
    items = jnp.stack([negative.astype(jnp.int32), whole, fraction, size], axis=-1)
    return jnp.maximum(hash_items(items), 1)


# ---- the host reads a reference ------------------------------------------------------------------


def encode_steps(problems: Sequence[Problem]) -> np.ndarray:
    """The distinct values of each problem's reference as uint32 [problems, MAX_STEPS], 0 where there is none."""
    keys = np.zeros((len(problems), MAX_STEPS), np.uint32)
    for row, problem in zip(keys, problems, strict=True):
        found = list(dict.fromkeys(key for text in problem.steps if (key := key_of(text))))[:MAX_STEPS]
        row[: len(found)] = found
    return keys


@functools.lru_cache(maxsize=1 << 14)
def key_of(text: str) -> int:
    """The key of a value as `read_values` reads it; 0 for what is no plain number."""
    number = _NUMBER.fullmatch(text.strip())
    if number is None or not (number[2] or number[3]):
        return 0
    digits, fraction = (number[2] or "0").replace(",", ""), (number[3] or "").rstrip("0")
    if max(len(digits), len(number[3] or "")) > MAX_DIGITS:  # as written: the device reads no more
        return 0
    items = [bool(number[1]) and bool(int(digits) or fraction), int(digits), int(fraction or 0), len(fraction)]
    return max(_hash(items), 1)


def _hash(items: Sequence[int]) -> int:
    """`hashing.hash_items` of one row, in plain integers: a number here need not wait for the device."""
    hashed = 1
    for item in items:
        hashed = ((hashed ^ item) * 0x9E3779B1) & 0xFFFFFFFF
        hashed ^= hashed >> 15
        hashed = (hashed * 0x85EBCA6B) & 0xFFFFFFFF
        hashed ^= hashed >> 13
    return hashed
