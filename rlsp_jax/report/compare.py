"""Runs side by side on one page: against steps, generated tokens and drawn samples, and at the end."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from markupsafe import Markup

from rlsp_jax.report import tables
from rlsp_jax.report.export import markdown_table, write_files
from rlsp_jax.report.figures import Figure, Measure, chart_id, figure
from rlsp_jax.report.learning import learning_figure
from rlsp_jax.report.load import NAN, Stage, load_run
from rlsp_jax.report.plots import Bars, bar_chart, line_chart
from rlsp_jax.report.render import render, write_atomically
from rlsp_jax.report.scaling import scaling_comparison
from rlsp_jax.report.seeds import (
    Experiment,
    Place,
    Seed,
    banded_line,
    by_samples,
    by_step,
    by_tokens,
    group_by_config,
    mean_and_error,
    mean_at,
    mean_line,
    reached,
)
from rlsp_jax.report.story import (
    imitates_itself,
    learning_stages,
    samples_at,
    seconds_of,
    stage_title,
    tokens_at,
    unknowns,
)


@dataclasses.dataclass(frozen=True)
class Aspect:
    """A measure that experiments are compared by, and what to see in its figure, whose file is called `name`."""

    name: str
    title: str
    of: Measure
    write: Callable[[float], str]
    caption: str


ASPECTS = (
    Aspect(
        "greedy",
        "Greedy accuracy",
        lambda r: r.greedy,
        tables.percent,
        "Longer responses cost more tokens in a step, so that curves compare at equal expense over tokens and not over "
        "steps. Bands are ± one standard error over seeds.",
    ),
    Aspect(
        "pass_at_1",
        "pass@1",
        lambda r: r.pass_at.get("1", NAN),
        tables.percent,
        "The chance that a response drawn at the evaluation's temperature is right.",
    ),
    Aspect(
        "backtracks",
        "Backtracks per response",
        lambda r: r.behaviors.backtracks,
        tables.mean,
        "How often a response says that it turns back, in the drawn responses where an evaluation has any and in the "
        "greedy ones elsewhere: search that appears, stays or dies out.",
    ),
    Aspect(
        "length",
        "Response length (tokens)",
        lambda r: r.length,
        tables.mean,
        "What a response costs, a drawn one where an evaluation has any.",
    ),
)


COSTS = ("Steps", "Tokens generated", "Samples drawn", "Seconds")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A mean over seeds and its standard error, as text; the error is empty for one seed."""

    value: str = ""
    error: str = ""

    def __str__(self) -> str:
        return f"{self.value} {self.error}".strip()


@dataclasses.dataclass(frozen=True)
class Row:
    """What one experiment shows at one moment; `kind` is "start", "end" or "change". An end has `COSTS`."""

    kind: str
    experiment: Experiment
    moment: str
    seeds: int
    cells: tuple[Cell, ...]
    costs: tuple[Cell, ...] = (Cell(),) * len(COSTS)


