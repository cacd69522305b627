import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.common.errors import UserError
from rlsp_jax.data import Overlap, find_overlaps, without_overlaps
from rlsp_jax.data.jsonl import read_rows
from rlsp_jax.data.text_words import comparable, words
from rlsp_jax.records import Problem
from tests.data.releases import REAL, needs_real


def problems(*texts: str) -> list[Problem]:
    return [Problem(i, "", text, {}) for i, text in enumerate(texts)]


def share_a_run(left: list[str], right: list[str], n: int) -> bool:
    """Whether any n words of the one stand in the other, by trying every pair of places."""
    starts = [(i, j) for i in range(len(left) - n + 1) for j in range(len(right) - n + 1)]
    return any(left[i : i + n] == right[j : j + n] for i, j in starts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Find $x^2$, please: 1,000!", ["find", "x", "2", "please", "1", "000"]),
        (r"\frac{1}{2}_{n}", ["frac", "1", "2", "n"]),
        ("Ｆｕｌｌ Straße ÉTÉ", ["full", "strasse", "été"]),
        ("求 x 的值", ["求", "x", "的", "值"]),
        ("!?", []),
    ],
)
def test_words_are_lower_cased_and_without_punctuation(text, expected):
    assert words(text) == expected


def test_layout_does_not_tell_problems_apart_and_signs_do():
    assert comparable("Compute  $2+3$.") == comparable("compute 2+3")
    assert comparable("Compute $2+3$.") != comparable("Compute $2-3$.")


def test_a_run_of_words_is_found_wherever_it_stands_and_however_it_is_punctuated():
    train = problems("Once: a b c, d — e f!", "a b c d x e f", "nothing of it here at all")
    report = find_overlaps(train, {"one": problems("z", "A b C d e g h"), "two": problems("d e f a b c d e")}, n=5)
    assert report.overlaps == (
        Overlap(0, "one", 1, "a b c d e", 1 / 3),
        Overlap(0, "two", 0, "a b c d e", 1 / 4),
    )
    assert report.counts() == {"one": (1, 1), "two": (1, 1)} and report.contaminated == {0}
    assert without_overlaps(train, report) == train[1:]
    assert str(report).splitlines() == [
        "1 of 3 training problems overlap with a test problem.",
        "one: 1 of 2 problems, with 1 training problems",
        "two: 1 of 1 problems, with 1 training problems",
    ]


def test_short_problems_are_compared_as_a_whole():
    train = problems("Compute $2+3$.", "Compute 2-3", "compute 2 + 3", "We compute 2+3 in this longer text today")
    report = find_overlaps(train, {"test": problems("compute 2+3")}, n=6)
    assert report.overlaps == (Overlap(0, "test", 0, "= compute 2+3", 1.0),)


def test_pairs_that_share_too_little_may_be_passed_over():
    train = problems("a b c d e f g", "a b c x y z w")
    tests = {"test": problems("a b c d e f g")}
    assert [round(pair.share, 2) for pair in find_overlaps(train, tests, n=3).overlaps] == [1.0, 0.2]
    assert find_overlaps(train, tests, n=3, least=0.5).contaminated == {0}


texts = st.lists(st.lists(st.sampled_from("abc"), min_size=2, max_size=12).map(" ".join), max_size=5)


@given(train=texts, test=texts, n=st.integers(1, 4))
def test_what_is_found_is_what_comparing_every_pair_of_places_finds(train, test, n):
    report = find_overlaps(problems(*train), {"test": problems(*test)}, n=n)
    expected = {
        (i, j)
        for i, left in enumerate(train)
        for j, right in enumerate(test)
        if share_a_run(left.split(), right.split(), n) or (left == right and len(left.split()) < n)
    }
    assert {(pair.train, pair.test) for pair in report.overlaps} == expected
    assert all(0 < pair.share <= 1 for pair in report.overlaps)


def test_a_planted_problem_is_found_among_many():
    rng = random.Random(0)
    made = [" ".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(40)) for _ in range(400)]
    train = problems(*made[:300], f"Please solve this. {made[350]} Show your work.")
    report = find_overlaps(train, {"test": problems(*made[300:])})
    assert [pair[:3] for pair in report.overlaps] == [(300, "test", 50)] and report.overlaps[0].share == 1


@pytest.mark.parametrize(
    ("knobs", "sentence"), [({"n": 0}, "^n is 0; an overlap needs"), ({"least": 2.0}, r"^least is 2\.0; it is a share")]
)
def test_knobs_out_of_range_are_one_sentence(knobs, sentence):
    with pytest.raises(UserError, match=sentence):
        find_overlaps([], {}, **knobs)


@needs_real
def test_gsm8k_is_nearly_clean_of_its_own_test_problems():
    train, test = (
        problems(*(row.question for row in read_rows(REAL / f"gsm8k_{part}.jsonl"))) for part in ("train", "test")
    )
    report = find_overlaps(train, {"gsm8k": test})
    assert report.counts() == {"gsm8k": (4, 3)}
    assert max(pair.share for pair in report.overlaps) < 0.6  # templates with other numbers, no problem twice
    assert len(without_overlaps(train, report)) == 7469
