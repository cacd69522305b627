"""Whether an answer says what the gold answer says."""

from collections.abc import Sequence
from typing import NamedTuple

from rlsp_jax.verifiers.computed import is_literal
from rlsp_jax.verifiers.errors import NotUnderstood
from rlsp_jax.verifiers.forms import MAX_ITEMS, as_list, assigned, is_name, result, settle, total, with_constant_of
from rlsp_jax.verifiers.numeric import (
    apart,
    approximation,
    canonical,
    exact,
    factor_between,
    identical,
    sketch,
    symbols,
)
from rlsp_jax.verifiers.quantities import measure, same_quantity
from rlsp_jax.verifiers.realsets import as_real_set, is_inequality
from rlsp_jax.verifiers.terms import (
    Apply,
    Builder,
    Group,
    Matrix,
    Measured,
    Relation,
    Symbol,
    Term,
    Words,
    multiply,
    negative,
    substitute,
)

_STRICT = ("<", ">")
_TURNED = {"<": ">", ">": "<", "le": "ge", "ge": "le", "ne": "ne", "=": "="}


def same(gold: Term, answer: Term) -> bool:
    """Whether two terms are the same answer. Raises NotUnderstood, TooLarge and ZeroDivisionError."""
    gold, answer = settle(gold), settle(answer)
    if gold == answer:
        return True
    if isinstance(gold, Words) or isinstance(answer, Words):
        return isinstance(gold, Words) and isinstance(answer, Words) and gold.text == answer.text
    gold, answer = _without_conditions(gold, answer)
    gold, answer = _without_names(gold, answer)
    first, second = as_real_set(gold, answer), as_real_set(answer, gold)
    if first is not None or second is not None:
        return first == second and _about_the_same(gold, answer)
    if _contrary(gold, answer):
        return False
    answer = with_constant_of(gold, answer)
    golds, answers = as_list(gold), as_list(answer)
    if golds is not None or answers is not None:
        return _same_list(golds, answers, gold, answer)
    match gold, answer:
        case Relation(), Relation():
            return _same_relation(gold, answer)
        case (Relation() as equation, value) | (value, Relation() as equation):
            return _solves(equation, value)
        case Group(), Group():
            return _brackets(gold) == _brackets(answer) and _same_items(gold.items, answer.items)
        case Matrix(rows), Matrix(others):
            return len(rows) == len(others) and all(map(_same_items, rows, others))
        case (Matrix(), Group()) | (Group(), Matrix()):
            left, right = _vector(gold), _vector(answer)
            return left is not None and right is not None and _same_items(left, right)
        case (Matrix() | Group(), _) | (_, Matrix() | Group()):
            return False
        case Apply("ratio", parts), Apply("ratio", others) if len(parts) > 2:
            return len(parts) == len(others) and _same_ratio(parts, others)
    return same_quantity(gold, answer)


def signature(term: Term) -> str:
    """A text that equal answers share, as far as that can be had without comparing them one by one."""
    term = settle(term)
    if isinstance(term, Relation):
        term = total(term) or term
    if (items := as_list(term)) is not None:
        return f"{{{', '.join(sorted(map(signature, items)))}}}"
    if isinstance(term, Group):
        return f"{term.opening}{', '.join(map(signature, term.items))}{term.closing}"
    value, unit = measure(term)
    return f"{approximation(value) or canonical(value)} {unit}".strip()


# ---- equations and inequalities ----


def _without_conditions(gold: Term, answer: Term) -> tuple[Term, Term]:
    """`x = 5 (x > 0)` as `x = 5` where the other one has no condition, or the same one."""
    match gold, answer:
        case Apply("given", (value, condition)), Apply("given", (other, condition_too)):
            return (value, other) if same(condition, condition_too) else (gold, answer)
        case Apply("given", (value, _)), _:
            return settle(value), answer
        case _, Apply("given", (value, _)):
            return gold, settle(value)
    return gold, answer


def _about_the_same(gold: Term, answer: Term) -> bool:
    """Whether conditions are about one variable: `x > 2` is not `y > 2`, but the interval and `y > 2` are the same."""
    first, second = ({name for name in symbols(term) if " " not in name} for term in (gold, answer))
    return not (first and second) or first == second


def _contrary(gold: Term, answer: Term) -> bool:
    """Conditions of which all hold, and some of which any may."""
    match gold, answer:
        case Group("", "", items, joined), Group("", "", _, other):
            return {joined, other} == {"and", "or"} and any(map(is_inequality, items))
    return False


def _same_ratio(parts: Sequence[Term], others: Sequence[Term]) -> bool:
    """1 : 2 : 3 and 2 : 4 : 6."""
    pivot = next((i for i, part in enumerate(parts) if exact(part) != 0), 0)
    return exact(others[pivot]) != 0 and all(
        identical(multiply(part, others[pivot]), multiply(parts[pivot], other))
        for part, other in zip(parts, others, strict=True)
    )


