"""The compiled tables against Python's own regular expressions."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlsp_jax.rewards.automaton import (
    DEAD,
    END,
    Automaton,
    compile_patterns,
    either,
    many,
    maybe,
    one_of,
    sequence,
    some,
)

INTEGER, FRACTION, OVER = 1, 2, 3
_whole = many(one_of(b"01", INTEGER))
NUMBERS = compile_patterns(
    sequence(maybe(b"-"), _whole, maybe(b".", some(one_of(b"01", FRACTION))), one_of([END], OVER)),
    sequence(either(b"ab", sequence(some(b"a"), b"b", b"b")), one_of([END], OVER)),
)
EXPRESSIONS = (re.compile(rb"-?[01]+(?:\.[01]*)?"), re.compile(rb"ab|a*bb"))


def walk(machine: Automaton, expression: int, text: bytes) -> tuple[int, list[int]]:
    """The last state and the part of every symbol."""
    state, parts = machine.starts[expression], []
    for symbol in (*text, END):
        state = int(machine.table[state, symbol])
        parts.append(int(machine.parts[state]))
    return state, parts


@example("-1.")
@given(st.text("-01.ab", max_size=8))
def test_a_word_is_read_to_its_end_where_the_regular_expression_matches_all_of_it(text):
    for number, expression in enumerate(EXPRESSIONS):
        state, _ = walk(NUMBERS, number, text.encode())
        assert (state != DEAD) == (expression.fullmatch(text.encode()) is not None)


def test_every_symbol_is_told_which_part_it_is():
    state, parts = walk(NUMBERS, 0, b"-10.01")
    assert parts == [0, INTEGER, INTEGER, 0, FRACTION, FRACTION, OVER] and state != DEAD


def test_nothing_leads_out_of_the_dead_state():
    assert set(NUMBERS.table[DEAD].tolist()) == {DEAD}


def test_a_symbol_that_would_be_two_parts_is_refused():
    with pytest.raises(ValueError, match=r"Symbol 48 is of the parts \[1, 2\] at once"):
        compile_patterns(either(one_of(b"0", 1), sequence(one_of(b"0", 2), b"x")))
