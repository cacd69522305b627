"""A checkpoint's SentencePiece model, where it has no `tokenizer.json`: Llama-2 and Gemma as first published."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import sentencepiece

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.markup import split_at
from rlsp_jax.data.published import Published, copy_files, read_conventions
from rlsp_jax.data.token_bytes import with_fallback

FILE = "tokenizer.model"


class PublishedSentencePiece:
    """SentencePiece's own ids, with the tokens that the folder adds to them.

    Llama-2's model puts a blank before every text (`add_dummy_prefix`), and before each stretch of text that follows
    a control token, as the code that trained it did: `decode(encode("hi"))` is " hi". A response that is encoded apart
    from its prompt thus begins with the blank that stands between the two. A literal U+2581 comes back as a blank.
    """

    def __init__(self, folder: Path):
        """`folder` holds the file and those that say how it is used. Raises `UserError`."""
        self._folder = folder
        self._processor = processor = _read(folder / FILE)
        pieces = {processor.id_to_piece(i): i for i in range(processor.get_piece_size())}
        published = Published(folder, defaults=_named(processor))
        added = published.added_tokens()
        vocabulary = pieces | {text: token for token, (text, _) in added.items()}
        special = {*published.special_tokens(), *(text for text, is_control in added.values() if is_control)}
        special |= {text for text, i in pieces.items() if processor.is_control(i) or processor.is_unknown(i)}
        self._controls = {text: token for text, token in vocabulary.items() if text in special}
        self._added = {text: i for i, (text, _) in added.items() if text not in pieces and text not in special}
        self._unread = {*self._controls.values()} - {processor.unk_id()}  # what no text may be read as
        self.vocab_size: int = 1 + max(vocabulary.values())
        self.id_to_bytes: list[bytes] = [b""] * self.vocab_size
        for text, token in vocabulary.items():
            self.id_to_bytes[token] = b"" if text in special else with_fallback(text)
        start = _start(published, self._controls)
        self.eos_id, self.pad_id, self.conventions = read_conventions(published, vocabulary, self._controls, start)

    def encode(self, text: str) -> list[int]:
        return self._encode(text, self._added)

    def encode_marked(self, text: str) -> list[int]:
        return self._encode(text, self._added | self._controls)

    def decode(self, ids: Iterable[int]) -> str:
        size = self.vocab_size
        return b"".join(self.id_to_bytes[i] for i in ids if i < size).decode("utf-8", errors="replace")

    def save(self, path: Path) -> None:
        copy_files(self._folder, path)

    def _encode(self, text: str, spelt: Mapping[str, int]) -> list[int]:
        """The ids of a text in which the spellings of some tokens stand for those."""
        ids = []
        for part in split_at(text, spelt):
            ids += [spelt[part]] if part in spelt else self._encode_text(part)
        return ids

    def _encode_text(self, text: str) -> list[int]:
        """SentencePiece's ids. Symbols that users defined, as Gemma's turns are, it would read wherever they stand."""
        ids = self._processor.encode(text)
        if self._unread.isdisjoint(ids):
            return ids
        first, *rest = _broken(text, self._controls)
        return self._processor.encode(first) + [i for part in rest for i in self._encode_on(part)]

    def _encode_on(self, text: str) -> list[int]:
        """The ids of a text that goes on where another one ended, so that no blank is put before it."""
        before = self._processor.encode("\n")
        ids = self._processor.encode(f"\n{text}")
        return ids[len(before) :] if ids[: len(before)] == before else self._processor.encode(text)


def _read(path: Path) -> sentencepiece.SentencePieceProcessor:
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
        count = processor.get_piece_size()
    except RuntimeError:
        raise UserError(
            f"{path} is no SentencePiece model: it was cut short, or holds another kind of vocabulary; fetch it again, "
            "or take a release of the checkpoint that has a tokenizer.json."
        ) from None
    if not any(processor.is_byte(i) for i in range(count)):
        raise UserError(f"{path} has no byte fallback, so that texts would lose characters; take another checkpoint.")
    return processor


def _named(processor: sentencepiece.SentencePieceProcessor) -> dict[str, str]:
    """The special tokens that the model itself names."""
    ids = {"bos_token": processor.bos_id(), "eos_token": processor.eos_id(), "unk_token": processor.unk_id()}
    return {name: processor.id_to_piece(i) for name, i in ids.items() if i >= 0}


def _start(published: Published, controls: Mapping[str, int]) -> tuple[int, ...]:
    """What comes before a text: bos, unless the folder says no."""
    bos = controls.get(published.token("bos_token") or "")
    return () if bos is None or not published.config.get("add_bos_token", True) else (bos,)


def _broken(text: str, controls: Mapping[str, int]) -> list[str]:
    """A text in parts in none of which a control token is spelt."""
    pattern = "|".join(re.escape(control) for control in sorted(controls, key=len, reverse=True))
    cuts = [match.start() + 1 for match in re.finditer(pattern, text)]
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