def _without_names(gold: Term, answer: Term) -> tuple[Term, Term]:
    """`x = 5` as 5 where the other one is no equation; `P(1, 2)` as the point where that one has no letter."""
    match gold, answer:
        case Apply("mul", (Symbol(), Group("(", ")", _))), Apply("mul", (Symbol(), Group("(", ")", _))):
            return gold, answer
    gold, answer = _unlabelled(gold, answer), _unlabelled(answer, gold)
    if isinstance(gold, Relation) and not _holds_relation(answer):
        gold = assigned(gold) or gold
    elif isinstance(answer, Relation) and not _holds_relation(gold):
        answer = total(answer) or result(answer) or answer
    return gold, answer


def _unlabelled(term: Term, beside: Term) -> Term:
    """`P(1, 2)` as a point beside a point or a list, `C(5, 2)` as a number of choices beside anything else."""
    match term:
        case Apply("mul", (Symbol("C"), Group("(", ")", (_, _) as items))) if not isinstance(beside, Group):
            return Apply("binom", items)
        case Apply("mul", (Symbol(name), Group("(", ")", _) as point)) if name[0].isupper():
            return point
    return term


def _holds_relation(term: Term) -> bool:
    return isinstance(term, Relation | Builder) or (isinstance(term, Group) and any(map(_holds_relation, term.items)))


def _solves(equation: Relation, value: Term) -> bool:
    """Whether the value is what an equation's one other variable is equal to: x² − 1 for y + 1 = x²."""
    others = symbols(equation) - symbols(value)
    if equation.signs != ("=",) or len(others) != 1 or not symbols(value):
        return False
    return factor_between(_difference(equation), Apply("add", (Symbol(*others), negative(value)))) is not None


def _same_relation(gold: Relation, answer: Relation) -> bool:
    if len(gold.signs) != len(answer.signs):
        return False
    if gold.signs == answer.signs and all(map(same, gold.sides, answer.sides)):
        return True
    if len(gold.signs) == 1:
        return _same_equation(gold, answer) if "=" in (*gold.signs, *answer.signs) else _same_inequality(gold, answer)
    signs = tuple(_TURNED.get(sign, sign) for sign in reversed(answer.signs))
    return gold.signs == signs and all(map(same, gold.sides, reversed(answer.sides)))


def _same_equation(gold: Relation, answer: Relation) -> bool:
    """The same value for a name, with other letters for a function's variables; else the same up to a factor."""
    (left, right), (other_left, other_right) = gold.sides, answer.sides
    if gold.signs != answer.signs:
        return False
    if _about_others(left, other_left, right):
        return False
    if is_name(left) and is_name(other_left) and same(right, _renamed(other_right, other_left, left)):
        return True
    if left == other_left and is_literal(right):  # the same name has another value, or one that is left to compute
        return False
    return not isinstance(left, Words) and factor_between(_difference(gold), _difference(answer)) is not None


def _about_others(left: Term, other: Term, right: Term) -> bool:
    """`x = 5` and `y = 5`, `f(x) = 5` and `f'(x) = 5`, `AB = 3` and `AC = 3`: what is said is of something else."""
    if sum(name.count("'") for name in symbols(left)) != sum(name.count("'") for name in symbols(other)):
        return True
    if left == other or not (is_name(left) and is_name(other)):
        return False
    if _head(left) == _head(other) and _head(left) in (left, other):  # f and f(x)
        return False
    functions = isinstance(left, Apply) or isinstance(other, Apply)  # `f(x) = x + 1`, `g(t) = t + 1` and `y = x + 1`
    return not functions or not symbols(right)


def _head(name: Term) -> Term:
    """f of f(x)."""
    return name.args[0] if isinstance(name, Apply) else name


def _same_inequality(gold: Relation, answer: Relation) -> bool:
    """Single inequalities in any variables: their sides differ by the same expression, up to a positive factor."""
    (sign,), (other,) = gold.signs, answer.signs
    if sign not in _TURNED or other not in _TURNED:
        return False
    first, second = _difference(gold), _difference(answer)
    factor = factor_between(first, second if sign == other else negative(second))
    if factor is None or (sign == "ne") != (other == "ne") or (sign in _STRICT) != (other in _STRICT):
        return False
    return sign == "ne" or (not factor.imag and factor.real > 0)


def _difference(relation: Relation) -> Term:
    left, right = relation.sides
    return Apply("add", (left, negative(right)))


def _renamed(term: Term, old: Term, new: Term) -> Term:
    """A function's right side with the other function's variable: f(t) = t as f(x) = x."""
    match old, new:
        case Apply("mul", (_, Symbol(before))), Apply("mul", (_, Symbol(after))) if before != after:
            return substitute(term, before, after)
    return term


# ---- several values ----


