r"""Answers that can be read and have no value: `\gcd(a, b)`, `A \cup B`, a series without end."""

from rlsp_jax.verifiers.errors import NotUnderstood, TooLarge
from rlsp_jax.verifiers.forms import as_list, assigned, settle
from rlsp_jax.verifiers.numeric import is_defined
from rlsp_jax.verifiers.realsets import as_real_set
from rlsp_jax.verifiers.terms import Apply, Builder, Group, Matrix, Measured, Relation, Term, Words

_SPREAD = ("ratio", "given")  # what these join has values of its own


def has_value(term: Term) -> bool:
    """Whether other answers can be compared with this one by their values; text has its own way."""
    try:
        return _has_value(term)
    except TooLarge:  # it has one
        return True
    except (NotUnderstood, ArithmeticError):
        return False


def _has_value(term: Term) -> bool:
    term = settle(term)
    if as_real_set(term, term) is not None:
        return True
    if (values := as_list(term)) is not None:
        return all(map(_has_value, values))
    match term:
        case Relation():
            value = assigned(term)
            return all(map(_has_value, term.sides if value is None else (value,)))
        case Group(_, _, items):
            return all(map(_has_value, items))
        case Matrix(rows):
            return all(_has_value(cell) for row in rows for cell in row)
        case Measured(value, _):
            return _has_value(value)
        case Builder() | Apply("cup" | "cap" | "setminus"):
            return False
        case Apply(name, args) if name in _SPREAD or any(
            isinstance(arg, Group | Matrix | Relation | Words) for arg in args
        ):
            return all(map(_has_value, args))
        case Apply():
            return is_defined(term)
    return True


def _is_no_number(term: Term) -> bool:
    """What only a name stands before: `P(X = 1)`, `N(0, 1)`."""
    return isinstance(term, Group | Matrix | Relation | Words)
