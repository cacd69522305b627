"""Demonstrations packed into rows of one length, so that short ones do not train on padding."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.tokenizer import Tokenizer
from rlsp_jax.types import Demonstrations


def pack(tokenizer: Tokenizer, questions: Sequence[str], responses: Sequence[str], *, length: int) -> Demonstrations:
    """Rows of `length` tokens, int32 and bool numpy arrays `[rows, length]`, filled in the given order.

    A demonstration is its question, its response and eos; it is never cut: `ValueError` if it does not fit a row, or
    has no question, since its first token would then be predicted by the demonstration before it.
    """
    rows: list[list[tuple[list[int], list[int]]]] = []
    room = 0
    for question, response in zip(questions, responses, strict=True):
        pair = (tokenizer.encode(question), [*tokenizer.encode(response), tokenizer.eos_id])
        size = len(pair[0]) + len(pair[1])
        if not pair[0]:
            raise UserError(f"The question of the demonstration {response!r} is empty; it needs at least one token.")
        if size > length:
            raise UserError(
                f"The demonstration of {question.strip()!r} has {size} tokens with its question and eos, more than "
                f"row_length = {length}; raise row_length or make demonstrations shorter (a smaller budget)."
            )
        if size > room:
            rows.append([])
            room = length
        rows[-1].append(pair)
        room -= size
    tokens = np.full((len(rows), length), tokenizer.pad_id, np.int32)
    segments = np.zeros((len(rows), length), np.int32)
    mask = np.zeros((len(rows), length), bool)
    for i, row in enumerate(rows):
        start = 0
        for number, (prompt, answer) in enumerate(row, start=1):
            middle, end = start + len(prompt), start + len(prompt) + len(answer)
            tokens[i, start:end] = prompt + answer
            segments[i, start:end] = number
            mask[i, middle:end] = True
            start = end
    arrays: Any = (tokens, segments, mask)  # on the host until they are placed on a mesh
    return Demonstrations(*arrays)
