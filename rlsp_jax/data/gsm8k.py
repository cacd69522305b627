"""GSM8K: grade-school word problems with worked solutions (Cobbe et al. 2021, 2110.14168)."""

import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.gold import MARKER
from rlsp_jax.data.jsonl import read_objects
from rlsp_jax.data.problems import Part, ProblemSet, Row
from rlsp_jax.records import Problem

_VALUES = re.compile(r"<<[^<>]*=\s*([^<>=]+?)\s*>>")  # a calculator's result: `<<48/2=24>>`
_MARKS = re.compile(r"<<[^<>]*>>")
_MOST_STEPS = 8  # longer solutions are rare: they are one level


@dataclasses.dataclass(frozen=True)
class GSM8K(ProblemSet):
    """7,473 problems to train on and 1,319 to test on; the level is the number of steps of the published solution."""

    folder: Path | None = None
    """The published `train.jsonl` and `test.jsonl`; None reads TFDS's copy, which is downloaded once."""
    data_dir: str | None = None  # where TFDS keeps its copy; None: $TFDS_DATA_DIR, else ~/tensorflow_datasets

    def read(self, part: Part) -> list[Row]:
        return sorted(_make_row(*row) for row in self.published(part))  # TFDS shuffles: our order is the same for both

    def published(self, part: Part) -> Iterator[tuple[object, object, str]]:
        """Each row's question and worked solution as they were published, and its place."""
        if self.folder is not None:
            for place, value in read_objects(self.folder / f"{part}.jsonl"):
                yield value.get("question"), value.get("answer"), place
        else:
            from rlsp_jax.data.tfds_copy import read_gsm8k

            for i, row in enumerate(read_gsm8k(self.data_dir, part)):
                yield row["question"], row["answer"], f"GSM8K {part} {i}"


@dataclasses.dataclass(frozen=True)
class GSM8KSolutions:
    """The published solutions as demonstrations: `… 48/2 = 24 clips in May.`, a line a step, and `#### 72` at last.

    Number n is row n of the training part in the order of their texts, counted from 0; after the last row the first one
    comes again.
    """

    source: GSM8K = GSM8K()
    calculator: bool = False  # leave the calculator's marks in: `48/2 = <<48/2=24>>24`

    def problems(self, start: int, count: int) -> list[Problem]:
        """The problems of demonstrations start … start + count - 1."""
        rows = _solutions(self.source)
        return [Problem(n, "published", rows[n % len(rows)][0], {}) for n in range(start, start + count)]

    def trace(self, problem: Problem, number: int) -> str:
        """The published solution of row `number`, which is of this problem."""
        rows = _solutions(self.source)
        question, solution = rows[number % len(rows)]
        if question != problem.question:
            raise UserError(f"Solution {number} of GSM8K is of another problem than {problem.question!r}.")
        return solution if self.calculator else _MARKS.sub("", solution)


@functools.lru_cache(maxsize=2)  # read once in a process; the key is a value
def _solutions(source: GSM8K) -> tuple[tuple[str, str], ...]:
    rows = []
    for question, solution, place in source.published("train"):
        row = _make_row(question, solution, place)
        rows.append((row.question, str(solution).strip()))
    if not rows:
        raise UserError("The train part of GSM8K is empty; see whether its files were copied as a whole.")
    return tuple(sorted(rows))


def _make_row(question: object, solution: object, place: str) -> Row:
    if not isinstance(question, str) or not isinstance(solution, str):
        raise UserError(
            f"{place} lacks the text fields 'question' and 'answer'; use the files of the published release."
        )
    steps, marker, answer = solution.rpartition(MARKER)
    if not marker or not answer.strip():
        raise UserError(f"{place} has no gold answer after {MARKER}; use the files of the published release.")
    count = len(steps.strip().splitlines())
    level = f"{_MOST_STEPS}+ steps" if count >= _MOST_STEPS else f"{count} step{'s' * (count != 1)}"
    return Row(question.strip(), answer.strip(), level, tuple(_VALUES.findall(steps)))
