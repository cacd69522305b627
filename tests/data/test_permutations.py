import collections
import itertools
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.data import Permutations, ProblemSource, parse_permutation
from rlsp_jax.data.permutations import all_swaps, arrangements, permutation_text

SPLITS = ("demonstrations", "train", "heldout")
SWAPS = {symbols: list(itertools.combinations(range(1, symbols + 1), 2)) for symbols in range(2, 10)}


def composed(start: str, moves) -> str:
    """The final arrangement as a product of permutation matrices."""
    product = np.eye(len(start), dtype=int)
    for i, j in moves:
        swap = np.eye(len(start), dtype=int)
        swap[[i - 1, j - 1]] = swap[[j - 1, i - 1]]
        product = swap @ product
    return "".join(start[column] for column in product.argmax(axis=1))


@st.composite
def words(draw):
    """A start and a few swaps of it."""
    symbols = draw(st.integers(2, 9))
    start = "".join(draw(st.permutations("abcdefghi"[:symbols])))
    return start, draw(st.lists(st.sampled_from(SWAPS[symbols]), min_size=1, max_size=20))


def test_swaps_are_all_pairs_of_places():
    assert {symbols: all_swaps(symbols) for symbols in SWAPS} == SWAPS


@given(words())
def test_the_last_arrangement_is_the_product_of_all_swaps(word):
    start, moves = word
    passed = arrangements(start, moves)
    assert passed[0] == start and len(passed) == len(moves) + 1
    assert passed == [composed(start, moves[:count]) for count in range(len(moves) + 1)]


@settings(max_examples=60, deadline=None)
@given(symbols=st.integers(3, 9), seed=st.integers(0, 5), number=st.integers(0, 10**6), split=st.sampled_from(SPLITS))
def test_every_problem_is_within_its_bounds_and_its_truth_is_right(symbols, seed, number, split):
    problem = Permutations(symbols=symbols, moves=(2, 12), seed=seed).problem(split, number)
    start, moves = problem.truth["start"], problem.truth["moves"]
    assert problem.number == number and problem.level == f"{len(moves):02} moves" and 2 <= len(moves) <= 12
    assert sorted(start) == list("abcdefghi"[:symbols]) and all(1 <= i < j <= symbols for i, j in moves)
    assert problem.truth["answer"] == composed(start, moves)
    assert problem.question == " ".join([start, *(f"{k + 1}:{i}{j}" for k, (i, j) in enumerate(moves))])


def test_every_even_permutation_of_five_is_a_product_of_four_swaps():
    """What makes the word problem with swaps as hard as that of A₅, which is complete for NC¹."""
    reached = {arrangements("abcde", word)[-1] for word in itertools.product(SWAPS[5], repeat=4)}
    assert len(reached) == 60


def test_a_problem_does_not_depend_on_what_was_drawn_before():
    ahead = Permutations().problems("train", 100, 50)
    random.random()
    assert [Permutations().problem("train", n) for n in reversed(range(100, 150))] == ahead[::-1]
    assert Permutations().problems("train", 0, 50) != ahead
    assert Permutations(seed=1).problems("train", 100, 50) != ahead


def test_problems_are_the_same_in_another_process():
    call = "[p.question for p in Permutations(seed=3).problems('heldout', 0, 20)]"
    code = f"from rlsp_jax.data import Permutations; print({call})"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str([p.question for p in Permutations(seed=3).problems("heldout", 0, 20)])


def test_no_problem_is_in_two_splits():
    for seed in (0, 1):
        source = Permutations(seed=seed, moves=(1, 3))
        found = {split: {p.question for p in source.problems(split, 0, 2000)} for split in SPLITS}
        assert all(len(problems) > 500 for problems in found.values())
        assert not any(one & other for one, other in itertools.combinations(found.values(), 2))


def test_the_shares_are_kept():
    for heldout, demonstrated in ((0.1, 0.4), (0.5, 0.2), (0.3, 0.0)):
        source = Permutations(heldout_share=heldout, demonstrated_share=demonstrated)
        draws = {source._draw(random.Random(i)) for i in range(4000)}
        for split, share in (("heldout", heldout), ("demonstrations", demonstrated)):
            observed = sum(source.split_of(*draw) == split for draw in draws) / len(draws)
            assert abs(observed - share) <= 4 * (share * (1 - share) / len(draws)) ** 0.5


