"""Return-conditioned learning: label what was drawn by how good it is, imitate all of it, ask for the best label.

Havrilla et al. 2024 (2403.04642), after the Decision Transformer (2106.01345): the policy that the stage begins with
draws K responses a problem, which are labelled and imitated, at the ratio in which labels came (balancing right and
wrong ones made it worse there). Labels are of two kinds, and so is what the policy is asked with from then on:

    of responses    a text behind the question; the policy is asked with the best one
    of steps        a token before every step; the policy writes these itself, and is kept from all but the best one
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

from rlsp_jax.algorithms import sft
from rlsp_jax.algorithms.self_imitation import Example, check_imitation, in_rounds
from rlsp_jax.algorithms.step_labels import rises, step_starts, with_labels
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import DemonstrationSource, Tokenizer
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW, Optimizer
from rlsp_jax.records import Draw
from rlsp_jax.schedules import Cosine
from rlsp_jax.types import Params, TrainState


@runtime_checkable
class Conditioned(Protocol):
    """A stage's config whose policy is to be asked in a way of its own."""

    @property
    def prompt_suffix(self) -> str:
        """What stands after every question."""
        ...

    @property
    def marks(self) -> tuple[str, ...]:
        """Tokens that the policy writes beside what it has to say; it is kept from all but the last one."""
        ...


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


@dataclasses.dataclass(frozen=True)
class StepPromises:
    """Good or bad before every step of a response, by the outcome model's promise: good where it does not fall.

    The step is compared with what came before it and not with ½: a promise says first of all how hard the problem is,
    so that nearly every step of a hard one would be bad, and hardly any of an easy one. A step ends with `marker`, and
    the first one is compared with the promise after the response's first token, as in `rewards.PromiseSteps`.

    A label is one token, and one that responses have no other use for, such as a character that the texts do not have:
    the policy is kept from the bad one everywhere, and not at the beginnings of steps alone. Responses are judged and
    recorded with their labels, which verifiers read over; a reward that reads lines from their first character on, as
    `rewards.SearchAttempts` does, does not.
    """

    bad: str = "?"
    good: str = "!"
    marker: str = "\n"

    def __post_init__(self):
        check_texts(self.texts)
        if not self.marker:
            raise UserError("marker is empty; a step needs something to end with, such as a line break.")

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.bad, self.good)

    @property
    def promised(self) -> bool:
        return True

    def judge(self, draw: Draw, tokenizer: Tokenizer) -> list[bool]:
        """Which steps of a draw are good; empty where no outcome model has read it."""
        return [rise >= 0 for rise in rises(draw.promise, self._starts(draw.tokens, tokenizer))] if draw.promise else []

    def write(self, tokens: Sequence[int], good: Sequence[bool] | None, tokenizer: Tokenizer) -> tuple[int, ...]:
        """The tokens of a response with a label before each step; without a judgement every step is good."""
        starts, ids = self._starts(tokens, tokenizer), [tokenizer.encode(text) for text in self.texts]
        return with_labels(tokens, starts, [ids[is_good] for is_good in good or [True] * len(starts)])

    def _starts(self, tokens: Sequence[int], tokenizer: Tokenizer) -> list[int]:
        pieces = tokenizer.id_to_bytes  # a model may choose ids beyond them, which stand for nothing
        return step_starts([pieces[token] if token < len(pieces) else b"" for token in tokens], self.marker)


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
    labels: Labels | StepPromises = Outcomes()
    demonstrations: DemonstrationSource | None = None  # mixed in under the best label
    num_demonstrations: int = 0
    num_steps: int = 1600
    batch_size: int = 4  # rows of one step
    row_length: int = 160  # tokens of a row; labelled responses are packed into it
    micro_batches: int = 1
    optimizer: Optimizer = AdamW(Cosine(1e-3, 1600, warmup_steps=20))
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
        return self.suffixes[-1]

    @property
    def suffixes(self) -> tuple[str, ...]:
        """All that may stand after a question, what the policy is asked with last."""
        return ("",) if isinstance(self.labels, StepPromises) else self.labels.texts

    @property
    def marks(self) -> tuple[str, ...]:
        """The labels that this stage's policy writes; one that a stage which follows draws from may write them all."""
        return self.labels.texts if isinstance(self.labels, StepPromises) else ()

    def watched(self, step: int, every: int) -> bool:
        """Whether an eval with `every` looks at this step: the last, since before it no label is known."""
        return step == self.num_steps

    def examples(self, rounds: Sequence[Sequence[Draw]], tokenizer: Tokenizer, room: int) -> list[Example]:
        """Every draw of known quality with its label, or its labels; `UserError` where none has the best one.

        What labels of steps push beyond `room` tokens is cut off, as what outgrows the longest response is.
        """
        (draws,) = rounds
        labels = self.labels
        if isinstance(labels, StepPromises):
            judged = [(labels.judge(draw, tokenizer), draw) for draw in draws]
            self._check_best(len(draws), any(any(good) for good, _ in judged))
            return [(draw.question, labels.write(draw.tokens, good, tokenizer)[:room]) for good, draw in judged if good]
        labelled = [(labels(draw), draw) for draw in draws]
        self._check_best(len(draws), any(label == self.prompt_suffix for label, _ in labelled))
        return [(draw.question + label, draw.tokens) for label, draw in labelled if label is not None]

    def demonstration(self, question: str, tokens: tuple[int, ...], tokenizer: Tokenizer, room: int) -> Example:
        """A demonstration with the best label, before every step if labels stand there."""
        if isinstance(self.labels, StepPromises):
            return question, self.labels.write(tokens, None, tokenizer)[:room]
        return question + self.prompt_suffix, tokens

    def _check_best(self, num_draws: int, is_there: bool) -> None:
        """Raise `UserError` where nothing that is imitated has the label that the policy will be asked with."""
        if not is_there and not self.demonstrations:
            raise UserError(
                f"None of the {num_draws:,} responses drawn has the label {self.labels.texts[-1].strip()!r}, which the "
                "policy is to be asked with; begin with a better policy, draw more, or mix in demonstrations."
            )


def init_state(config: Config, params: Params) -> TrainState:
    """The state before the first step."""
    return sft.init_state(in_rounds(config), params)
