"""Files of trial-and-error traces: tasks are read, traces are appended, and what is there is not written again.

    output          one JSON object a line: id, question, response (the trace), and its provenance: every attempt with
                    its author, verdict and critique, the merged draft, who wrote what, and the recipe's fingerprint
    output.dropped  the same of problems without a trace, and the reason: no attempt was right, or the trace was wrong
    output.lock     empty, and locked while a process writes

Problems whose authors gave nothing, as when an endpoint is down, are in neither file: the next start asks again.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rlsp_jax.common.errors import Interrupted, UserError
from rlsp_jax.common.locks import locked_file
from rlsp_jax.data.jsonl import Fields, parse_row
from rlsp_jax.data.trial_and_error import (
    Authors,
    Draft,
    Recipe,
    Task,
    Verify,
    check_authors,
    fingerprint,
    to_row,
    write_drafts,
)
from rlsp_jax.records import Problem, append_rows

COMMON = Fields()
CHUNK = 16  # tasks that go through the stages together; a kill loses what was asked for this many


@dataclass
class Tally:
    """What became of the tasks: `there` had been written before, `failed` are those that the next start tries again."""

    kept: int = 0
    dropped: int = 0
    failed: int = 0
    bad: int = 0
    there: int = 0

    def __str__(self) -> str:
        counts = f"{self.kept:,} traces kept, {self.dropped:,} problems dropped, {self.failed:,} without a reply"
        return f"{counts}, {self.bad:,} bad rows, {self.there:,} written before"


def read_tasks(path: Path, fields: Fields = COMMON) -> Iterator[Task]:
    """The tasks of a JSONL file of problems, each with its `id`, else its line, for one; bad rows come with a fault."""
    if not path.is_file():
        raise UserError(f"There is no file {path}; put it there or name the place where it is.")
    seen: set[str] = set()
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                value, row = parse_row(line, f"line {number}", fields, path.stem)
            except UserError as error:
                yield Task(number, "", {}, str(error))
                continue
            name = value.get("id", number)
            known = len(seen)
            seen.add(json.dumps(name))
            fault = f"line {number} has the id {name!r} of an earlier line." if len(seen) == known else ""
            yield Task(name, row.question, {"answer": row.answer}, fault)


def tasks_of(problems: Iterable[Problem]) -> Iterator[Task]:
    """Problems of any source as tasks; their number is their id."""
    for problem in problems:
        yield Task(problem.number, problem.question, problem.truth)


def write_traces(
    tasks: Iterable[Task],
    target: Path,
    recipe: Recipe,
    authors: Authors,
    verify: Verify,
    *,
    overwrite: bool = False,
    show: Callable[[Task | Draft, Tally], None] = lambda item, tally: None,
) -> Tally:
    """Write a trace for each task that has none yet, a chunk of tasks at a time.

    `show` is told of each draft once it is written down, and of each bad row. Raises UserError where `target` was made
    from other problems or by another recipe, when another process writes it, and when no author answers any more;
    Interrupted at Ctrl-C.
    """
    check_authors(authors)
    made_by, dropped = fingerprint(recipe, authors), target.with_name(target.name + ".dropped")
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(target.name + ".lock")
    with locked_file(lock, f"Another process writes {target}; let it end or stop it first."):
        if overwrite:
            for path in (target, dropped):
                path.unlink(missing_ok=True)
        there = {id: question for path in (target, dropped) for id, question in _written(path, made_by)}
        tally = Tally()
        left = _left(tasks, there, tally, target, show)
        try:
            while chunk := list(islice(left, CHUNK)):
                drafts = write_drafts(chunk, recipe, authors, verify)
                for path, end in ((target, "kept"), (dropped, "dropped")):
                    append_rows(path, [to_row(draft, authors, made_by) for draft in drafts if draft.end == end])
                for draft in drafts:
                    setattr(tally, draft.end, getattr(tally, draft.end) + 1)
                    show(draft, tally)
                _check_alive(drafts)
        except KeyboardInterrupt:
            raise Interrupted(f"Stopped; {tally}. The same command goes on.") from None
        return tally


def _left(
    tasks: Iterable[Task],
    there: dict[str, str],
    tally: Tally,
    target: Path,
    show: Callable[[Task | Draft, Tally], None],
) -> Iterator[Task]:
    """The tasks that are still to be done."""
    for task in tasks:
        if task.fault:
            tally.bad += 1
            show(task, tally)
        elif (question := there.get(json.dumps(task.id))) is None:
            yield task
        elif question != task.question:
            raise UserError(
                f"The row {task.id!r} of {target} is about another question than here; "
                "give it the problems that it was made from, or start anew with --overwrite."
            )
        else:
            tally.there += 1


def _written(path: Path, made_by: str) -> Iterator[tuple[str, str]]:
    """The ids, as JSON, and the questions of a file's rows; what a killed writer left of a last row is cut off."""
    if not path.exists():
        return
    whole = 0
    with open(path, "r+b") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                file.truncate(whole)
                return
            whole += len(line)
            row = _read(line)
            if row is None:
                raise UserError(f"Line {number} of {path} is no trace; --overwrite starts anew.")
            if row["recipe"] != made_by:
                raise UserError(
                    f"Line {number} of {path} was made by other models or another recipe; "
                    "give the same ones, or start anew with --overwrite."
                )
            yield json.dumps(row["id"]), row["question"]


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    fields = {"id", "question", "response", "recipe"}
    return row if isinstance(row, dict) and fields <= row.keys() and isinstance(row["question"], str) else None


def _check_alive(drafts: Sequence[Draft]) -> None:
    """After a whole chunk in which nobody got through, the next ones would cost time and perhaps money for nothing."""
    if len(drafts) == CHUNK and all(draft.end == "failed" for draft in drafts):
        raise UserError(
            f"The authors gave nothing for {len(drafts)} problems in a row ({drafts[-1].reason}); "
            "what is written is kept, and the same command goes on once they answer."
        )
