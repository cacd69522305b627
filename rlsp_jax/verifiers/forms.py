"""The one form for each answer: chains of equations by their ends, ± written out, one letter for a parameter."""

import itertools
import math
import re
from collections.abc import Sequence

from rlsp_jax.verifiers.errors import NotUnderstood
from rlsp_jax.verifiers.numeric import exact, identical, near, symbols
from rlsp_jax.verifiers.realsets import is_inequality
from rlsp_jax.verifiers.terms import (
    Apply,
    Constant,
    Group,
    Matrix,
    Measured,
    Number,
    Relation,
    Symbol,
    Term,
    Words,
    multiply,
    negative,
    substitute,
)
from rlsp_jax.verifiers.units import denies

MAX_ITEMS = 64
FUNCTION_NAMES = frozenset("fghpquvFGHPQTVS\\")  # first letters: `f(x)` and a product of f and x are written alike
_SPOKEN: dict[str, Term] = {
    **dict.fromkeys(("all real numbers", "all reals", "real numbers", "reals"), Symbol("mathbb R")),
    **dict.fromkeys(
        ("no solution", "no solutions", "none", "empty set", "no real solutions", "no real solution"),
        Group("\\{", "\\}", ()),
    ),
    **dict.fromkeys(("infinity", "infinite", "infinitely many"), Constant("infty")),
}
_THERE_IS = re.compile(r"^(?:there (?:is|are)|(?:it|the (?:equation|system|inequality)) has) (?=no )")


def settle(term: Term) -> Term:
    """A term in the one form for it."""
    match term:
        case Relation(signs, sides):
            return _settle_relation(term, signs, sides)
        case Group("", "", items) if any(_is_condition(part) for item in items for part in _parts(item)):
            return _settle_family([part for item in items for part in _parts(item)])
        case Apply("given", (value, condition)) if _is_condition(condition):
            return _settle_family((value, condition))
        case Apply("given", (Relation() as value, condition)) if is_inequality(value):
            return Group("", "", (value, condition), "and")
        case Group("", "", (Relation(("=",), (name, value)), *others)) if is_name(name) and not _has_relation(others):
            return Group("", "", (value, *others))  # `x = 1, 2`
        case Group("", "", items) if (size := _period(items)) > 1:
            return Group("", "", tuple(Group("(", ")", items[i : i + size]) for i in range(0, len(items), size)))
        case Apply("mul", (*factors, Matrix(rows))) if not any(isinstance(factor, Matrix) for factor in factors):
            return Matrix(tuple(tuple(_computed(multiply(*factors, cell)) for cell in row) for row in rows))
        case Group("[", "]", (Group("[", "]", first), *others)) if _are_rows(len(first), others):
            return Matrix((first, *(row.items for row in others if isinstance(row, Group))))
        case Apply("neg", (Matrix(rows),)):
            return Matrix(tuple(tuple(map(negative, row)) for row in rows))
        case Words(text):
            return _SPOKEN.get(_THERE_IS.sub("", text), term)
    return term


def _are_rows(size: int, items: Sequence[Term]) -> bool:
    """Whether the other rows of `[[1, 2], [3, 4]]` are as long as its first."""
    return all(isinstance(item, Group) and item.opening == "[" and len(item.items) == size for item in items)


def _computed(term: Term) -> Term:
    value = exact(term)
    return term if value is None else Number(value)


def _settle_relation(term: Relation, signs: tuple[str, ...], sides: tuple[Term, ...]) -> Term:
    left, right = sides[0], sides[-1]
    if len(signs) > 1 and signs[-1] == "approx" and _is_rounded(sides[-2], right):
        return settle(Relation(signs[:-1], sides[:-1]))
    if len(signs) > 1 and set(signs) <= {"=", "to", "implies"} and all(_agree(sides[1], side) for side in sides[2:]):
        return settle(Relation(("=",), (left, right)))
    match signs:
        case ("implies" | "to",) if _leads(left, right):
            return settle(right)
        case ("in",) if isinstance(left, Symbol):
            return right
        case ("approx",) if not symbols(left) and not isinstance(left, Words) and _is_rounded(left, right):
            return left
        case ("=",) if not symbols(left) and not isinstance(left, Words) and _agree(left, right):
            return right
    return term


def _leads(left: Term, right: Term) -> bool:
    """Whether an arrow leads from what is given to the answer: not in `f: A → B`, nor from one number to another."""
    if isinstance(left, Apply) and left.name == "ratio":
        return False
    return exact(left) is None or exact(right) is None or _agree(left, right)


def _agree(left: Term, right: Term) -> bool:
    """Whether two sides of an equation have the same value, as far as that can be told."""
    try:
        return left == right or identical(left, right)
    except NotUnderstood:
        return True
    except ArithmeticError:
        return False


def _is_rounded(exactly: Term, roughly: Term) -> bool:
    """Whether what stands behind `≈` comes near to what stands before it, as far as that can be told."""
    try:
        return bool(symbols(exactly)) or near(exactly, roughly, 0.1)
    except (NotUnderstood, ArithmeticError):
        return False


def _is_condition(term: Term) -> bool:
    """`n ∈ ℤ`: what a letter in the other items stands for."""
    return isinstance(term, Relation) and term.signs == ("in",) and isinstance(term.sides[0], Symbol)


def _parts(item: Term) -> tuple[Term, ...]:
    """An item and the condition behind it."""
    return item.args if isinstance(item, Apply) and item.name == "given" else (item,)