@dataclasses.dataclass(frozen=True)
class Equal:
    """Every experiment with its number of seeds, at the last place that all runs have got to."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Experiment, int, tuple[Cell, ...]], ...]


def write_comparison(workdirs: list[Path], output: Path, figures: Path | None = None) -> Path:
    """Write one page that overlays runs, and return its path. Raises ValueError for no workdir.

    The folder `figures`, if given, gets each figure as an .svg file, and the tables as `table.md`.
    """
    if not workdirs:
        raise ValueError("There is no workdir to compare; name one or more.")
    runs = [load_run(workdir) for workdir in workdirs]
    experiments = group_by_config(runs)
    evaluated = [(experiment, seed) for experiment in experiments for seed in experiment.seeds if seed.ends]
    wanted = tables.quantities([end.overall for _, seed in evaluated for end in seed.ends])
    headings = [quantity.name for quantity in wanted]
    rows = [row for experiment in experiments for row in final_rows(experiment, wanted)]
    equals, watched = equal_expense(experiments), watched_by(experiments)
    drawn = comparison_figures(experiments)
    page = render(
        "comparison.html.jinja",
        experiments=experiments,
        headings=headings,
        costs=COSTS,
        rows=rows,
        equals=equals,
        watched=watched,
        figures=drawn.values(),
        unknowns=[f"{run.workdir.resolve().name}: {text}" for run in runs for text in unknowns(run)],
        each=[(experiment, seed, tables.rows(seed.ends, wanted)) for experiment, seed in evaluated],
    )
    if figures is not None:
        write_files(figures, drawn, markdown(headings, rows, equals, watched))
    output.parent.mkdir(parents=True, exist_ok=True)
    return write_atomically(output, page)


def markdown(headings: Sequence[str], rows: Sequence[Row], equals: Sequence[Equal], watched: Sequence[str]) -> str:
    """The tables of a comparison as Markdown."""
    parts = ["Mean ± standard error over seeds; a change is taken seed by seed, for rates in points."]
    parts.append(
        markdown_table(
            ["Experiment", "At", "Seeds", *headings, *COSTS],
            [[row.experiment.name, row.moment, row.seeds, *row.cells, *row.costs] for row in rows],
        )
    )
    for equal in equals:
        parts.append(f"At {equal.title}, from the evaluations during training ({'; '.join(watched)}):")
        found = [[experiment.name, seeds, *cells] for experiment, seeds, cells in equal.rows]
        parts.append(markdown_table(["Experiment", "Seeds", *equal.headings], found))
    return "\n\n".join(parts) + "\n"


def final_rows(experiment: Experiment, wanted: Sequence[tables.Quantity]) -> tuple[Row, ...]:
    """Where the experiment began, where it ended, and the change, taken seed by seed."""
    begun, ended = experiment.begun, experiment.ended
    start = [_cell(q.write, [q.of(seed.ends[0].overall) for seed in begun]) for q in wanted]
    end = [_cell(q.write, [q.of(seed.ends[-1].overall) for seed in ended]) for q in wanted]
    change = [
        _cell(q.write, [q.of(seed.ends[-1].overall) - q.of(seed.ends[0].overall) for seed in ended], signed=True)
        for q in wanted
    ]
    rows = [Row("start", experiment, begun[0].ends[0].label, len(begun), tuple(start))] if begun else []
    if ended:
        label = ended[0].ends[-1].label
        rows.append(Row("end", experiment, label, len(ended), tuple(end), _costs(experiment)))
        rows.append(Row("change", experiment, "change", len(ended), tuple(change)))
    return tuple(rows)


def _costs(experiment: Experiment) -> tuple[Cell, ...]:
    """What the last stage took, with the outcome model that it is paid by."""
    last = [(seed.run, seed.ends[-1].step, s) for seed in experiment.ended for s in seed.run.stages if _ends(seed, s)]
    steps = [float(seed.ends[-1].step) for seed in experiment.ended]
    tokens = [tokens_at(run, stage, step) for run, step, stage in last]
    samples = [samples_at(run, stage, step) for run, step, stage in last]
    seconds = [seconds_of(run, stage) for run, _, stage in last]
    return tuple(_cell(tables.whole, values) for values in (steps, tokens, samples, seconds))


def _ends(seed: Seed, stage: Stage) -> bool:
    return stage.name == seed.ends[-1].stage


def _cell(write: Callable[[float], str], values: Sequence[float], *, signed: bool = False) -> Cell:
    return _written(write, *mean_and_error(values), signed=signed)


def _written(write: Callable[[float], str], mean: float, error: float, *, signed: bool = False) -> Cell:
    if not math.isfinite(mean):
        return Cell(tables.DASH)
    value = write(mean)
    if signed:  # a change of a rate is in points, not per cent
        value = ("+" if mean >= 0 else "−") + write(abs(mean)).rstrip("%")
    digits = len(value.rstrip("%").partition(".")[2])  # as many as the mean has
    scale = 100 if write is tables.percent else 1
    return Cell(value, f"± {error * scale:,.{digits}f}" if math.isfinite(error) else "")


def equal_expense(experiments: Sequence[Experiment]) -> tuple[Equal, ...]:
    """The experiments at equal steps, generated tokens and drawn samples; empty for fewer than two that learn."""
    learning = [e for e in experiments if e.watched]
    if len(learning) < 2:
        return ()
    steps = _equal(learning, by_step, "step {:,.0f}") if alike(learning) else None
    tokens = _equal(learning, by_tokens, "{:,.0f} generated tokens")
    samples = _equal(learning, by_samples, "{:,.0f} samples drawn")
    if steps and samples and steps.rows == samples.rows:
        steps, samples = dataclasses.replace(steps, title=f"{steps.title}, which is {samples.title}"), None
    return tuple(table for table in (steps, tokens, samples) if table is not None)


def alike(experiments: Sequence[Experiment]) -> bool:
    """Whether a step is the same kind of thing in all: one draws a batch and learns from it, or it only imitates."""
    return len({imitates_itself(_learner(seed)) for e in experiments for seed in e.watched}) < 2


def _learner(seed: Seed) -> Stage:
    """The stage that a seed's way leads through."""
    return learning_stages(seed.run)[-1]


