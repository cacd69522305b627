"""Countdown: reach a target from a few numbers with + - * /, each number used exactly once.

An unlimited, seeded supply of problems that are solvable by construction. A problem is identified
by its sorted numbers and its target, and that identity alone decides its split: what is demonstrated,
what is trained on by reward and what is held out never share a problem.
"""

import dataclasses
import random

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.countdown_search import join, moves, solution_values, solutions
from rlsp_jax.data.source import Split
from rlsp_jax.data.splits import check_shares, split_of
from rlsp_jax.records import Problem

_MAX_DRAWS = 100_000  # tried for one problem before its space is called empty
_MAX_REPEATS = 2_000  # held-out problems in a row that bring nothing new before their space is called exhausted
_LARGEST = 2**31 - 1  # numbers travel to the device as int32


@dataclasses.dataclass(frozen=True)
class Countdown:
    """Problems of `numbers` integers in 1..max_number whose target lies in 1..max_target.

    `heldout_share` of all problem identities never appear in training; `demonstrated_share` of them are
    kept for demonstrations, so that a model meets its rewarded problems without having seen their solutions.
    """

    numbers: int = 3
    max_number: int = 12
    max_target: int = 100
    seed: int = 0
    heldout_share: float = 0.1
    demonstrated_share: float = 0.4

    def __post_init__(self):
        if not 2 <= self.numbers <= 5:
            raise UserError(f"numbers is {self.numbers}; a Countdown problem has between 2 and 5 numbers.")
        for name, value in (("max_number", self.max_number), ("max_target", self.max_target)):
            if not 1 <= value <= _LARGEST:
                raise UserError(f"{name} is {value}; it must lie between 1 and {_LARGEST}.")
        check_shares(self.heldout_share, self.demonstrated_share)

    def problem(self, split: Split, number: int) -> Problem:
        """Problem `number` of a split: a pure function of the config, the split and the number.

        Numbers may repeat an identity; `heldout` does not. Its level names only how many numbers there are.
        """
        rng = random.Random(f"{self.seed}/{split}/{number}")
        for _ in range(_MAX_DRAWS):
            values, target = self._draw(rng)
            if 1 <= target <= self.max_target and self.split_of(values, target) == split:
                return _with_steps(_make_problem(values, target, number=number, level=_level(values)))
        raise UserError(
            f"No {split} problem turned up in {_MAX_DRAWS} draws of {self}; "
            "raise max_number or max_target, or move heldout_share."
        )

    def problems(self, split: Split, start: int, count: int) -> list[Problem]:
        """Problems start … start + count - 1 of a split."""
        return [self.problem(split, number) for number in range(start, start + count)]

    def heldout(self, count: int) -> list[Problem]:
        """The first `count` distinct held-out problems, numbered from 0, with levels by number of solutions.

        A shorter list is a prefix of a longer one. ValueError when there are not that many.
        """
        found: dict[tuple[tuple[int, ...], int], Problem] = {}
        draw = last_new = 0
        while len(found) < count:
            if draw - last_new > _MAX_REPEATS:
                raise UserError(
                    f"{count} held-out problems were asked for, but only {len(found)} distinct ones turned up; "
                    "ask for fewer, or raise heldout_share, numbers, max_number or max_target."
                )
            values, target = identity(self.problem("heldout", draw))
            if (values, target) not in found:
                problem = _make_problem(values, target, number=len(found), level=level(values, target))
                found[values, target] = _with_steps(problem)
                last_new = draw
            draw += 1
        return list(found.values())

    def epoch_size(self) -> None:
        """The supply does not end."""

    def parse(self, text: str) -> Problem:
        """The problem that a person typed: see `parse_question`."""
        return parse_question(text)

    def _draw(self, rng: random.Random) -> tuple[tuple[int, ...], int]:
        """Sorted numbers, and what a random tree of exact operations makes of them."""
        numbers = tuple(sorted(rng.randint(1, self.max_number) for _ in range(self.numbers)))
        values = numbers
        for _ in range(self.numbers - 1):
            move = rng.choice(moves(values))
            values = join(values, move, move.value)
        return numbers, values[0]

    def split_of(self, numbers: tuple[int, ...], target: int) -> Split:
        """Where a problem belongs."""
        return split_of(f"{self.seed}: {question_text(numbers, target)}", self.heldout_share, self.demonstrated_share)


def identity(problem: Problem) -> tuple[tuple[int, ...], int]:
    """What makes two Countdown problems the same one: the sorted numbers and the target."""
    return tuple(sorted(problem.truth["numbers"])), problem.truth["target"]


def level(numbers: tuple[int, ...], target: int) -> str:
    """The difficulty of a problem: how many numbers, and how many distinct solutions."""
    count = len(solutions(numbers, target))
    if count == 0:
        return f"{_level(numbers)}, no solution"
    bucket = "1 solution" if count == 1 else "2 solutions" if count == 2 else "3+ solutions"
    return f"{_level(numbers)}, {bucket}"


def question_text(numbers: tuple[int, ...], target: int) -> str:
    """The prompt: `3 7 12 = 33` and a newline."""
    return f"{' '.join(map(str, sorted(numbers)))} = {target}\n"


def parse_question(text: str) -> Problem:
    """The problem a person typed, such as `3 7 12 = 33`; it need not have a solution."""
    left, equals, right = text.partition("=")
    if not equals or "=" in right:
        raise UserError(f"{text.strip()!r} needs exactly one '=' between the numbers and the target: 3 7 12 = 33.")
    numbers, targets = left.split(), right.split()
    if len(numbers) < 2:
        raise UserError(f"{text.strip()!r} needs at least two numbers before the '=': 3 7 12 = 33.")
    if len(targets) != 1:
        raise UserError(f"{text.strip()!r} needs exactly one target after the '=': 3 7 12 = 33.")
    values = tuple(sorted(_parse_number(word) for word in numbers))
    return _make_problem(values, _parse_number(targets[0]), number=0, level=_level(values))


def _parse_number(word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise UserError(f"{word!r} is not a whole number; write only digits, such as 12.")
    if len(word.lstrip("0")) > 10 or int(word) > _LARGEST:
        raise UserError(f"{word!r} is too large; numbers go up to {_LARGEST}.")
    return int(word)


def _make_problem(numbers: tuple[int, ...], target: int, *, number: int, level: str) -> Problem:
    return Problem(number, level, question_text(numbers, target), {"numbers": list(numbers), "target": target})


def _with_steps(problem: Problem) -> Problem:
    """The problem with the values of a reference solution."""
    return dataclasses.replace(problem, steps=tuple(map(str, solution_values(*identity(problem)))))


def _level(numbers: tuple[int, ...]) -> str:
    return f"{len(numbers)} numbers"
