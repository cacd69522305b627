"""A workdir as frozen values. Tolerant: a run in progress, a missing file or a half-written row is no error."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rlsp_jax.records import (
    Behaviors,
    Calibration,
    EvalResult,
    GridResult,
    RunInfo,
    Sample,
    ScalingResult,
    read_records,
    read_rows,
)

NAN = math.nan

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Stage:
    """The metrics of one stage, by step: every column is as long as `steps`, NaN where nothing was written."""

    name: str
    index: int
    steps: tuple[int, ...]
    seconds: tuple[float, ...]
    tokens: tuple[float, ...]  # generated since the run's start
    columns: Mapping[str, tuple[float, ...]]

    def has(self, name: str) -> bool:
        return any(math.isfinite(value) for value in self.columns.get(name, ()))


@dataclasses.dataclass(frozen=True)
class Run:
    """All that a workdir says."""

    workdir: Path
    info: RunInfo
    seed: int | None
    stages: tuple[Stage, ...]
    evals: Mapping[str, tuple[EvalResult, ...]]  # by name, all levels, in the order written
    samples: tuple[Sample, ...]
    calibrations: tuple[Calibration, ...]
    scalings: Mapping[str, tuple[ScalingResult, ...]]  # by name, in the order written
    grids: Mapping[str, tuple[GridResult, ...]]  # by evaluation
    seconds: Mapping[str, float]  # wall seconds by phase, from the summary
    finished: bool  # a summary was written


def load_run(workdir: Path) -> Run:
    """Read a workdir. Raises FileNotFoundError when there is no such folder."""
    if not workdir.is_dir():
        raise FileNotFoundError(f"There is no workdir at {workdir}.")
    info = _info(workdir)
    summary = _read_object(workdir / "summary.json")
    seed = info.config.get("seed", summary.get("seed"))
    return Run(
        workdir=workdir,
        info=info,
        seed=seed if isinstance(seed, int) else None,
        stages=_stages(read_rows(workdir / "metrics.jsonl")),
        evals=_evals(workdir / "evals"),
        samples=_samples(workdir / "samples"),
        calibrations=_calibrations(workdir / "calibration"),
        scalings=_scalings(workdir / "scaling"),
        grids=_grids(workdir / "grids"),
        seconds={name: number(value) for name, value in _mapping(summary.get("seconds")).items()},
        finished=bool(summary),
    )


def number(value: Any) -> float:
    """A JSON value as a float: NaN for null, text and what is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return NAN
    return float(value)


def _info(workdir: Path) -> RunInfo:
    row = _read_object(workdir / "run.json")
    return RunInfo(
        name=str(row.get("name", workdir.resolve().name)),
        config=_mapping(row.get("config")),
        overrides=tuple(str(override) for override in row.get("overrides") or ()),
        git=str(row.get("git", "")),
        versions=_mapping(row.get("versions")),
        devices=str(row.get("devices", "")),
        started=str(row.get("started", "")),
    )


