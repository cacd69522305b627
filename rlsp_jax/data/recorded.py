"""Demonstrations that somebody wrote down: one JSON object a line, with a question and the response to imitate."""

import dataclasses
import functools
from pathlib import Path

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.jsonl import read_objects
from rlsp_jax.records import Problem


@dataclasses.dataclass(frozen=True)
class JSONLDemonstrations:
    """Demonstrations of a file, such as `rlsp demonstrations` writes it, with the problems that they are about.

    Number n is row n, counted from 0; after the last row the first one comes again. Other fields of a row are not read.
    """

    path: Path

    def problems(self, start: int, count: int) -> list[Problem]:
        """The problems of demonstrations start … start + count - 1."""
        rows = _rows(self.path)
        return [Problem(n, "recorded", rows[n % len(rows)][0], {}) for n in range(start, start + count)]

    def trace(self, problem: Problem, number: int) -> str:
        """The response of demonstration `number`, which is to this problem."""
        rows = _rows(self.path)
        question, response = rows[number % len(rows)]
        if question != problem.question:
            raise UserError(
                f"Demonstration {number} of {self.path} is about another problem than {problem.question!r}."
            )
        return response


@functools.lru_cache(maxsize=8)  # read once in a process; the key is a value
def _rows(path: Path) -> tuple[tuple[str, str], ...]:
    rows = []
    for place, value in read_objects(path):
        pair = value.get("question"), value.get("response")
        for name, text in zip(("question", "response"), pair, strict=True):
            if not isinstance(text, str) or not text.strip():
                raise UserError(f"{place} has no {name!r} that is text; mend the row or leave it out.")
        rows.append(pair)
    if not rows:
        raise UserError(f"{path} is empty; there is nothing to imitate.")
    return tuple(rows)
