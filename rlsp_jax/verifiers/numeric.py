"""The values of terms: exactly as a fraction where that is possible, else to many digits at chosen points.

Two expressions are identical when they agree, to all digits asked for, at several points (Schwartz and Zippel's
argument: functions that differ agree at a random point with probability next to zero).
"""

import cmath
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import mpmath

from rlsp_jax.verifiers.errors import NotUnderstood, TooLarge
from rlsp_jax.verifiers.terms import Apply, Based, Constant, Group, Matrix, Measured, Number, Relation, Symbol, Term

MAX_BITS = 13_000  # of an exact numerator or denominator: below what Python converts to decimal digits
MAX_EXPONENT = 2.0**20  # the largest |log2| of a value: beyond, digits cost more than they tell
MAX_FACTORIAL = 10_000
MAX_SERIES = 1000  # the terms of a series
MAX_COST = 1000  # of an expression, an operation on two numbers being 1
COSTS = {"sum": 400, "prod": 400, "factorial": 40, "binom": 40}
FAR, NEAR = 2.0**12, 2.0**-10
_SCALES = (1.0, FAR, NEAR)
_SIGNED_SCALES = ((1.0, 1), (FAR, 1), (1.0, -1), (FAR, -1), (FAR**2, -1), (NEAR, -1))  # and signs
_NO_SKETCH = ("percent", "deg", "pm", "mp", "ratio", "given")  # these may be equal to what has another value
_FREE = ("add", "mul", "cup", "cap", "gcd", "lcm", "min", "max")  # their operands have no order
SIGNED = ("abs", "floor", "ceil", "min", "max")

Value = Any  # mpmath.mpf or mpmath.mpc, which have no types
Point = Mapping[str, Value]


def exact(term: Term) -> Fraction | None:
    """The term's value if it is rational and made of + − × ÷ and whole powers of rationals; None else.

    Raises TooLarge when the value would not fit, ZeroDivisionError when there is none.
    """
    match term:
        case Number(value):
            return value
        case Based(digits, base):
            return _based(digits, base)
        case Measured(value, _):
            return exact(value)
        case Apply("percent", (value,)):
            return None if (x := exact(value)) is None else x / 100
        case Apply("neg", (value,)):
            return None if (x := exact(value)) is None else -x
        case Apply("ratio", (left, right)):
            return exact(Apply("div", (left, right)))
        case Apply("add" | "mul" | "div" as name, args):
            values = [exact(arg) for arg in args]
            known = [x for x in values if x is not None]
            return _combine(name, known) if len(known) == len(values) else None
        case Apply("pow", (base, power)):
            x, n = exact(base), exact(power)
            return None if x is None or n is None or n.denominator != 1 else _power(x, n.numerator)
    return None


def _combine(name: str, values: list[Fraction]) -> Fraction:
    total = values[0]
    for value in values[1:]:
        total = total + value if name == "add" else total * value if name == "mul" else total / value
        _check_size(total)
    return total


def _power(base: Fraction, exponent: int) -> Fraction:
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if size * abs(exponent) > MAX_BITS and abs(base) != 1 and base:
        raise TooLarge("a power of too many digits")
    return base**exponent


def _check_size(value: Fraction) -> None:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise TooLarge("a number of too many digits")


def _based(digits: str, base: int) -> Fraction:
    try:
        return Fraction(int(digits, base))
    except ValueError:
        raise NotUnderstood(f"{digits} in base {base}") from None


def symbols(term: Term) -> frozenset[str]:
    """The names of a term's variables."""
    found: set[str] = set()
    todo = [term]
    while todo:
        node = todo.pop()
        match node:
            case Symbol(name):
                found.add(name)
            case Apply("sum" | "prod", (Symbol(counter), *bounds, body)):  # what it counts by is none of its variables
                found |= symbols(body) - {counter}
                todo += bounds
            case Apply(_, args) | Group(_, _, args):
                todo += args
            case Relation(_, sides):
                todo += sides
            case Matrix(rows):
                todo += [cell for row in rows for cell in row]
            case Measured(value, _):
                todo.append(value)
    return frozenset(found)