def _equal(experiments: Sequence[Experiment], place: Place, title: str) -> Equal | None:
    x = reached(experiments, place, ASPECTS[0].of)
    if not math.isfinite(x):
        return None
    told = [aspect for aspect in ASPECTS if math.isfinite(reached(experiments, place, aspect.of))]
    rows = tuple((e, len(e.watched), tuple(_cell_at(e, place, aspect, x) for aspect in told)) for e in experiments)
    return Equal(title.format(x), tuple(aspect.title for aspect in told), rows)


def _cell_at(experiment: Experiment, place: Place, aspect: Aspect, x: float) -> Cell:
    return _written(aspect.write, *mean_at(experiment, place, aspect.of, x))


def watched_by(experiments: Sequence[Experiment]) -> tuple[str, ...]:
    """The evaluations during training, in words: more than one when runs were not watched alike."""
    results = [seed.way[-1].result for experiment in experiments for seed in experiment.watched]
    said = [
        f"“{r.eval}”, {r.problems:,} problems, 1 greedy response to each"
        + (f" and {r.samples:,} drawn" if r.samples else "")
        for r in results
    ]
    return tuple(dict.fromkeys(said))


def comparison_figures(experiments: Sequence[Experiment]) -> dict[str, Figure]:
    """Aspects against steps and tokens, accuracy against samples, what training measured, the ends; by file name."""
    ends = figure(
        [_levels_panel(experiments), _budgets_panel(experiments)],
        "The ends of the runs, by level of difficulty and by the tokens that a response may take.",
    )
    aspects = {aspect.name: _aspect_figure(experiments, aspect) for aspect in ASPECTS}
    samples, learning = _samples_figure(experiments), learning_figure(experiments)
    drawn = {**aspects, "samples": samples, "learning": learning, "ends": ends, **scaling_comparison(experiments)}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _aspect_figure(experiments: Sequence[Experiment], aspect: Aspect) -> Figure | None:
    panels = [_aspect_panel(experiments, aspect, by_tokens, "tokens generated")]
    if alike(experiments):
        stages = {stage_title(_learner(seed).name) for e in experiments for seed in e.watched}
        panels.insert(0, _aspect_panel(experiments, aspect, by_step, f"{' / '.join(sorted(stages))} step"))
    return figure(panels, aspect.caption)


def _samples_figure(experiments: Sequence[Experiment]) -> Figure | None:
    rates = [aspect for aspect in ASPECTS if aspect.write is tables.percent]
    return figure(
        [_aspect_panel(experiments, aspect, by_samples, "samples drawn") for aspect in rates],
        "Sample complexity: accuracy after so many responses were drawn to learn from, with those that chose the "
        "problems, that found no place in a batch, or that an outcome model learned from. Evaluations are not counted.",
    )


def _aspect_panel(experiments: Sequence[Experiment], aspect: Aspect, place: Place, x_label: str) -> Markup | None:
    lines = [mean_line(experiment, place, aspect.of) for experiment in experiments]
    name = chart_id(f"{aspect.title} {x_label}")
    return line_chart(name, aspect.title, x_label, lines, percent=aspect.write is tables.percent)


def _levels_panel(experiments: Sequence[Experiment]) -> Markup | None:
    levels = list(dict.fromkeys(r.level for e in experiments for seed in e.ended for r in seed.ends[-1].levels))
    bars = []
    for experiment in experiments:
        results = [r for seed in experiment.ended for r in seed.ends[-1].levels]
        found = [mean_and_error(r.greedy for r in results if r.level == level) for level in levels]
        bars.append(
            Bars(experiment.label, [mean for mean, _ in found], [error for _, error in found], experiment.color)
        )
    return bar_chart("levels", "Greedy accuracy at the end", "level", levels, bars, percent=True)


def _budgets_panel(experiments: Sequence[Experiment]) -> Markup | None:
    lines = []
    for experiment in experiments:
        ends = [seed.ends[-1].overall for seed in experiment.ended]
        budgets = sorted({budget for end in ends for budget in end.budgets}, key=float)
        found = [mean_and_error(end.budgets.get(budget, NAN) for end in ends) for budget in budgets]
        lines.append(banded_line(experiment, [float(budget) for budget in budgets], found))
    return line_chart("budgets", "Greedy accuracy within a token budget", "token budget", lines, percent=True)
