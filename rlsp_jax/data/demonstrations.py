"""Worked search as text: a depth-first search with tries, checks and backtracking, then the answer.

    try 3*12=36
    try 36+7=43 check 33 no back
    back
    try 3*7=21
    try 21+12=33 check 33 yes
    answer: (3*7)+12

The children of a state are visited in one fixed order, so a search only ever moves forward in
it and never repeats a line at the same place: with a random order, greedy decoding loops.
"""

import dataclasses
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.words import ANSWER, BACK, CHECK, GIVE_UP, NO, TRY, YES
from rlsp_jax.data.countdown import identity
from rlsp_jax.data.countdown_search import Move, distinct_moves, join, join_text, solutions, solvable
from rlsp_jax.records import Problem

# What a search is written with besides numbers and operations: for a tokenizer that makes each of them one token.
SEARCH_SYMBOLS = (f"{TRY} ", f" {CHECK} ", f" {NO} {BACK}\n", f"{BACK}\n", f" {YES}\n", f"{ANSWER} ")


class Line(NamedTuple):
    """One written line. The lines of an attempt's continuation follow it and lie deeper."""

    depth: int
    text: str
    is_check: bool = False
    answer: str = ""  # the expression, on the line that solves


@dataclasses.dataclass(frozen=True)
class SearchTraces:
    """Demonstrations of search on Countdown problems.

    direct: share of traces that give only an answer, without any search.
    keep: probability that a child which leads to no solution is tried; the others are passed over.
    budget: the most checks written.
    noise: probability that a failing check's result is miscalculated. It still differs from the
        target, so every verdict and every final answer is true.
    shuffle: probability that two neighbouring children swap places.
    largest: steps and checks whose result exceeds this are passed over, unless they lead to a solution.
    nearest: how many of the moves that leave one number are tried in a place, those that come nearest
        the target, nearest first; None tries each with probability `keep`, in canonical order.
    give_up: when the budget is used up before a solution, end with "answer: none"; otherwise random
        failed attempts are left out until the search fits.
    """

    direct: float = 0.0
    keep: float = 0.3
    budget: int = 5
    noise: float = 0.0
    shuffle: float = 0.0
    largest: int | None = None
    nearest: int | None = None
    give_up: bool = True
    seed: int = 0

    def __post_init__(self):
        for name in ("direct", "keep", "noise", "shuffle"):
            if not 0 <= (value := vars(self)[name]) <= 1:
                raise UserError(f"{name} is {value}; it is a probability and must lie between 0 and 1.")
        if self.budget < 1:
            raise UserError(f"budget is {self.budget}; a search needs at least 1 check.")
        if self.nearest is not None and self.nearest < 1:
            raise UserError(f"nearest is {self.nearest}; at least 1 move must be tried, or None for no such limit.")

    def trace(self, problem: Problem, number: int) -> str:
        """Demonstration `number` of a problem: a pure function of the config, the problem and the number.

        ValueError when the problem has no solution in non-negative integers.
        """
        numbers, target = identity(problem)
        if not solvable(numbers, target):
            raise UserError(f"{problem.question.strip()!r} has no solution, so there is nothing to demonstrate.")
        rng = random.Random(f"{self.seed}/{numbers}/{target}/{number}")
        if rng.random() < self.direct:
            return f"{ANSWER} {rng.choice(solutions(numbers, target))}"
        lines = self._fit(list(self._search(numbers, tuple(map(str, numbers)), target, 0, rng)), rng)
        return "\n".join([*(line.text for line in lines), f"{ANSWER} {lines[-1].answer or GIVE_UP}"])

    def _search(
        self, values: tuple[int, ...], texts: tuple[str, ...], target: int, depth: int, rng: random.Random
    ) -> Iterator[Line]:
        """The lines of a search below a state, up to its first solution."""
        for move in self._ordered(self._candidates(values, target), rng):
            after = join(values, move, move.value)
            leads = solvable(after, target)
            too_large = self.largest is not None and move.value > self.largest
            sure = self.nearest is not None and len(after) == 1
            if not leads and (too_large or (not sure and rng.random() >= self.keep)):
                continue
            text = join_text(texts[move.left], move.op, texts[move.right])
            if len(after) == 1:
                yield self._check(values, move, target, depth, text, rng)
            else:
                below = list(self._search(after, join(texts, move, text), target, depth + 1, rng))
                if not any(line.is_check for line in below):
                    continue  # nothing was tried behind this step: it is passed over too
                yield Line(depth, f"{_operation(values, move)}{move.value}")
                yield from below
            if leads:
                return
            if len(after) > 1:
                yield Line(depth + 1, BACK)

    def _check(
        self, values: tuple[int, ...], move: Move, target: int, depth: int, text: str, rng: random.Random
    ) -> Line:
        """The line of an operation that leaves one number, with its verdict."""
        operation = _operation(values, move)
        if move.value == target:
            return Line(depth, f"{operation}{target} {CHECK} {target} {YES}", True, text)
        value = _slip(move.value, target, rng) if rng.random() < self.noise else move.value
        return Line(depth, f"{operation}{value} {CHECK} {target} {NO} {BACK}", True)

    def _candidates(self, values: tuple[int, ...], target: int) -> Sequence[Move]:
        """The moves of a state that a search considers."""
        found = distinct_moves(values)
        if self.nearest is None or len(values) > 2:
            return found
        return sorted(found, key=lambda move: abs(move.value - target))[: self.nearest]

    def _ordered(self, moves: Sequence[Move], rng: random.Random) -> list[Move]:
        """The order given, each neighbouring pair swapped with probability `shuffle`, no move twice."""
        moves, i = list(moves), 0
        while self.shuffle and i + 1 < len(moves):
            if rng.random() < self.shuffle:
                moves[i], moves[i + 1] = moves[i + 1], moves[i]
                i += 1
            i += 1
        return moves

    def _fit(self, lines: list[Line], rng: random.Random) -> list[Line]:
        """At most `budget` checks: the search is cut off there, or failed attempts are left out."""
        checks = [i for i, line in enumerate(lines) if line.is_check]
        if len(checks) <= self.budget:
            return lines
        if self.give_up:
            return lines[: checks[self.budget - 1] + 1]
        while sum(line.is_check for line in lines) > self.budget:
            start, end = rng.choice(_failed_attempts(lines))
            del lines[start:end]
        return lines


def _operation(values: tuple[int, ...], move: Move) -> str:
    return f"{TRY} {values[move.left]}{move.op}{values[move.right]}="


def _slip(value: int, target: int, rng: random.Random) -> int:
    """A plausible miscalculation that is neither the true value nor the target."""
    nearby = (value + offset for offset in (-10, -2, -1, 1, 2, 10))
    return rng.choice([slip for slip in nearby if slip >= 0 and slip != target])


def _failed_attempts(lines: list[Line]) -> list[tuple[int, int]]:
    """First and past-the-last line of every attempt that met no solution; a solved search ends on its solution."""
    spans, open_starts = [], []
    for i, line in enumerate(lines):
        while open_starts and lines[open_starts[-1]].depth >= line.depth:
            spans.append((open_starts.pop(), i))
        if line.text != BACK:
            open_starts.append(i)
    return spans  # attempts still open at the end lie on the solving path
