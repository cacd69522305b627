"""Runs of one experiment that differ by their seed: their mean, and how sure it is."""

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from rlsp_jax.report.figures import Measure
from rlsp_jax.report.load import NAN, Run
from rlsp_jax.report.plots import CYCLE, Color, Line
from rlsp_jax.report.story import Milestone, Point, learning_stages, milestones, points

Place = Callable[[Point], float]


def by_step(point: Point) -> float:
    return float(point.step)


def by_tokens(point: Point) -> float:
    return point.tokens


@dataclasses.dataclass(frozen=True)
class Seed:
    """One run, where its stages ended, and its way through the last stage that learns from rewards."""

    run: Run
    ends: tuple[Milestone, ...]
    way: tuple[Point, ...]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """All runs of one name; `label` is the name in charts, without what all names begin with."""

    name: str
    label: str
    color: Color
    seeds: tuple[Seed, ...]

    @property
    def begun(self) -> tuple[Seed, ...]:
        """The seeds with a full evaluation."""
        return tuple(seed for seed in self.seeds if seed.ends)

    @property
    def ended(self) -> tuple[Seed, ...]:
        """The seeds with a start and an end."""
        return tuple(seed for seed in self.seeds if len(seed.ends) > 1)


def group_by_name(runs: Sequence[Run]) -> tuple[Experiment, ...]:
    """Runs by name, in the order in which the names came."""
    by_name: dict[str, list[Seed]] = {}
    for run in runs:
        learning = learning_stages(run)
        way = points(run, learning[-1]) if learning else ()
        by_name.setdefault(run.info.name, []).append(Seed(run, milestones(run)[-2:], way))
    shared = len(os.path.commonprefix(list(by_name)).rpartition("_")[0]) + 1 if len(by_name) > 1 else 0
    return tuple(
        Experiment(name, name[shared if shared > 1 else 0 :], CYCLE[i % len(CYCLE)], tuple(seeds))
        for i, (name, seeds) in enumerate(by_name.items())
    )


def mean_and_error(values: Iterable[float]) -> tuple[float, float]:
    """The mean of the finite values and its standard error (n − 1 in the variance); NaN for none, and for one."""
    known = np.array([value for value in values if math.isfinite(value)])
    mean = float(known.mean()) if len(known) else NAN
    return mean, float(known.std(ddof=1) / math.sqrt(len(known))) if len(known) > 1 else NAN


def known_points(way: Sequence[Point], place: Place, of: Measure) -> tuple[list[float], list[float]]:
    """Where a way says something, and what."""
    pairs = [(place(point), of(point.result)) for point in way]
    pairs = [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]
    return [x for x, _ in pairs], [y for _, y in pairs]


def reached(experiments: Iterable[Experiment], place: Place, of: Measure) -> float:
    """The last place that every run has got to; NaN when none says anything."""
    known = [known_points(seed.way, place, of)[0] for experiment in experiments for seed in experiment.seeds]
    return min((xs[-1] for xs in known if xs), default=NAN)


def mean_at(experiment: Experiment, place: Place, of: Measure, x: float) -> tuple[float, float]:
    """Mean and standard error at one place, on the straight line between two evaluations of each run."""
    known = [known_points(seed.way, place, of) for seed in experiment.seeds]
    return mean_and_error(float(np.interp(x, xs, ys)) for xs, ys in known if xs)


def mean_line(experiment: Experiment, place: Place, of: Measure) -> Line:
    """The mean over seeds with a band of ± one standard error, as far as every seed has got."""
    last = reached([experiment], place, of)
    known = [known_points(seed.way, place, of)[0] for seed in experiment.seeds]
    xs = sorted({x for x in max(known, key=len) if x < last} | ({last} if math.isfinite(last) else set()))
    return banded_line(experiment, xs, [mean_at(experiment, place, of, x) for x in xs])


def banded_line(experiment: Experiment, xs: Sequence[float], found: Sequence[tuple[float, float]]) -> Line:
    """A line of means, with a band where there are standard errors."""
    means = [mean for mean, _ in found]
    if not all(math.isfinite(error) for _, error in found):
        return Line(experiment.label, xs, means, experiment.color, dots=True)
    low, high = [mean - error for mean, error in found], [mean + error for mean, error in found]
    return Line(experiment.label, xs, means, experiment.color, low=low, high=high, dots=True)
