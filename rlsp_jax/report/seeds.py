"""Runs of one experiment that differ by their seed: their mean, and how sure it is."""

import dataclasses
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from rlsp_jax.common.describe import flatten
from rlsp_jax.records import OPERATIONAL
from rlsp_jax.report.figures import Measure
from rlsp_jax.report.load import NAN, Run
from rlsp_jax.report.plots import CYCLE, Color, Line
from rlsp_jax.report.story import Milestone, Point, learning_stages, milestones, points

Place = Callable[[Point], float]


def by_step(point: Point) -> float:
    return float(point.step)


def by_tokens(point: Point) -> float:
    return point.tokens


def by_samples(point: Point) -> float:
    return point.samples


@dataclasses.dataclass(frozen=True)
class Seed:
    """One run, where its last two stages ended, and its way through the last stage that learns from its responses."""

    run: Run
    num_milestones: int  # stages with a full evaluation: a start that only stands in for one is none
    ends: tuple[Milestone, ...]
    way: tuple[Point, ...]

    @property
    def progress(self) -> tuple[int, int]:
        """How far it got: its stages with a full evaluation, and the step of the last one."""
        return self.num_milestones, self.ends[-1].step if self.ends else -1


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Runs that differ by their seed alone; `label` is the name in charts, without what all names begin with.

    Its curves are dashed where its colour is that of an experiment before it.
    """

    name: str
    label: str
    color: Color
    dashed: bool
    seeds: tuple[Seed, ...]

    @property
    def begun(self) -> tuple[Seed, ...]:
        """The seeds that are as far as the furthest: the others' ends are those of earlier stages or steps."""
        furthest = max(seed.progress for seed in self.seeds)
        return tuple(seed for seed in self.seeds if seed.ends and seed.progress == furthest)

    @property
    def ended(self) -> tuple[Seed, ...]:
        """Of these, the seeds with a start and an end."""
        return tuple(seed for seed in self.begun if len(seed.ends) > 1)

    @property
    def watched(self) -> tuple[Seed, ...]:
        """The seeds with a way through a stage that learns from its responses."""
        return tuple(seed for seed in self.seeds if seed.way)


def group_by_config(runs: Sequence[Run]) -> tuple[Experiment, ...]:
    """Runs of one config but for `seed` and what decides no result are one experiment, in the order they came.

    What is None or empty is as if it were not there, for a run of an earlier version does not know of it.
    A run whose seed is there already would count as a seed that it is not: it begins an experiment of its own.
    """
    met: Counter[tuple[str, int | None]] = Counter()
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        written = flatten(run.info.config).items()
        deciding = {path: value for path, value in written if _decides(path) and value not in (None, [])}
        config = json.dumps([run.info.name, deciding], sort_keys=True)
        met[config, run.seed] += 1
        groups.setdefault((config, met[config, run.seed]), []).append(run)
    firsts = [group[0] for group in groups.values()]
    names, plain = experiment_names(firsts), {run.info.name for run in firsts}
    shared = os.path.commonprefix(list(plain)).rfind("_") + 1 if len(plain) > 1 else 0  # ends where a word does
    return tuple(
        Experiment(name, name[shared:], CYCLE[i % len(CYCLE)], i // len(CYCLE) % 2 == 1, tuple(map(read_seed, group)))
        for i, (name, group) in enumerate(zip(names, groups.values(), strict=True))
    )


def experiment_names(runs: Sequence[Run]) -> list[str]:
    """A name for each run: its experiment's; where several have that one, with its overrides, else its workdir.

    A workdir goes by the folder's name, and by its path where folders share their name.
    """
    names = [run.info.name for run in runs]
    told = _where_alike(names, [" ".join([run.info.name, *_changes(run)]) for run in runs])
    pairs = list(zip(told, runs, strict=True))
    placed = _where_alike(told, [f"{name} ({run.workdir.resolve().name})" for name, run in pairs])
    return _where_alike(placed, [f"{name} ({run.workdir})" for name, run in pairs])


def _where_alike(names: Sequence[str], longer: Sequence[str]) -> list[str]:
    """The names, and the longer ones in place of those that are there more than once."""
    return [more if names.count(name) > 1 else name for name, more in zip(names, longer, strict=True)]


def _changes(run: Run) -> list[str]:
    """The overrides that tell experiments apart, by their last names: `stages.ppo.clip=0.1` → `clip=0.1`."""
    pairs = [override.partition("=") for override in run.info.overrides]
    return [f"{path.rpartition('.')[2]}={value}" for path, _, value in pairs if _decides(path)]


def _decides(path: str) -> bool:
    """Whether runs that differ there are runs of different experiments."""
    return path != "seed" and not re.fullmatch(OPERATIONAL, path)


def read_seed(run: Run) -> Seed:
    """What a run adds to its experiment."""
    ends, learning = milestones(run), learning_stages(run)
    return Seed(run, len({end.stage for end in ends}), ends[-2:], points(run, learning[-1]) if learning else ())


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
    """Mean and standard error at one place, on the straight line between two evaluations of each run.

    A run that has not got there is left out.
    """
    known = [known_points(seed.way, place, of) for seed in experiment.seeds]
    return mean_and_error(float(np.interp(x, xs, ys, right=NAN)) for xs, ys in known if xs)


def mean_line(experiment: Experiment, place: Place, of: Measure) -> Line:
    """The mean over seeds with a band of ± one standard error, as far as every seed has got."""
    last = reached([experiment], place, of)
    known = [known_points(seed.way, place, of)[0] for seed in experiment.seeds]
    xs = sorted({x for x in max(known, key=len) if x < last} | ({last} if math.isfinite(last) else set()))
    return banded_line(experiment, xs, [mean_at(experiment, place, of, x) for x in xs])


def banded_line(experiment: Experiment, xs: Sequence[float], found: Sequence[tuple[float, float]]) -> Line:
    """A line of means, with a band where there are standard errors."""
    means = [mean for mean, _ in found]
    line = Line(experiment.label, xs, means, experiment.color, dashed=experiment.dashed, dots=True)
    if not all(math.isfinite(error) for _, error in found):
        return line
    low, high = [mean - error for mean, error in found], [mean + error for mean, error in found]
    return dataclasses.replace(line, low=low, high=high)
