"""Conversations as token ids to learn from: which of them an assistant chose, the end of its turn included."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.markup import encode_hidden, encode_on
from rlsp_jax.data.tokenizer import Tokenizer

Message = Mapping[str, str]  # `role` and `content`, and what else a chat template reads of a message
ASSISTANT = "assistant"


class Piece(NamedTuple):
    """A part of a conversation's text, and whether an assistant chose it."""

    text: str
    learned: bool


class Lesson(NamedTuple):
    """Token ids, and which of them are learned."""

    ids: list[int]
    learned: list[bool]


def to_lesson(
    tokenizer: Tokenizer, pieces: Sequence[Piece], hidden: Mapping[str, str], ends: Collection[int], end: int
) -> Lesson:
    """The ids of a conversation's text.

    Learned is what an assistant chose, up to and with the token that ends its turn, one of `ends`: it may be the first
    of what follows, as in templates where the next speaker's name ends a turn. Behind the last learned token nothing is
    left, and where none ended the last turn, `end` does.
    """
    lesson, is_open = Lesson([], []), False
    for number, piece in enumerate(pieces):
        ids = (encode_on if number else encode_hidden)(tokenizer, piece.text, hidden)
        if not ids:
            continue
        if piece.learned:
            chosen = max((n for n, token in enumerate(ids, 1) if token in ends), default=0)
            is_open = not chosen
            chosen = chosen or len(ids)
        else:
            chosen = int(is_open)
            if is_open and ids[0] not in ends:
                raise UserError(
                    "The chat template writes no token behind an assistant's turn that ends it, so that nobody learns "
                    "to stop there; give data.Chat(template=…) one that does."
                )
            is_open = False
        lesson.ids.extend(ids)
        lesson.learned.extend([True] * chosen + [False] * (len(ids) - chosen))
    if is_open:
        lesson.ids.append(end)
        lesson.learned.append(True)
    length = max((n for n, learned in enumerate(lesson.learned, 1) if learned), default=0)
    return Lesson(lesson.ids[:length], lesson.learned[:length])