def _stages(rows: Iterable[Mapping[str, Any]]) -> tuple[Stage, ...]:
    """Columns by stage. A step written twice, before and after a crash, counts as last written."""
    by_stage: dict[tuple[int, str], dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        if isinstance(row.get("stage"), str) and isinstance(row.get("step"), int):
            index = row.get("stage_index")
            key = (index if isinstance(index, int) else 0, row["stage"])
            by_stage.setdefault(key, {})[row["step"]] = row
    return tuple(_stage(name, index, by_stage[index, name]) for index, name in sorted(by_stage))


def _stage(name: str, index: int, by_step: Mapping[int, Mapping[str, Any]]) -> Stage:
    steps = sorted(by_step)
    rows = [by_step[step] for step in steps]
    names = sorted({key for row in rows for key in row if "/" in key})

    def column(key: str) -> tuple[float, ...]:
        return tuple(number(row.get(key)) for row in rows)

    return Stage(
        name=name,
        index=index,
        steps=tuple(steps),
        seconds=column("seconds"),
        tokens=column("tokens_generated"),
        columns={key: column(key) for key in names},
    )


def _evals(folder: Path) -> dict[str, tuple[EvalResult, ...]]:
    """Results by evaluation; one written twice, before and after a crash, counts as last written."""
    evals = {}
    for path in sorted(folder.glob("*.jsonl")):
        results = _records(_eval_result, read_rows(path))
        evals[path.stem] = tuple({(r.stage, r.step, r.level): r for r in results}.values())
    return {name: results for name, results in evals.items() if results}


def _samples(folder: Path) -> tuple[Sample, ...]:
    found = [s for path in sorted(folder.glob("*.jsonl")) for s in _records(_sample, read_rows(path))]
    return tuple({(s.eval, s.stage, s.step, s.problem, s.sample): s for s in found}.values())


def _calibrations(folder: Path) -> tuple[Calibration, ...]:
    """What outcome models were worth, in order of stage and step; one written twice counts as last written."""
    found = [c for path in sorted(folder.glob("*.jsonl")) for c in _records(_calibration, read_rows(path))]
    return tuple({(c.stage, c.step, c.at): c for c in found}.values())


def _scalings(folder: Path) -> dict[str, tuple[ScalingResult, ...]]:
    """Results by scaling; one written twice counts as last written."""
    found = {path.stem: read_records(path, ScalingResult) for path in sorted(folder.glob("*.jsonl"))}
    same = {name: {(r.stage, r.step, r.fraction, r.budget): r for r in results} for name, results in found.items()}
    return {name: tuple(results.values()) for name, results in same.items() if results}


def _grids(folder: Path) -> dict[str, tuple[GridResult, ...]]:
    """Results by evaluation; one written twice counts as last written."""
    found = {path.stem: read_records(path, GridResult) for path in sorted(folder.glob("*.jsonl"))}
    same = {name: {(r.stage, r.step, r.k, r.budget): r for r in results} for name, results in found.items()}
    return {name: tuple(results.values()) for name, results in same.items() if results}


def _records(parse: Callable[[Mapping[str, Any]], T], rows: Iterable[Mapping[str, Any]]) -> list[T]:
    """The rows that are whole records; the others are skipped."""
    records = []
    for row in rows:
        try:
            records.append(parse(row))
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
    return records


def _eval_result(row: Mapping[str, Any]) -> EvalResult:
    low, high = row["maj_interval"]
    return EvalResult(
        eval=str(row["eval"]),
        stage=str(row["stage"]),
        step=int(row["step"]),
        level=str(row["level"]),
        problems=int(row["problems"]),
        samples=int(row["samples"]),
        greedy=number(row["greedy"]),
        greedy_length=number(row["greedy_length"]),
        greedy_truncated=number(row["greedy_truncated"]),
        greedy_behaviors=_behaviors(row["greedy_behaviors"]),
        pass_at={k: number(value) for k, value in row["pass_at"].items()},
        maj_at={k: number(value) for k, value in row["maj_at"].items()},
        maj_interval=(number(low), number(high)),
        length=number(row["length"]),
        truncated=number(row["truncated"]),
        behaviors=_behaviors(row["behaviors"]),
        budgets={k: number(value) for k, value in row["budgets"].items()},
        unknown=int(row["unknown"]),
        tokens_generated=int(row["tokens_generated"]),
        seconds=number(row["seconds"]),
        rerank_at={k: number(value) for k, value in (row.get("rerank_at") or {}).items()},
    )


def _behaviors(row: Mapping[str, Any]) -> Behaviors:
    return Behaviors(**{field.name: number(row[field.name]) for field in dataclasses.fields(Behaviors)})


def _sample(row: Mapping[str, Any]) -> Sample:
    known = {field.name: row[field.name] for field in dataclasses.fields(Sample) if field.name != "score"}
    return Sample(**known, score=row.get("score"))  # those of earlier versions have none


def _calibration(row: Mapping[str, Any]) -> Calibration:
    rates = ("cross_entropy", "accuracy", "auc", "calibration_error", "correct")
    return Calibration(
        stage=str(row["stage"]),
        step=int(row["step"]),
        at=str(row["at"]),
        predictions=int(row["predictions"]),
        counts=tuple(int(count) for count in row["counts"]),
        predicted=tuple(map(number, row["predicted"])),
        observed=tuple(map(number, row["observed"])),
        **{name: number(row[name]) for name in rates},
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _read_object(path: Path) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}
