"""What the package asks of a tokenizer: text to token ids and back, and the bytes of every id.

Token ids are bytes: `id_to_bytes` is all that decoding needs, on the host and on the device.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Conventions(NamedTuple):
    """How the makers of a checkpoint write texts with its tokens; a tokenizer of one's own has next to none."""

    source: str  # what they were read from, for messages
    start_ids: tuple[int, ...] = ()  # what a plain text begins with, such as bos
    stop_ids: tuple[int, ...] = ()  # what ends a response, beside eos
    controls: Mapping[str, int] = NOTHING  # control tokens, as they are written
    special_tokens: Mapping[str, str] = NOTHING  # `bos_token`, `eos_token`, …: what templates call some of them
    templates: Mapping[str, str] = NOTHING  # chat templates by name; the one that counts is `default`


@runtime_checkable
class Tokenizer(Protocol):
    """What the rest of the package asks of a tokenizer.

    One that was trained here has `decode(encode(text)) == text` for every valid string. One that was published gives
    the text as its makers normalize it: in Unicode's form NFC, say, or with a blank in front.
    """

    @property
    def vocab_size(self) -> int: ...

    @property
    def eos_id(self) -> int: ...

    @property
    def pad_id(self) -> int:
        """What stands where a mask says that nothing does; it may be a token that means something elsewhere."""
        ...

    @property
    def id_to_bytes(self) -> list[bytes]:
        """The bytes of every token id; b"" for control tokens."""
        ...

    @property
    def conventions(self) -> Conventions: ...

    def encode(self, text: str) -> list[int]:
        """Token ids of a text as it stands: what is spelt like a control token is text too, and none is added."""
        ...

    def encode_marked(self, text: str) -> list[int]:
        """As `encode`, of a text that the format writes and no user: what is spelt like a control token is that token.

        A text that came from elsewhere could open and close turns here.
        """
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids; bytes that are not UTF-8 become U+FFFD, ids beyond the vocabulary nothing."""
        ...

    def save(self, path: Path) -> None:
        """Write the tokenizer's file, or the folder of its files, in one step."""
        ...


def token_table(tokenizer: Tokenizer, vocab_size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of every token, for `types.TokenBytes`: zero-padded uint8 [vocab, width], lengths int32 [vocab].

    `vocab_size` is the model's, where that has rows for more ids than the tokenizer: they stand for nothing.
    """
    pieces: Sequence[bytes] = tokenizer.id_to_bytes
    pieces = [*pieces, *[b""] * ((vocab_size or 0) - len(pieces))]
    lengths = np.array([len(piece) for piece in pieces], np.int32)
    table = np.zeros((len(pieces), max(1, lengths.max())), np.uint8)
    for row, piece in zip(table, pieces, strict=True):
        row[: len(piece)] = np.frombuffer(piece, np.uint8)
    return table, lengths
