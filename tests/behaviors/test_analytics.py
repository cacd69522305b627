"""Means over responses."""

import pytest

from rlsp_jax.behaviors.analytics import mean_behaviors

WRONG = "try 1+2=3 check 4 no back\ntry 1+2=3 check 4 no back\nanswer: none"
MENDED = "try 1+2=3 check 4 no back\ntry 2+2=4 check 4 yes\nanswer: 2+2"


def test_means_are_over_all_responses():
    means = mean_behaviors([WRONG, MENDED, "answer: 4", MENDED], [False, True, True, False])
    # WRONG repeats 1 of its 3 lines and fewer of its 8-grams; the others repeat nothing.
    assert means.repetition == pytest.approx((1 / 3) / 4)
    assert (means.backtracks, means.verifications, means.attempts) == (4 / 4, 6 / 4, 5 / 4)
    assert means.wrong_to_right == 1 / 4


def test_no_responses_or_missing_verdicts_are_refused():
    with pytest.raises(ValueError, match="0 responses"):
        mean_behaviors([], [])
    with pytest.raises(ValueError, match="1 verdicts"):
        mean_behaviors(["a", "b"], [True])
