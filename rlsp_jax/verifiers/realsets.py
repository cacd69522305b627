"""Sets of real numbers, from intervals, inequalities, unions and set builders, in one normal form."""

from typing import NamedTuple

import mpmath

from rlsp_jax.verifiers.errors import NotUnderstood, TooLarge
from rlsp_jax.verifiers.numeric import Value, evaluate, symbols
from rlsp_jax.verifiers.terms import Apply, Builder, Constant, Group, Relation, Symbol, Term, negative

DIGITS = 40
ORDER = {"<": (-1, False), "le": (-1, True), ">": (1, False), "ge": (1, True)}


class Piece(NamedTuple):
    """An interval; a point has `low == high`, both closed."""

    low: Value
    low_closed: bool
    high: Value
    high_closed: bool


class RealSet:
    """Disjoint intervals in order, none of which could be joined to the next."""

    def __init__(self, pieces: list[Piece]):
        kept: list[Piece] = []
        for piece in sorted(pieces, key=lambda p: (p.low, not p.low_closed)):
            if piece.low > piece.high or (piece.low == piece.high and not (piece.low_closed and piece.high_closed)):
                continue
            if kept and _touches(kept[-1], piece):
                last = kept[-1]
                high, closed = max((last.high, last.high_closed), (piece.high, piece.high_closed))
                kept[-1] = Piece(last.low, last.low_closed, high, closed)
            else:
                kept.append(piece)
        self.pieces = kept

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RealSet) or len(self.pieces) != len(other.pieces):
            return False
        return all(
            (a.low_closed, a.high_closed) == (b.low_closed, b.high_closed)
            and _near(a.low, b.low)
            and _near(a.high, b.high)
            for a, b in zip(self.pieces, other.pieces, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def complement(self) -> "RealSet":
        pieces, low, closed = [], -mpmath.inf, False
        for piece in self.pieces:
            pieces.append(Piece(low, closed, piece.low, not piece.low_closed))
            low, closed = piece.high, not piece.high_closed
        return RealSet([p for p in [*pieces, Piece(low, closed, mpmath.inf, False)] if p.low < p.high or p.low_closed])

    def union(self, other: "RealSet") -> "RealSet":
        return RealSet([*self.pieces, *other.pieces])

    def without(self, other: "RealSet") -> "RealSet":
        return self.complement().union(other).complement()

    def intersection(self, other: "RealSet") -> "RealSet":
        return self.complement().union(other.complement()).complement()


EVERYTHING = RealSet([Piece(-mpmath.inf, False, mpmath.inf, False)])


def as_real_set(term: Term, beside: Term) -> RealSet | None:
    """The set of reals that a term is; None if it is none. `(a, b)` is one where it stands beside one."""
    if not (is_set(term) or (is_set(beside) and _may_be_set(term))):
        return None
    try:
        with mpmath.workdps(DIGITS):
            return _read(term)
    except (NotUnderstood, TooLarge, ArithmeticError, ValueError):
        return None


def is_set(term: Term) -> bool:
    """Whether a term can be nothing but a set of reals."""
    match term:
        case Relation(signs, sides):
            return (
                bool(set(signs) & set(ORDER)) and len(symbols(term)) == 1 and set(signs) <= set(ORDER) and sides != ()
            )
        case Builder():
            return True
        case Apply("cup" | "cap" | "setminus"):
            return True
        case Group("(" | "[" as opening, closing, items) if len(items) == 2:
            return (opening, closing) in (("(", "]"), ("[", ")")) or any(map(_infinite, items))
        case Group("", _, items):
            return any(map(is_set, items)) and all(is_set(item) or _is_point(item) for item in items)
        case Apply("add", (left, Apply("neg", (right,)))):
            return is_set(left) and isinstance(right, Group)
        case Symbol("mathbb R"):
            return True
    return False


def _is_point(term: Term) -> bool:
    return isinstance(term, Relation) and term.signs == ("=",) and isinstance(term.sides[0], Symbol)


def _may_be_set(term: Term) -> bool:
    match term:
        case Group("(" | "[", _, items):
            return len(items) == 2
        case Group("\\{"):
            return True
        case Group("", _, items):
            return all(map(_may_be_set, items))
        case Relation(("ne",), _):
            return True
    return False


def _infinite(term: Term) -> bool:
    return term in (Constant("infty"), Apply("neg", (Constant("infty"),)))


def _read(term: Term) -> RealSet:
    match term:
        case Symbol("mathbb R"):
            return EVERYTHING
        case Group("(" | "[" as opening, closing, (low, high)):
            bounds = _value(low), _value(high)
            if bounds[0] > bounds[1]:
                raise NotUnderstood("an interval that ends before it begins")
            return RealSet([Piece(bounds[0], opening == "[", bounds[1], closing == "]")])
        case Group("\\{", _, items):
            return RealSet([Piece(x, True, x, True) for x in map(_value, items)])
        case Group("", _, items, joined):
            both = joined == "and" and not all(map(is_inequality, items))  # `(0, 1) and (2, 3)`, `x < 1 and x = 2`
            return _several([_read(item) for item in items], "" if both else joined)
        case Apply("cup", (left, right)):
            return _read(left).union(_read(right))
        case Apply("cap", (left, right)):
            return _read(left).intersection(_read(right))
        case Apply("setminus", (left, right)) | Apply("add", (left, Apply("neg", (right,)))):
            return _read(left).without(_read(right))
        case Builder(Relation(("in",), (variable, within)), condition):
            return _read(within).intersection(_read(Builder(variable, condition)))
        case Builder(Symbol(), condition):
            return _read(condition)
        case Relation(("in",), (Symbol(), within)):
            return _read(within)
        case Relation(("=",), (Symbol(), value)):
            return RealSet([Piece(_value(value), True, _value(value), True)])
        case Relation(("<" | "le" | ">" | "ge" as sign,), (Apply("abs", (inner,)), bound)):
            above, below = _half_line(sign, inner, bound), _half_line(sign, negative(inner), bound)
            return above.intersection(below) if sign in ("<", "le") else above.union(below)
        case Relation(signs, sides):
            result = EVERYTHING
            for sign, left, right in zip(signs, sides[:-1], sides[1:], strict=True):
                result = result.intersection(_half_line(sign, left, right))
            return result
    raise NotUnderstood("no set of reals")


def is_inequality(term: Term) -> bool:
    return isinstance(term, Relation) and not ORDER.keys().isdisjoint(term.signs)


def _several(sets: list[RealSet], joined: str) -> RealSet:
    """Conditions side by side. Not joined by `and` or `or`, all hold if some one holds anywhere; else either."""
    union = both = sets[0]
    for other in sets[1:]:
        union, both = union.union(other), both.intersection(other)
    return both if joined == "and" or (joined != "or" and union == EVERYTHING) else union


def _half_line(sign: str, left: Term, right: Term) -> RealSet:
    """Where a linear inequality in one variable holds."""
    if sign not in ORDER and sign != "ne":
        raise NotUnderstood(sign)
    names = symbols(left) | symbols(right)
    if len(names) != 1:
        raise NotUnderstood("an inequality without its variable")
    (name,) = names
    points = [mpmath.mpf(x) for x in ("0", "1", "3", "1000.7", "-77.3")]
    values = [evaluate(left, {name: x}) - evaluate(right, {name: x}) for x in points]
    x0, slope = values[0], values[1] - values[0]
    bent = max(abs(value - x0 - x * slope) for x, value in zip(points, values, strict=True))
    if not slope or isinstance(slope, mpmath.mpc) or bent > abs(slope) * mpmath.mpf(10) ** -20:
        raise NotUnderstood("an inequality that is not linear")
    edge = -x0 / slope
    if sign == "ne":
        return RealSet([Piece(edge, True, edge, True)]).complement()
    side, closed = ORDER[sign]
    if (side > 0) == (slope > 0):
        return RealSet([Piece(edge, closed, mpmath.inf, False)])
    return RealSet([Piece(-mpmath.inf, False, edge, closed)])


def _value(term: Term) -> Value:
    value = evaluate(term, {})
    if isinstance(value, mpmath.mpc) and value.imag:
        raise NotUnderstood("a bound that is not real")
    return mpmath.re(value)


def _touches(left: Piece, right: Piece) -> bool:
    return right.low < left.high or (_near(right.low, left.high) and (right.low_closed or left.high_closed))


def _near(left: Value, right: Value) -> bool:
    if left == right:
        return True
    if mpmath.isinf(left) or mpmath.isinf(right):
        return False
    return abs(left - right) <= mpmath.mpf(10) ** -25 * max(abs(left), abs(right), 1)
