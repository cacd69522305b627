"""Exact search over Countdown states: what may be tried, in which order, and what solves.

A state is a tuple of non-negative integers by position. A move joins two of them by an operation
whose result is again a non-negative integer: `a-b` only when a >= b, `a/b` only when b divides a.
The result takes the place of the earlier of the two and the later one disappears.
"""

import functools
import itertools
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")


class Move(NamedTuple):
    """Join the numbers at two positions: `values[left] op values[right] = value`."""

    left: int
    op: str
    right: int
    value: int


class Form(NamedTuple):
    """An expression up to commutativity and associativity: a sum or product as two sorted lists.

    `kind` is "+" (terms added, then terms subtracted), "*" (factors, then divisors) or "" (one number).
    """

    kind: str
    direct: tuple
    inverse: tuple


@functools.lru_cache(maxsize=1 << 15)
def moves(values: tuple[int, ...]) -> tuple[Move, ...]:
    """Every move of a state in canonical order: pairs by position, then + - * /, then a op b before b op a."""
    found = []
    for i, j in itertools.combinations(range(len(values)), 2):
        a, b = values[i], values[j]
        both_ways = ((i, j, a, b), (j, i, b, a))
        found.append(Move(i, "+", j, a + b))
        found += [Move(p, "-", q, x - y) for p, q, x, y in both_ways if x >= y]
        found.append(Move(i, "*", j, a * b))
        found += [Move(p, "/", q, x // y) for p, q, x, y in both_ways if y != 0 and x % y == 0]
    return tuple(found)


@functools.lru_cache(maxsize=1 << 15)
def distinct_moves(values: tuple[int, ...]) -> tuple[Move, ...]:
    """`moves` without those that repeat an earlier one: the same numbers, `a+b` and `b+a` being the same."""
    first: dict[tuple[str, int, int], Move] = {}
    for move in moves(values):
        a, b = values[move.left], values[move.right]
        first.setdefault((move.op, max(a, b), min(a, b)) if move.op in "+*" else (move.op, a, b), move)
    return tuple(first.values())


def join(items: tuple[Item, ...], move: Move, result: Item) -> tuple[Item, ...]:
    """The state after a move, of values or of anything kept by position beside them."""
    first, second = sorted((move.left, move.right))
    return items[:first] + (result,) + items[first + 1 : second] + items[second + 1 :]


def join_text(left: str, op: str, right: str) -> str:
    """`left op right` with parentheses around every operand that is not a single number."""
    return op.join(text if text.isdigit() else f"({text})" for text in (left, right))


def solvable(values: tuple[int, ...], target: int) -> bool:
    """Whether some sequence of moves leaves exactly the target; the order of the values does not matter."""
    return values[0] == target if len(values) == 1 else _solvable(tuple(sorted(values)), target)


@functools.lru_cache(maxsize=1 << 16)
def _solvable(values: tuple[int, ...], target: int) -> bool:
    if len(values) == 2:
        return any(move.value == target for move in distinct_moves(values))
    return any(_solvable(tuple(sorted(join(values, move, move.value))), target) for move in distinct_moves(values))


@functools.lru_cache(maxsize=1 << 14)
def solution_values(numbers: tuple[int, ...], target: int) -> tuple[int, ...]:
    """What the moves of the first solution that a search meets result in, the target last; empty without a solution."""
    if len(numbers) == 1 or not solvable(numbers, target):
        return ()
    leads = (move for move in distinct_moves(numbers) if solvable(join(numbers, move, move.value), target))
    move = next(leads)
    return (move.value, *solution_values(join(numbers, move, move.value), target))


@functools.lru_cache(maxsize=1 << 14)
def solutions(numbers: tuple[int, ...], target: int) -> tuple[str, ...]:
    """One expression per distinct solution, in the order a search meets them; empty when there is none.

    Two solutions are the same when reordering or regrouping sums (with their differences) and
    products (with their quotients) turns one into the other: `(3*7)+12` is `12+(7*3)`, and
    `(9-4)+2` is `9-(4-2)`. Every intermediate result is a non-negative integer.
    """
    found: dict[Form, str] = {}
    visited = set()
    stack = [(numbers, tuple(map(str, numbers)), tuple(Form("", (n,), ()) for n in numbers))]
    while stack:
        values, texts, forms = stack.pop()
        if len(values) == 1:
            found.setdefault(forms[0], texts[0])
        elif (state := tuple(sorted(forms))) not in visited:  # the same sub-expressions met in another order
            visited.add(state)
            children = [_after(values, texts, forms, move) for move in moves(values)]
            stack += [child for child in reversed(children) if solvable(child[0], target)]
    return tuple(found.values())


def _after(values, texts, forms, move: Move):
    """State, expressions and forms after a move."""
    text = join_text(texts[move.left], move.op, texts[move.right])
    form = _join_forms(forms[move.left], move.op, forms[move.right])
    return join(values, move, move.value), join(texts, move, text), join(forms, move, form)


def _join_forms(left: Form, op: str, right: Form) -> Form:
    kind = "+" if op in "+-" else "*"
    direct, inverse = _parts(left, kind)
    right_direct, right_inverse = _parts(right, kind)
    if op in "-/":
        right_direct, right_inverse = right_inverse, right_direct
    return Form(kind, tuple(sorted(direct + right_direct)), tuple(sorted(inverse + right_inverse)))


def _parts(form: Form, kind: str) -> tuple[tuple, tuple]:
    return (form.direct, form.inverse) if form.kind == kind else ((form,), ())
