"""Problems and demonstrations as token arrays of fixed shape, in the layout that rollouts have.

Prompts are padded on the left and responses on the right, so that in `prompt ++ response` every
response begins at the same column. Masks say what is real; they are never read off token ids.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..records import Problem
from .tokenizer import Tokenizer


class Demonstrations(NamedTuple):
    """Questions with worked responses. Each response ends with eos, which its mask counts."""

    prompt_tokens: np.ndarray  # int32 [batch, prompt]
    prompt_mask: np.ndarray  # bool [batch, prompt]
    tokens: np.ndarray  # int32 [batch, time]
    mask: np.ndarray  # bool [batch, time]


def encode_prompts(
    tokenizer: Tokenizer, problems: Sequence[Problem], *, max_prompt: int
) -> tuple[np.ndarray, np.ndarray]:
    """Token ids int32 [batch, max_prompt], padded on the left, and their mask.

    ValueError naming the problem when a prompt is empty or longer than `max_prompt` tokens.
    """
    return _encode_questions(tokenizer, [problem.question for problem in problems], max_prompt)


def encode_demonstrations(
    tokenizer: Tokenizer, questions: Sequence[str], responses: Sequence[str], *, max_prompt: int, max_response: int
) -> Demonstrations:
    """Prompts [batch, max_prompt] padded on the left, responses [batch, max_response] on the right.

    ValueError naming the problem when a prompt is empty or longer than `max_prompt` tokens, or a
    response with its eos is longer than `max_response`.
    """
    rows = [[*tokenizer.encode(response), tokenizer.eos_id] for response in responses]
    for question, row in zip(questions, rows, strict=True):
        if len(row) > max_response:
            raise ValueError(
                f"The demonstration of problem {question.strip()!r} has {len(row)} tokens with its eos, "
                f"more than max_response = {max_response}; raise max_response or make demonstrations shorter."
            )
    prompts = _encode_questions(tokenizer, questions, max_prompt)
    return Demonstrations(*prompts, *_pad(rows, max_response, tokenizer.pad_id, left=False))


def _encode_questions(tokenizer: Tokenizer, questions: Sequence[str], max_prompt: int) -> tuple[np.ndarray, np.ndarray]:
    rows = [tokenizer.encode(question) for question in questions]
    for i, (question, row) in enumerate(zip(questions, rows, strict=True)):
        if not row:
            raise ValueError(f"The question in row {i} is empty; a prompt needs at least one token.")
        if len(row) > max_prompt:
            raise ValueError(
                f"The prompt of problem {question.strip()!r} has {len(row)} tokens, "
                f"more than max_prompt = {max_prompt}; raise max_prompt or leave the problem out."
            )
    return _pad(rows, max_prompt, tokenizer.pad_id, left=True)


def _pad(rows: Sequence[Sequence[int]], width: int, pad_id: int, *, left: bool) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.full((len(rows), width), pad_id, np.int32)
    mask = np.zeros((len(rows), width), bool)
    for i, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        tokens[i, place] = row
        mask[i, place] = True
    return tokens, mask
