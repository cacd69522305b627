"""Published problems as a source: a training split in a new order each epoch, and a test split to hold out.

Which problem stands at a place is a function of the config and the place: there is no iterator, and nothing to save.
"""

import abc
import dataclasses
import functools
import math
from typing import Literal, NamedTuple

import numpy as np

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.gold import MARKER
from rlsp_jax.data.order import shuffled_rows
from rlsp_jax.data.source import Split
from rlsp_jax.data.text_words import comparable
from rlsp_jax.records import Problem

Part = Literal["train", "test"]


class Row(NamedTuple):
    """A published problem."""

    question: str
    answer: str
    level: str
    steps: tuple[str, ...] = ()  # values of the published solution's intermediate results


@dataclasses.dataclass(frozen=True)
class ProblemSet(abc.ABC):
    """Problems that lie in files; a variant says how a part is read.

    `seed` is that of the training order. The held-out problems do not depend on it, so that runs are compared on the
    same ones. A training problem whose text is that of a test problem is left out.
    """

    seed: int = dataclasses.field(default=0, kw_only=True)
    max_characters: int | None = dataclasses.field(default=None, kw_only=True)
    """Training problems with longer questions are left out; held-out ones are not."""

    @abc.abstractmethod
    def read(self, part: Part) -> list[Row]:
        """All rows of a part, in one and the same order every time. Raises `UserError`."""

    @property
    def title(self) -> str:
        return type(self).__name__

    @property
    def parts(self) -> tuple[Part, ...]:
        return ("train", "test")

    def problems(self, split: Split, start: int, count: int) -> list[Problem]:
        """Problems start … start + count - 1 of a split; those of `train` go on over the epochs."""
        if split == "heldout":
            return self.heldout(start + count)[start:]
        if split != "train":
            raise UserError(f"{self.title} has no split {split!r}; its splits are 'train' and 'heldout'.")
        if not count:
            return []
        rows = _training_rows(self)
        places = shuffled_rows(len(rows), start, count, (self.seed,))
        return [_make_problem(start + i, rows[place]) for i, place in enumerate(places.tolist())]

    def heldout(self, count: int) -> list[Problem]:
        """`count` problems of the test part, each numbered by its row; a shorter list is a prefix of a longer one.

        They are a fixed draw and not the first rows, which in many releases are all of one subject.
        """
        if not count:
            return []
        rows = _rows(self, "test")
        if count > len(rows):
            raise UserError(
                f"{count:,} held-out problems were asked for, but the test part of {self.title} has {len(rows):,}; "
                f"ask for at most {len(rows):,}."
            )
        drawn = np.random.default_rng(0).permutation(len(rows))[:count]
        return [_make_problem(row, rows[row]) for row in drawn.tolist()]

    def epoch_size(self) -> int:
        """How many training problems there are."""
        return len(_training_rows(self))

    def parse(self, text: str) -> Problem:
        """A typed question; its gold answer may follow, as in `What is 2 + 2? #### 4`."""
        question, _, answer = text.partition(MARKER)
        return _make_problem(0, Row(question.strip(), answer.strip(), "typed"))


# Files are read once in a process. The key is the config, so that configs stay values.
@functools.lru_cache(maxsize=8)
def _rows(source: ProblemSet, part: Part) -> tuple[Row, ...]:
    if part not in source.parts:
        raise UserError(f"The problems have no {part} part; give {source.title} a file for it: {part}=….")
    rows = tuple(source.read(part))
    if not rows:
        raise UserError(f"The {part} part of {source.title} is empty; see whether its files were copied as a whole.")
    return rows


@functools.lru_cache(maxsize=8)
def _training_rows(source: ProblemSet) -> tuple[Row, ...]:
    held = {comparable(row.question) for row in _rows(source, "test")} if "test" in source.parts else set()
    longest = math.inf if source.max_characters is None else source.max_characters
    rows = [row for row in _rows(source, "train") if len(row.question) <= longest]
    if not rows:
        raise UserError(
            f"No training problem of {source.title} has at most {longest} characters; raise max_characters."
        )
    rows = [row for row in rows if comparable(row.question) not in held]
    if not rows:
        raise UserError(f"Every training problem of {source.title} is a test problem too; train on another file.")
    return tuple(rows)


def _make_problem(number: int, row: Row) -> Problem:
    return Problem(number, row.level, row.question, {"answer": row.answer}, row.steps)
