"""Single values, with or without a unit."""

from fractions import Fraction

from rlsp_jax.verifiers.numeric import canonical, exact, identical, symbols
from rlsp_jax.verifiers.terms import Apply, Based, Constant, Measured, Number, Term
from rlsp_jax.verifiers.units import is_plausible, same_unit

_PERCENT = frozenset(("percent", "percentage", "percents", "pct", "per cent"))


def same_quantity(gold: Term, answer: Term) -> bool:
    """Whether two quantities are equal: a unit may be missing, and may be another one of the same kind.

    Raises NotUnderstood, TooLarge and ZeroDivisionError.
    """
    (gold_value, gold_unit), (value, unit) = measure(gold), measure(answer)
    if gold_unit == unit:
        return same_value(gold_value, value)
    if gold_unit and unit:
        if {gold_unit, unit} <= {"degree", "percent"}:
            return False
        factor = same_unit(gold_unit, unit)
        return factor is not None and same_value(_times(gold_value, factor), value)
    known = gold_unit or unit
    if not is_plausible(known):
        return False
    if same_value(gold_value, value):
        return True
    if known == "degree":
        return not symbols(gold_value) and identical(_in_full(gold_value, gold_unit), _in_full(value, unit))
    return known == "percent" and same_value(_in_full(gold_value, gold_unit), _in_full(value, unit))


def measure(term: Term) -> tuple[Term, str]:
    """A value and its unit, "" for none."""
    match term:
        case Measured(value, unit):
            inner, other = measure(value)
            return inner, other or ("percent" if unit in _PERCENT else "degree" if unit == "degrees" else unit)
        case Apply("deg", (value,)):
            return value, "degree"
        case Apply("percent", (value,)):
            return value, "percent"
    return term, ""


def _times(term: Term, factor: Fraction) -> Term:
    if factor == 1:
        return term
    value = exact(term)
    return Apply("mul", (term, Number(factor))) if value is None else Number(value * factor)


def _in_full(value: Term, unit: str) -> Term:
    """The pure number that a percentage or an angle is."""
    if unit == "percent" and (number := exact(value)) is not None:
        return Number(number / 100)
    return Apply({"percent": "percent", "degree": "deg"}[unit], (value,)) if unit else value


def same_value(gold: Term, answer: Term) -> bool:
    """Whether two values without units are equal, exactly or as expressions up to identity.

    Where the gold is a number, the answer must be one, too: nothing may be left to compute.
    """
    if gold == answer:
        return True
    if isinstance(gold, Based) or isinstance(answer, Based):
        return _same_based(gold, answer)
    if is_literal(gold):
        return is_literal(answer) and exact(gold) == exact(answer)
    if canonical(gold) == canonical(answer):
        return True
    if Constant("infty") in (gold, answer) or bool(symbols(gold)) != bool(symbols(answer)):
        return False
    known, value = exact(gold), exact(answer)
    return known == value if known is not None and value is not None else identical(gold, answer)


def _same_based(gold: Term, answer: Term) -> bool:
    """Digits in a base: the same ones, or the bare digits where the answer does not name the base."""
    match gold, answer:
        case Based(), Based():
            return gold.base == answer.base and exact(gold) == exact(answer)
        case Based(digits, _), Number(value):
            return value == int(digits)
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
        case Apply("div", (top, bottom)):
            return _is_integer(top) and _is_integer(bottom)
        case Apply("mul", (Number(), Apply("pow", (Number(ten), power)))) | Apply("pow", (Number(ten), power)):
            return ten == 10 and _is_integer(power)
    return False


def is_left_to_compute(gold: Term, answer: Term) -> bool:
    """A quotient that comes out whole, `56/8`, where the gold answer is the whole number."""
    gold, answer = measure(gold)[0], measure(answer)[0]
    return isinstance(gold, Number) and _is_quotient(answer) and _is_whole(gold) and _is_whole(answer)


def _is_quotient(term: Term) -> bool:
    match term:
        case Apply("neg", (inner,)):
            return _is_quotient(inner)
    return isinstance(term, Apply) and term.name == "div"


def _is_whole(term: Term) -> bool:
    value = exact(term)
    return value is not None and value.denominator == 1


def _is_integer(term: Term) -> bool:
    match term:
        case Number(value):
            return value.denominator == 1
        case Apply("neg", (value,)):
            return _is_integer(value)
    return False
