"""Questions as token arrays of fixed shape, in the layout that rollouts have, and how they are put to a policy.

Prompts are padded on the left, so that in `prompt ++ response` every response begins at the same
column. Masks say what is real; they are never read off token ids.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.lessons import Lesson, Message
from rlsp_jax.data.markup import encode_hidden, hide
from rlsp_jax.data.tokenizer import Tokenizer
from rlsp_jax.records import Problem


@runtime_checkable
class PromptFormat(Protocol):
    """How a question is shown to a policy, and how a worked response to it is written; a frozen dataclass.

    A prompt's ids and a response's are joined as ids. Nothing is ever encoded again, so that what is learned from is,
    token for token, what a rollout may be.
    """

    def prompt(self, tokenizer: Tokenizer, question: str, /) -> list[int]:
        """The ids that a question is shown as: all that stands before the response."""
        ...

    def response(self, tokenizer: Tokenizer, text: str, /) -> list[int]:
        """The ids of a worked response, with the token that ends it."""
        ...

    def conversation(self, tokenizer: Tokenizer, messages: Sequence[Message], /) -> Lesson:
        """The ids of a whole conversation, of which the assistant's are learned. Raises `UserError`."""
        ...

    def stop_ids(self, tokenizer: Tokenizer, /) -> tuple[int, ...]:
        """What ends a response, beside eos."""
        ...


@dataclasses.dataclass(frozen=True)
class Plain:
    """The question as a bare text, as a base model is asked; a worked response ends in eos.

    Control tokens that `before` and `after` spell out are those tokens: what no template writes can be written here.
    """

    before: str = ""  # stands before the question
    after: str = ""  # stands between the question and the response
    bos: bool | None = None  # whether the prompt begins with bos; None is as the tokenizer's makers have it

    def prompt(self, tokenizer: Tokenizer, question: str) -> list[int]:
        (question,), hidden = hide([question], tokenizer.conventions.controls)
        return self._start(tokenizer) + encode_hidden(tokenizer, f"{self.before}{question}{self.after}", hidden)

    def response(self, tokenizer: Tokenizer, text: str) -> list[int]:
        return [*tokenizer.encode(text), tokenizer.eos_id]

    def conversation(self, tokenizer: Tokenizer, messages: Sequence[Message]) -> Lesson:
        raise UserError(
            "A conversation has turns, which data.Plain() cannot write; give the experiment prompts=data.Chat(…)."
        )

    def stop_ids(self, tokenizer: Tokenizer) -> tuple[int, ...]:
        return tokenizer.conventions.stop_ids

    def _start(self, tokenizer: Tokenizer) -> list[int]:
        if self.bos is None:
            return list(tokenizer.conventions.start_ids)
        if not self.bos:
            return []
        bos = tokenizer.conventions.special_tokens.get("bos_token", "")
        if bos not in tokenizer.conventions.controls:
            raise UserError(f"bos is True, but {tokenizer.conventions.source} has no bos_token; leave bos out.")
        return [tokenizer.conventions.controls[bos]]


PLAIN = Plain()


def encode_prompts(
    tokenizer: Tokenizer, problems: Sequence[Problem], *, max_prompt: int, prompts: PromptFormat = PLAIN
) -> tuple[np.ndarray, np.ndarray]:
    """Token ids int32 [batch, max_prompt], padded on the left, and their mask.

    ValueError naming the problem when a question is empty or a prompt longer than `max_prompt` tokens.
    """
    tokens = np.full((len(problems), max_prompt), tokenizer.pad_id, np.int32)
    mask = np.zeros((len(problems), max_prompt), bool)
    for row, problem in enumerate(problems):
        if not problem.question:
            raise UserError(f"The question of problem {problem.number} is empty; a prompt needs at least one token.")
        ids = prompts.prompt(tokenizer, problem.question)
        if len(ids) > max_prompt:
            raise UserError(
                f"The prompt of problem {problem.question.strip()!r} has {len(ids)} tokens, "
                f"more than max_prompt = {max_prompt}; raise max_prompt or leave the problem out."
            )
        tokens[row, max_prompt - len(ids) :] = ids
        mask[row, max_prompt - len(ids) :] = True
    return tokens, mask


def with_suffix(problems: Sequence[Problem], suffix: str) -> list[Problem]:
    """The problems as they are shown to a policy that expects a text, such as a label, after the question."""
    return [dataclasses.replace(problem, question=problem.question + suffix) for problem in problems]
