"""Single values, with or without a unit."""

from fractions import Fraction

from rlsp_jax.verifiers.computed import is_literal
from rlsp_jax.verifiers.numeric import canonical, exact, identical, symbols
from rlsp_jax.verifiers.terms import Apply, Based, Constant, Measured, Number, Symbol, Term, Words
from rlsp_jax.verifiers.units import is_plausible, is_unit, lowered, same_unit

_NAMES = {
    **dict.fromkeys(("percentage", "percents", "pct", "per cent"), "percent"),
    **dict.fromkeys(("radian", "radians"), "rad"),
    "degrees": "degree",
}


def same_quantity(gold: Term, answer: Term) -> bool:
    """Whether two quantities are equal: a unit may be missing, and may be another one of the same kind.

    Raises NotUnderstood, TooLarge and ZeroDivisionError.
    """
    (gold_value, gold_unit), (value, unit) = measure(gold), measure(answer)
    if gold_unit and not unit:
        value, unit = _with_letters(value)
    elif unit and not gold_unit:
        gold_value, gold_unit = _with_letters(gold_value)
    if gold_unit == unit:
        return same_value(gold_value, value)
    if gold_unit and unit:
        if {gold_unit, unit} <= {"degree", "percent"}:
            return False
        if {gold_unit, unit} == {"degree", "rad"}:
            return identical(_in_full(gold_value, gold_unit), _in_full(value, unit))
        factor = same_unit(gold_unit, unit)
        return factor is not None and same_value(_times(gold_value, factor), value)
    known = gold_unit or unit
    if not is_plausible(known) or (unit and _is_article(value, unit)):
        return False
    if same_value(gold_value, value):
        return True
    if known == "degree":
        return not symbols(gold_value) and identical(_in_full(gold_value, gold_unit), _in_full(value, unit))
    return known == "percent" and same_value(_in_full(gold_value, gold_unit), _in_full(value, unit))


def _is_article(value: Term, unit: str) -> bool:
    """The letter of `A triangle` or `C major`, which counts nothing."""
    return isinstance(value, Symbol) and not all(map(is_unit, unit.split()))


def measure(term: Term) -> tuple[Term, str]:
    """A value and its unit, "" for none."""
    match term:
        case Measured(value, unit):
            inner, other = measure(value)
            return inner, other or _NAMES.get(unit, unit)
        case Apply("deg", (value,)):
            return value, "degree"
        case Apply("percent", (value,)):
            return value, "percent"
    return term, ""


def _with_letters(term: Term) -> tuple[Term, str]:
    """A value and the unit that the letters behind it are, as in `5 L` and `15 m/s` beside a quantity with a unit."""
    match term:
        case Apply("mul", (Number() as value, *letters)) if len(letters) == 1 and (unit := _letters(letters[0])):
            return value, unit
        case Apply("div", (Apply("mul", (Number() as value, above)), below)):
            top, bottom = _letters(above), _letters(below)
            return (value, f"{top}/{bottom}") if top and bottom else (term, "")
    return term, ""


def _letters(term: Term) -> str:
    match term:
        case Symbol(name) | Words(name):
            return lowered(name)
        case Apply("pow", (base, Number(power))) if _letters(base) and power.denominator == 1:
            return f"{_letters(base)}^{power}"
        case Apply("div", (above, below)) if _letters(above) and _letters(below):
            return f"{_letters(above)}/{_letters(below)}"
    return ""


def _times(term: Term, factor: Fraction) -> Term:
    if factor == 1:
        return term
    value = exact(term)
    return Apply("mul", (term, Number(factor))) if value is None else Number(value * factor)


def _in_full(value: Term, unit: str) -> Term:
    """The pure number that a percentage or an angle is."""
    if unit == "percent" and (number := exact(value)) is not None:
        return Number(number / 100)
    return Apply({"percent": "percent", "degree": "deg"}[unit], (value,)) if unit in ("percent", "degree") else value


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
