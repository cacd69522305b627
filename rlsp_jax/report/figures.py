"""The charts of one run: which curves stand together, and what to see in them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from rlsp_jax.records import Behaviors, Calibration, EvalResult
from rlsp_jax.report.load import NAN, Run, Stage
from rlsp_jax.report.plots import CYCLE, Bars, Color, Line, bar_chart, line_chart
from rlsp_jax.report.story import Milestone, Point, imitates_itself, points, stage_title, standard_error

Measure = Callable[[EvalResult], float]

BEHAVIORS: Mapping[str, Callable[[Behaviors], float]] = {
    "Backtracks": lambda b: b.backtracks,
    "Verifications": lambda b: b.verifications,
    "Distinct attempts": lambda b: b.attempts,
    "Wrong → right": lambda b: b.wrong_to_right,
    "Repetition": lambda b: b.repetition,
}
_FRACTIONS = ("Wrong → right", "Repetition")

_HEALTH: Mapping[str, str] = {
    "policy/entropy": "Policy entropy (nats per token)",
    "policy/approx_kl": "KL of one update (nats)",
    "policy/kl_reference": "KL to the reference (nats)",
    "policy/clip_fraction": "Clipped ratios",
    "policy/logp_gap": "Sampler − learner log-prob gap",
    "policy/grad_norm": "Policy gradient norm",
    "value/loss": "Value loss",
}
_PREDICTIONS = {"end": ("At the end", Color.BLUE), "all": ("At every token", Color.ORANGE)}
_PERCENT = ("policy/clip_fraction",)
_EXPLAINED = "value/explained_variance/"


@dataclasses.dataclass(frozen=True)
class Figure:
    """Panels side by side over one caption; `small` ones stand three or four in a row."""

    panels: tuple[Markup, ...]
    caption: str
    small: bool = False


def figure(panels: Sequence[Markup | None], caption: str, *, small: bool = False) -> Figure | None:
    """A figure of the panels that have something to show; None when none has."""
    drawn = tuple(panel for panel in panels if panel is not None)
    return Figure(drawn, caption, small) if drawn else None


def supervised_figure(run: Run, stage: Stage) -> Figure | None:
    """Loss of a stage that imitates, and its accuracy on held-out problems where no other figure has it."""
    own = imitates_itself(stage)
    return figure(
        [
            _metric_panel(stage, "sft/loss", "Loss (nats per token)", Color.ORANGE),
            None if own else _accuracy_panel(run, stage),
        ],
        f"{stage_title(stage.name)} imitates {'responses of its own' if own else 'demonstrations'}. "
        "Where a curve is drawn twice, thin is what was logged and thick its moving average.",
    )


def accuracy_figure(run: Run, stage: Stage) -> Figure | None:
    """Accuracy on held-out problems and on the policy's own responses."""
    began = f"Held-out problems are never trained on, and step 0 is where {stage_title(stage.name)} began; "
    if imitates_itself(stage):
        drawn = Line("drawn", stage.steps, stage.columns.get("draws/accuracy", ()), Color.PURPLE, dots=True)
        own = _own_accuracy(stage, "Accuracy of the responses drawn", [drawn])
        return figure([_accuracy_panel(run, stage), own], f"{began}what it imitates is chosen from responses drawn.")
    rollouts = _metric_lines(stage, "rollout/accuracy", "rollouts", Color.PURPLE)
    own = _own_accuracy(stage, "Accuracy of training rollouts", rollouts)
    about = "training rollouts are the responses it learned from, sampled at the training temperature."
    return figure([_accuracy_panel(run, stage), own], f"{began}{about}")


def _own_accuracy(stage: Stage, title: str, lines: Sequence[Line]) -> Markup | None:
    return line_chart(_id(stage, "own accuracy"), title, _x_label(stage), lines, percent=True)


def rewards_figure(stage: Stage) -> Figure | None:
    """One panel per reward stream, each on its own scale."""
    names = [name for name in stage.columns if name.startswith("reward/")]
    panels = [
        _metric_panel(stage, name, f"Stream: {name.removeprefix('reward/')}", CYCLE[i % len(CYCLE)])
        for i, name in enumerate(names)
    ]
    return figure(
        panels, "Mean reward per response, before any weight: each stream is paid, and so drawn, on its own scale."
    )


