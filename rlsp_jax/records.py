"""Every row that is written to a workdir, and the one way to write and read them. No JAX.

run.json             RunInfo
metrics.jsonl        one flat object per step: stage, step, seconds, then `area/name` → number
evals/*.jsonl        EvalResult, one row per level and last one for all levels together
samples/*.jsonl      Sample
scaling/*.jsonl      ScalingResult, one row per fraction and budget and last one for whole responses
grids/*.jsonl        GridResult, one row per k and budget, by evaluation
calibration/*.jsonl  Calibration, by stage
draws/*/*.jsonl      Draw
summary.json         what a finished run showed (see `Summary`)
"""

import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rlsp_jax.common.errors import UserError

RUN_FILE, METRICS_FILE, SUMMARY_FILE = "run.json", "metrics.jsonl", "summary.json"
# Places in a config that decide no result but for rounding; a stage goes by its number, in an override by its name.
OPERATIONAL = (
    r"checkpoint_every|verifier_workers|problems\.(folder|data_dir)"
    r"|stages\.\w+\.(max_logp_gap|max_bad_steps|micro_batches)"
    r"|effort_judge\.endpoint\.(base_url|api_key_variable|max_in_flight|timeout|deadline|max_tries|backoff|max_backoff"
    r"|max_requests|max_tokens)"
)


Record = TypeVar("Record")


@dataclasses.dataclass(frozen=True)
class Problem:
    """A question and its truth. `number` is its place in its set; `level` names its difficulty."""

    number: int
    level: str
    question: str
    truth: Mapping[str, Any]
    steps: tuple[str, ...] = ()  # the values of a reference solution's intermediate results, in its order; () for none


@dataclasses.dataclass(frozen=True)
class Sample:
    """One response to one problem, as judged. `sample` is -1 for the greedy response."""

    eval: str
    stage: str
    step: int
    problem: int
    level: str
    question: str
    sample: int
    response: str
    num_tokens: int
    stop_reason: str
    verdict: str
    answer: str | None
    score: float | None = None  # an outcome model's p(correct) of the whole response; None without such a model


@dataclasses.dataclass(frozen=True)
class Draw:
    """One response that a stage drew to learn from, as judged. `sample` is -1 for a greedy response."""

    problem: int
    sample: int
    question: str  # as shown
    tokens: tuple[int, ...]  # as generated, eos included: they are never encoded again
    response: str
    num_tokens: int
    stop_reason: str
    verdict: str
    promise: tuple[float, ...] | None = None  # an outcome model's p(correct) after each token


@dataclasses.dataclass(frozen=True)
class Behaviors:
    """Means per response: see `behaviors.detectors` for what each one counts."""

    backtracks: float
    verifications: float
    attempts: float
    wrong_to_right: float
    repetition: float


