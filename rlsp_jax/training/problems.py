"""Which training problems a stage learns from: the next ones of the training split, or those worth its time."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np

from rlsp_jax.algorithms.drawing import Draws
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.data import ProblemSource, Selection, Split, shuffled_rows
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.records import Draw, Problem, read_json, write_json
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.draws import draw_responses, draws_folder
from rlsp_jax.training.stage import StageRun

SELECTED = "selected.json"  # beside the draws of a stage


@runtime_checkable
class AsksOnce(Protocol):
    """A stage's config that says how many training problems it asks in all."""

    @property
    def num_problems(self) -> int: ...


@runtime_checkable
class Selects(Draws, Protocol):
    """A stage's config whose steps draw responses, perhaps to chosen problems only."""

    @property
    def sampling(self) -> SamplingConfig: ...

    @property
    def select(self) -> Selection | None: ...


def problems_before(experiment: Experiment, index: int) -> int:
    """How many training problems belong to the stages before this one, of whatever kind: it begins behind them."""
    return sum(map(_problems_of, experiment.stages[:index]))


def _problems_of(stage: object) -> int:
    if isinstance(stage, Selects) and stage.select is not None:
        return stage.select.candidates
    if isinstance(stage, Draws):
        return stage.num_steps * stage.drawing.num_problems
    return stage.num_problems if isinstance(stage, AsksOnce) else 0


@dataclasses.dataclass(frozen=True)
class Kept:
    """Chosen problems as a source without end: all of them in a new order each epoch, numbered by their place there.

    A problem that comes again has another number, and with it other randomness.
    """

    source: ProblemSource  # that they were chosen from
    kept: tuple[Problem, ...]
    seed: tuple[int, ...]

    def problems(self, split: Split, start: int, count: int, /) -> list[Problem]:
        """Training problems start … start + count - 1 of the walk."""
        if split != "train":
            return self.source.problems(split, start, count)
        places = shuffled_rows(len(self.kept), start, count, self.seed).tolist()
        return [dataclasses.replace(self.kept[row], number=start + i) for i, row in enumerate(places)]

    def heldout(self, count: int, /) -> list[Problem]:
        """As without a choice."""
        return self.source.heldout(count)

    def epoch_size(self) -> int:
        """How many were kept."""
        return len(self.kept)

    def parse(self, text: str, /) -> Problem:
        """As without a choice."""
        return self.source.parse(text)


def training_problems(stage: StageRun, config: Selects) -> tuple[ProblemSource, dict[str, np.ndarray]]:
    """Where a stage's training problems come from, and metrics of its first step that tell what choosing them cost.

    Problems are chosen once, by the policy that the stage begins with; a resumed run reads the choice. Where no step
    is left to take, as in a stage that was taken over, nothing is chosen.
    """
    run, index = stage.run, stage.index
    if config.select is None or stage.done == stage.end:
        return run.experiment.problems, {}
    candidates = _candidates(run.experiment, index, config.select)
    file = draws_folder(run.workdir, run.experiment, index) / SELECTED
    if not file.is_file():
        with run.spent.phase(stage.name):
            write_json(file, choose(config.select, _ask(stage, config, candidates)))
    chosen = read_json(file)
    numbers = set(chosen["kept"])
    if not numbers:
        raise UserError(
            f"None of the {len(candidates):,} candidates of stage {stage.name!r} is left by {config.select}; look at "
            "more of them, or choose differently: that is another run, so give it another --workdir or add --overwrite."
        )
    kept = tuple(problem for problem in candidates if problem.number in numbers)
    run.display.say(f"{len(kept):,} of {len(candidates):,} training problems are kept.")
    metrics = {"select/kept": len(kept), "select/samples": chosen["samples"], "select/tokens": chosen["tokens"]}
    metrics = {name: np.asarray(float(value)) for name, value in metrics.items()}
    return Kept(run.experiment.problems, kept, (run.experiment.seed, index)), metrics


def _candidates(experiment: Experiment, index: int, select: Selection) -> list[Problem]:
    """The next training problems, each question once."""
    found = experiment.problems.problems("train", problems_before(experiment, index), select.candidates)
    return list({problem.question: problem for problem in reversed(found)}.values())[::-1]


def _ask(stage: StageRun, config: Selects, candidates: list[Problem]) -> list[Draw]:
    """What the policy that a stage begins with answers; once the stage has moved on, it must have been written down."""
    run, select = stage.run, config.select
    assert select is not None
    return draw_responses(
        run,
        run.responder(config.sampling, config.drawing.chunk_rows),
        None if stage.done else stage.state.params["policy"],
        candidates,
        key_of(stage.key, "select", 0),
        draws_folder(run.workdir, run.experiment, stage.index) / "candidates.jsonl",
        samples=select.samples,
        greedy=select.greedy,
    )


def choose(select: Selection, draws: list[Draw]) -> dict[str, object]:
    """The numbers of the problems to keep, every problem's pass rate (null where no verdict is known), and the cost."""
    verdicts: dict[int, list[str]] = {}
    for draw in draws:
        verdicts.setdefault(draw.problem, []).append(draw.verdict)
    counts = {n: (found.count("correct"), len(found) - found.count("unknown")) for n, found in verdicts.items()}
    return {
        "kept": [number for number, (correct, known) in counts.items() if select.keeps(correct, known)],
        "pass_rates": {str(n): correct / known if known else None for n, (correct, known) in counts.items()},
        "samples": len(draws),
        "tokens": sum(draw.num_tokens for draw in draws),
    }