def length_figure(run: Run, stage: Stage) -> Figure | None:
    """How long responses are and how many meet the limit."""
    way = points(run, stage)
    held_out = [_curve("Held-out", way, lambda r: r.length, Color.BLUE)]
    truncated = [_curve("Held-out", way, lambda r: r.truncated, Color.BLUE)]
    rollouts = _metric_lines(stage, "rollout/length", "Rollouts", Color.ORANGE)
    cut = _metric_lines(stage, "rollout/truncated", "Rollouts", Color.ORANGE)
    x_label = _x_label(stage)
    return figure(
        [
            line_chart(_id(stage, "length"), "Response length (tokens)", x_label, held_out + rollouts),
            line_chart(_id(stage, "cut"), "Truncated responses", x_label, truncated + cut, percent=True),
        ],
        "Longer responses are thinking only while few of them are cut off by the limit: read the two together.",
    )


def behaviors_figure(run: Run, stage: Stage) -> Figure | None:
    """What the responses do, at each evaluation."""
    way = points(run, stage)
    panels = [
        line_chart(
            _id(stage, f"behavior-{i}"),
            name if name in _FRACTIONS else f"{name} per response",
            _x_label(stage),
            [
                _curve("Held-out", way, lambda r, of=of: of(r.behaviors), Color.BLUE),
                *(_metric_lines(stage, "rollout/backtracks", "Rollouts", Color.ORANGE) if name == "Backtracks" else []),
            ],
            percent=name in _FRACTIONS,
            small=True,
        )
        for i, (name, of) in enumerate(BEHAVIORS.items())
    ]
    return figure(
        panels,
        "Search that helps shows more distinct attempts and more wrong turns mended; "
        "length earned by saying the same again would show as repetition.",
        small=True,
    )


def health_figure(stage: Stage) -> Figure | None:
    """The quantities that go wrong first when learning does."""
    names = dict(_HEALTH)
    for name in stage.columns:
        if name.startswith(_EXPLAINED):
            names[name] = f"Value: variance explained, {name.rsplit('/', 1)[1]}"
    stage = dataclasses.replace(stage, columns={name: _seen(name, way) for name, way in stage.columns.items()})
    panels = [
        _metric_panel(stage, name, title, Color.MUTED, percent=name in _PERCENT, small=True)
        for name, title in names.items()
    ]
    return figure(
        panels,
        "A healthy run keeps some entropy, small steps and a log-prob gap near zero; "
        "variance explained near 1 means that the value head knows what a response will earn; what is below −1 is "
        "drawn at −1.",
        small=True,
    )


def _seen(name: str, way: tuple[float, ...]) -> tuple[float, ...]:
    """A metric as it is drawn: where hardly anything varies, the variance explained may be −1e5 and hide the rest."""
    return tuple(max(value, -1.0) for value in way) if name.startswith(_EXPLAINED) else way


def levels_figure(ends: Sequence[Milestone]) -> Figure | None:
    """Accuracy and length by level, at each milestone."""
    levels = list(dict.fromkeys(r.level for end in ends for r in end.levels))
    colors = shades(len(ends))
    accuracy = [
        _level_bars(end, levels, color, lambda r: r.greedy, lambda r: standard_error(r.greedy, r.problems))
        for end, color in zip(ends, colors, strict=True)
    ]
    length = [
        _level_bars(end, levels, c, lambda r: r.length, lambda r: NAN) for end, c in zip(ends, colors, strict=True)
    ]
    return figure(
        [
            bar_chart("levels", "Greedy accuracy", "level", levels, accuracy, percent=True),
            bar_chart("levels-length", "Response length (tokens)", "level", levels, length),
        ],
        "By level of difficulty. Whiskers are ± one standard error over a level's problems; "
        "a model that thinks as long as it must writes longer responses where problems are harder.",
    )


def scaling_figure(ends: Sequence[Milestone]) -> Figure | None:
    """Accuracy against what may be spent on a problem: tokens, or samples."""
    colors = shades(len(ends))
    budgets = [_by_key(end.label, end.overall.budgets, color) for end, color in zip(ends, colors, strict=True)]
    chances = [_by_key(f"{end.label} pass@k", end.overall.pass_at, c) for end, c in zip(ends, colors, strict=True)]
    majority = [
        dataclasses.replace(_by_key(f"{end.label} maj@k", end.overall.maj_at, c), dashed=True)
        for end, c in zip(ends, colors, strict=True)
    ]
    return figure(
        [
            line_chart("budgets", "Greedy accuracy within a token budget", "token budget", budgets, percent=True),
            line_chart("samples-k", "Accuracy with k samples", "k", chances + majority, percent=True),
        ],
        "A response counts only if it ends within the budget, so a gap that opens to the right is thinking that pays; "
        "pass@k asks for one right response in k, maj@k for the most frequent answer to be right.",
    )


