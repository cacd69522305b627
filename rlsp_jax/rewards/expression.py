"""Infix arithmetic over bytes, parsed and evaluated exactly for a whole batch at once.

    expr   := term (("+" | "-") term)*          blanks around tokens mean nothing
    term   := factor (("*" | "/") factor)*
    factor := number | "(" expr ")"
    number := "0" | [1-9][0-9]*

No stack is needed. An operator's priority is its depth of parentheses, then its precedence; of the operators left, the
first one of the highest priority is always between two finished values. So `n` values take `n - 1` static reductions,
and parentheses may nest as deep as they like.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Shaped, UInt8

from rlsp_jax.rewards.byte_text import places, read_numbers, take

ABSENT = -1  # in place of a literal or an operator that a shorter expression does not have
PLUS, MINUS, TIMES, DIVIDE = range(4)
OPERATORS = b"+-*/"
_SAFE = float(2**30)  # products below this, as float32 sees them, and sums of two of them fit int32

_BLANK, _DIGIT, _OPEN, _CLOSE, _OPERATOR, _OTHER = range(6)


def _byte_kinds() -> np.ndarray:
    kinds = np.full(256, _OTHER, np.int8)
    for kind, members in {_BLANK: b" ", _DIGIT: b"0123456789", _OPEN: b"(", _CLOSE: b")", _OPERATOR: OPERATORS}.items():
        kinds[list(members)] = kind
    return kinds


_KINDS = _byte_kinds()


class Expression(NamedTuple):
    """The literals and the operators between them, in the order written."""

    well_formed: Bool[Array, " batch"]
    num_values: Int[Array, " batch"]  # may exceed `values`
    values: Int[Array, "batch values"]  # ABSENT, or TOO_LARGE
    operators: Int[Array, "batch operators"]  # PLUS …
    priorities: Int[Array, "batch operators"]  # higher binds tighter; ABSENT


class Rational(NamedTuple):
    """An exact value, a whole number being over 1; without meaning where a flag is set."""

    numerator: Int[Array, " batch"]
    denominator: Int[Array, " batch"]
    overflow: Bool[Array, " batch"]  # an intermediate numerator or denominator may reach 2³⁰
    zero_division: Bool[Array, " batch"]


def parse(data: UInt8[Array, "batch n"], length: Int[Array, " batch"], *, max_values: int) -> Expression:
    """The expression in the first `length` bytes of each row."""
    columns = jnp.arange(data.shape[1], dtype=jnp.int32)
    data = jnp.where(columns < length[:, None], data, jnp.uint8(ord(" ")))
    kind = jnp.asarray(_KINDS)[data]
    number = (kind == _DIGIT) & (_before(kind, _BLANK) != _DIGIT)
    operator = kind == _OPERATOR
    depth = jnp.cumsum((kind == _OPEN).astype(jnp.int32) - (kind == _CLOSE), axis=1)
    at, exists = places(number, max_values)
    literals = jnp.where(exists, take(read_numbers(data).value, at), ABSENT)
    at, exists = places(operator, max_values - 1)
    symbol = take(data, at)
    tight = (symbol == ord("*")) | (symbol == ord("/"))
    return Expression(
        well_formed=_well_formed(data, kind, number, depth),
        num_values=number.sum(axis=1),
        values=literals,
        operators=jnp.argmax(symbol[:, :, None] == jnp.asarray(list(OPERATORS), jnp.uint8), axis=2),
        priorities=jnp.where(exists, 2 * take(depth, at) + tight, ABSENT),
    )


def _well_formed(data, kind, number, depth) -> Bool[Array, " batch"]:
    """Parentheses balance, literals have no leading zeros, and operands and operators alternate."""
    columns = jnp.arange(data.shape[1], dtype=jnp.int32)
    solid = jax.lax.cummax(jnp.where(kind != _BLANK, columns, -1), axis=1)
    before = _before(solid, -1)  # the last byte before this one that is no blank
    previous = jnp.where(before < 0, _OPERATOR, take(kind, jnp.maximum(before, 0)))
    operand_due = (previous == _OPERATOR) | (previous == _OPEN)
    opens = number | (kind == _OPEN)
    closes = (kind == _OPERATOR) | (kind == _CLOSE)
    rest = (kind == _BLANK) | ((kind == _DIGIT) & ~number)
    in_place = jnp.where(opens, operand_due, jnp.where(closes, ~operand_due, rest))
    leading_zero = _before(number & (data == ord("0")), False) & (kind == _DIGIT)
    last = take(kind, jnp.maximum(solid[:, -1:], 0))[:, 0]
    complete = (last == _DIGIT) | (last == _CLOSE)
    return complete & jnp.all(in_place & ~leading_zero & (depth >= 0), axis=1) & (depth[:, -1] == 0)


def _before(x: Shaped[Array, "batch n"], first) -> Shaped[Array, "batch n"]:
    """What stands one place earlier."""
    return jnp.concatenate([jnp.full_like(x[:, :1], first), x[:, :-1]], axis=1)


def evaluate(expression: Expression) -> Rational:
    """The exact value of well-formed expressions of at most `max_values` literals."""
    numerators, operators, priorities = expression.values, expression.operators, expression.priorities
    denominators = jnp.ones_like(numerators)
    overflow = zero_division = jnp.zeros(len(numerators), bool)
    while priorities.shape[1]:
        active = jnp.any(priorities != ABSENT, axis=1)
        first = jnp.argmax(priorities, axis=1)[:, None]
        left, right = ((take(numerators, at)[:, 0], take(denominators, at)[:, 0]) for at in (first, first + 1))
        value = _apply(take(operators, first)[:, 0], left, right)
        overflow |= active & value.overflow
        zero_division |= active & value.zero_division
        numerators = _merge(numerators, first, value.numerator, active)
        denominators = _merge(denominators, first, value.denominator, active)
        operators, priorities = _remove(operators, first), _remove(priorities, first)
    return Rational(numerators[:, 0], denominators[:, 0], overflow, zero_division)


def _apply(operator, left, right) -> Rational:
    """`left operator right` of (numerator, denominator) pairs with positive denominators."""
    (a, b), (c, d) = left, right
    divide = operator == DIVIDE
    c, d = jnp.where(divide, d * jnp.sign(c), jnp.where(operator == MINUS, -c, c)), jnp.where(divide, jnp.abs(c), d)
    product = divide | (operator == TIMES)
    numerator = jnp.where(product, a * c, a * d + c * b)
    denominator = b * d
    overflow = _large(b, d) | jnp.where(product, _large(a, c), _large(a, d) | _large(c, b))
    zero_division = denominator == 0
    safe = jnp.maximum(denominator, 1)
    whole = numerator % safe == 0  # the only reduction: it is cheap, and makes every whole number x/1
    return Rational(jnp.where(whole, numerator // safe, numerator), jnp.where(whole, 1, safe), overflow, zero_division)


def _large(x, y) -> Bool[Array, " batch"]:
    return jnp.abs(x.astype(jnp.float32) * y.astype(jnp.float32)) >= _SAFE


def _merge(x: Int[Array, "batch n"], first, value, active) -> Int[Array, "batch less"]:
    """Two neighbouring values become one; a row without operators only loses its last, absent place."""
    columns = jnp.arange(x.shape[1] - 1)
    merged = jnp.where(columns < first, x[:, :-1], jnp.where(columns == first, value[:, None], x[:, 1:]))
    return jnp.where(active[:, None], merged, x[:, :-1])


def _remove(x: Int[Array, "batch n"], first) -> Int[Array, "batch less"]:
    return jnp.where(jnp.arange(x.shape[1] - 1) < first, x[:, :-1], x[:, 1:])