def _same_list(golds: Sequence[Term] | None, answers: Sequence[Term] | None, gold: Term, answer: Term) -> bool:
    if golds is not None and answers is not None:
        return _same_set(_with_unit(golds), _with_unit(answers))
    (items, single, of) = (golds, answer, gold) if golds is not None else (answers, gold, answer)
    assert items is not None
    if isinstance(single, Group) and _brackets(single) == ("(", ")") and isinstance(of, Group) and not of.opening:
        return _same_items(_by_name(items), single.items)  # a tuple without its brackets
    if len(items) > 1 and len(items) <= MAX_ITEMS and not _is_sequence(items):
        items = [item.term for item in _distinct(items)]  # one value in several ways: `1/2, or 0.5`
    return len(items) == 1 and same(items[0], single)


def _by_name(items: Sequence[Term]) -> Sequence[Term]:
    """`y = 3, x = 2` as x and y; the items as they are where not each has a variable of its own."""
    names = [item.sides[0] for item in items if isinstance(item, Relation)]
    variables = [name.name for name in names if isinstance(name, Symbol)]
    if len(variables) < len(items) or len(set(variables)) < len(variables):
        return () if len(variables) == len(items) else items
    return [item for _, item in sorted(zip(variables, items, strict=True), key=lambda pair: pair[0])]


def _with_unit(items: Sequence[Term]) -> Sequence[Term]:
    """`3, 4 cm` as `3 cm, 4 cm`."""
    match items[-1] if items else None:
        case Measured(_, unit) if not any(isinstance(item, Measured | Relation | Words) for item in items[:-1]):
            return [*(Measured(item, unit) for item in items[:-1]), items[-1]]
    return items


def _same_set(golds: Sequence[Term], answers: Sequence[Term]) -> bool:
    """Whether each has its partner: in any order, but for names against none (`x = 1, y = 2` against `1, 2`)."""
    if len(golds) > MAX_ITEMS or len(answers) > MAX_ITEMS:
        return False
    if _all_named(golds) != _all_named(answers) and not (_one_name(golds) and _one_name(answers)):
        return _same_items(golds, answers)
    if _is_sequence(golds):
        return _same_items(golds, answers)
    known, told = _distinct(golds), _distinct(answers)
    return len(known) == len(told) and _matched(known, told)


def _is_sequence(items: Sequence[Term]) -> bool:
    """Names of which one comes again, as in `T, F, T`: there the order tells."""
    return all(isinstance(item, Words | Symbol) for item in items) and len(set(items)) < len(items)


def _all_named(items: Sequence[Term]) -> bool:
    return bool(items) and all(isinstance(item, Relation) for item in items)


def _one_name(items: Sequence[Term]) -> bool:
    """Whether the names tell nothing apart: all are one variable, or they are words (`minimum = 1, maximum = 3`)."""
    names = {item.sides[0] for item in items if isinstance(item, Relation)}
    return len(names) < 2 or all(isinstance(name, Words) for name in names)


class _Item(NamedTuple):
    """An item of a list, with what tells most others from it at once."""

    term: Term
    sketch: tuple[complex | None, ...]

    def is_same(self, other: "_Item") -> bool:
        if apart(self.sketch, other.sketch) or not _alike(self.term, other.term):
            return False
        try:
            return same(self.term, other.term)
        except NotUnderstood:  # of another kind
            return False


def _distinct(items: Sequence[Term]) -> list[_Item]:
    """Without repetitions."""
    kept: list[_Item] = []
    for item in (_Item(term, sketch(term)) for term in items):
        if not any(other.is_same(item) for other in kept):
            kept.append(item)
    return kept


def _matched(golds: Sequence[_Item], answers: Sequence[_Item]) -> bool:
    left = list(answers)
    for gold in golds:
        partner = next((i for i, item in enumerate(left) if gold.is_same(item)), None)
        if partner is None:
            return False
        del left[partner]
    return True


def _alike(gold: Term, answer: Term) -> bool:
    """In a list, each equation is about its own name, and a set is no number."""
    match gold, answer:
        case Relation(("=",), (name, _)), Relation(("=",), (other, _)):
            return name == other or not (is_name(name) and is_name(other))
    return _is_set(gold) == _is_set(answer)


def _is_set(term: Term) -> bool:
    return isinstance(term, Group) and term.opening == "\\{"


def _same_items(golds: Sequence[Term], answers: Sequence[Term]) -> bool:
    return len(golds) == len(answers) and all(map(same, golds, answers))


def _brackets(group: Group) -> tuple[str, str]:
    return ("(", ")") if group.opening == "langle" else (group.opening, group.closing)


def _vector(term: Term) -> tuple[Term, ...] | None:
    match term:
        case Matrix(rows) if len(rows) == 1:
            return rows[0]
        case Matrix(rows) if all(len(row) == 1 for row in rows):
            return tuple(row[0] for row in rows)
        case Group("(" | "langle" | "[", _, items):
            return items
    return None