def canonical(term: Term) -> Term:
    """A term with the operands of sums, unions and the like in one order: equal ones need no evaluation."""
    match term:
        case Apply(name, args):
            args = tuple(map(canonical, args))
            if name not in _FREE:
                return Apply(name, args)
            flat = [
                part for arg in args for part in (arg.args if isinstance(arg, Apply) and arg.name == name else [arg])
            ]
            return Apply(name, tuple(sorted(flat, key=repr)))
    return term


def identical(left: Term, right: Term) -> bool:
    """Whether two expressions have the same value wherever they are looked at.

    Raises NotUnderstood where no value is to be had, TooLarge where it would cost too much.
    """
    digits = _digits(left) + _digits(right)
    with mpmath.workdps(60 + digits):
        for place, (first, second) in enumerate(_values(left, right)):
            size = max(abs(first), abs(second))
            differs = abs(first - second) > size * mpmath.mpf(10) ** -(36 + digits)
            if differs and not place and size > 1e-6:
                return False
            if differs or size < mpmath.mpf(10) ** -(digits + 20):  # rounding, or truly so?
                return _identical_to_many_digits(left, right, digits)
    return True


def _identical_to_many_digits(left: Term, right: Term, digits: int) -> bool:
    """Looked at with so many more digits that what is only rounding is far smaller than what is not."""
    with mpmath.workdps(400 + digits):
        for first, second in _values(left, right):
            size = max(abs(first), abs(second), mpmath.mpf(10) ** -(300 + digits))
            if abs(first - second) > size * mpmath.mpf(10) ** -(18 + digits):
                return False
    return True


def factor_between(left: Term, right: Term) -> Value | None:
    """The constant that one expression is the other times; None where there is none, or both are 0."""
    with mpmath.workdps(100):
        ratios = []
        for first, second in _values(left, right):
            if abs(first) < 1e-60 or abs(second) < 1e-60:
                return None
            ratios.append(first / second)
        return ratios[0] if all(abs(ratio - ratios[0]) <= abs(ratios[0]) * 1e-25 for ratio in ratios) else None


def sketch(term: Term) -> tuple[complex | None, ...]:
    """Rough values of a term at one point, one for each place of a tuple; None where none is to be had."""
    match term:
        case Group("(" | "[", _, items):
            return tuple(value for item in items for value in sketch(item))
        case Relation(("=",), (Symbol(), value)) if not symbols(value):
            return sketch(value)
        case Number() | Symbol() | Constant() | Apply() if not _has(term, _NO_SKETCH):
            at = {name: mpmath.mpf(1 + zlib.crc32(name.encode()) / 2**32) for name in symbols(term)}
            try:
                with mpmath.workdps(30):
                    value = complex(evaluate(term, at))
                return (value if cmath.isfinite(value) else None,)
            except (NotUnderstood, TooLarge, ArithmeticError):
                pass
    return (None,)


def apart(first: Sequence[complex | None], second: Sequence[complex | None]) -> bool:
    """Whether two sketches tell that their terms are different, without comparing the terms."""
    return len(first) == len(second) and any(
        x is not None and y is not None and abs(x - y) > 1e-12 + 1e-9 * max(abs(x), abs(y))
        for x, y in zip(first, second, strict=True)
    )


def _values(left: Term, right: Term) -> Iterator[tuple[Value, Value]]:
    """Both values at the points where both have one: one of each kind, or a single one where there is no variable."""
    names, both = symbols(left) | symbols(right), Apply("", (left, right))
    wanted = (len(_SIGNED_SCALES) if _has(both, SIGNED) else len(_SCALES)) if names else 1
    looked, refused = 0, None
    for point in _points(names, both):
        try:
            first, second = evaluate(left, point), evaluate(right, point)
        except ZeroDivisionError:
            continue
        except TooLarge as error:
            if not names:
                raise
            refused = error
            continue
        if not (mpmath.isfinite(first) and mpmath.isfinite(second)):
            continue
        yield first, second
        looked += 1
        if looked == wanted:
            return
    if not looked:
        raise refused or NotUnderstood("no value anywhere")


def is_too_large(term: Term) -> bool:
    """Whether a term itself, compared with whatever, cannot be evaluated for its size."""
    match term:
        case Group(_, _, parts) | Relation(_, parts):
            return any(map(is_too_large, parts))
        case Matrix(rows):
            return any(is_too_large(cell) for row in rows for cell in row)
    try:
        exact(term)
        next(_values(term, term), None)
    except TooLarge:
        return True
    except (NotUnderstood, ArithmeticError):
        return False
    return False


