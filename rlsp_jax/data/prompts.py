"""Problems as token arrays of fixed shape, in the layout that rollouts have.

Prompts are padded on the left, so that in `prompt ++ response` every response begins at the same
column. Masks say what is real; they are never read off token ids.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.tokenizer import Tokenizer
from rlsp_jax.records import Problem


def encode_prompts(
    tokenizer: Tokenizer, problems: Sequence[Problem], *, max_prompt: int
) -> tuple[np.ndarray, np.ndarray]:
    """Token ids int32 [batch, max_prompt], padded on the left, and their mask.

    ValueError naming the problem when a prompt is empty or longer than `max_prompt` tokens.
    """
    tokens = np.full((len(problems), max_prompt), tokenizer.pad_id, np.int32)
    mask = np.zeros((len(problems), max_prompt), bool)
    for row, problem in enumerate(problems):
        ids = tokenizer.encode(problem.question)
        if not ids:
            raise UserError(f"The question of problem {problem.number} is empty; a prompt needs at least one token.")
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
