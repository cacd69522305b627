"""`summary.json`: what a finished run showed, put together from its records alone."""

from typing import Any

from rlsp_jax.records import METRICS_FILE, SUMMARY_FILE, StageSummary, Summary, read_rows, to_row, write_json
from rlsp_jax.training.environment import devices, versions
from rlsp_jax.training.run import Run
from rlsp_jax.training.spent import GENERATED


def write_summary(run: Run) -> None:
    """Write the summary, the sign that a run is finished, last and in one step."""
    write_json(run.workdir / SUMMARY_FILE, to_row(make_summary(run)))


def make_summary(run: Run) -> Summary:
    """Per stage and final evaluation, seconds by phase, tokens, versions."""
    stages = tuple(summarize_stage(run, index) for index in range(len(run.experiment.stages)))
    return Summary(
        name=run.experiment.name,
        seed=run.experiment.seed,
        stages=stages,
        final=stages[-1].evals.get("all", {}),
        seconds=run.spent.seconds | {"total": run.spent.total_seconds},
        tokens_generated=run.spent.tokens_generated,
        versions=versions(),
        devices=devices(),
    )


def summarize_stage(run: Run, index: int) -> StageSummary:
    """One stage, with the last evaluation made at its end."""
    name, steps = run.experiment.stage_names[index], run.stage_end(index)
    rows = [row for row in read_rows(run.workdir / METRICS_FILE) if row["stage"] == name]
    last_written = {row["step"]: row for row in rows}.values()
    tokens = sum(row.get(metric) or 0 for row in last_written for metric in GENERATED)
    return StageSummary(name, steps, run.spent.seconds.get(name, 0.0), int(tokens), final_evals(run, index))


def final_evals(run: Run, index: int) -> dict[str, Any]:
    """Level → result of the eval that runs at the end of stages (the first such one), at the stage's end."""
    name, total = run.experiment.stage_names[index], run.stage_end(index)
    for config in run.experiment.evals:
        if config.every is None:
            rows = read_rows(run.workdir / "evals" / f"{config.name}.jsonl")
            return {row["level"]: row for row in rows if row["stage"] == name and row["step"] == total}
    return {}
