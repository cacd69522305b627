"""Whether what was asked for has been computed: `2^3` and `56/8` leave 8 and 7 to the reader."""

from fractions import Fraction
from math import isqrt

from rlsp_jax.verifiers.errors import TooLarge
from rlsp_jax.verifiers.forms import as_list, is_name, settle, total
from rlsp_jax.verifiers.numeric import exact, symbols
from rlsp_jax.verifiers.realsets import is_set
from rlsp_jax.verifiers.terms import Apply, Constant, Group, Matrix, Measured, Number, Relation, Symbol, Term, multiply

_OUTSIDE = ("neg", "percent", "deg", "ratio", "cup", "cap", "setminus")  # values stay values within these


def leaves_to_compute(gold: Term, answer: Term) -> bool:
    """Whether the answer leaves numbers to compute, and the gold answer does not."""
    return is_undone(answer) and not is_undone(gold)


def is_undone(term: Term, *, quotients: bool = True) -> bool:
    """Whether a number in an answer is not written as what it comes to.

    Every single number, item of a list, bound of a set, coordinate and part of a ratio counts, and within an expression
    the numbers that stand beside its variables or i. Irrational numbers may be written in any way, and so may both
    sides of an equation that is not solved. `quotients`: also those that come out whole.
    """
    term = settle(term)
    if (items := as_list(term)) is not None:
        return any(is_undone(item, quotients=quotients) for item in items)
    match term:
        case Relation(("=" | "approx",)):
            value = total(term)
            return value is not None and is_undone(value, quotients=quotients)
        case Relation(_, sides):
            bounds = [side for side in sides if not symbols(side)]
            named = all(is_name(side) for side in sides if symbols(side))
            return named and any(is_undone(bound, quotients=quotients) for bound in bounds)
        case Group(opening, _, parts):  # in coordinates a quotient may stand
            quotients = quotients and (opening == "[" or is_set(term))
            return any(is_undone(part, quotients=quotients) for part in parts)
        case Matrix(rows):
            return any(is_undone(cell, quotients=False) for row in rows for cell in row)
        case Measured(value, _):
            return is_undone(value, quotients=quotients)
        case Apply("div" | "ratio", (_, _)) if quotients and _is_whole(term):
            return True
        case Apply(name, args) if name in _OUTSIDE:
            return any(is_undone(arg, quotients=quotients) for arg in args)
        case Apply("given", (value, _)):
            return is_undone(value, quotients=quotients)
        case Apply():
            return (_is_mixed(term) or _is_rational(term)) and _is_unfinished(term)
    return False


def is_literal(term: Term) -> bool:
    """A number as it is written down when it has been computed: no sum, product or power is left to do.

    A fraction of integers is one, reduced or not; so is a power of ten with or without a factor.
    """
    match term:
        case Number():
            return True
        case Apply("neg" | "percent" | "deg", (value,)) | Measured(value, _):
            return is_literal(value)
        case Apply("div" | "ratio", (top, bottom)):
            return _is_integer(top) and _is_integer(bottom)
        case Apply("mul", (Number(), Apply("pow", (Number(ten), power)))) | Apply("pow", (Number(ten), power)):
            return ten == 10 and _is_integer(power)
    return False


def _is_whole(term: Term) -> bool:
    """Whether it is an integer, written in whatever way."""
    value = _exact(term)
    return value is not None and value.denominator == 1


def _exact(term: Term) -> Fraction | None:
    """A value that is rational and not too large."""
    try:
        return exact(term)
    except (TooLarge, ZeroDivisionError):
        return None


def _is_mixed(term: Term) -> bool:
    """An expression in variables or in i."""
    match term:
        case Symbol() | Constant("i"):
            return True
        case Apply(_, args):
            return any(map(_is_mixed, args))
    return False


def _is_unfinished(term: Term) -> bool:
    """Whether a sum, product, power or root of rational numbers within an expression is left to do."""
    match term:
        case Apply("div", args) if _is_rational(term):
            return any(map(_is_unfinished, args))
        case Apply() if _is_rational(term):
            return not is_literal(term)
        case Apply("add" | "mul" as name, args):
            numbers = [arg for arg in args if _is_rational(arg)]
            apart = len(numbers) > 1 and not (name == "mul" and is_literal(multiply(*numbers)))
            return apart or any(map(_is_unfinished, args))
        case Apply(_, args):
            return any(map(_is_unfinished, args))
    return False


def _is_rational(term: Term) -> bool:
    """Whether it is a rational number: by arithmetic, however large, or the root of a square, cube or the like."""
    match term:
        case Number():
            return True
        case Apply("root", (inner, Number(degree))):
            value = _exact(inner)
            return value is not None and _has_root(value, degree)
        case Apply("pow", (base, power)):
            return _is_rational(base) and _is_whole(power)
        case Apply("neg" | "add" | "mul" | "div" | "factorial" | "binom", args):
            return all(map(_is_rational, args))
    return False


def _has_root(value: Fraction, degree: Fraction) -> bool:
    """Whether a rational number's root is rational; of roots other than square ones, only those of small numbers."""
    if degree == 2:
        return value >= 0 and all(isqrt(part) ** 2 == part for part in (value.numerator, value.denominator))
    if degree.denominator != 1 or not 2 < degree < 64 or max(abs(value.numerator), value.denominator) > 2**52:
        return False
    return all(round(abs(part) ** (1 / degree)) ** int(degree) == abs(part) for part in value.as_integer_ratio())


def _is_integer(term: Term) -> bool:
    match term:
        case Number(value):
            return value.denominator == 1
        case Apply("neg", (value,)):
            return _is_integer(value)
    return False
