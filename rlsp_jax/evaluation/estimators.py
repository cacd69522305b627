"""Estimators over samples, in numpy: unbiased pass@k, votes, reranking, intervals; how good predictions are. No JAX."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


def pass_at_k(correct: np.ndarray, total: np.ndarray, k: int) -> float:
    """The chance that one of k samples is right, averaged over problems: 1 − C(n−c, k) / C(n, k).

    Chen et al. 2021 (2107.03374), Eq. 1, as a product. `correct`, `total` are integers `[problems]`;
    problems with fewer than k samples are left out; NaN when none is left.
    """
    keep = total >= k
    c, n = correct[keep].astype(float), total[keep].astype(float)
    if not len(n):
        return float("nan")
    misses = np.ones(len(n))
    for i in range(k):
        misses *= np.clip((n - c - i) / (n - i), 0.0, 1.0)
    return float(np.mean(1 - misses))


def majority_correct(votes: Sequence[tuple[str | None, bool]]) -> float:
    """Whether the most frequent answer is right; of equally frequent answers, the share that are right.

    A vote is an answer's equivalence class and whether it is right; None does not vote.
    """
    counts = Counter(answer for answer, _ in votes if answer is not None)
    if not counts:
        return 0.0
    right = {answer: ok for answer, ok in votes if answer is not None}
    best = max(counts.values())
    winners = [answer for answer, count in counts.items() if count == best]
    return sum(right[answer] for answer in winners) / len(winners)


def rerank_correct(samples: Sequence[tuple[float, bool]]) -> float:
    """Whether the sample with the highest score is right, the first of equals; a sample is (score, right).

    Cobbe et al. 2021 (2110.14168), §4.2: the answer that the verifier ranks highest. 0 without samples.
    """
    return float(max(samples, key=lambda sample: sample[0])[1]) if samples else 0.0


def bootstrap_interval(scores: Sequence[float], *, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of the mean over problems."""
    values = np.asarray(scores, float)
    if not len(values):
        return float("nan"), float("nan")
    draws = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


# ---- predictions of a yes or no -------------------------------------------------------------------

_SMALLEST = 1e-7  # the least probability that a float32 prediction is taken to mean


class Bins(NamedTuple):
    """Predictions sorted into equal parts of [0, 1]: what is said in each, and what is true. NaN where none is."""

    counts: np.ndarray  # [bins]
    predicted: np.ndarray  # [bins] mean prediction
    observed: np.ndarray  # [bins] share that came true


def cross_entropy(predictions: np.ndarray, truths: np.ndarray) -> float:
    """The mean of −log of the probability given to what came true, in nats; NaN without any."""
    said = np.where(truths, predictions, 1 - np.asarray(predictions, float))
    return float(np.mean(-np.log(np.maximum(said, _SMALLEST)))) if len(said) else float("nan")


def accuracy(predictions: np.ndarray, truths: np.ndarray) -> float:
    """The share of predictions on the right side of 1/2, where exactly 1/2 says no; NaN without any."""
    return float(np.mean((np.asarray(predictions) > 0.5) == truths)) if len(truths) else float("nan")


def area_under_curve(predictions: np.ndarray, truths: np.ndarray) -> float:
    """The chance that a true case is given a higher prediction than a false one, a tie being one half (ROC AUC).

    Hanley & McNeil 1982, by ranks (Mann–Whitney). NaN unless there are cases of both kinds.
    """
    truths = np.asarray(truths, bool)
    positives, negatives = int(truths.sum()), int((~truths).sum())
    if not positives or not negatives:
        return float("nan")
    _, place, counts = np.unique(predictions, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # from 1; equals share their mean
    return float((ranks[place][truths].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def reliability(predictions: np.ndarray, truths: np.ndarray, bins: int) -> Bins:
    """Equal bins of [0, 1], each closed on the left, the last one on both sides (Guo et al. 2017, 1706.04599, §2)."""
    predictions = np.asarray(predictions, float)
    place = np.minimum((predictions * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(place, predictions, minlength=bins) / counts
        observed = np.bincount(place, np.asarray(truths, float), minlength=bins) / counts
    return Bins(counts, predicted, observed)


def expected_calibration_error(bins: Bins) -> float:
    """The mean gap between what is said and what is true, over bins by their counts (1706.04599, Eq. 3)."""
    filled = bins.counts > 0
    if not filled.any():
        return float("nan")
    gaps = np.abs(bins.predicted - bins.observed)[filled]
    return float(np.average(gaps, weights=bins.counts[filled]))