def is_defined(term: Term) -> bool:
    """Whether an expression has a value at some point, finite or not, or would have one if it were not too large."""
    if _is_arithmetic(term):
        return True
    for point in _points(symbols(term), term):
        try:
            return not mpmath.isnan(evaluate(term, point))
        except ArithmeticError:
            continue
        except TooLarge:
            return True
        except NotUnderstood:
            return False
    return False


def _is_arithmetic(term: Term) -> bool:
    """Whether it is made of what always has a value, but for a division by 0 that is not written as such."""
    match term:
        case Number() | Symbol() | Constant():
            return True
        case Apply("div" | "pow" | "root", args) if Number(Fraction(0)) in args:
            return False
        case Apply("add" | "mul" | "div" | "neg" | "pow" | "root", args):
            return all(map(_is_arithmetic, args))
    return False


def approximation(term: Term) -> str | None:
    """The first 20 digits of a constant; None for what has no value."""
    if symbols(term):
        return None
    try:
        value = exact(term)
        with mpmath.workdps(30):
            return str(value) if value is not None else mpmath.nstr(mpmath.chop(evaluate(term, {})), 20)
    except (NotUnderstood, TooLarge, ArithmeticError):
        return None


def near(left: Term, right: Term, tolerance: float) -> bool:
    """Whether two constants differ by at most `tolerance` times the first."""
    if symbols(left) or symbols(right):
        return False
    first, second = evaluate(left, {}), evaluate(right, {})
    return bool(abs(first - second) <= tolerance * abs(first))


def _points(names: frozenset[str], of: Term) -> Iterator[Point]:
    """Values for the variables, always the same for the same names: of middle size, far out, and near 0.

    Positive, for the roots of negative numbers are many, unless a function such as the absolute value tells the signs
    apart. Integers where a series counts; squares, at every other point, where a value is rounded.
    """
    draw = random.Random(" ".join(sorted(names)))
    signed, rounded = _has(of, SIGNED), _has(of, ("floor", "ceil"))
    for attempt in range(12):
        drawn = {name: draw.randrange(10**8, 3 * 10**9) for name in sorted(names)}
        scale, sign = _SIGNED_SCALES[attempt % 6] if signed else (_SCALES[attempt % 3], 1)
        if _has(of, ("sum", "prod")):
            yield {name: mpmath.mpf(x % 11 + 2) for name, x in drawn.items()}
        elif rounded and attempt % 2 == 0:
            yield {name: mpmath.mpf(sign * (x % 11 + 2) ** 2) for name, x in drawn.items()}
        else:
            yield {name: mpmath.mpf(sign * x) * scale / 10**9 for name, x in drawn.items()}


def _has(term: Term, names: tuple[str, ...]) -> bool:
    return isinstance(term, Apply) and (term.name in names or any(_has(arg, names) for arg in term.args))