def test_every_difficulty_is_drawn_equally_often():
    levels = collections.Counter(p.level for p in Permutations(moves=(1, 4)).problems("train", 0, 2000))
    assert set(levels) == {"1 move", "2 moves", "3 moves", "4 moves"}
    assert all(abs(count - 500) < 4 * (2000 * 0.25 * 0.75) ** 0.5 for count in levels.values())


def test_levels_sort_by_the_number_of_moves():
    levels = {len(p.truth["moves"]): p.level for p in Permutations(moves=(1, 12)).problems("train", 0, 400)}
    assert list(levels) != sorted(levels) and len(levels) == 12
    assert sorted(levels.values()) == [levels[count] for count in sorted(levels)]


def test_heldout_is_distinct_numbered_and_prefix_stable():
    problems = Permutations().heldout(400)
    assert len({p.question for p in problems}) == 400
    assert [p.number for p in problems] == list(range(400))
    assert Permutations().heldout(50) == problems[:50]
    assert isinstance(Permutations(), ProblemSource) and Permutations().epoch_size() is None


def test_an_exhausted_heldout_space_is_one_clear_sentence():
    with pytest.raises(ValueError, match=r"^1000 held-out problems were asked for, but only \d+ distinct"):
        Permutations(symbols=3, moves=(1, 2)).heldout(1000)


def test_an_empty_split_is_one_clear_sentence():
    with pytest.raises(ValueError, match=r"^No heldout problem turned up"):
        Permutations(symbols=3, moves=(1, 1), heldout_share=0.0).problem("heldout", 0)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"symbols": 2}, "symbols is 2; an arrangement has between 3 and 9 letters."),
        ({"symbols": 10}, "symbols is 10;"),
        ({"moves": (0, 3)}, "moves is (0, 3); it must be (fewest, most)"),
        ({"moves": (4, 3)}, "moves is (4, 3);"),
        ({"moves": (1, 100)}, "moves is (1, 100);"),
        ({"heldout_share": 1.0}, "heldout_share is 1.0; it must be at least 0 and less than 1."),
        ({"demonstrated_share": -0.1}, "demonstrated_share is -0.1;"),
        ({"heldout_share": 0.6, "demonstrated_share": 0.4}, "heldout_share = 0.6 and demonstrated_share = 0.4 leave"),
    ],
)
def test_impossible_fields_are_refused(fields, sentence):
    with pytest.raises(ValueError) as error:
        Permutations(**fields)
    assert str(error.value).startswith(sentence)


@given(words())
def test_parsing_reads_what_a_question_shows(word):
    start, moves = word
    problem = parse_permutation(permutation_text(start, moves))
    assert problem.truth == {"answer": composed(start, moves), "start": start, "moves": [list(m) for m in moves]}
    assert problem.question == permutation_text(start, moves)


def test_parsing_accepts_how_people_type():
    assert Permutations().parse("  bac 21\t2:23\n").question == "bac 1:12 2:23"
    assert Permutations().parse("ba 12").level == "1 move"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must begin with an arrangement"),
        ("a 1:12", "must begin with an arrangement"),
        ("abd 1:12", "must begin with an arrangement"),
        ("aab 1:12", "must begin with an arrangement"),
        ("abcdefghij 1:12", "must begin with an arrangement"),
        ("12 13", "must begin with an arrangement"),
        ("bac", "needs at least one move"),
        ("bac 1:14", "'1:14' is not a move; write two different places between 1 and 3"),
        ("bac 1:11", "'1:11' is not a move"),
        ("bac 01", "'01' is not a move"),
        ("bac 123", "'123' is not a move"),
        ("bac 1:", "'1:' is not a move"),
        ("bac 1٣", "is not a move"),
        ("bac 2:12", "Move 1 is written '2:12'"),
        ("bac 1:12 1:23", "Move 2 is written '1:23'"),
        ("bac :12", "Move 1 is written ':12'"),
    ],
)
def test_malformed_questions_get_one_clear_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_permutation(text)
