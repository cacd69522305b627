"""Permutations: which arrangement is left when a few letters have changed places, swap after swap.

    dbaec 1:24 2:15 3:34      start from dbaec, swap the letters in places 2 and 4, then those in 1 and 5, …

The difficulty is the number of swaps. To compose them is the word problem of the symmetric group, which for five
symbols is complete for NC¹ (Barrington 1989). It stays so when every move is a swap: each even permutation of five
symbols is a product of exactly four swaps, so a word over A₅, whose word problem is complete already, can be spelled
out permutation by permutation. A transformer of constant depth and logarithmic precision that answers at once computes
only what lies in TC⁰, so that, unless TC⁰ = NC¹, none does it for every number of swaps; writing down each arrangement
on the way leaves only easy steps (Merrill & Sabharwal, 2310.07923; Li et al., 2402.12875). Below five symbols the group
is solvable and the argument ends.
"""

import dataclasses
import itertools
import random
from collections.abc import Sequence

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.words import ANSWER
from rlsp_jax.data.source import Split
from rlsp_jax.data.splits import check_shares, split_of
from rlsp_jax.records import Problem

Swap = tuple[int, int]  # two places, the lower one first, counted from 1

_LETTERS = "abcdefghi"
_MAX_MOVES = 99
_MAX_DRAWS = 100_000  # tried for one problem before its space is called empty
_MAX_REPEATS = 2_000  # held-out problems in a row that bring nothing new before their space is called exhausted
_EXAMPLE = "bac 1:12 2:23"


@dataclasses.dataclass(frozen=True)
class Permutations:
    """Problems of `symbols` letters and moves[0] … moves[1] swaps, every number of swaps equally often.

    A problem is identified by its question. `heldout_share` of all identities never appear in training;
    `demonstrated_share` of them are kept for demonstrations.
    """

    symbols: int = 5
    moves: tuple[int, int] = (1, 8)
    seed: int = 0
    heldout_share: float = 0.1
    demonstrated_share: float = 0.4

    def __post_init__(self):
        if not 3 <= self.symbols <= len(_LETTERS):
            raise UserError(f"symbols is {self.symbols}; an arrangement has between 3 and {len(_LETTERS)} letters.")
        low, high = self.moves
        if not 1 <= low <= high <= _MAX_MOVES:
            raise UserError(f"moves is {self.moves}; it must be (fewest, most) with 1 ≤ fewest ≤ most ≤ {_MAX_MOVES}.")
        check_shares(self.heldout_share, self.demonstrated_share)

    def problem(self, split: Split, number: int) -> Problem:
        """Problem `number` of a split: a pure function of the config, the split and the number.

        Numbers may repeat an identity; `heldout` does not.
        """
        rng = random.Random(f"{self.seed}/{split}/{number}")
        for _ in range(_MAX_DRAWS):
            start, moves = self._draw(rng)
            if self.split_of(start, moves) == split:
                return make_problem(start, moves, number=number, digits=len(str(self.moves[1])))
        raise UserError(
            f"No {split} problem turned up in {_MAX_DRAWS} draws of {self}; raise symbols or moves, or move its share."
        )

    def problems(self, split: Split, start: int, count: int) -> list[Problem]:
        """Problems start … start + count - 1 of a split."""
        return [self.problem(split, number) for number in range(start, start + count)]

    def heldout(self, count: int) -> list[Problem]:
        """The first `count` distinct held-out problems, numbered from 0. A shorter list is a prefix of a longer one.

        `UserError` when there are not that many.
        """
        found: dict[str, Problem] = {}
        draw = last_new = 0
        while len(found) < count:
            if draw - last_new > _MAX_REPEATS:
                raise UserError(
                    f"{count} held-out problems were asked for, but only {len(found)} distinct ones turned up; "
                    "ask for fewer, or raise heldout_share, symbols or moves."
                )
            problem = self.problem("heldout", draw)
            if problem.question not in found:
                found[problem.question] = dataclasses.replace(problem, number=len(found))
                last_new = draw
            draw += 1
        return list(found.values())

    def epoch_size(self) -> None:
        """The supply does not end."""

    def parse(self, text: str) -> Problem:
        """The problem that a person typed: see `parse_permutation`."""
        return parse_permutation(text)

    def _draw(self, rng: random.Random) -> tuple[str, tuple[Swap, ...]]:
        start = "".join(rng.sample(_LETTERS[: self.symbols], self.symbols))
        swaps = all_swaps(self.symbols)
        return start, tuple(rng.choice(swaps) for _ in range(rng.randint(*self.moves)))

    def split_of(self, start: str, moves: Sequence[Swap]) -> Split:
        """Where a problem belongs."""
        return split_of(f"{self.seed}: {permutation_text(start, moves)}", self.heldout_share, self.demonstrated_share)


