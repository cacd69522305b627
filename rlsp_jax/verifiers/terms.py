"""What an answer means: a tree of a few kinds of node. Frozen, hashable, compared by value."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Number:
    """A literal number, exactly."""

    value: Fraction


@dataclass(frozen=True, slots=True)
class Symbol:
    """A variable, with its subscript: `x`, `a_{n+1}`, `\\theta`."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """`pi`, `e`, `i` or `infty`."""

    name: str


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation or function with its operands in order: `add`, `mul`, `div`, `pow`, `neg`, `pm`, `root`, `sin`, …

    `given` has a term and the condition in parentheses behind it: `x = 5 (x > 0)`.
    """

    name: str
    args: tuple["Term", ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Several items: `opening` and `closing` are the brackets, both empty for a bare list.

    `joined`: the word between all items of a bare list, `and` or `or`; "" for a comma, or where the words differ.
    """

    opening: str
    closing: str
    items: tuple["Term", ...]
    joined: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    rows: tuple[tuple["Term", ...], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A chain `sides[0] signs[0] sides[1] …`; signs are `=`, `<`, `>`, `le`, `ge`, `ne`, `in`, `approx`, ….

    A leading `<` or the like has nothing before it: that side is an empty `Words`.
    """

    signs: tuple[str, ...]
    sides: tuple["Term", ...]


@dataclass(frozen=True, slots=True)
class Builder:
    """`{x | condition}`."""

    variable: "Term"
    condition: "Term"


@dataclass(frozen=True, slots=True)
class Measured:
    """A quantity with what stands behind it: `12 cm`, `30^\\circ`, `25 %`, `7 marbles`."""

    value: "Term"
    unit: str


@dataclass(frozen=True, slots=True)
class Based:
    """Digits in a base: `52_8`."""

    digits: str
    base: int


@dataclass(frozen=True, slots=True)
class Words:
    """Text: letters and digits in lower case, one blank between words."""

    text: str


Term = Number | Symbol | Constant | Apply | Group | Matrix | Relation | Builder | Measured | Based | Words


def negative(term: Term) -> Term:
    """Its opposite; the sign goes to the number itself where there is one."""
    match term:
        case Number(value):
            return Number(-value)
        case Measured(value, unit):
            return Measured(negative(value), unit)
        case Apply("deg" | "percent" as name, (value,)):
            return Apply(name, (negative(value),))
    return Apply("neg", (term,))


def add(*terms: Term) -> Term:
    """Their sum; a single one is itself."""
    return terms[0] if len(terms) == 1 else Apply("add", terms)


def multiply(*terms: Term) -> Term:
    """One flat product."""
    flat: list[Term] = []
    for term in terms:
        flat += term.args if isinstance(term, Apply) and term.name == "mul" else (term,)
    return flat[0] if len(flat) == 1 else Apply("mul", tuple(flat))


def substitute(term: Term, before: str, after: str) -> Term:
    """A term with another name for a variable."""
    match term:
        case Symbol(name):
            return Symbol(after) if name == before else term
        case Apply(name, args):
            return Apply(name, tuple(substitute(arg, before, after) for arg in args))
        case Group(opening, closing, items):
            return Group(opening, closing, tuple(substitute(item, before, after) for item in items), term.joined)
        case Relation(signs, sides):
            return Relation(signs, tuple(substitute(side, before, after) for side in sides))
    return term
