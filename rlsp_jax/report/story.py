"""Which evaluations tell a run's story: where each stage ended, and how the last one got there."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable

from rlsp_jax.records import EvalResult, Sample
from rlsp_jax.report.load import NAN, Run, Stage

ALL = "all"


@dataclasses.dataclass(frozen=True)
class Milestone:
    """Where a stage stood at its last evaluation."""

    stage: str
    step: int
    overall: EvalResult
    levels: tuple[EvalResult, ...]

    @property
    def label(self) -> str:
        return stage_title(self.stage)


@dataclasses.dataclass(frozen=True)
class Point:
    """One evaluation on the way through a stage: after how many steps, and after what was drawn to learn from.

    Tokens and samples are those generated for the stage, its outcome model included; NaN when no metric tells.
    """

    step: int
    tokens: float
    samples: float
    result: EvalResult


def stage_title(name: str) -> str:
    """A stage's name as a reader writes it: "ppo_2" → "PPO 2", "expert_iteration" → "Expert iteration"."""
    first, *rest = name.split("_")
    return " ".join([first.upper() if len(first) <= 4 else first.capitalize(), *rest])


def main_eval(run: Run) -> str | None:
    """The fullest evaluation: most problems, then most samples."""
    return _first_by(run, lambda results: max((r.problems, r.samples) for r in results if r.level == ALL))


def curve_eval(run: Run) -> str | None:
    """The evaluation made most often, which shows the way through training."""
    return _first_by(run, lambda results: (sum(r.level == ALL for r in results), 0))


def _first_by(run: Run, worth: Callable[[tuple[EvalResult, ...]], tuple[int, int]]) -> str | None:
    named = {name: results for name, results in run.evals.items() if any(r.level == ALL for r in results)}
    return max(named, key=lambda name: worth(named[name]), default=None)


def milestones(run: Run) -> tuple[Milestone, ...]:
    """Each stage's last full evaluation; when only one stage has any, its first one stands for the start."""
    name = main_eval(run)
    results = run.evals[name] if name else ()
    overall = [r for r in results if r.level == ALL]
    last: dict[str, EvalResult] = {}
    for result in overall:
        if result.stage not in last or result.step >= last[result.stage].step:
            last[result.stage] = result
    ends = list(last.values())
    if len(ends) == 1:
        first = min(overall, key=lambda r: r.step)
        ends = [first, *ends] if first.step < ends[0].step else ends
    return tuple(_milestone(end, results) for end in ends)


def _milestone(end: EvalResult, results: Iterable[EvalResult]) -> Milestone:
    same = [r for r in results if (r.stage, r.step) == (end.stage, end.step) and r.level != ALL]
    return Milestone(end.stage, end.step, end, tuple(same))


def learning_stages(run: Run) -> tuple[Stage, ...]:
    """The stages whose policy learns from responses of its own: from rewards, or by imitating some of them."""
    return tuple(s for s in run.stages if imitates_itself(s) or any(name.startswith("reward/") for name in s.columns))


def imitates_itself(stage: Stage) -> bool:
    """Whether its steps imitate responses that were drawn in rounds, so that a step draws nothing."""
    return stage.has("draws/samples")


def supervised_stages(run: Run) -> tuple[Stage, ...]:
    """The stages that imitate: demonstrations, or responses of the policy's own."""
    return tuple(stage for stage in run.stages if stage.has("sft/loss"))


def points(run: Run, stage: Stage) -> tuple[Point, ...]:
    """The way through a stage, from where the stage before it ended (as step 0) on."""
    name = curve_eval(run)
    overall = [r for r in run.evals[name] if r.level == ALL] if name else []
    order = [s.name for s in run.stages]
    before = [r for r in overall if r.stage in order and order.index(r.stage) < order.index(stage.name)]
    inside = sorted((r for r in overall if r.stage == stage.name), key=lambda r: r.step)
    shown = [(r.step, r) for r in inside]
    if before and (not inside or inside[0].step > 0):
        shown.insert(0, (0, before[-1]))
    return tuple(Point(step, tokens_at(run, stage, step), samples_at(run, stage, step), r) for step, r in shown)


def outcome_models(run: Run, stage: Stage) -> tuple[Stage, ...]:
    """The stages that trained outcome models for this one: those since the last stage whose policy learned."""
    learned = [s.index for s in learning_stages(run) if s.index < stage.index]
    between = (s for s in run.stages if max(learned, default=-1) < s.index < stage.index)
    return tuple(s for s in between if s.has("outcome_model/loss"))


