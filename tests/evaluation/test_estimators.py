import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.evaluation.estimators import (
    accuracy,
    area_under_curve,
    bootstrap_interval,
    cross_entropy,
    expected_calibration_error,
    majority_correct,
    pass_at_k,
    reliability,
    rerank_correct,
)


def slow_pass_at_k(right: int, total: int, k: int) -> float:
    """The share of all subsets of k samples that hold a right one."""
    subsets = list(itertools.combinations([i < right for i in range(total)], k))
    return sum(map(any, subsets)) / len(subsets)


@given(
    st.lists(st.integers(1, 7).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1),
    st.integers(1, 7),
)
def test_pass_at_k_equals_counting_all_subsets(problems, k):
    correct, total = map(np.asarray, zip(*problems, strict=True))
    expected = [slow_pass_at_k(c, n, k) for c, n in problems if n >= k]
    result = pass_at_k(correct, total, k)
    assert result == pytest.approx(np.mean(expected)) if expected else math.isnan(result)


def test_pass_at_1_is_the_mean_of_problems_rates_and_pass_at_n_any_right():
    correct, total = np.asarray([0, 1, 4]), np.asarray([4, 4, 4])
    assert pass_at_k(correct, total, 1) == pytest.approx((0 + 1 / 4 + 1) / 3)
    assert pass_at_k(correct, total, 4) == pytest.approx(2 / 3)


def test_many_samples_do_not_overflow():
    assert pass_at_k(np.asarray([1]), np.asarray([10_000]), 5_000) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([("a", True), ("a", True), ("b", False)], 1.0),
        ([("a", True), ("b", False), ("b", False)], 0.0),
        ([("a", True), ("b", False)], 1 / 2),  # a tie counts by the share of the tied that are right
        ([("a", True), ("b", False), ("c", True)], 2 / 3),
        ([("a", True), (None, False), (None, False)], 1.0),  # no answer is no vote
        ([(None, False)], 0.0),
        ([], 0.0),
    ],
)
def test_the_majority_is_right_as_often_as_the_most_frequent_answers_are(votes, expected):
    assert majority_correct(votes) == pytest.approx(expected)


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_votes_is_of_no_matter(answers, rng):
    votes = [(answer, answer == "a") for answer in answers]
    shuffled = rng.sample(votes, len(votes))
    assert majority_correct(votes) == majority_correct(shuffled)


def test_bootstrap_intervals_cover_the_truth_about_as_often_as_they_say():
    """200 data sets of 60 problems with a success rate of 0.3: 95 % of the intervals should hold it."""
    rng = np.random.default_rng(0)
    intervals = [
        bootstrap_interval((rng.random(60) < 0.3).astype(float).tolist(), resamples=400, seed=i) for i in range(200)
    ]
    covered = np.mean([low <= 0.3 <= high for low, high in intervals])
    assert 0.9 <= covered <= 0.99


def test_a_bootstrap_interval_holds_the_mean_and_shrinks_with_the_square_root_of_problems():
    scores = np.random.default_rng(1).random(1600).tolist()
    low, high = bootstrap_interval(scores[:100])
    narrow_low, narrow_high = bootstrap_interval(scores)
    assert low < np.mean(scores[:100]) < high and narrow_low < np.mean(scores) < narrow_high
    assert (high - low) / (narrow_high - narrow_low) == pytest.approx(4, rel=0.2)
    assert bootstrap_interval([0.5] * 10) == (0.5, 0.5) and bootstrap_interval(scores) == bootstrap_interval(scores)


def test_no_problems_give_no_number():
    assert all(map(math.isnan, bootstrap_interval([]))) and math.isnan(pass_at_k(np.asarray([]), np.asarray([]), 1))


# ---- reranking and predictions ----

predictions = st.lists(
    st.tuples(st.one_of(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.floats(0, 1)), st.booleans()), min_size=1
)


@given(predictions)
def test_reranking_takes_the_first_sample_of_the_highest_score(samples):
    best, right = -1.0, False
    for score, correct in samples:
        if score > best:
            best, right = score, correct
    assert rerank_correct(samples) == float(right)


def test_reranking_without_samples_is_wrong_and_a_tie_goes_to_the_first():
    assert rerank_correct([]) == 0.0
    assert rerank_correct([(0.5, True), (0.5, False)]) == 1.0 and rerank_correct([(0.5, False), (0.5, True)]) == 0.0


@given(predictions)
def test_the_area_under_the_curve_is_the_share_of_pairs_in_the_right_order(cases):
    said, true = map(np.asarray, zip(*cases, strict=True))
    pairs = [(a > b) + 0.5 * (a == b) for a, yes in cases if yes for b, other in cases if not other]
    expected = float(np.mean(pairs)) if pairs else math.nan
    assert area_under_curve(said, true) == pytest.approx(expected, nan_ok=True)


@given(predictions, st.integers(1, 12))
def test_bins_count_average_and_compare_every_prediction_once(cases, bins):
    said, true = map(np.asarray, zip(*cases, strict=True))
    found, gap = reliability(said, true, bins), 0.0
    for i in range(bins):
        inside = [(p, t) for p, t in cases if int(p * bins) == i or (p == 1 and i == bins - 1)]
        assert found.counts[i] == len(inside)
        if inside:
            means = np.mean(inside, axis=0)
            assert (found.predicted[i], found.observed[i]) == pytest.approx(tuple(means))
            gap += len(inside) / len(cases) * abs(means[0] - means[1])
        else:
            assert math.isnan(found.predicted[i]) and math.isnan(found.observed[i])
    assert expected_calibration_error(found) == pytest.approx(gap)


def test_predictions_that_are_drawn_to_come_true_have_the_closed_forms_of_a_uniform_chance():
    """p uniform and true with chance p: cross-entropy 1/2 nat, accuracy 3/4, AUC 5/6, no calibration error."""
    rng = np.random.default_rng(0)
    said = rng.uniform(size=400_000)
    true = rng.uniform(size=said.size) < said
    assert cross_entropy(said, true) == pytest.approx(1 / 2, abs=5e-3)
    assert accuracy(said, true) == pytest.approx(3 / 4, abs=5e-3)
    assert area_under_curve(said, true) == pytest.approx(5 / 6, abs=5e-3)
    assert expected_calibration_error(reliability(said, true, 10)) == pytest.approx(0, abs=5e-3)
    shifted = np.clip(said * 0.5 + 0.5, 0, 1)  # says 1/2 + p/2 where p is true: off by (1 − p)/2, 1/4 on average
    assert expected_calibration_error(reliability(shifted, true, 10)) == pytest.approx(1 / 4, abs=5e-3)


def test_a_sure_prediction_that_is_wrong_costs_a_finite_number_and_half_is_a_no():
    assert cross_entropy(np.asarray([0.0]), np.asarray([True])) == pytest.approx(-math.log(1e-7))
    assert cross_entropy(np.asarray([1.0, 0.0]), np.asarray([True, False])) == 0
    assert accuracy(np.asarray([0.5, 0.5]), np.asarray([False, True])) == 0.5
    nothing = np.asarray([], float), np.asarray([], bool)
    assert all(math.isnan(measure(*nothing)) for measure in (cross_entropy, accuracy, area_under_curve))
    assert math.isnan(expected_calibration_error(reliability(*nothing, 4)))
