"""Verdicts for a file of answers, row by row: what `rlsp verify` does.

in    {"id", "answer": the gold one, "prediction": a bare answer}, or a whole "response" in place of the prediction
out   {"id", "verdict": "correct" | "wrong" | "unknown", "extracted", "reason"}, one row per row, in the same order

An empty line is no row. A row without an id has its line number for one. An answer may be a string, a number or a
boolean; a prediction or response may also be null, as when a model said nothing. A row that is none of this is a bad
row: it is unknown, and the reason says why.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import Interrupted, UserError
from rlsp_jax.records import append_rows
from rlsp_jax.verifiers.bare import BareAnswer
from rlsp_jax.verifiers.outcome import Outcome
from rlsp_jax.verifiers.pool import Item, VerifierPool

CHUNK = 1000  # rows in memory at once
NUM_CHECKED = 20  # rows at either end of an output that are judged once more before it is continued
FLUSH_SECONDS = 1.0  # between two writes, so that little is judged again after a kill


class Row(NamedTuple):
    """A row of the input: an item to judge, or what is bad about it. `end` is where it ends in the file, in bytes."""

    line: int
    end: int
    id: Any
    item: Item | None
    fault: str


class Known(NamedTuple):
    """A row of the output, by its line, and the item that it is about."""

    line: int
    item: Item
    verdict: str


@dataclass
class Tally:
    """How many rows of the file have which verdict; bad rows apart. `judged` are the rows judged this time."""

    correct: int = 0
    wrong: int = 0
    unknown: int = 0
    bad: int = 0
    judged: int = 0

    @property
    def rows(self) -> int:
        return self.correct + self.wrong + self.unknown + self.bad

    def count(self, row: Row, verdict: str) -> None:
        name = verdict if row.item is not None else "bad"
        setattr(self, name, getattr(self, name) + 1)

    def __str__(self) -> str:
        counts = f"{self.rows:,} rows: {self.correct:,} correct, {self.wrong:,} wrong, {self.unknown:,} unknown"
        return f"{counts}, {self.bad:,} bad"


def verify_file(
    source: Path,
    target: Path,
    pool: VerifierPool,
    *,
    overwrite: bool = False,
    show: Callable[[Row, Tally], None] = lambda row, tally: None,
) -> Tally:
    """Judge the rows of `source`, and append their verdicts to `target` after those that are there.

    `show` is told of each row once it is judged. Raises UserError where `target` does not belong to `source`, and
    Interrupted at Ctrl-C, when the verdicts so far are written.
    """
    if target.exists() and target.samefile(source):
        raise UserError(f"{target} is the input; give the verdicts a file of their own.")
    with open(source, "rb") as file:
        rows = read_answers(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        if overwrite:
            target.unlink(missing_ok=True)
        tally, known = _pass_over(rows, target)
        _check_known(known, target, pool)
        try:
            _judge(rows, target, pool, tally, show)
        except KeyboardInterrupt:
            raise Interrupted(f"Stopped after {tally.rows:,} rows.") from None
    return tally


def read_answers(file: BinaryIO) -> Iterator[Row]:
    """The rows of an input file, good and bad."""
    end = 0
    for line, text in enumerate(file, start=1):
        end += len(text)
        if text.strip():
            yield _read(line, end, text)


def _read(line: int, end: int, text: bytes) -> Row:
    try:
        row = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return Row(line, end, line, None, "not JSON")
    if not isinstance(row, dict):
        return Row(line, end, line, None, "not a JSON object")
    name = row.get("id", line)
    given = [field for field in ("prediction", "response") if field in row]
    if len(given) != 1:
        fault = "both 'prediction' and 'response'" if given else "neither 'prediction' nor 'response'"
        return Row(line, end, name, None, fault)
    if row.get("answer") is None:
        return Row(line, end, name, None, "no 'answer'")
    for field in ("answer", *given):
        if isinstance(row[field], dict | list):
            return Row(line, end, name, None, f"{field!r} is neither text nor a number")
    text_of = {field: "" if row[field] is None else str(row[field]) for field in ("answer", *given)}
    response = BareAnswer(text_of["prediction"]) if given == ["prediction"] else text_of["response"]
    return Row(line, end, name, ({"answer": text_of["answer"]}, response), "")


def _pass_over(rows: Iterator[Row], target: Path) -> tuple[Tally, list[Known]]:
    """Pass over the rows that have a verdict; what a killed writer left of a last row is cut off.

    Some of the first and of the last rows come back, to be judged once more.
    """
    tally, whole = Tally(), 0
    first: list[Known] = []
    last: deque[Known] = deque(maxlen=NUM_CHECKED)
    target.touch()
    with open(target, "r+b") as file:
        for line, text in enumerate(file, start=1):
            if not text.endswith(b"\n"):
                file.truncate(whole)
                break
            whole += len(text)
            row, verdict = next(rows, None), _verdict_of(text)
            if row is None or verdict is None or verdict[0] != json.dumps(row.id):
                raise UserError(f"Line {line} of {target} is no verdict on this input; --overwrite starts anew.")
            tally.count(row, verdict[1])
            if row.item is not None and verdict[1] != "unknown":
                (first if len(first) < NUM_CHECKED else last).append(Known(line, row.item, verdict[1]))
    return tally, [*first, *last]


def _check_known(known: Sequence[Known], target: Path, pool: VerifierPool) -> None:
    """Raise UserError where verdicts are those of another input: ids alone may be the same in two files."""
    outcomes = pool.verify([row.item for row in known])
    for row, outcome in zip(known, outcomes, strict=True):
        if outcome.verdict != Verdict.UNKNOWN and outcome.verdict.name.lower() != row.verdict:
            raise UserError(
                f"Line {row.line} of {target} says {row.verdict}, but this input's row is "
                f"{outcome.verdict.name.lower()}; --overwrite starts anew."
            )


def _verdict_of(text: bytes) -> tuple[str, str] | None:
    """The id, as JSON, and the verdict of a row of the output; None if it is something else."""
    try:
        row = json.loads(text)
        return (json.dumps(row["id"]), row["verdict"]) if row["verdict"] in ("correct", "wrong", "unknown") else None
    except (ValueError, RecursionError, TypeError, KeyError):
        return None


def _judge(
    rows: Iterator[Row], target: Path, pool: VerifierPool, tally: Tally, show: Callable[[Row, Tally], None]
) -> None:
    """Judge and write the rows that are left, a chunk at a time."""
    with closing(_Writer(target)) as writer:
        while chunk := list(islice(rows, CHUNK)):
            with closing(pool.stream([row.item for row in chunk if row.item is not None])) as outcomes:
                for row in chunk:
                    outcome = next(outcomes) if row.item is not None else _bad(row)
                    verdict = outcome.verdict.name.lower()
                    tally.count(row, verdict)
                    tally.judged += 1
                    writer.add(dict(id=row.id, verdict=verdict, extracted=outcome.extracted, reason=outcome.reason))
                    show(row, tally)


def _bad(row: Row) -> Outcome:
    return Outcome(Verdict.UNKNOWN, None, f"bad row: {row.fault}")


class _Writer:
    """Appends rows to a file a few at a time, and whole ones only."""

    def __init__(self, path: Path):
        self._path = path
        self._rows: list[dict[str, Any]] = []
        self._due = time.monotonic() + FLUSH_SECONDS

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) == CHUNK or time.monotonic() >= self._due:
            self.close()

    def close(self) -> None:
        """Write what is left."""
        rows, self._rows = self._rows, []  # first, so that Ctrl-C amid the write leads to no second one
        self._due = time.monotonic() + FLUSH_SECONDS
        if rows:
            append_rows(self._path, rows)