def tokens_at(run: Run, stage: Stage, step: int) -> float:
    """Tokens generated for a stage's first `step` steps, by its metrics; NaN when they do not say.

    Metrics count steps from 0: the row of step 3 is about the fourth update. Evaluations count updates done.
    """
    first = (*outcome_models(run, stage), stage)[0].index
    before = _last([tokens for s in run.stages if s.index < first for tokens in s.tokens], 0.0)
    earlier = _last([tokens for s in run.stages if s.index < stage.index for tokens in s.tokens], 0.0)
    return (_done(stage, stage.tokens, step) if step else earlier) - before


def samples_at(run: Run, stage: Stage, step: int) -> float:
    """Responses drawn for a stage's first `step` steps, by its metrics; NaN when they do not say."""
    earlier = sum(samples_drawn(model)[-1] for model in outcome_models(run, stage))
    return earlier + (_done(stage, samples_drawn(stage), step) if step else 0.0)


def seconds_of(run: Run, stage: Stage) -> float:
    """Wall seconds of a stage and of its outcome models, evaluations left out, by the summary; NaN before it."""
    return sum(run.seconds.get(s.name, NAN) for s in (*outcome_models(run, stage), stage))


def samples_drawn(stage: Stage) -> tuple[float, ...]:
    """Responses drawn to learn from since the stage began, at each row of its metrics; NaN when they do not say.

    A stage that imitates itself says it. Elsewhere a batch's tokens over their mean length are its rows, which were
    drawn so many times over; and problems may have been chosen by responses to them.
    """
    if imitates_itself(stage):
        told = stage.columns["draws/samples"]
        return tuple(itertools.accumulate(told, lambda before, now: now if math.isfinite(now) else before))
    if not stage.has("rollout/tokens"):
        return (NAN,) * len(stage.steps)
    columns = zip(*(_column(stage, *names) for names in _DRAWN), strict=True)
    return tuple(itertools.accumulate(_rows_drawn(*row) for row in columns))


_DRAWN = (
    ("rollout/tokens",),
    ("rollout/wasted_tokens",),
    ("rollout/length", "draws/length"),
    ("rollout/draws",),
    ("select/samples",),
)


def _rows_drawn(tokens: float, wasted: float, length: float, draws: float, choosing: float) -> float:
    """Of one row of metrics; what it does not have is NaN."""
    rows = round((tokens - _known(wasted, 0.0)) / length) if length > 0 and math.isfinite(tokens) else 0
    return round(rows * _known(draws, 1.0)) + _known(choosing, 0.0)


def _column(stage: Stage, *names: str) -> tuple[float, ...]:
    """The first of these columns that a stage has; NaN without any."""
    return next((stage.columns[name] for name in names if stage.has(name)), (NAN,) * len(stage.steps))


def _known(value: float, otherwise: float) -> float:
    return value if math.isfinite(value) else otherwise


def _done(stage: Stage, so_far: Iterable[float], step: int) -> float:
    """A count that only grows, after `step` updates."""
    return _last([count for at, count in zip(stage.steps, so_far, strict=True) if at < step], NAN)


def _last(values: list[float], otherwise: float) -> float:
    return values[-1] if values else otherwise


def samples_by_stage(run: Run) -> dict[str, tuple[Sample, ...]]:
    """The responses last written in each stage, those of the main evaluation if there are any."""
    name = main_eval(run)
    samples = [s for s in run.samples if s.eval == name] or list(run.samples)
    last: dict[str, int] = {}
    for sample in samples:
        last[sample.stage] = max(sample.step, last.get(sample.stage, 0))
    return {
        f"{stage_title(stage)}, step {step}": tuple(s for s in samples if (s.stage, s.step) == (stage, step))
        for stage, step in last.items()
    }


def unknowns(run: Run) -> tuple[str, ...]:
    """One sentence for each evaluation that met responses that no verifier could judge."""
    found: list[tuple[str, EvalResult]] = [
        (name, r) for name, results in run.evals.items() for r in results if r.level == ALL and r.unknown
    ]
    said = [f"{r.unknown:,} in the evaluation “{name}” at {stage_title(r.stage)} step {r.step:,}" for name, r in found]
    return (*said, *(text for stage in run.stages for text in _unknown_rollouts(stage)))


def _unknown_rollouts(stage: Stage) -> tuple[str, ...]:
    affected = sum(value > 0 for value in stage.columns.get("rollout/unknown", ()))
    return (f"among the training rollouts of {affected:,} {stage_title(stage.name)} steps",) if affected else ()


def standard_error(fraction: float, count: int) -> float:
    """Of a mean of `count` yes-or-no outcomes; NaN without any."""
    return math.sqrt(fraction * (1 - fraction) / count) if count and math.isfinite(fraction) else NAN
