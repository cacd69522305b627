"""Verdicts for a file of answers, row by row: what `rlsp verify` does.

in    {"id", "answer": the gold one, "prediction": a bare answer}, or a whole "response" in place of the prediction
out   {"id", "verdict": "correct" | "wrong" | "unknown", "extracted", "reason"}, one row per row, in the same order,
      and "settings" where the verifier's are not the default ones

An empty line is no row. A row without an id has its line number for one. An answer may be a string, a number or a
boolean; a prediction or response may also be null, as when a model said nothing. A row that is none of this is a bad
row: it is unknown, the reason names its line and says why, and where it has no id, that is null.
"""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import Interrupted, UserError
from rlsp_jax.records import append_rows
from rlsp_jax.verifiers.bare import BareAnswer
from rlsp_jax.verifiers.outcome import Outcome
from rlsp_jax.verifiers.pool import ERROR, TIMEOUT, WORKER_DIED, Item, VerifierPool

CHUNK = 1000  # rows in memory at once
NUM_CHECKED = 20  # rows at either end of an output that are judged once more before it is continued
FLUSH_SECONDS = 1.0  # between two writes, so that little is judged again after a kill
FAILURES = (TIMEOUT.reason, WORKER_DIED.reason, ERROR)  # how a reason begins that no verifier gave

Settings = Mapping[str, Any]  # those of a verifier that are not the default ones, by name


class Row(NamedTuple):
    """A row of the input: an item to judge, or what is bad about it. `end` is where it ends in the file, in bytes."""

    line: int
    end: int
    id: Any
    item: Item | None
    fault: str


class Past(NamedTuple):
    """A row of the output: its id, as JSON, its verdict and why, and the settings that it was judged with."""

    id: str
    verdict: str
    reason: str
    settings: Settings


class Known(NamedTuple):
    """A row of the output, by its line, and the item that it is about."""

    line: int
    item: Item
    verdict: str


@dataclass
class Tally:
    """How many rows of the file have which verdict; bad rows apart.

    `failed` are the unknown ones whose worker was late, died or raised; `judged` are the rows judged this time.
    """

    correct: int = 0
    wrong: int = 0
    unknown: int = 0
    bad: int = 0
    failed: int = 0
    judged: int = 0

    @property
    def rows(self) -> int:
        return self.correct + self.wrong + self.unknown + self.bad

    def count(self, row: Row, verdict: str, reason: str) -> None:
        name = verdict if row.item is not None else "bad"
        setattr(self, name, getattr(self, name) + 1)
        self.failed += _has_failed(row, verdict, reason)

    def __str__(self) -> str:
        counts = f"{self.rows:,} rows: {self.correct:,} correct, {self.wrong:,} wrong, {self.unknown:,} unknown"
        return f"{counts}, {self.bad:,} bad"


