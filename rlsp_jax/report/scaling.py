"""Inference scaling as charts: what a part of the thinking is worth, and what majority votes are at equal expense."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from markupsafe import Markup

from rlsp_jax.records import GridResult, ScalingResult
from rlsp_jax.report.figures import Figure, chart_id, figure, shades
from rlsp_jax.report.load import NAN, Run
from rlsp_jax.report.plots import Line, heat_map, line_chart
from rlsp_jax.report.seeds import Experiment, banded_line, mean_and_error
from rlsp_jax.report.story import stage_title

Result = TypeVar("Result", ScalingResult, GridResult)
Answer = Callable[[ScalingResult], float]


def own(result: ScalingResult) -> float:
    return result.own


def summary(result: ScalingResult) -> float:
    return result.summary


# ---- one run -----------------------------------------------------------------------------------


def scaling_figures(run: Run) -> tuple[Figure | None, ...]:
    """What cut thinking is worth, by scaling, and what votes are, by evaluation."""
    thinking = (_thinking_figure(name, run.scalings[name]) for name in run.scalings)
    votes = (_votes_figure(name, run.grids[name]) for name in run.grids)
    return (*thinking, *votes)


def _thinking_figure(name: str, results: Sequence[ScalingResult]) -> Figure | None:
    by_stage = newest(results)
    panels = []
    for part, x_label in (("fraction", "thinking tokens kept, mean"), ("budget", "budget of thinking tokens")):
        lines = []
        for (stage, found), color in zip(by_stage.items(), shades(len(by_stage)), strict=True):
            cut = [r for r in found if getattr(r, part) is not None]
            x = [r.kept if part == "fraction" else float(r.budget or 0) for r in cut]
            label = stage_title(stage)
            lines.append(Line(label, x, [r.own for r in cut], color, dots=True))
            lines.append(Line(f"{label}, summary", x, [r.summary for r in cut], color, dots=True, dashed=True))
        title = "Accuracy with a part of the thinking" if part == "fraction" else "Accuracy within a thinking budget"
        panels.append(line_chart(chart_id(f"{name} {part}"), title, x_label, lines, percent=True))
    count = max(r.responses for r in results)
    readers = ", ".join(dict.fromkeys(_reader(r) for r in results if r.summarizer))
    return figure(
        panels,
        f"“{name}”, {count:,} responses: thinking is cut off, at tenths or other parts of each response's own on the "
        "left and after so many tokens on the right, and the answer asked for there. Solid, the policy answers itself"
        + (f"; dashed, the summary model does, the policy before the stage ({readers})." if readers else "."),
    )


def _reader(result: ScalingResult) -> str:
    stage, _, step = result.summarizer.rpartition(" ")
    return f"{stage_title(stage)}, step {step}"


def _votes_figure(name: str, results: Sequence[GridResult]) -> Figure | None:
    by_stage = newest(results)
    colors = shades(len(by_stage))
    lines = [
        Line(stage_title(stage), [r.tokens for r in found], [r.accuracy for r in found], color, dots=True)
        for (stage, found), color in zip(((s, whole(r)) for s, r in by_stage.items()), colors, strict=True)
    ]
    stage, last = list(by_stage.items())[-1]
    budgets = sorted({r.budget for r in last})
    cells = {(r.k, r.budget): r.accuracy for r in last}
    rows = {str(k): [cells.get((k, budget), NAN) for budget in budgets] for k in sorted({r.k for r in last})}
    title = f"Majority of k within a token budget, {stage_title(stage)}"
    return figure(
        [
            line_chart(
                chart_id(f"{name} votes"), "Majority of k responses", "tokens for a problem, mean", lines,
                percent=True, log=True,
            ),
            heat_map(chart_id(f"{name} grid"), title, "tokens a response may take", "k", list(map(str, budgets)), rows),
        ],
        f"“{name}”: the same tokens may go into one long response or into votes; a curve's dots are k = "
        f"{', '.join(rows)}, so curves compare at equal expense where they stand above one another. "
        "In the grid, a response that exceeds its budget gives no answer.",
    )  # fmt: skip


def newest(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Results by stage, in the order written, each stage's at its last step."""
    steps = {r.stage: max(other.step for other in results if other.stage == r.stage) for r in results}
    return {stage: [r for r in results if (r.stage, r.step) == (stage, step)] for stage, step in steps.items()}