def all_swaps(symbols: int) -> list[Swap]:
    """Every pair of different places of an arrangement."""
    return list(itertools.combinations(range(1, symbols + 1), 2))


def arrangements(start: str, moves: Sequence[Sequence[int]]) -> list[str]:
    """The arrangement before the first move and after each one."""
    return list(itertools.accumulate(moves, _swapped, initial=start))


def _swapped(arrangement: str, move: Sequence[int]) -> str:
    letters = list(arrangement)
    i, j = move[0] - 1, move[1] - 1
    letters[i], letters[j] = letters[j], letters[i]
    return "".join(letters)


def permutation_text(start: str, moves: Sequence[Swap]) -> str:
    """The prompt: `dbaec 1:24 2:15`, without an end of line, with which every line of a response begins."""
    return " ".join([start, *(f"{number}:{i}{j}" for number, (i, j) in enumerate(moves, start=1))])


def permutation_symbols(symbols: int, max_moves: int) -> tuple[str, ...]:
    """The parts of problems and traces, for a tokenizer that makes each of them one token: letters, numbers, moves."""
    numbers = range(1, max_moves + 1)
    labels = [label for number in numbers for label in (f" {number}:", f"\n{number}:")]
    moves = [f"{i}{j}" for i, j in all_swaps(symbols)]
    return (*_LETTERS[:symbols], *labels, *moves, f"\n{ANSWER} ")


def parse_permutation(text: str) -> Problem:
    """The problem a person typed, such as `bac 1:12 2:23`; the numbers before the colons may be left out."""
    start, *words = text.split() or [""]
    if not 2 <= len(start) <= len(_LETTERS) or sorted(start) != list(_LETTERS[: len(start)]):
        raise UserError(f"{text.strip()!r} must begin with an arrangement of the first letters, such as {_EXAMPLE}.")
    if not words:
        raise UserError(f"{text.strip()!r} needs at least one move after the arrangement: {_EXAMPLE}.")
    moves = [_parse_move(word, number, len(start)) for number, word in enumerate(words, start=1)]
    return make_problem(start, moves, number=0)


def _parse_move(word: str, number: int, symbols: int) -> Swap:
    label, colon, move = word.rpartition(":")
    if colon and label != str(number):
        raise UserError(f"Move {number} is written {word!r}; moves are numbered 1, 2, 3, …: {_EXAMPLE}.")
    places = [int(digit) for digit in move if digit in "123456789"]
    if len(move) != 2 or len(places) != 2 or places[0] == places[1] or max(places) > symbols:
        raise UserError(f"{word!r} is not a move; write two different places between 1 and {symbols}, such as 12.")
    return min(places), max(places)


def make_problem(start: str, moves: Sequence[Swap], *, number: int, digits: int = 1) -> Problem:
    """A problem whose truth is its answer, and what the answer is made of; `digits` lets levels sort by their names."""
    truth = {"answer": arrangements(start, moves)[-1], "start": start, "moves": [list(move) for move in moves]}
    level = f"{len(moves):0{digits}d} move{'s' * (len(moves) != 1)}"
    return Problem(number, level, permutation_text(start, moves), truth)