def _settle_family(items: Sequence[Term]) -> Term:
    """Solutions with a parameter, whatever its letter: `x = 2πn, n ∈ ℤ`."""
    kept = [item for item in items if not _is_condition(item)]
    for condition in filter(_is_condition, items):
        match condition:
            case Relation(_, (Symbol(name), Symbol(of))):
                kept = [substitute(item, name, f"any {of[-1]}") for item in kept]  # `\mathbb{Z}` or Z
    if not kept:
        return Group("", "", tuple(items))
    return settle(kept[0] if len(kept) == 1 else Group("", "", tuple(kept)))


def _has_relation(items: Sequence[Term]) -> bool:
    return any(isinstance(item, Relation) for item in items)


def _period(items: Sequence[Term]) -> int:
    """After how many equations their names begin anew, as in `p = 5, q = 2, p = 7, q = 2`; 0 if they do not."""
    names = [item.sides[0] for item in items if isinstance(item, Relation) and item.signs == ("=",)]
    if len(names) < len(items) or names[0] not in names[1:]:
        return 0
    size = names.index(names[0], 1)
    return size if len(names) % size == 0 and names == names[:size] * (len(names) // size) else 0


# ---- names ----


def is_name(term: Term) -> bool:
    """A variable, several side by side (`AB`, `|AB|`), a function of variables (`f(x)`, `y'`), or words."""
    match term:
        case Symbol():
            return True
        case Words(text):
            return not denies(text)
        case Apply("mul", (Symbol(), Symbol("t"))):  # `x(t)`
            return True
        case Apply("mul", (Symbol(first), *rest)) if first[0] in FUNCTION_NAMES or first.isupper():
            return all(isinstance(part, Constant | Number) or is_name(part) for part in rest)
        case Apply("abs", (inner,)):  # of points or of a set; `|x| = 1` is an equation
            return is_name(inner) and all(map(str.isupper, symbols(inner)))
        case Apply("ratio", parts):
            return all(map(is_name, parts))
        case Apply("gcd" | "lcm" | "deg" | "arg"):
            return True
        case Group("(", ")", items):
            return all(map(is_name, items))
        case Measured(value, _):
            return is_name(value)
    return False


def assigned(relation: Relation) -> Term | None:
    """What a name is said to stand for: 5 in `x = 5` and `f(x) = 5`; None for other equations."""
    match relation:
        case Relation(("=" | "approx",), (left, right)):
            if is_name(left):
                return right
            if is_name(right) and not symbols(left):
                return left
    return None


def total(relation: Relation) -> Term | None:
    """What names are said to come to, 17 in `m + n = 17`, besides what a single name stands for; None for others."""
    match relation:
        case Relation(("=" | "approx",), (left, right)) if (
            symbols(left) and not symbols(right) and not _has_number(left)
        ):
            return right
    return assigned(relation)


def result(relation: Relation) -> Term | None:
    """The right side of a calculation, `(5k − 3k) + 2 = 2k + 2`; None for equations that are no identities."""
    match relation:
        case Relation(("=",), (left, right)) if not isinstance(left, Words) and identical(left, right):
            return right
    return None


def with_constant_of(gold: Term, answer: Term) -> Term:
    """The answer with the gold's letter for the constant of integration: `x² + K` as `x² + C`."""
    match gold, answer:
        case Apply("add", terms), Apply("add", others) if Symbol("C") in terms:
            own = [term.name for term in others if isinstance(term, Symbol) and term.name in ("c", "K", "k")]
            return substitute(answer, own[0], "C") if len(own) == 1 and own[0] not in symbols(gold) else answer
    return answer


def _has_number(term: Term) -> bool:
    match term:
        case Number():
            return True
        case Apply(_, args) | Group(_, _, args):
            return any(map(_has_number, args))
    return False


# ---- several values ----


def as_list(term: Term) -> tuple[Term, ...] | None:
    """The values of a list or set, ± written out; None for a single value and for ordered things."""
    match term:
        case Group("" | "\\{", _, items):
            return tuple(value for item in items for value in (_values_of(item) or (item,)))
        case Relation(("=",), (left, right)) if is_name(left) and (values := as_list(right)):
            return tuple(Relation(("=",), (left, value)) for value in values)
        case Measured(value, unit) if values := as_list(value):
            return tuple(Measured(item, unit) for item in values)
        case Group("(" as opening, closing, items) if any(map(_has_sign, items)):
            choices = [as_list(item) or (item,) for item in items]  # the signs of different places are free
            if math.prod(map(len, choices)) <= MAX_ITEMS:
                return tuple(Group(opening, closing, chosen) for chosen in itertools.product(*choices))
    if _has_sign(term):
        return _signed(term, 1), _signed(term, -1)
    return None


def _values_of(item: Term) -> tuple[Term, ...] | None:
    """The values of an item of a list; a set in a list or in a set is one value."""
    return None if isinstance(item, Group) and item.opening == "\\{" else as_list(item)


def _has_sign(term: Term) -> bool:
    match term:
        case Apply(name, args):
            return name in ("pm", "mp") or any(map(_has_sign, args))
        case Relation(_, sides):
            return any(map(_has_sign, sides))
        case Group("(", _, items):
            return any(map(_has_sign, items))
        case Measured(value, _):
            return _has_sign(value)
    return False


def _signed(term: Term, sign: int) -> Term:
    """A term with + (or −) for every ±, and the opposite for every ∓."""
    match term:
        case Apply("pm" | "mp" as name, args):
            *left, right = [_signed(arg, sign) for arg in args]
            right = right if (sign > 0) == (name == "pm") else negative(right)
            return Apply("add", (*left, right)) if left else right
        case Apply(name, args):
            return Apply(name, tuple(_signed(arg, sign) for arg in args))
        case Relation(signs, sides):
            return Relation(signs, tuple(_signed(side, sign) for side in sides))
        case Group(opening, closing, items):
            return Group(opening, closing, tuple(_signed(item, sign) for item in items))
        case Measured(value, unit):
            return Measured(_signed(value, sign), unit)
    return term
