"""Training problems that share text with test problems: found, reported, left out.

Two problems overlap when they share `n` words in a row; those of fewer than `n` words when their whole texts are the
same but for layout. 13 words are the custom since GPT-3 (2005.14165, appendix C). The work is linear in the text: the
runs of words of the test sets lie in a table, and each training problem is looked up in it once.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.text_words import comparable, words
from rlsp_jax.records import Problem

WORDS = 13


class Overlap(NamedTuple):
    """A training problem and a test problem that share text; both are places in their sequences."""

    train: int
    test_set: str
    test: int
    shared: str  # the first run of words that they share, or the whole text
    share: float  # of the test problem's runs of words, how many the training problem has


@dataclasses.dataclass(frozen=True)
class OverlapReport:
    """How a training set meets test sets."""

    train_size: int
    test_sizes: Mapping[str, int]
    overlaps: tuple[Overlap, ...]  # in the order of the training problems

    @property
    def contaminated(self) -> frozenset[int]:
        """The places of the training problems that overlap."""
        return frozenset(overlap.train for overlap in self.overlaps)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Test set → how many training problems overlap with it, and with how many of its problems."""
        pairs = {name: [found for found in self.overlaps if found.test_set == name] for name in self.test_sizes}
        return {name: (len({p.train for p in found}), len({p.test for p in found})) for name, found in pairs.items()}

    def __str__(self) -> str:
        lines = [f"{len(self.contaminated):,} of {self.train_size:,} training problems overlap with a test problem."]
        for name, (train, test) in self.counts().items():
            lines.append(f"{name}: {test:,} of {self.test_sizes[name]:,} problems, with {train:,} training problems")
        return "\n".join(lines)


def find_overlaps(
    train: Sequence[Problem], tests: Mapping[str, Sequence[Problem]], *, n: int = WORDS, least: float = 0.0
) -> OverlapReport:
    """Every pair of a training and a test problem that overlap.

    `least` is the share of a test problem's runs of `n` words from which on a pair counts. At 0 any shared run does,
    "where m and n are relatively prime positive integers, find m + n" included; between MATH-500, AIME, AMC and
    OlympiadBench all pairs are such, and 0.1 passes them over.
    """
    if n < 1:
        raise UserError(f"n is {n}; an overlap needs at least 1 word in a row.")
    if not 0 <= least <= 1:
        raise UserError(f"least is {least}; it is a share and must lie between 0 and 1.")
    table: dict[str, list[tuple[str, int]]] = {}  # a run of words → the test problems that have it
    sizes: dict[tuple[str, int], int] = {}
    for name, problems in tests.items():
        for place, problem in enumerate(problems):
            runs = _runs(problem.question, n)
            sizes[name, place] = len(runs)
            for run in runs:
                table.setdefault(run, []).append((name, place))
    overlaps = []
    for place, problem in enumerate(train):
        shared: dict[tuple[str, int], list[str]] = {}
        for run in _runs(problem.question, n):
            for test in table.get(run, ()):
                shared.setdefault(test, []).append(run)
        pairs = (Overlap(place, *test, runs[0], len(runs) / sizes[test]) for test, runs in sorted(shared.items()))
        overlaps += [pair for pair in pairs if pair.share >= least]
    return OverlapReport(len(train), {name: len(problems) for name, problems in tests.items()}, tuple(overlaps))


def without_overlaps(train: Sequence[Problem], report: OverlapReport) -> list[Problem]:
    """The training problems that overlap with no test problem."""
    return [problem for place, problem in enumerate(train) if place not in report.contaminated]


def _runs(text: str, n: int) -> list[str]:
    """What a problem is found by, each once: its runs of `n` words, or its whole text where it has fewer words."""
    found = words(text)
    if len(found) < n:
        return [f"= {comparable(text)}"]  # a sign that no run of words has
    return list(dict.fromkeys(" ".join(found[i : i + n]) for i in range(len(found) - n + 1)))
