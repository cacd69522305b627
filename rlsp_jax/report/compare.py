"""Runs side by side on one page: against steps, against generated tokens, and at the end."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from markupsafe import Markup

from rlsp_jax.report import tables
from rlsp_jax.report.export import markdown_table, write_files
from rlsp_jax.report.figures import Figure, Measure, chart_id, figure
from rlsp_jax.report.load import NAN, load_run
from rlsp_jax.report.plots import Bars, bar_chart, line_chart
from rlsp_jax.report.render import render, write_atomically
from rlsp_jax.report.scaling import scaling_comparison
from rlsp_jax.report.seeds import (
    Experiment,
    Place,
    banded_line,
    by_step,
    by_tokens,
    group_by_config,
    mean_and_error,
    mean_at,
    mean_line,
    reached,
)
from rlsp_jax.report.story import learning_stages, stage_title, tokens_at, unknowns


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
        "The same runs twice: longer responses cost more tokens in a step, so only the second panel compares at equal "
        "expense. Bands are ± one standard error over seeds.",
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


@dataclasses.dataclass(frozen=True)
class Cell:
    """A mean over seeds and its standard error, as text; the error is empty for one seed."""

    value: str = ""
    error: str = ""

    def __str__(self) -> str:
        return f"{self.value} {self.error}".strip()


@dataclasses.dataclass(frozen=True)
class Row:
    """What one experiment shows at one moment; `kind` is "start", "end" or "change"."""

    kind: str
    experiment: Experiment
    moment: str
    seeds: int
    cells: tuple[Cell, ...]


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
    headings = [*(quantity.name for quantity in wanted), "Steps", "Tokens generated"]
    rows = [row for experiment in experiments for row in final_rows(experiment, wanted)]
    equals, watched = equal_expense(experiments), watched_by(experiments)
    drawn = comparison_figures(experiments)
    page = render(
        "comparison.html.jinja",
        experiments=experiments,
        headings=headings,
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
            ["Experiment", "At", "Seeds", *headings],
            [[row.experiment.name, row.moment, row.seeds, *row.cells] for row in rows],
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
    rows = [Row("start", experiment, begun[0].ends[0].label, len(begun), (*start, Cell(), Cell()))] if begun else []
    if ended:
        label = ended[0].ends[-1].label
        rows.append(Row("end", experiment, label, len(ended), (*end, *_cost(experiment))))
        rows.append(Row("change", experiment, "change", len(ended), (*change, Cell(), Cell())))
    return tuple(rows)


def _cost(experiment: Experiment) -> tuple[Cell, Cell]:
    """Steps of the last stage, and the tokens generated in it."""
    last = [(seed.run, seed.ends[-1]) for seed in experiment.ended]
    tokens = [tokens_at(run, stage, end.step) for run, end in last for stage in run.stages if stage.name == end.stage]
    return _cell(tables.whole, [float(end.step) for _, end in last]), _cell(tables.whole, tokens)


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
    """The experiments at equal steps and at equal generated tokens; empty for fewer than two that learn."""
    learning = [e for e in experiments if e.watched]
    if len(learning) < 2:
        return ()
    tables_of = (_equal(learning, by_step, "step {:,.0f}"), _equal(learning, by_tokens, "{:,.0f} generated tokens"))
    return tuple(table for table in tables_of if table is not None)


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
    """Each aspect against steps and against tokens, then what the ends look like, by the names of their files."""
    ends = figure(
        [_levels_panel(experiments), _budgets_panel(experiments)],
        "The ends of the runs, by level of difficulty and by the tokens that a response may take.",
    )
    aspects = {aspect.name: _aspect_figure(experiments, aspect) for aspect in ASPECTS}
    drawn = {**aspects, "ends": ends, **scaling_comparison(experiments)}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _aspect_figure(experiments: Sequence[Experiment], aspect: Aspect) -> Figure | None:
    stages = {stage_title(learning_stages(seed.run)[-1].name) for e in experiments for seed in e.watched}
    step_label = f"{' / '.join(sorted(stages))} step"
    panels = [
        line_chart(
            chart_id(f"{aspect.title} {x_label}"),
            aspect.title,
            x_label,
            [mean_line(experiment, place, aspect.of) for experiment in experiments],
            percent=aspect.write is tables.percent,
        )
        for place, x_label in ((by_step, step_label), (by_tokens, "tokens generated"))
    ]
    return figure(panels, aspect.caption)


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
