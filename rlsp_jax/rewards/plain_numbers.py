r"""Plain numbers read on the device and compared exactly with known ones.

Decimals are compared digit by digit with the known number's, so they may be of any length; a quotient `a/b` is `p/q`
where a·q = p·b, in 64 bits made of two words. What a plain number is, `plain_grammar` tells.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt8, UInt32

from rlsp_jax.common.rationals import Plain
from rlsp_jax.rewards.automaton import SYMBOLS
from rlsp_jax.rewards.byte_text import MAX_DIGITS
from rlsp_jax.rewards.plain_grammar import (
    ABOVE,
    BELOW,
    DECIMAL,
    DEGREE,
    DONE,
    EMPTY,
    MINUS,
    PART_BITS,
    PERCENT,
    WHOLE,
    automaton,
)
from rlsp_jax.rewards.token_reader import SKIP

_LARGE = 10**MAX_DIGITS  # stands for every larger integer of a quotient


class PlainTruth(NamedTuple):
    """Known plain numbers: 0.d₁d₂d₃… · 10^exponent with d₁ > 0, and the reduced p/q where both have few digits.

    The second p/q is the number in the other notation: a hundred times it, or of a percentage a hundredth of it.
    """

    known: Bool[Array | np.ndarray, " batch"]  # False: the gold answer is not a plain number
    percent: Bool[Array | np.ndarray, " batch"]
    degree: Bool[Array | np.ndarray, " batch"]
    divided: Bool[Array | np.ndarray, " batch"]  # the gold answer itself is a quotient that comes out whole
    negative: Bool[Array | np.ndarray, " batch"]
    digits: UInt8[Array | np.ndarray, "batch digits"]  # zero-padded
    num_digits: Int[Array | np.ndarray, " batch"]  # more than `digits` holds where no such decimal is equal
    exponent: Int[Array | np.ndarray, " batch"]
    top: Int[Array | np.ndarray, "batch 2"]
    bottom: Int[Array | np.ndarray, "batch 2"]  # 0 where p/q has too many digits for any quotient to be equal


def encode_plain(numbers: Sequence[Plain | None], size: int) -> PlainTruth:
    """Numbers for comparison with decimals of up to `size` digits."""
    batch = len(numbers)
    known, percent, degree, divided, negative = (np.zeros(batch, bool) for _ in range(5))
    digits, num_digits, exponent = (
        np.zeros((batch, size), np.uint8),
        np.zeros(batch, np.int32),
        np.zeros(batch, np.int32),
    )
    top, bottom = np.zeros((batch, 2), np.int32), np.zeros((batch, 2), np.int32)
    for row, number in enumerate(numbers):
        if number is None:
            continue
        value = abs(number.value)
        known[row], negative[row] = True, number.value < 0
        percent[row], degree[row], divided[row] = number.percent, number.degree, number.divided
        written, exponent[row] = _decimal(value, size)
        num_digits[row] = len(written)
        digits[row, : len(written)] = written[:size]
        for column, part in enumerate((value, value / 100 if number.percent else value * 100)):
            fits = max(part.numerator, part.denominator) < _LARGE
            top[row, column], bottom[row, column] = (part.numerator, part.denominator) if fits else (1, 0)
    return PlainTruth(known, percent, degree, divided, negative, digits, num_digits, exponent, top, bottom)


def _decimal(value: Fraction, size: int) -> tuple[list[int], int]:
    """The significant digits and the exponent; `size` + 1 digits where there are more."""
    exponent = 0
    while value >= 1:
        value, exponent = value / 10, exponent + 1
    while 0 < value < Fraction(1, 10):
        value, exponent = value * 10, exponent - 1
    digits: list[int] = []
    while value and len(digits) <= size:
        digit, value = divmod(value * 10, 1)
        digits.append(digit)
    return digits, exponent


class _Carry(NamedTuple):
    """[batch] each."""

    state: jax.Array
    percent: jax.Array
    degree: jax.Array
    negative: jax.Array
    num_digits: jax.Array  # from the first one that is not 0
    exponent: jax.Array
    differs: jax.Array  # in a digit
    whole: jax.Array
    above: jax.Array  # -1 without digits that can be no others
    below: jax.Array  # -1 without a quotient
    empty: jax.Array
    done: jax.Array


class Compared(NamedTuple):
    """What an answer is and whether it is right."""

    plain: Bool[Array, " batch"]  # a plain number that could be compared
    empty: Bool[Array, " batch"]  # a box without anything in it
    right: Bool[Array, " batch"]


def compare(
    symbols: Int[Array, "size batch"],
    hashed: Bool[Array, " batch"],
    truth: PlainTruth,
    *,
    forgive_percent: bool,
    unevaluated: bool,
) -> Compared:
    """Read the answers, boxed or else `hashed`, and compare them with the truth.

    `forgive_percent`: 12% is right for 12. Always right are 12% for 0.12 and the other way round, and 12 for 12%.
    `unevaluated`: a quotient that comes out whole is right for what it comes to, too.
    """
    machine = automaton()
    table = jnp.asarray((machine.table << PART_BITS) + machine.parts[machine.table]).reshape(-1)
    digits = jnp.asarray(truth.digits)

    def read(was: _Carry, symbol: jax.Array) -> tuple[_Carry, None]:
        entry = table[was.state * SYMBOLS + jnp.maximum(symbol, 0)]
        part = jnp.where(symbol == SKIP, 0, entry & (2**PART_BITS - 1))
        digit = symbol - ord("0")
        whole, decimal = part == WHOLE, part == DECIMAL
        counted = (whole | decimal) & ((was.num_digits > 0) | (digit > 0))
        expected = jnp.take_along_axis(digits, was.num_digits[:, None], axis=1, mode="clip")[:, 0]
        carried = _Carry(
            state=jnp.where(symbol == SKIP, was.state, entry >> PART_BITS),
            percent=was.percent | (part == PERCENT),
            degree=was.degree | (part == DEGREE),
            negative=was.negative ^ (part == MINUS),
            num_digits=was.num_digits + counted,
            exponent=was.exponent + (whole & counted) - (decimal & ~counted),
            differs=was.differs | (counted & (digit != expected)),
            whole=jnp.where(whole, _append(was.whole, digit), was.whole),
            above=jnp.where(part == ABOVE, _append(was.above, digit), was.above),
            below=jnp.where(part == BELOW, _append(was.below, digit), was.below),
            empty=was.empty | (part == EMPTY),
            done=was.done | (part == DONE),
        )
        return carried, None

    zero = jnp.zeros_like(symbols[0])
    no, none = zero != 0, zero - 1
    start = jnp.where(hashed, machine.starts[1], machine.starts[0])
    answer, _ = jax.lax.scan(read, _Carry(start, no, no, no, zero, zero, no, none, none, none, no, no), symbols)
    return _conclude(answer, truth, forgive_percent, unevaluated)


def _append(number: jax.Array, digit: jax.Array) -> jax.Array:
    """A decimal number with one more digit; -1 is the one without any."""
    return jnp.where(number >= _LARGE // 10, _LARGE, jnp.maximum(number, 0) * 10 + digit)


def _conclude(answer: _Carry, truth: PlainTruth, forgive_percent: bool, unevaluated: bool) -> Compared:
    quotient, proper = _quotient(answer)
    top, bottom = quotient
    same_digits = ~answer.differs & (answer.num_digits >= truth.num_digits)
    zero = truth.num_digits == 0
    known_top, known_bottom = jnp.asarray(truth.top), jnp.asarray(truth.bottom)
    sign = zero | (answer.negative == truth.negative)

    def equals(shift: jax.Array | int, column: int) -> jax.Array:
        left, right = _product(top, known_bottom[:, column]), _product(known_top[:, column], bottom)
        decimal = same_digits & (zero | (answer.exponent == truth.exponent + shift))
        return sign & jnp.where(answer.below >= 0, (left[0] == right[0]) & (left[1] == right[1]), decimal)

    right = equals(0, 0)
    if not forgive_percent:
        right &= truth.percent | ~answer.percent
    right |= (truth.percent != answer.percent) & equals(jnp.where(truth.percent, -2, 2), 1)  # in the other notation
    right &= ~(truth.percent & answer.degree) & ~(truth.degree & answer.percent)
    if not unevaluated:
        right &= ~((answer.below >= 0) & (top % jnp.maximum(bottom, 1) == 0)) | truth.divided
    return Compared(answer.done & proper, answer.empty, right)


def _quotient(answer: _Carry) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    """The numerator and denominator of a quotient, and whether it is none, or a proper one that is not too large."""
    mixed = (answer.whole >= 0) & (answer.above >= 0)
    top = jnp.where(answer.above >= 0, answer.above, answer.whole)
    bottom = jnp.maximum(answer.below, 1)
    room = (_LARGE - 1 - top) // bottom  # for the whole part of a mixed number
    fits = (answer.below != 0) & (top < _LARGE) & (bottom < _LARGE)
    fits &= ~mixed | ((top > 0) & (top < bottom) & (answer.whole <= room))
    top = jnp.where(mixed & fits, answer.whole * bottom + top, top)
    return (top, bottom), (answer.below < 0) | fits


def _product(
    x: Int[Array, " batch"], y: Int[Array, " batch"]
) -> tuple[UInt32[Array, " batch"], UInt32[Array, " batch"]]:
    """The high and the low word of a product of numbers below 2³⁰ that are not negative."""
    x, y = x.astype(jnp.uint32), y.astype(jnp.uint32)
    (x1, x0), (y1, y0) = ((number >> 16, number & 0xFFFF) for number in (x, y))
    middle = x1 * y0 + x0 * y1 + ((x0 * y0) >> 16)  # below 2³²: each product is below 2³⁰
    return x1 * y1 + (middle >> 16), x * y