def _digits(term: Term) -> int:
    """How many digits the term's literal numbers have, so that none of them is lost in rounding."""
    match term:
        case Number(value):
            return min(300, (value.numerator.bit_length() + value.denominator.bit_length()) // 3)
        case Apply("pow", (_, Number(power))):
            return min(300, int(abs(power))) + 2 if abs(power) < 10**9 else 300
        case Apply(_, args):
            return min(300, sum(_digits(arg) for arg in args))
    return 0


def evaluate(term: Term, at: Point) -> Value:
    """The value of an expression at a point, to the working precision.

    Raises NotUnderstood for what has no value, TooLarge, and ZeroDivisionError.
    """
    if _cost(term) > MAX_COST:
        raise TooLarge("too many operations")
    try:
        return _evaluate(term, at)
    except ValueError as error:  # mpmath's, at a pole
        raise NotUnderstood(str(error)) from None


def _evaluate(term: Term, at: Point) -> Value:
    match term:
        case Number(value):
            return mpmath.mpf(value.numerator) / value.denominator
        case Symbol(name):
            if name not in at:
                raise NotUnderstood(f"the variable {name}")
            return at[name]
        case Constant("pi"):
            return +mpmath.pi
        case Constant("e"):
            return +mpmath.e
        case Constant("i"):
            return mpmath.mpc(0, 1)
        case Constant("infty"):
            return mpmath.inf
        case Based(digits, base):
            return mpmath.mpf(int(_based(digits, base)))
        case Measured(value, _):
            return _evaluate(value, at)
        case Apply("sum" | "prod" as name, (Symbol(variable), low, high, body)):
            return _series(name, variable, _evaluate(low, at), _evaluate(high, at), body, at)
        case Apply(name, args):
            return _checked(_apply(name, [_evaluate(arg, at) for arg in args]))
    raise NotUnderstood("a value of another kind")


def _apply(name: str, x: list) -> Value:
    match name:
        case "add":
            return mpmath.fsum(x)
        case "mul":
            return mpmath.fprod(x)
        case "div" | "ratio" if len(x) == 2:
            return x[0] / x[1]
        case "neg":
            return -x[0]
        case "pow":
            return _raise(x[0], x[1])
        case "root":
            return _root(x[0], x[1])
        case "percent":
            return x[0] / 100
        case "deg":
            return x[0] * mpmath.pi / 180
        case "abs":
            return abs(x[0])
        case "factorial" | "binom":
            _check_factorial(x)
            return mpmath.factorial(x[0]) if name == "factorial" else mpmath.binomial(x[0], x[1])
        case "floor" | "ceil":
            return mpmath.floor(x[0]) if name == "floor" else mpmath.ceil(x[0])
        case "exp":
            return _raise(+mpmath.e, x[0])
        case "ln":
            return _log(x[0])
        case "log":
            return _log(x[0]) / _log(x[1] if len(x) > 1 else mpmath.mpf(10))
        case "min" | "max" if all(_is_real(value) for value in x):
            return min(x) if name == "min" else max(x)
        case "sin" | "cos" | "tan" | "cot" | "sec" | "csc" | "asin" | "acos" | "atan" | "sinh" | "cosh" | "tanh" if (
            len(x) == 1
        ):
            if name in ("sinh", "cosh") and abs(x[0]) > 10**6 or abs(x[0]) > mpmath.mpf(10) ** 60:
                raise TooLarge(f"the argument of {name}")
            return getattr(mpmath, name)(x[0])
    raise NotUnderstood(f"the function {name}")


def _cost(term: Term) -> int:
    """About how long a term takes to be evaluated."""
    if not isinstance(term, Apply):
        return 1
    operands = sum(map(_cost, term.args))
    return operands * COSTS["sum"] // 4 if term.name in ("sum", "prod") else operands + COSTS.get(term.name, 1)


def _series(name: str, variable: str, low: Value, high: Value, body: Term, at: Point) -> Value:
    if not (mpmath.isint(low) and mpmath.isint(high)):
        raise NotUnderstood("a bound that is no integer")
    if high - low > MAX_SERIES or _has(body, ("sum", "prod")):
        raise TooLarge("a series")
    values = [_evaluate(body, {**at, variable: mpmath.mpf(i)}) for i in range(int(low), int(high) + 1)]
    return _checked(mpmath.fsum(values) if name == "sum" else mpmath.fprod(values))


def _raise(base, exponent):
    if not base:
        if mpmath.re(exponent) > 0:
            return mpmath.mpf(0)
        if exponent == 0:
            return mpmath.mpf(1)
        raise ZeroDivisionError
    if not (mpmath.isfinite(base) and mpmath.isfinite(exponent)):
        raise NotUnderstood("a power of infinity")
    if abs(exponent) > 2.0**60 or abs(exponent) * (1 + abs(mpmath.mag(base))) > MAX_EXPONENT:
        raise TooLarge("a power")
    return base**exponent


def _root(base, degree):
    if not degree:
        raise ZeroDivisionError
    if _is_real(base) and mpmath.re(base) < 0 and mpmath.isint(degree) and int(degree) % 2:
        return -((-base) ** (1 / degree))  # the real root, as it is meant
    return _raise(base, 1 / degree)


def _log(x):
    if not x:
        raise ZeroDivisionError
    return mpmath.log(x)


def _check_factorial(x: list) -> None:
    if any(abs(value) > MAX_FACTORIAL for value in x):
        raise TooLarge("a factorial")


def _is_real(x) -> bool:
    return not isinstance(x, mpmath.mpc) or x.imag == 0


def _checked(x):
    if mpmath.isfinite(x) and x and abs(mpmath.mag(x)) > MAX_EXPONENT:
        raise TooLarge("a value")
    return x
