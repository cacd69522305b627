import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.data import Countdown, identity, parse_question
from rlsp_jax.data.countdown import level, question_text
from rlsp_jax.data.countdown_search import solutions

SPLITS = ("demonstrations", "train", "heldout")


def reachable(values):
    """Every value that all the numbers can make, by a plain recursion over pairs."""
    if len(values) == 1:
        return set(values)
    found = set()
    for i in range(len(values)):
        for j in range(len(values)):
            if i != j:
                a, b = values[i], values[j]
                rest = [v for k, v in enumerate(values) if k not in (i, j)]
                results = [a + b, a * b] + [a - b] * (a >= b) + ([a // b] if b and a % b == 0 else [])
                found |= set().union(*(reachable([*rest, result]) for result in results))
    return found


@settings(max_examples=60, deadline=None)
@given(numbers=st.integers(2, 4), seed=st.integers(0, 5), number=st.integers(0, 10**6), split=st.sampled_from(SPLITS))
def test_every_problem_is_within_its_bounds_and_solvable(numbers, seed, number, split):
    config = Countdown(numbers=numbers, max_number=20, max_target=50, seed=seed)
    problem = config.problem(split, number)
    values, target = identity(problem)
    assert problem.number == number and problem.level == f"{numbers} numbers"
    assert problem.question == f"{' '.join(map(str, values))} = {target}\n"
    assert problem.truth == {"numbers": sorted(values), "target": target}
    assert len(values) == numbers and all(1 <= v <= 20 for v in values) and 1 <= target <= 50
    assert target in reachable(list(values))


def test_a_problem_does_not_depend_on_what_was_drawn_before():
    config = Countdown()
    ahead = config.problems("train", 100, 50)
    random.random()
    assert [Countdown().problem("train", n) for n in reversed(range(100, 150))] == ahead[::-1]
    assert config.problems("train", 0, 50) != ahead
    assert Countdown(seed=1).problems("train", 100, 50) != ahead


def test_problems_are_the_same_in_another_process():
    call = "[p.question for p in Countdown(seed=3).problems('heldout', 0, 20)]"
    code = f"from rlsp_jax.data import Countdown; print({call})"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str([p.question for p in Countdown(seed=3).problems("heldout", 0, 20)])


def test_no_problem_is_in_two_splits():
    for seed in (0, 1):
        config = Countdown(seed=seed)
        found = {split: {identity(p) for p in config.problems(split, 0, 2000)} for split in SPLITS}
        assert all(len(problems) > 200 for problems in found.values())
        assert not found["train"] & found["heldout"]
        assert not found["train"] & found["demonstrations"]
        assert not found["demonstrations"] & found["heldout"]


def test_the_shares_are_kept():
    for heldout, demonstrated in ((0.1, 0.4), (0.5, 0.2), (0.3, 0.0)):
        config = Countdown(numbers=4, heldout_share=heldout, demonstrated_share=demonstrated)
        draws = {config._draw(random.Random(i)) for i in range(4000)}
        for split, share in (("heldout", heldout), ("demonstrations", demonstrated)):
            observed = sum(config.split_of(*draw) == split for draw in draws) / len(draws)
            assert abs(observed - share) <= 4 * (share * (1 - share) / len(draws)) ** 0.5


def test_heldout_is_distinct_numbered_and_prefix_stable():
    problems = Countdown().heldout(400)
    assert len({identity(p) for p in problems}) == 400
    assert [p.number for p in problems] == list(range(400))
    assert Countdown().heldout(50) == problems[:50]
    assert all(p.level == level(*identity(p)) for p in problems)


def test_levels_name_the_number_of_distinct_solutions():
    buckets = {}
    for problem in Countdown().heldout(400):
        buckets.setdefault(problem.level, set()).add(len(solutions(*identity(problem))))
    assert set(buckets) == {f"3 numbers, {b}" for b in ("1 solution", "2 solutions", "3+ solutions")}
    assert buckets["3 numbers, 1 solution"] == {1}
    assert buckets["3 numbers, 2 solutions"] == {2}
    assert min(buckets["3 numbers, 3+ solutions"]) >= 3
    assert level((1, 1), 7) == "2 numbers, no solution"


def test_an_exhausted_heldout_space_is_one_clear_sentence():
    with pytest.raises(ValueError, match=r"^10000 held-out problems were asked for, but only \d+ distinct"):
        Countdown(numbers=2, max_number=5, heldout_share=0.5, demonstrated_share=0.1).heldout(10_000)


def test_an_empty_split_is_one_clear_sentence():
    with pytest.raises(ValueError, match=r"^No heldout problem turned up"):
        Countdown(numbers=2, max_number=2, heldout_share=0.0).problem("heldout", 0)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"numbers": 1}, "numbers is 1; a Countdown problem has between 2 and 5 numbers."),
        ({"numbers": 6}, "numbers is 6;"),
        ({"max_number": 0}, "max_number is 0; it must lie between 1 and"),
        ({"max_target": -3}, "max_target is -3; it must lie between 1 and"),
        ({"heldout_share": 1.0}, "heldout_share is 1.0; it must be at least 0 and less than 1."),
        ({"heldout_share": -0.1}, "heldout_share is -0.1;"),
        ({"demonstrated_share": 1.5}, "demonstrated_share is 1.5;"),
        ({"heldout_share": 0.6, "demonstrated_share": 0.4}, "heldout_share = 0.6 and demonstrated_share = 0.4 leave"),
    ],
)
def test_impossible_fields_are_refused(fields, sentence):
    with pytest.raises(ValueError) as error:
        Countdown(**fields)
    assert str(error.value).startswith(sentence)


@given(st.lists(st.integers(0, 2**31 - 1), min_size=2, max_size=6), st.integers(0, 2**31 - 1))
def test_parse_question_reads_what_question_text_writes(numbers, target):
    problem = parse_question(question_text(tuple(numbers), target))
    assert identity(problem) == (tuple(sorted(numbers)), target)
    assert problem.question == question_text(tuple(numbers), target)


def test_parse_question_accepts_how_people_type():
    assert parse_question("  12 3   07=33 ").question == "3 7 12 = 33\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "needs exactly one '='"),
        ("3 7 12", "needs exactly one '='"),
        ("3 = 7 = 12", "needs exactly one '='"),
        ("3 = 3", "at least two numbers"),
        ("= 3", "at least two numbers"),
        ("3 7 =", "exactly one target"),
        ("3 7 = 1 2", "exactly one target"),
        ("3 x = 1", "'x' is not a whole number"),
        ("3 -7 = 1", "'-7' is not a whole number"),
        ("3 2.5 = 1", "'2.5' is not a whole number"),
        ("3 ٣ = 1", "is not a whole number"),
        ("3 2147483648 = 1", "'2147483648' is too large"),
        ("3 7 = " + "9" * 5000, "is too large"),
    ],
)
def test_malformed_questions_get_one_clear_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_question(text)


def test_problems_come_with_the_values_of_a_reference_solution_and_typed_ones_without():
    drawn, held = Countdown().problems("train", 0, 20), Countdown().heldout(20)
    for problem in (*drawn, *held):
        values, target = identity(problem)
        assert len(problem.steps) == len(values) - 1 and problem.steps[-1] == str(target)
    assert parse_question("3 7 12 = 33").steps == ()
