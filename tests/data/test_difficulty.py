"""A problem is kept for its pass rate, or for its greedy response."""

from fractions import Fraction

import pytest

from rlsp_jax.common.errors import UserError
from rlsp_jax.data import Difficulty, Unsolved


@pytest.mark.parametrize("highest", [0.29, 0.3, 0.5, 1.0])
def test_a_problem_is_kept_if_and_only_if_its_pass_rate_lies_in_the_half_open_interval(highest):
    exact = Fraction(str(highest))
    for known in range(101):
        for correct in range(known + 1):
            rate = Fraction(correct, known) if known else None
            kept = Difficulty(100, highest=highest).keeps(correct, known)
            assert kept == (rate is not None and 0 < rate <= exact), (correct, known)


def test_a_problem_is_unsolved_unless_its_greedy_response_is_known_to_be_right():
    select = Unsolved(100)
    assert [select.keeps(correct, known) for correct, known in [(1, 1), (0, 1), (0, 0)]] == [False, True, True]
    assert select.greedy and select.samples == 1 and not Difficulty(100).greedy


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Difficulty(0), r"select\.candidates is 0; at least 1"),
        (lambda: Unsolved(0), r"select\.candidates is 0; at least 1"),
        (lambda: Difficulty(5, samples=0), r"select\.samples is 0"),
        (lambda: Difficulty(5, highest=0.0), r"select\.highest is 0\.0"),
        (lambda: Difficulty(5, highest=1.1), r"select\.highest is 1\.1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_clear_sentence(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()
