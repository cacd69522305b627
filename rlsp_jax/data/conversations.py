"""Whole conversations to imitate, in JSONL files: every turn of the assistant is learned, in the place where it was."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.jsonl import read_objects
from rlsp_jax.data.lessons import ASSISTANT, Message


@dataclasses.dataclass(frozen=True)
class JSONLConversations:
    """Conversations of a file, one JSON object a line: its `messages` have a `role` and a `content` each.

    Other texts of a message, such as a `reasoning_content`, are for the chat template to read. Number n is row n,
    counted from 0; after the last row the first one comes again. Other fields of a row are not read.
    """

    path: Path

    def conversations(self, start: int, count: int) -> list[tuple[Message, ...]]:
        """Conversations start … start + count - 1."""
        rows = _rows(self.path)
        return [rows[n % len(rows)] for n in range(start, start + count)]


@functools.lru_cache(maxsize=8)  # read once in a process; the key is a value
def _rows(path: Path) -> tuple[tuple[Message, ...], ...]:
    rows = tuple(_read(value.get("messages"), place) for place, value in read_objects(path))
    if not rows:
        raise UserError(f"{path} is empty; there is nothing to imitate.")
    return rows


def _read(messages: Any, place: str) -> tuple[Message, ...]:
    if not isinstance(messages, list) or not messages:
        raise UserError(f"{place} has no 'messages' that are a list; mend the row or leave it out.")
    found = tuple(_read_message(message, f"Message {n} of {place}") for n, message in enumerate(messages, 1))
    speakers = [message["role"] for message in found]
    if ASSISTANT not in speakers[1:] or speakers[0] == ASSISTANT:
        raise UserError(f"{place} has no message of an assistant that answers another; mend the row or leave it out.")
    return found


def _read_message(message: Any, place: str) -> Message:
    """A message's texts; what is null is not there."""
    texts = {name: text for name, text in message.items() if text is not None} if isinstance(message, dict) else {}
    if not all(isinstance(texts.get(name), str) for name in ("role", "content")):
        raise UserError(f"{place} has no 'role' and 'content' that are texts; mend the row or leave it out.")
    if strange := next((name for name, text in texts.items() if not isinstance(text, str)), None):
        raise UserError(f"{place} has {strange!r}, which is no text; conversations are of texts alone.")
    if not texts["role"].isidentifier():
        raise UserError(f"{place} has the role {texts['role']!r}; it must be one word, such as user.")
    return texts
