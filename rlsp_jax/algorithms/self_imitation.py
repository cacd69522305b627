"""What expert iteration and return-conditioned learning share: responses of one's own, imitated in rounds."""

import dataclasses
import math
from collections.abc import Sequence, Sized
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlsp_jax.common.errors import UserError
from rlsp_jax.data import operations
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import Optimizer
from rlsp_jax.records import Draw
from rlsp_jax.schedules import Schedule

Example = tuple[str, tuple[int, ...]]  # the text shown and the token ids of the response to it, eos included


@runtime_checkable
class SelfImitation(Protocol):
    """A stage that draws responses to training problems, makes examples of them and imitates those, round by round."""

    @property
    def rounds(self) -> int: ...

    @property
    def problems_per_round(self) -> int: ...

    @property
    def samples_per_prompt(self) -> int: ...

    @property
    def sampling(self) -> SamplingConfig: ...

    @property
    def draw_size(self) -> int: ...

    @property
    def steps_per_round(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def row_length(self) -> int: ...

    @property
    def micro_batches(self) -> int: ...

    @property
    def optimizer(self) -> Optimizer: ...

    @property
    def max_bad_steps(self) -> int: ...


@dataclasses.dataclass(frozen=True)
class EachRound:
    """A schedule that begins anew every `num_steps` steps."""

    schedule: Schedule
    num_steps: int

    def __call__(self, step: ArrayLike) -> jax.Array:
        return self.schedule(jnp.asarray(step) % self.num_steps)


class Imitation(NamedTuple):
    """What `sft.make_update_fn` asks of a stage."""

    optimizer: Optimizer
    micro_batches: int


def in_rounds(config: SelfImitation) -> Imitation:
    """How a stage imitates: its learning rate follows the step within the round."""
    schedule = EachRound(config.optimizer.learning_rate, config.steps_per_round)
    return Imitation(dataclasses.replace(config.optimizer, learning_rate=schedule), config.micro_batches)


_COUNTS = ("rounds", "problems_per_round", "num_problems", "samples_per_prompt", "draw_size", "steps_per_round")
_COUNTS = (*_COUNTS, "num_steps", "batch_size", "row_length", "micro_batches", "max_bad_steps")


def check_imitation(config: SelfImitation) -> None:
    """Raise `UserError` unless the sizes of a stage make sense."""
    for name, value in vars(config).items():
        if name in _COUNTS and value < 1:
            raise UserError(f"{name} is {value}; it must be at least 1.")
    if config.draw_size % config.samples_per_prompt:
        raise UserError(
            f"draw_size = {config.draw_size} is not a multiple of samples_per_prompt = {config.samples_per_prompt}."
        )
    if config.batch_size % config.micro_batches:
        raise UserError(
            f"batch_size = {config.batch_size} is not a multiple of micro_batches = {config.micro_batches}."
        )
    if config.samples_per_prompt > 1 and config.sampling.temperature == 0:
        raise UserError(
            f"samples_per_prompt is {config.samples_per_prompt}, but at sampling.temperature = 0 all responses to a "
            "problem are the same; raise the temperature."
        )


# ---- what a round's draws show ------------------------------------------------------------------


def right_share(draws: Sequence[Draw]) -> float:
    """The share of responses that are right, of those whose verdict is known; NaN without any."""
    known = [draw.verdict == "correct" for draw in draws if draw.verdict != "unknown"]
    return _mean(sum(known), known)


def measure(draws: Sequence[Draw]) -> dict[str, float]:
    """Figures of one round's draws. `draws/distinct` is over the problems that were solved at all.

    A mean of nothing is NaN: where a stop rule keeps all problems of a small set, a round draws nothing.
    """
    solutions: dict[str, set[tuple[str, ...]]] = {}
    for draw in draws:
        if draw.verdict == "correct":
            solutions.setdefault(draw.question, set()).add(operations(draw.response))
    return {
        "draws/accuracy": right_share(draws),
        "draws/unknown": float(sum(draw.verdict == "unknown" for draw in draws)),
        "draws/solved": _mean(len(solutions), {draw.question for draw in draws}),
        "draws/distinct": _mean(sum(map(len, solutions.values())), solutions),
        "draws/length": _mean(sum(draw.num_tokens for draw in draws), draws),
        "draws/truncated": _mean(sum(draw.stop_reason == "length" for draw in draws), draws),
    }


def _mean(total: int, of: Sized) -> float:
    return total / len(of) if len(of) else math.nan