def whole(results: Sequence[GridResult]) -> list[GridResult]:
    """Those whose responses may take as many tokens as any, by k."""
    most = max(r.budget for r in results)
    return sorted((r for r in results if r.budget == most), key=lambda r: r.k)


# ---- several runs ------------------------------------------------------------------------------


def scaling_comparison(experiments: Sequence[Experiment]) -> dict[str, Figure | None]:
    """The same of several experiments, before and after their last stage, by the names of the figures' files."""
    spent = "Bands are ± one standard error over seeds."
    return {
        "thinking": figure(
            _thinking_panels(experiments, "fraction"),
            "Thinking is cut off at parts of each response's own, and the answer asked for there: by the policy "
            f"itself before and after its last stage, and by the summary model, the policy before that stage. {spent}",
        ),
        "thinking_budgets": figure(
            _thinking_panels(experiments, "budget"), f"The same with all thinking cut off after so many tokens. {spent}"
        ),
        "votes": figure(
            [_votes_panel(experiments, last=False), _votes_panel(experiments, last=True)],
            "The same tokens may go into one long response or into votes: dots are k = 1, 2, 4, …, and curves compare "
            f"at equal expense, before and after the last stage, where they stand above one another. {spent}",
        ),
    }


def _thinking_panels(experiments: Sequence[Experiment], part: str) -> list[Markup | None]:
    told: tuple[tuple[str, Answer, bool], ...] = (
        ("Own answers, before", own, False),
        ("Own answers, after", own, True),
        ("Summary model's answers, after", summary, True),
    )
    x_label = "thinking tokens kept, mean" if part == "fraction" else "budget of thinking tokens"
    panels = []
    for title, answer, last in told:
        lines = [_thinking_line(experiment, part, answer, last=last) for experiment in experiments]
        panels.append(line_chart(chart_id(f"{part} {title}"), title, x_label, lines, percent=True))
    return panels


def _thinking_line(experiment: Experiment, part: str, answer: Answer, *, last: bool) -> Line:
    """The mean at each cut, over the seeds that are as far as the furthest; kept tokens are means over them too."""
    found = [_stage_results(seed.run.scalings, last=last) for seed in experiment.begun]
    cuts = sorted({getattr(r, part) for results in found for r in results if getattr(r, part) is not None})
    same = [[r for results in found for r in results if getattr(r, part) == cut] for cut in cuts]
    kept = [mean_and_error(r.kept for r in results)[0] for results in same]
    xs = kept if part == "fraction" else cuts
    return banded_line(experiment, xs, [mean_and_error(map(answer, results)) for results in same])


def _votes_panel(experiments: Sequence[Experiment], *, last: bool) -> Markup | None:
    title = f"Majority of k responses, {'after' if last else 'before'}"
    lines = [_votes_line(experiment, last=last) for experiment in experiments]
    return line_chart(chart_id(title), title, "tokens for a problem, mean", lines, percent=True, log=True)


def _votes_line(experiment: Experiment, *, last: bool) -> Line:
    found = [_stage_results(seed.run.grids, last=last) for seed in experiment.begun]
    votes = [r for results in found if results for r in whole(results)]
    same = [[r for r in votes if r.k == k] for k in sorted({r.k for r in votes})]
    xs = [mean_and_error(r.tokens for r in results)[0] for results in same]
    return banded_line(experiment, xs, [mean_and_error(r.accuracy for r in results) for results in same])


def _stage_results(by_name: Mapping[str, Sequence[Result]], *, last: bool) -> list[Result]:
    """A run's results at the end of its last stage, or of the one before; of the name with the most of them."""
    if not by_name:
        return []
    stages = list(newest(max(by_name.values(), key=len)).values())
    return stages[-1] if last else stages[-2] if len(stages) > 1 else []
