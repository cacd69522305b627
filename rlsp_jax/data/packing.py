"""Demonstrations packed into rows of one length, so that short ones do not train on padding."""

from collections.abc import Iterable, Sequence
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
    pairs = []
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
        pairs.append(pair)
    return pack_ids(pairs, length=length, pad_id=tokenizer.pad_id)


def pack_ids(pairs: Iterable[tuple[Sequence[int], Sequence[int]]], *, length: int, pad_id: int) -> Demonstrations:
    """As `pack`, of token ids: a prompt's and those of the response to it, which are taken exactly as they are.

    A response that was generated keeps its ids (its text may be encoded in other ways too), and ends in eos only if
    its author chose eos. `ValueError` if a pair does not fit a row or has no prompt.
    """
    rows: list[list[tuple[Sequence[int], Sequence[int]]]] = []
    room = 0
    for prompt, response in pairs:
        size = len(prompt) + len(response)
        if not prompt or size > length:
            raise ValueError(
                f"A prompt of {len(prompt)} and a response of {len(response)} tokens for rows of {length}."
            )
        if size > room:
            rows.append([])
            room = length
        rows[-1].append((prompt, response))
        room -= size
    return _fill(rows, length, pad_id)


def _fill(rows: Sequence[Sequence[tuple[Sequence[int], Sequence[int]]]], length: int, pad_id: int) -> Demonstrations:
    """The arrays of rows of pairs."""
    tokens = np.full((len(rows), length), pad_id, np.int32)
    segments = np.zeros((len(rows), length), np.int32)
    mask = np.zeros((len(rows), length), bool)
    for i, row in enumerate(rows):
        start = 0
        for number, (prompt, response) in enumerate(row, start=1):
            middle, end = start + len(prompt), start + len(prompt) + len(response)
            tokens[i, start:end] = [*prompt, *response]
            segments[i, start:end] = number
            mask[i, middle:end] = True
            start = end
    arrays: Any = (tokens, segments, mask)  # on the host until they are placed on a mesh
    return Demonstrations(*arrays)