def calibration_figure(run: Run, stage: Stage) -> Figure | None:
    """How far a stage's outcome model can be believed, and how it came to that; None for other stages."""
    found = {at: [c for c in run.calibrations if (c.stage, c.at) == (stage.name, at)] for at in _PREDICTIONS}
    last = {at: way[-1] for at, way in found.items() if way}
    said = [
        Line(name, [100 * p for p in last[at].predicted], last[at].observed, color, dots=True)
        for at, (name, color) in _PREDICTIONS.items()
        if at in last
    ]
    ideal = Line("as said", (0.0, 100.0), (0.0, 1.0), Color.BEFORE, dashed=True)
    heldout = [
        Line(name, [c.step for c in found[at]], [c.cross_entropy for c in found[at]], color, dots=True)
        for at, (name, color) in _PREDICTIONS.items()
    ]
    learned = _metric_lines(stage, "outcome_model/loss", "Learned from", Color.MUTED)
    panels = [
        line_chart(_id(stage, "reliability"), "Responses that are right", "said (%)", [*said, ideal], percent=True),
        line_chart(_id(stage, "entropy"), "Cross-entropy (nats)", _x_label(stage), [*learned, *heldout]),
    ]
    worth = "; ".join(f"{_PREDICTIONS[at][0].lower()}, {_worth(c)}" for at, c in last.items())
    caption = "How many are right of the responses to which a chance is given, on problems it has learned nothing from"
    return figure(panels, f"{caption}: {worth}.") if last else None


def _worth(found: Calibration) -> str:
    return (
        f"accuracy {found.accuracy:.1%}, AUC {found.auc:.3f}, calibration error {found.calibration_error:.3f} "
        f"({found.predictions:,} predictions)"
    )


def chart_id(name: str) -> str:
    """An id for a chart; a name may hold anything, an id may not."""
    return "".join(c if c.isascii() and c.isalnum() else f"-{ord(c):x}-" for c in name)


def shades(count: int) -> tuple[Color, ...]:
    """Grey for the first, blue for the last, other colours between them."""
    if count == 1:
        return (Color.BLUE,)
    return (Color.BEFORE, *(CYCLE[1 + i % (len(CYCLE) - 1)] for i in range(count - 2)), Color.BLUE)[:count]


def _accuracy_panel(run: Run, stage: Stage) -> Markup | None:
    way = points(run, stage)
    lines = [
        _curve("greedy", way, lambda r: r.greedy, Color.BLUE),
        _curve("pass@1", way, lambda r: r.pass_at.get("1", NAN), Color.GREEN),
    ]
    sampled = any(p.result.pass_at for p in way)
    title = "Held-out accuracy" if sampled else "Held-out accuracy, greedy"
    return line_chart(_id(stage, "accuracy"), title, _x_label(stage), lines, percent=True)


def _metric_panel(
    stage: Stage, metric: str, title: str, color: Color, *, percent: bool = False, small: bool = False
) -> Markup | None:
    lines = _metric_lines(stage, metric, title, color)
    return line_chart(_id(stage, metric), title, _x_label(stage), lines, percent=percent, small=small)


def _metric_lines(stage: Stage, metric: str, label: str, color: Color) -> list[Line]:
    return [Line(label, stage.steps, stage.columns[metric], color, noisy=True)] if stage.has(metric) else []


def _curve(label: str, way: Sequence[Point], measure: Measure, color: Color) -> Line:
    return Line(label, [p.step for p in way], [measure(p.result) for p in way], color, dots=True)


def _by_key(label: str, by_key: Mapping[str, float], color: Color) -> Line:
    pairs = sorted((float(key), value) for key, value in by_key.items())
    return Line(label, [x for x, _ in pairs], [y for _, y in pairs], color, dots=True)


def _level_bars(end: Milestone, levels: Sequence[str], color: Color, measure: Measure, error: Measure) -> Bars:
    found = {r.level: r for r in end.levels}
    values = [measure(found[level]) if level in found else NAN for level in levels]
    errors = [error(found[level]) if level in found else NAN for level in levels]
    return Bars(end.label, values, errors, color)


def _id(stage: Stage, name: str) -> str:
    return chart_id(f"s{stage.index} {name}")


def _x_label(stage: Stage) -> str:
    return f"{stage_title(stage.name)} step"
