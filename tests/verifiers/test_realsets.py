import pytest

from rlsp_jax.verifiers.lexer import tokenize
from rlsp_jax.verifiers.parser import parse
from rlsp_jax.verifiers.realsets import RealSet, as_real_set
from rlsp_jax.verifiers.terms import Symbol

EVERYTHING = Symbol("mathbb R")


def real_set(text: str) -> RealSet | None:
    return as_real_set(parse(tokenize(text)), EVERYTHING)


def holds(pieces: RealSet, x: float) -> bool:
    return any(
        p.low < x < p.high or (x == p.low and p.low_closed) or (x == p.high and p.high_closed) for p in pieces.pieces
    )


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("(1,2]", (1.5, 2), (1, 2.5)),
        (r"[0,\infty)", (0, 1e9), (-1,)),
        (r"(-\infty,1) \cup [2,3)", (-9, 2, 2.9), (1, 1.5, 3)),
        ("1 < x \\le 2", (1.5, 2), (1, 3)),
        ("-2x + 1 > 5", (-3,), (-2, 0)),
        (r"\mathbb{R} \setminus \{1, 2\}", (0, 1.5), (1, 2)),
        (r"\{x \mid x \ge 3\}", (3, 4), (2,)),
        ("x > 3 and x < 5", (4,), (3, 5, 6)),
        ("x < 3 or x > 5", (2, 6), (3, 4, 5)),
        (r"(0,4) \cap [2, 9]", (2, 3), (1, 4)),
    ],
)
def test_a_set_of_reals_holds_what_it_says(text, inside, outside):
    pieces = real_set(text)
    assert pieces is not None
    assert all(holds(pieces, x) for x in inside) and not any(holds(pieces, x) for x in outside)


def test_pieces_that_touch_are_one():
    assert (
        real_set("(1,2] \\cup [2,3)")
        == real_set("(1,2] \\cup (2,3)")
        == real_set("(1,3)")
        != real_set("(1,2) \\cup (2,3)")
    )


@pytest.mark.parametrize("text", ["x^2 > 4", "x > y", "(3, 1)", "(i, 2)", "5"])
def test_what_is_no_set_of_reals_or_too_hard_is_none(text):
    assert real_set(text) is None
