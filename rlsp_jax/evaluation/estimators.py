"""Accuracy estimators over samples, in numpy: unbiased pass@k, majority votes and their intervals. No JAX."""

from collections import Counter
from collections.abc import Sequence

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


def bootstrap_interval(scores: Sequence[float], *, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of the mean over problems."""
    values = np.asarray(scores, float)
    if not len(values):
        return float("nan"), float("nan")
    draws = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
