"""Demonstrations packed into rows of one length, so that short ones do not train on padding."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.lessons import Lesson, Message
from rlsp_jax.data.prompts import PLAIN, PromptFormat
from rlsp_jax.data.tokenizer import Tokenizer
from rlsp_jax.types import Demonstrations


def pack(
    tokenizer: Tokenizer,
    questions: Sequence[str],
    responses: Sequence[str],
    *,
    length: int,
    prompts: PromptFormat = PLAIN,
) -> Demonstrations:
    """Rows of `length` tokens, int32 and bool numpy arrays `[rows, length]`, filled in the given order.

    A demonstration is its prompt, its response and the token that ends it; it is never cut: `ValueError` if it does not
    fit a row, or has no question, since its first token would then be predicted by the demonstration before it.
    """
    pairs = []
    for question, response in zip(questions, responses, strict=True):
        if not question:
            raise UserError(f"The question of the demonstration {response!r} is empty; it needs at least one token.")
        pair = prompts.prompt(tokenizer, question), prompts.response(tokenizer, response)
        size = len(pair[0]) + len(pair[1])
        if size > length:
            raise UserError(
                f"The demonstration of {question.strip()!r} has {size} tokens with its question and eos, more than "
                f"row_length = {length}; raise row_length or make demonstrations shorter (a smaller budget)."
            )
        pairs.append(pair)
    return pack_ids(pairs, length=length, pad_id=tokenizer.pad_id)


def pack_conversations(
    tokenizer: Tokenizer, conversations: Iterable[Sequence[Message]], *, length: int, prompts: PromptFormat
) -> Demonstrations:
    """As `pack`, of whole conversations, of which every turn of the assistant is learned."""

    def lessons() -> Iterator[Lesson]:
        for messages in conversations:
            lesson = prompts.conversation(tokenizer, messages)
            if (size := len(lesson.ids)) > length:
                begins = messages[0]["content"].strip()[:60]
                raise UserError(
                    f"The conversation that begins {begins!r} has {size} tokens, more than row_length = {length}; "
                    "raise row_length or leave the conversation out."
                )
            yield lesson

    return pack_lessons(lessons(), length=length, pad_id=tokenizer.pad_id)


def pack_ids(pairs: Iterable[tuple[Sequence[int], Sequence[int]]], *, length: int, pad_id: int) -> Demonstrations:
    """As `pack`, of token ids: a prompt's and those of the response to it, which are taken exactly as they are.

    A response that was generated keeps its ids (its text may be encoded in other ways too), and ends in eos only if
    its author chose eos. `ValueError` if a pair does not fit a row or has no prompt.
    """

    def lessons() -> Iterator[Lesson]:
        for prompt, response in pairs:
            if not prompt or len(prompt) + len(response) > length:
                raise ValueError(
                    f"A prompt of {len(prompt)} and a response of {len(response)} tokens for rows of {length}."
                )
            yield Lesson([*prompt, *response], [False] * len(prompt) + [True] * len(response))

    return pack_lessons(lessons(), length=length, pad_id=pad_id)


def pack_lessons(lessons: Iterable[Lesson], *, length: int, pad_id: int) -> Demonstrations:
    """As `pack`, of token ids of which it is known which are learned. `ValueError` if the first one of a lesson is.

    What stands before it in its row is another lesson's, and must not be asked for it.
    """
    rows: list[list[Lesson]] = []
    room = 0
    for lesson in lessons:
        if not lesson.ids or lesson.learned[0] or len(lesson.ids) > length:
            raise ValueError(f"A lesson of {len(lesson.ids)} tokens for rows of {length}, or its first one is learned.")
        if len(lesson.ids) > room:
            rows.append([])
            room = length
        rows[-1].append(lesson)
        room -= len(lesson.ids)
    return _fill(rows, length, pad_id)


def _fill(rows: Sequence[Sequence[Lesson]], length: int, pad_id: int) -> Demonstrations:
    """The arrays of rows of lessons."""
    tokens = np.full((len(rows), length), pad_id, np.int32)
    segments = np.zeros((len(rows), length), np.int32)
    mask = np.zeros((len(rows), length), bool)
    for i, row in enumerate(rows):
        start = 0
        for number, lesson in enumerate(row, start=1):
            end = start + len(lesson.ids)
            tokens[i, start:end] = lesson.ids
            segments[i, start:end] = number
            mask[i, start:end] = lesson.learned
            start = end
    arrays: Any = (tokens, segments, mask)  # on the host until they are placed on a mesh
    return Demonstrations(*arrays)
