import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.data.countdown_search import (
    distinct_moves,
    join,
    join_text,
    moves,
    solution_values,
    solutions,
    solvable,
)

PRIME = 2**61 - 1


def results_by_splitting(numbers):
    """Independent of `moves`: every tree over every split in two; value → rational functions (hashed mod a prime).

    Numbers must be distinct. The function is taken at a random point: one random residue per number.
    """
    residues = {number: random.Random(f"{number}").randrange(1, PRIME) for number in numbers}

    def results(subset):
        if len(subset) == 1:
            return {(subset[0], residues[subset[0]])}
        found = set()
        for size in range(1, len(subset)):
            for left in itertools.combinations(subset, size):
                right = tuple(n for n in subset if n not in left)
                for (a, x), (b, y) in itertools.product(results(left), results(right)):
                    found |= {(a + b, (x + y) % PRIME), (a * b, x * y % PRIME)}
                    if a >= b:
                        found.add((a - b, (x - y) % PRIME))
                    if b and a % b == 0:
                        found.add((a // b, x * pow(y, -1, PRIME) % PRIME))
        return found

    return results(tuple(numbers))


def test_moves_come_in_canonical_order():
    written = [(m.left, m.op, m.right, m.value) for m in moves((3, 12, 6))]
    assert written == [
        *[(0, "+", 1, 15), (1, "-", 0, 9), (0, "*", 1, 36), (1, "/", 0, 4)],
        *[(0, "+", 2, 9), (2, "-", 0, 3), (0, "*", 2, 18), (2, "/", 0, 2)],
        *[(1, "+", 2, 18), (1, "-", 2, 6), (1, "*", 2, 72), (1, "/", 2, 2)],
    ]


def test_moves_never_divide_by_zero():
    assert [(m.left, m.op, m.right, m.value) for m in moves((0, 5)) if m.op == "/"] == [(0, "/", 1, 0)]
    assert [m for m in moves((0, 0)) if m.op == "/"] == []


def test_a_result_takes_the_place_of_the_earlier_number():
    backwards = next(m for m in moves((3, 12, 6)) if (m.left, m.op, m.right) == (2, "-", 0))
    assert join((3, 12, 6), backwards, backwards.value) == (3, 12)


def test_distinct_moves_keep_the_first_of_equal_operations():
    for values in [(4, 4), (3, 3, 5), (2, 5, 2, 5), (6, 1, 6)]:
        keys = []
        for move in moves(values):
            operands = (values[move.left], values[move.right])
            keys.append((move.op, tuple(sorted(operands)) if move.op in "+*" else operands))
        firsts = [move for i, move in enumerate(moves(values)) if keys[i] not in keys[:i]]
        assert list(distinct_moves(values)) == firsts


@pytest.mark.parametrize("numbers", [(3, 12), (2, 7, 9), (1, 4, 12), (5, 6, 10), (2, 3, 8, 11), (1, 5, 7, 12)])
def test_solutions_are_all_the_rational_functions_that_reach_the_target(numbers, evaluate):
    by_value = {}
    for value, function in results_by_splitting(numbers):
        by_value.setdefault(value, set()).add(function)
    for target in range(1, 60):
        found = solutions(numbers, target)
        assert len(found) == len(by_value.get(target, ())), (numbers, target, found)
        assert solvable(numbers, target) == (target in by_value)
        assert all(evaluate(text) == (target, sorted(numbers)) for text in found)


@pytest.mark.parametrize(
    ("numbers", "target", "expected"),
    [
        ((3, 7, 12), 33, ("(3*7)+12",)),
        ((3, 5, 11), 9, ("(11-5)+3", "(3+11)-5", "11-(5-3)")),  # one sum, regrouped
        ((2, 3, 8), 12, ("(3*8)/2", "(8/2)*3")),  # one product, regrouped
        ((3, 3, 5), 11, ("(3+3)+5", "(3+5)+3")),  # equal numbers are interchangeable
        ((1, 1), 7, ()),
    ],
)
def test_reordered_and_regrouped_solutions_count_once(numbers, target, expected):
    found = solutions(numbers, target)
    assert len(found) == min(1, len(expected)) and set(found) <= set(expected)


def test_different_solutions_with_equal_numbers_are_told_apart(evaluate):
    found = solutions((3, 3, 5), 5)  # 5+3-3 and 5*3/3
    assert len(found) == 2 and all(evaluate(text) == (5, [3, 3, 5]) for text in found)


def test_solvable_ignores_the_order_of_the_numbers():
    for values in itertools.permutations((3, 7, 12)):
        assert solvable(values, 33) and not solvable(values, 34)


def test_join_text_parenthesises_operands_but_not_the_whole():
    assert join_text(join_text("3", "*", "7"), "+", "12") == "(3*7)+12"
    assert join_text("5", "-", join_text("12", "/", "4")) == "5-(12/4)"


@given(st.lists(st.integers(1, 12), min_size=2, max_size=4).map(tuple), st.integers(1, 60))
def test_the_values_of_a_solution_are_those_of_moves_that_lead_to_the_target(numbers, target):
    values = solution_values(numbers, target)
    assert bool(values) == solvable(numbers, target)
    states = {numbers}
    for value in values:
        states = {join(state, move, value) for state in states for move in moves(state) if move.value == value}
    assert states == {numbers} or (len(values) == len(numbers) - 1 and (target,) in states)