@dataclasses.dataclass(frozen=True)
class EvalResult:
    """What one evaluation says of one level, or of all levels together (`level == "all"`).

    Fractions are in [0, 1]; lengths in tokens. `greedy` figures are of the greedy response; the
    behaviours and length too when no samples were drawn, otherwise they are of the samples.
    """

    eval: str
    stage: str
    step: int
    level: str
    problems: int
    samples: int
    greedy: float
    greedy_length: float
    greedy_truncated: float
    greedy_behaviors: Behaviors
    pass_at: Mapping[str, float]  # {"1": …, "8": …}, unbiased; empty without samples
    maj_at: Mapping[str, float]
    maj_interval: tuple[float, float]  # 95 %, bootstrap over problems, of the largest maj@k
    length: float
    truncated: float
    behaviors: Behaviors
    budgets: Mapping[str, float]  # token budget → accuracy of greedy responses that end within it
    unknown: int  # responses that no verifier could judge; they count in no rate
    tokens_generated: int
    seconds: float
    rerank_at: Mapping[str, float] = dataclasses.field(default_factory=dict)  # the best by an outcome model's score


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How far an outcome model can be believed after `step` steps, on problems that it has learned nothing from.

    `at` says of which of its predictions: "end", the last one of each response, or "all", one at each token. The bins
    are equal parts of [0, 1]; their means are NaN (null) where they are empty.
    """

    stage: str
    step: int
    at: str
    predictions: int
    cross_entropy: float  # nats
    accuracy: float  # of the side of 1/2
    auc: float  # chance that a right response is given more than a wrong one
    calibration_error: float
    correct: float  # share of the predictions that are about right responses
    counts: tuple[int, ...]
    predicted: tuple[float, ...]
    observed: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class ScalingResult:
    """Answers from a part of the thinking: a fraction of it, or a budget; with neither, responses as they were written.

    Accuracies are in [0, 1] and of the answers that could be judged: `own` of those that the policy wrote itself,
    `summary` of those by the model that `summarizer` names; it is empty where there was none.
    """

    scaling: str
    stage: str
    step: int
    fraction: float | None
    budget: int | None
    responses: int
    kept: float  # thinking tokens, on average
    own: float
    own_unknown: int
    summary: float
    summary_unknown: int
    summarizer: str


@dataclasses.dataclass(frozen=True)
class GridResult:
    """The majority of k drawn responses, each of which counts only if it ends within the budget."""

    eval: str
    stage: str
    step: int
    k: int
    budget: int
    problems: int
    accuracy: float
    tokens: float  # that k responses take together, cut off at the budget, on average
    unknown: int  # drawn responses that no verifier could judge; they do not vote


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """What ran: enough to run it again, together with the experiment file, kept beside it as `experiment.py`."""

    name: str
    config: Mapping[str, Any]
    overrides: tuple[str, ...]
    git: str
    versions: Mapping[str, str]
    devices: str
    started: str
    reused: str = ""  # the workdir that its first stages were taken from
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)  # the data files it names, with their SHA-256


@dataclasses.dataclass(frozen=True)
class StageSummary:
    stage: str
    steps: int
    seconds: float
    tokens_generated: int
    evals: Mapping[str, Any]  # level → EvalResult as an object, of the stage's last full evaluation


@dataclasses.dataclass(frozen=True)
class Summary:
    """`summary.json`: per stage and final evaluation, wall seconds by phase, tokens, versions."""

    name: str
    seed: int
    stages: tuple[StageSummary, ...]
    final: Mapping[str, Any]  # the last stage's EvalResult over all levels
    seconds: Mapping[str, float]
    tokens_generated: int
    versions: Mapping[str, str]
    devices: str


def is_run(workdir: Path) -> bool:
    """Whether a run was started in the workdir."""
    return (workdir / RUN_FILE).is_file()


def check_run(workdir: Path) -> None:
    """Raise `UserError` unless a run was started in the workdir."""
    if not is_run(workdir):
        raise UserError(f"{workdir} is not the workdir of a run: there is no {RUN_FILE} in it.")


def to_row(record: Any) -> dict[str, Any]:
    """A record as a JSON object; numbers that are not finite become null, since JSON has none."""
    return finite(dataclasses.asdict(record))


def finite(value: Any) -> Any:
    """A JSON value with null in place of every number that is not finite."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def append_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows to a JSONL file, each whole or not at all: one write per call, then a flush."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    with open(path, "a+b") as file:
        if file.tell() and not _ends_with_newline(file):
            text = "\n" + text  # a killed writer left half a row: close it, it is skipped when read
        file.write(text.encode())


def _ends_with_newline(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    last = file.read(1)
    file.seek(0, os.SEEK_END)
    return last == b"\n"


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSONL file in order; a row cut short by a crash is skipped."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row


def read_records(path: Path, record: type[Record]) -> list[Record]:
    """The rows of a JSONL file that are whole records of one kind; null is NaN where a number must stand."""
    fields: tuple[dataclasses.Field, ...] = dataclasses.fields(record)  # pyright: ignore[reportArgumentType]

    def read(row: Mapping[str, Any]) -> Record:
        lost = {f.name: math.nan for f in fields if f.type is float and row[f.name] is None}
        return record(**{f.name: row[f.name] for f in fields} | lost)

    return [read(row) for row in read_rows(path) if all(f.name in row for f in fields)]


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a JSONL file in one step, in place of any earlier one."""
    _write(path, "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one step."""
    _write(path, json.dumps(value, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    """A crash leaves the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    draft.write_text(text)
    os.replace(draft, path)


def read_json(path: Path) -> Any:
    """What `write_json` wrote."""
    return json.loads(path.read_text())
