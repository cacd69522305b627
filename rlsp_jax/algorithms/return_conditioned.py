"""Return-conditioned learning: label responses by how they ended, imitate all of them, ask for the best label.

Havrilla et al. 2024 (2403.04642), after the Decision Transformer (2106.01345): the policy that the stage begins with
draws K responses a problem; each is imitated behind a prompt that ends in its label, at the ratio in which they came
(balancing right and wrong ones made it worse there). From then on the policy is asked with the best label.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

from rlsp_jax.algorithms import sft
from rlsp_jax.algorithms.self_imitation import Example, check_imitation, in_rounds
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import DemonstrationSource
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.records import Draw
from rlsp_jax.schedules import Cosine
from rlsp_jax.types import Params, TrainState


@runtime_checkable
class Conditioned(Protocol):
    """A stage's config whose policy expects a text after every question."""

    @property
    def prompt_suffix(self) -> str: ...


@runtime_checkable
class Labels(Protocol):
    """Texts that stand after a question and say how good the response to it is; a frozen dataclass."""

    @property
    def texts(self) -> tuple[str, ...]:
        """All labels, the best one last."""
        ...

    @property
    def promised(self) -> bool:
        """Whether labels are read off an outcome model's promise."""
        ...

    def __call__(self, draw: Draw, /) -> str | None:
        """The label of a response; None where nothing is known of it."""
        ...


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """Right or wrong, as the verifier says."""

    wrong: str = "[Score: 0]\n"
    right: str = "[Score: 1]\n"

    def __post_init__(self):
        check_texts(self.texts)

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.wrong, self.right)

    @property
    def promised(self) -> bool:
        return False

    def __call__(self, draw: Draw) -> str | None:
        return {"correct": self.right, "wrong": self.wrong}.get(draw.verdict)


@dataclasses.dataclass(frozen=True)
class Promises:
    """The outcome model's p(correct) after the last token, rounded to the nearest of evenly spaced marks on [0, 1].

    With three texts the marks are 0, ½ and 1.
    """

    texts: tuple[str, ...] = ("[Score: 0]\n", "[Score: 0.5]\n", "[Score: 1]\n")  # the least promising first

    def __post_init__(self):
        check_texts(self.texts)

    @property
    def promised(self) -> bool:
        return True

    def __call__(self, draw: Draw) -> str | None:
        if not draw.promise:
            return None
        return self.texts[math.floor(draw.promise[-1] * (len(self.texts) - 1) + 0.5)]


def check_texts(texts: tuple[str, ...]) -> None:
    """Raise `UserError` unless the labels can be told apart."""
    if len(texts) < 2 or not all(texts) or len(set(texts)) < len(texts):
        raise UserError(f"labels are {texts}; there must be two or more, distinct and not empty.")


@dataclasses.dataclass(frozen=True)
class Config:
    """What is drawn, how it is labelled, and how it is imitated."""

    kind: ClassVar[str] = "return_conditioned"

    num_problems: int = 1920  # of the training split
    samples_per_prompt: int = 8
    sampling: SamplingConfig = SamplingConfig(max_response=112)
    draw_size: int = 240  # responses drawn and written at a time
    labels: Labels = Outcomes()
    demonstrations: DemonstrationSource | None = None  # mixed in under the best label
    num_demonstrations: int = 0
    num_steps: int = 1600
    batch_size: int = 4  # rows of one step
    row_length: int = 160  # tokens of a row; labelled responses are packed into it
    micro_batches: int = 1
    optimizer: AdamW = AdamW(Cosine(1e-3, 1600, warmup_steps=20))
    max_bad_steps: int = 5  # non-finite updates in a row that stop the run

    def __post_init__(self):
        check_imitation(self)
        if (self.demonstrations is not None) != (self.num_demonstrations > 0):
            raise UserError(
                f"num_demonstrations is {self.num_demonstrations} and demonstrations is {self.demonstrations}; give "
                "both or neither."
            )

    @property
    def rounds(self) -> int:
        return 1

    @property
    def problems_per_round(self) -> int:
        return self.num_problems

    @property
    def steps_per_round(self) -> int:
        return self.num_steps

    @property
    def prompt_suffix(self) -> str:
        """What stands after every question that this stage's policy is asked; a stage that follows asks without it."""
        return self.labels.texts[-1]

    def watched(self, step: int, every: int) -> bool:
        """Whether an eval with `every` looks at this step: the last, since before it no label is known."""
        return step == self.num_steps

    def examples(self, rounds: Sequence[Sequence[Draw]]) -> list[Example]:
        """Every draw of known quality behind its label; `UserError` where none has the best one."""
        (draws,) = rounds
        labelled = [(self.labels(draw), draw) for draw in draws]
        if not self.demonstrations and all(label != self.prompt_suffix for label, _ in labelled):
            raise UserError(
                f"None of the {len(draws):,} responses drawn has the label {self.prompt_suffix.strip()!r}, which the "
                "policy is to be asked with; begin with a better policy, draw more, or mix in demonstrations."
            )
        return [(draw.question + label, draw.tokens) for label, draw in labelled if label is not None]


def init_state(config: Config, params: Params) -> TrainState:
    """The state before the first step."""
    return sft.init_state(in_rounds(config), params)
