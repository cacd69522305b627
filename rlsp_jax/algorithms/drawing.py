"""How the responses of one step are drawn: how many, in which portions, and whether groups that teach are sought."""

import dataclasses
from typing import Protocol, runtime_checkable

from rlsp_jax.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class DynamicSampling:
    """Keep groups that hold correct and wrong responses, and draw others in place of the rest (DAPO, 2503.14476 §3.2).

    A step draws at most `max_draws` times `prompts_per_step` prompts. Where that brings too few groups, the batch is
    filled with what was drawn: its shape never changes and nothing stops. Groups are judged by known verdicts, never
    by a shaped reward.
    """

    max_draws: int = 3

    def __post_init__(self):
        if self.max_draws < 1:
            raise UserError(f"dynamic.max_draws is {self.max_draws}; a step draws at least once.")


@dataclasses.dataclass(frozen=True)
class Drawing:
    """The batch of a step: `samples` responses to each of `prompts` problems, `chunk` problems at a time."""

    prompts: int
    samples: int
    chunk: int | None = None  # None: all at once
    dynamic: DynamicSampling | None = None

    @property
    def chunk_rows(self) -> int:
        """Responses drawn at a time."""
        return (self.chunk or self.prompts) * self.samples

    @property
    def num_problems(self) -> int:
        """Training problems that belong to each step, whether or not it comes to draw them all."""
        return self.prompts * (1 if self.dynamic is None else self.dynamic.max_draws)


@runtime_checkable
class Draws(Protocol):
    """A stage's config whose steps draw responses to training problems."""

    @property
    def num_steps(self) -> int: ...
    @property
    def drawing(self) -> Drawing: ...