def verify_file(
    source: Path,
    target: Path,
    pool: VerifierPool,
    *,
    settings: Settings = MappingProxyType({}),
    overwrite: bool = False,
    retry: bool = False,
    show: Callable[[Row, Tally], None] = lambda row, tally: None,
) -> Tally:
    """Judge the rows of `source`, and append their verdicts to `target` after those that are there.

    `settings` are the pool's verifier's. With `retry`, the rows of `target` that have failed are judged once more.
    `show` is told of each row once it is judged. Raises UserError where `target` does not belong to `source` or to
    the settings, and Interrupted at Ctrl-C, when the verdicts so far are written.
    """
    if target.exists() and target.samefile(source):
        raise UserError(f"{target} is the input; give the verdicts a file of their own.")
    with open(source, "rb") as file:
        rows = read_answers(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        if overwrite:
            target.unlink(missing_ok=True)
        tally, known, failed = _pass_over(rows, target, settings, retry=retry)
        _check_known(known, target, pool)
        try:
            if failed:
                _retry(failed, target, pool, settings, tally, show)
            _judge(rows, target, pool, settings, tally, show)
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
        return Row(line, end, None, None, "not JSON")
    if not isinstance(row, dict):
        return Row(line, end, None, None, "not a JSON object")
    name = row.get("id")
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
    return Row(line, end, row.get("id", line), ({"answer": text_of["answer"]}, response), "")


def _pass_over(
    rows: Iterator[Row], target: Path, settings: Settings, *, retry: bool
) -> tuple[Tally, list[Known], dict[int, Row]]:
    """Pass over the rows that have a verdict; what a killed writer left of a last row is cut off.

    Some of the first and of the last rows come back, to be judged once more, and with `retry` all that have
    failed, by the output's lines.
    """
    tally, whole = Tally(), 0
    failed: dict[int, Row] = {}
    first: list[Known] = []
    last: deque[Known] = deque(maxlen=NUM_CHECKED)
    target.touch()
    with open(target, "r+b") as file:
        for line, text in enumerate(file, start=1):
            if not text.endswith(b"\n"):
                file.truncate(whole)
                break
            whole += len(text)
            row, past = next(rows, None), _read_verdict(text)
            if row is None or past is None or past.id != json.dumps(row.id):
                raise UserError(f"Line {line} of {target} is no verdict on this input; --overwrite starts anew.")
            if past.settings != settings:
                raise UserError(
                    f"Line {line} of {target} was judged with {_flags(past.settings)} and not with "
                    f"{_flags(settings)}; give the same settings, or start anew with --overwrite."
                )
            tally.count(row, past.verdict, past.reason)
            if row.item is not None and past.verdict != "unknown":
                (first if len(first) < NUM_CHECKED else last).append(Known(line, row.item, past.verdict))
            if retry and _has_failed(row, past.verdict, past.reason):
                failed[line] = row
    return tally, [*first, *last], failed


def _check_known(known: Sequence[Known], target: Path, pool: VerifierPool) -> None:
    """Raise UserError where verdicts are those of another input: ids alone may be the same in two files."""
    outcomes = pool.verify([row.item for row in known])
    for row, outcome in zip(known, outcomes, strict=True):
        if outcome.verdict != Verdict.UNKNOWN and outcome.verdict.name.lower() != row.verdict:
            raise UserError(
                f"Line {row.line} of {target} says {row.verdict}, but this input's row is "
                f"{outcome.verdict.name.lower()}; --overwrite starts anew."
            )


def _read_verdict(text: bytes) -> Past | None:
    """A row of the output; None if it is something else."""
    try:
        row = json.loads(text)
        past = Past(json.dumps(row["id"]), row["verdict"], str(row.get("reason")), row.get("settings", {}))
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None
    return past if past.verdict in ("correct", "wrong", "unknown") and isinstance(past.settings, dict) else None


def _has_failed(row: Row, verdict: str, reason: str) -> bool:
    """Whether another try, with more time or with a mended verifier, may end otherwise."""
    return row.item is not None and verdict == "unknown" and reason.startswith(FAILURES)


def _flags(settings: Settings) -> str:
    """Settings as the command line spells them."""
    flags = (f"--{'no-' if value is False else ''}{name.replace('_', '-')}" for name, value in settings.items())
    values = ("" if isinstance(value, bool) else f" {value}" for value in settings.values())
    return " ".join(map("".join, zip(flags, values, strict=True))) or "the default settings"


def _retry(
    failed: Mapping[int, Row],
    target: Path,
    pool: VerifierPool,
    settings: Settings,
    tally: Tally,
    show: Callable[[Row, Tally], None],
) -> None:
    """Judge rows once more, and put their verdicts in the old ones' places in one step, even if Ctrl-C comes."""
    lines: dict[int, bytes] = {}
    try:
        with closing(pool.stream(row.item for row in failed.values() if row.item is not None)) as outcomes:
            for (line, row), outcome in zip(failed.items(), outcomes, strict=True):
                record = _record(row, outcome, settings)
                lines[line] = json.dumps(record, separators=(",", ":")).encode() + b"\n"
                tally.unknown, tally.failed, tally.judged = tally.unknown - 1, tally.failed - 1, tally.judged + 1
                tally.count(row, record["verdict"], outcome.reason)
                show(row, tally)
    finally:
        target = target.resolve()  # a link stays one
        draft = target.with_name(target.name + ".draft")
        with open(target, "rb") as old, open(draft, "wb") as new:
            new.writelines(lines.get(line, text) for line, text in enumerate(old, start=1))
            new.flush()
            os.fsync(new.fileno())
        os.replace(draft, target)


def _judge(
    rows: Iterator[Row],
    target: Path,
    pool: VerifierPool,
    settings: Settings,
    tally: Tally,
    show: Callable[[Row, Tally], None],
) -> None:
    """Judge and write the rows that are left, a chunk at a time."""
    with closing(_Writer(target)) as writer:
        while chunk := list(islice(rows, CHUNK)):
            with closing(pool.stream([row.item for row in chunk if row.item is not None])) as outcomes:
                for row in chunk:
                    outcome = next(outcomes) if row.item is not None else _bad(row)
                    record = _record(row, outcome, settings)
                    tally.count(row, record["verdict"], outcome.reason)
                    tally.judged += 1
                    writer.add(record)
                    show(row, tally)


def _record(row: Row, outcome: Outcome, settings: Settings) -> dict[str, Any]:
    """A row of the output."""
    verdict = outcome.verdict.name.lower()
    record = dict(id=row.id, verdict=verdict, extracted=outcome.extracted, reason=outcome.reason)
    return record | ({"settings": dict(settings)} if settings else {})


def _bad(row: Row) -> Outcome:
    return Outcome(Verdict.UNKNOWN, None, f"bad row, line {row.line}: {row.fault}")


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
