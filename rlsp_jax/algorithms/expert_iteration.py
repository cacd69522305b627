"""Expert Iteration: draw, keep what is right, imitate it, and again (Havrilla et al. 2024, 2403.04642, §3).

    R_i = the correct responses of π_{i−1};  D_i = R_i ∪ D_{i−1};  π_i = the start (or π_{i−1}) trained on D_i

Two correct responses to a problem that write down the same operations are one. As STaR (2203.14465), and as Anthony et
al. 2017 (1705.08439) with sampling for the expert's search.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import ClassVar

from rlsp_jax.algorithms import sft
from rlsp_jax.algorithms.self_imitation import Example, check_imitation, in_rounds
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.trees import copy
from rlsp_jax.data import operations
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.models import learned, with_learned
from rlsp_jax.optim import AdamW, Optimizer
from rlsp_jax.records import Draw
from rlsp_jax.schedules import Cosine
from rlsp_jax.types import Params, TrainState


@dataclasses.dataclass(frozen=True)
class Patience:
    """Stop when greedy accuracy on training problems that are kept for this has not improved for some rounds."""

    rounds: int = 1
    problems: int = 256  # the training split's next ones after those of all rounds; never drawn from

    def __post_init__(self):
        if self.rounds < 1 or self.problems < 1:
            raise UserError(f"stop has rounds = {self.rounds} and problems = {self.problems}; both are at least 1.")


@dataclasses.dataclass(frozen=True)
class Config:
    """What is drawn, what of it is kept, and how it is imitated."""

    kind: ClassVar[str] = "expert_iteration"

    rounds: int = 4
    problems_per_round: int = 480  # of the training split, others in each round until the split is used up
    samples_per_prompt: int = 8
    sampling: SamplingConfig = SamplingConfig(max_response=112)
    draw_size: int = 240  # responses drawn and written at a time
    keep_per_problem: int | None = 4  # different correct responses to a problem, the first drawn; None: all
    restart: bool = True  # each round trains from where the stage began, and not from the round before
    stop: Patience | None = None  # before the last round, when rounds do not help any more; None: never
    steps_per_round: int = 400
    batch_size: int = 4  # rows of one step
    row_length: int = 160  # tokens of a row; responses are packed into it
    micro_batches: int = 1
    optimizer: Optimizer = AdamW(Cosine(1e-3, 400, warmup_steps=20))  # its schedule is of the step within a round
    max_bad_steps: int = 5  # non-finite updates in a row that stop the run

    def __post_init__(self):
        if self.rounds < 1:
            raise UserError(f"rounds is {self.rounds}; it must be at least 1.")
        if self.keep_per_problem is not None and self.keep_per_problem < 1:
            raise UserError(f"keep_per_problem is {self.keep_per_problem}; keep at least 1, or None for all.")
        check_imitation(self)

    @property
    def num_steps(self) -> int:
        """Of all rounds together."""
        return self.rounds * self.steps_per_round

    @property
    def num_problems(self) -> int:
        """Training problems of all rounds and of the stop rule."""
        return self.rounds * self.problems_per_round + (0 if self.stop is None else self.stop.problems)

    def watched(self, step: int, every: int) -> bool:
        """Whether an eval with `every` looks at this step: the start, and the end of each round."""
        return step % self.steps_per_round == 0

    def examples(self, rounds: Sequence[Sequence[Draw]]) -> list[Example]:
        """What is imitated after these rounds' draws; `UserError` where nothing was right."""
        kept = select(rounds, self.keep_per_problem)
        if not kept:
            raise UserError(
                f"None of the {sum(map(len, rounds)):,} responses drawn so far was right, so there is nothing to "
                "imitate; begin with a policy that is sometimes right, or draw more: problems_per_round, "
                "samples_per_prompt."
            )
        return [(draw.question, draw.tokens) for draw in kept]


def init_state(config: Config, params: Params) -> TrainState:
    """The state before the first step; it remembers the policy that the stage begins with if rounds restart there."""
    state = sft.init_state(in_rounds(config), params)
    return state._replace(reference=copy(learned(params["policy"])) if config.restart else ())


def begin_round(config: Config, state: TrainState) -> TrainState:
    """The state before a round's first step: each round is a training of its own, with moments of its own."""
    policy = state.params["policy"]
    if config.restart:
        policy = with_learned(policy, copy(state.reference))
    params = {**state.params, "policy": policy}
    return state._replace(params=params, opt_state=sft.init_state(in_rounds(config), params).opt_state)


def select(rounds: Sequence[Sequence[Draw]], keep_per_problem: int | None) -> list[Draw]:
    """D_i: the correct responses of all rounds, one of each sequence of operations a problem, the first ones drawn.

    Problems are told apart by their question, since one may come back under another number. A response that was cut
    off at the length limit is left out: it shows no end. So is one of unknown verdict.
    """
    kept: dict[str, dict[tuple[str, ...], Draw]] = {}
    for draw in itertools.chain(*rounds):
        if draw.verdict == "correct" and draw.stop_reason != "length":
            solutions = kept.setdefault(draw.question, {})
            if keep_per_problem is None or len(solutions) < keep_per_problem:
                solutions.setdefault(operations(draw.response), draw)
    return [draw for solutions in kept.values() for draw in solutions.values()]


def is_enough(stop: Patience | None, accuracies: Sequence[float]) -> bool:
    """Whether the last `stop.rounds` accuracies are all no better than the best before them; NaN is never better."""
    if stop is None or len(accuracies) <= stop.rounds:
        return False
    values = [-math.inf if math.isnan(accuracy) else accuracy for accuracy in accuracies]
    return max(values[-stop.rounds :]) <= max(values[: -stop.rounds])
