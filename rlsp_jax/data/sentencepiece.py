"""Byte-pair encoding learned from the training texts, by SentencePiece: every string round-trips."""

import dataclasses
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import sentencepiece

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.tokenizer import Conventions

PAD_ID, EOS_ID, UNK_ID = 0, 1, 2
_NUM_SPECIALS = 3
_NUM_BYTES = 256
_BLANK = "\u2581"  # how SentencePiece writes a blank inside its pieces
_RESERVED = re.compile("[\0\t\n\u2047\u2581]")  # what its trainer keeps for itself or drops a line for


Kind = Literal["control", "unknown", "byte", "symbol", "text"]


class Piece(NamedTuple):
    """What one token is."""

    text: str  # as it is written; blanks are blanks
    kind: Kind
    score: float  # of two pieces that could be joined, the one of the higher score is


class SentencePieceTokenizer:
    """A trained SentencePiece model with byte fallback."""

    pad_id = PAD_ID
    eos_id = EOS_ID
    unk_id = UNK_ID
    conventions = Conventions(source="the tokenizer that the run trains")

    def __init__(self, model: bytes):
        """`model` is the content of a SentencePiece model file."""
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.vocab_size: int = self._processor.get_piece_size()
        self.id_to_bytes: list[bytes] = [self._bytes_of(i) for i in range(self.vocab_size)]
        self._blank_ids = [self._processor.piece_to_id(f"<0x{byte:02X}>") for byte in _BLANK.encode()]

    def encode(self, text: str) -> list[int]:
        # A literal U+2581 would be read as a blank, so it goes in as its three bytes.
        first, *rest = text.split(_BLANK)
        ids = self._processor.encode(first)
        for part in rest:
            ids += self._blank_ids + self._processor.encode(part)
        return ids

    def encode_marked(self, text: str) -> list[int]:
        return self.encode(text)  # its control tokens have no spelling

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join(self.id_to_bytes[i] for i in ids).decode("utf-8", errors="replace")

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".draft")
        draft.write_bytes(self._model)
        os.replace(draft, path)

    def pieces(self) -> list[Piece]:
        """What every token id is."""
        model = self._processor
        texts = [model.id_to_piece(token).replace(_BLANK, " ") for token in range(self.vocab_size)]
        return [Piece(text, self._kind(token), model.get_score(token)) for token, text in enumerate(texts)]

    def _kind(self, token: int) -> Kind:
        model = self._processor
        if model.is_control(token):
            return "control"
        if model.is_unknown(token):
            return "unknown"
        if model.is_byte(token):
            return "byte"
        return "symbol" if token < model.piece_to_id("<0x00>") else "text"  # in this order they are numbered

    def _bytes_of(self, token: int) -> bytes:
        piece = self._processor.id_to_piece(token)
        if self._processor.is_control(token) or self._processor.is_unknown(token):
            return b""
        if self._processor.is_byte(token):
            return bytes([int(piece[3:5], 16)])  # "<0x41>"
        return piece.replace(_BLANK, " ").encode()


@dataclasses.dataclass(frozen=True)
class SentencePiece:
    """Byte-pair encoding learned from the training texts; every digit and every newline is a token of its own.

    `symbols` are strings that are always one token, blanks and newlines inside them too, such as a trace's own words.
    """

    vocab_size: int = 320
    symbols: tuple[str, ...] = ()

    def __post_init__(self):
        if self.vocab_size <= _NUM_BYTES + _NUM_SPECIALS:
            raise UserError(
                f"vocab_size is {self.vocab_size}; it must exceed {_NUM_BYTES + _NUM_SPECIALS}, "
                f"the {_NUM_BYTES} byte tokens and {_NUM_SPECIALS} special tokens."
            )
        if not all(self.symbols) or len(set(self.symbols)) < len(self.symbols) or _BLANK in "".join(self.symbols):
            raise UserError(f"symbols is {self.symbols}; they must be distinct, not empty, and without U+2581.")

    def train(self, texts: Iterable[str], path: Path) -> SentencePieceTokenizer:
        """Learn the pieces from texts and write the model to `path`; the same texts give the same file.

        With too few distinct words to fill it, the vocabulary comes out smaller than `vocab_size`.
        """
        lines = [line for text in texts for line in _RESERVED.split(text) if line]
        self._check_room(lines)
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,  # not a path: a path would be written into the model
            model_type="bpe",
            vocab_size=self.vocab_size,
            hard_vocab_limit=False,
            byte_fallback=True,
            character_coverage=1.0,
            split_digits=True,
            split_by_unicode_script=False,  # "answer:" may be one piece
            user_defined_symbols=[symbol.replace(" ", _BLANK) for symbol in self.symbols],
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            max_sentence_length=1 << 24,
            num_threads=1,
            minloglevel=2,
            pad_id=PAD_ID,
            eos_id=EOS_ID,
            unk_id=UNK_ID,
            bos_id=-1,
        )
        tokenizer = SentencePieceTokenizer(model.getvalue())
        tokenizer.save(path)
        return tokenizer

    def _check_room(self, lines: list[str]) -> None:
        if not lines:
            raise UserError("There is no text to train a tokenizer on.")
        characters = len(set().union(*lines))
        needed = _NUM_BYTES + _NUM_SPECIALS + len(self.symbols) + characters
        if self.vocab_size <= needed:
            raise UserError(
                f"vocab_size is {self.vocab_size}; it must exceed {needed}: {_NUM_BYTES} byte tokens, "
                f"{_NUM_SPECIALS} special tokens, {len(self.symbols)} symbols and the {characters} characters of the "
                "training text."
            )


def load_sentencepiece(path: Path) -> SentencePieceTokenizer:
    """A tokenizer from the file that `save` wrote."""
    return SentencePieceTokenizer(path.read_bytes())
