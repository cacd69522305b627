"""The two pages: `report.html`, which tells one run, and a comparison of several."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlsp_jax.report import browser, figures, tables
from rlsp_jax.report.compare import write_comparison
from rlsp_jax.report.load import Run, load_run
from rlsp_jax.report.render import render, write_atomically
from rlsp_jax.report.scaling import scaling_figures
from rlsp_jax.report.story import (
    Milestone,
    learning_stages,
    milestones,
    samples_by_stage,
    stage_title,
    supervised_stages,
    unknowns,
)

__all__ = ["write_comparison", "write_report"]

LEGEND = (
    ("try", "tries a step"),
    ("failed", "checks: no"),
    ("passed", "checks: yes"),
    ("back", "turns back"),
    ("answer", "answers"),
)


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, a sentence below it, and figures."""

    name: str
    title: str
    figures: tuple[figures.Figure, ...]


def write_report(workdir: Path) -> Path:
    """Write `report.html` into a workdir in one step and return its path. Works on a run in progress."""
    run = load_run(workdir)
    ends = milestones(run)
    change = ends[-2:]  # from where the last stage began to where it ended
    by_stage = samples_by_stage(run)
    data = browser.browser_data(by_stage)
    page = render(
        "page.html.jinja",
        run=run,
        stages=[stage_title(stage.name) for stage in run.stages],
        ends=ends,
        lead=lead(run, change),
        headline=tables.rows(change, tables.quantities([end.overall for end in change])),
        details=tables.rows(ends, tables.details()),
        unknowns=unknowns(run),
        pair=browser.opening_pair(by_stage),
        sections=sections(run, change),
        browser=data,
        shown=sum(len(stage["responses"]) for stage in data["stages"]),
        written=sum(len(samples) for samples in by_stage.values()),
        legend=LEGEND,
        phases=phases(run),
        tokens=tables.whole(run.stages[-1].tokens[-1]) if run.stages else tables.DASH,
        config=json.dumps(run.info.config, indent=2),
    )
    return write_atomically(workdir / "report.html", page)


def sections(run: Run, ends: Sequence[Milestone]) -> tuple[Section, ...]:
    """The sections of charts that have something to show. Stages of one kind follow one another in each."""
    supervised, learning = supervised_stages(run), learning_stages(run)
    groups = (
        ("learning", "Learning", [figures.supervised_figure(run, s) for s in supervised]),
        ("calibration", "What the outcome model knows", [figures.calibration_figure(run, s) for s in run.stages]),
        ("accuracy", "Accuracy over training", [figures.accuracy_figure(run, s) for s in learning]),
        ("streams", "What it was paid", [figures.rewards_figure(s) for s in learning]),
        ("length", "How long it thinks", [figures.length_figure(run, s) for s in learning]),
        ("behaviors", "What it does while thinking", [figures.behaviors_figure(run, s) for s in learning]),
        ("levels", "By difficulty", [figures.levels_figure(ends)]),
        ("scaling", "What thinking buys", [figures.scaling_figure(ends), *scaling_figures(run)]),
        ("health", "Health", [figures.health_figure(s) for s in learning]),
    )
    drawn = (Section(name, title, tuple(f for f in found if f is not None)) for name, title, found in groups)
    return tuple(section for section in drawn if section.figures)


def lead(run: Run, ends: Sequence[Milestone]) -> str:
    """What changed, in a sentence; empty before the second milestone."""
    if len(ends) < 2:
        return ""
    before, after = ends[0].overall, ends[-1].overall
    by_step = ends[0].stage == ends[-1].stage
    return (
        f"On {after.problems:,} held-out problems, greedy accuracy went from {tables.percent(before.greedy)} after "
        f"{_moment(ends[0], by_step)} to {tables.percent(after.greedy)} after "
        f"{_moment(ends[-1], by_step or not run.finished)}, while responses "
        f"went from {tables.mean(before.length)} to {tables.mean(after.length)} tokens and from "
        f"{tables.mean(before.behaviors.backtracks)} to {tables.mean(after.behaviors.backtracks)} backtracks each."
    )


def _moment(end: Milestone, by_step: bool) -> str:
    return f"step {end.step:,} of {end.label}" if by_step else end.label


def phases(run: Run) -> Mapping[str, str]:
    """Wall time by phase, as the summary says it; of an unfinished run, by stage as its metrics say it."""
    seconds = run.seconds
    if not seconds:
        ends = [0.0, *(stage.seconds[-1] for stage in run.stages)]
        seconds = {s.name: end - start for s, start, end in zip(run.stages, ends[:-1], ends[1:], strict=True)}
    return {name: tables.duration(value) for name, value in seconds.items()}
