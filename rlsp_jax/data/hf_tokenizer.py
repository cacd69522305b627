"""A checkpoint's `tokenizer.json`, run by the `tokenizers` library: Llama-3 and Qwen, and Llama-2 and Gemma too."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tokenizers

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.published import Published, copy_files, read_conventions, read_json
from rlsp_jax.data.token_bytes import BLANK, byte_level, with_fallback

FILE = "tokenizer.json"


class HuggingFaceTokenizer:
    """The file's own pipeline, whatever the classes that `transformers` wraps around it.

    Its ids are those of `transformers` with `add_special_tokens=False` (and `split_special_tokens=True` for `encode`).
    """

    def __init__(self, folder: Path):
        """`folder` holds the file and those that say how it is used. Raises `UserError`."""
        self._folder = folder
        self._tokenizer, settings = _read(folder / FILE)
        published = Published(folder)
        known = self._tokenizer.get_vocab(with_added_tokens=True)
        named = [token for token in published.special_tokens() if token in known]
        self._tokenizer.add_special_tokens(named)  # known already: this only marks them as control tokens
        self.vocab_size: int = max(known.values(), default=-1) + 1
        added = self._tokenizer.get_added_tokens_decoder()
        self.id_to_bytes: list[bytes] = [b""] * self.vocab_size
        to_bytes = _reader(settings, folder / FILE)
        for piece, token in known.items():
            self.id_to_bytes[token] = to_bytes(piece)
        for token, piece in added.items():
            text = piece.content.encode() if to_bytes is byte_level else to_bytes(piece.content)
            self.id_to_bytes[token] = b"" if piece.special else text
        controls = {piece.content: token for token, piece in added.items() if piece.special}
        self.eos_id, self.pad_id, self.conventions = read_conventions(published, known, controls, self._start_ids())

    def encode(self, text: str) -> list[int]:
        self._tokenizer.encode_special_tokens = True
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_marked(self, text: str) -> list[int]:
        self._tokenizer.encode_special_tokens = False
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Iterable[int]) -> str:
        size = self.vocab_size
        return b"".join(self.id_to_bytes[i] for i in ids if i < size).decode("utf-8", errors="replace")

    def save(self, path: Path) -> None:
        copy_files(self._folder, path)

    def _start_ids(self) -> tuple[int, ...]:
        """What the file's post-processor puts before a text."""
        bare = self._tokenizer.encode("a", add_special_tokens=False).ids
        dressed = self._tokenizer.encode("a", add_special_tokens=True).ids
        starts = (n for n in range(len(dressed)) if dressed[n : n + len(bare)] == bare)
        return tuple(dressed[: next(starts, 0)])


def _read(path: Path) -> tuple[tokenizers.Tokenizer, Mapping[str, Any]]:
    """The tokenizer of a file, which never cuts or pads, and the file's settings but for its vocabulary."""
    settings = read_json(path)
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more precise
        raise UserError(f"{path} is no tokenizer that the tokenizers library reads ({error}).") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, settings


def _reader(settings: Mapping[str, Any], path: Path) -> Callable[[str], bytes]:
    """How the pieces of a file are read as bytes: as its decoder does it."""
    steps = list(_steps(settings.get("decoder")))
    kinds = [step["type"] for step in steps]
    if "ByteLevel" in kinds:
        return byte_level
    blanks = any(step["type"] == "Replace" and step["pattern"] == {"String": BLANK} for step in steps)
    if "Metaspace" in kinds or (blanks and "ByteFallback" in kinds):
        return with_fallback
    raise UserError(
        f"{path} decodes tokens by {', '.join(kinds) or 'nothing'}, which does not say what bytes each token stands "
        "for; use a checkpoint with byte-level or byte-fallback BPE, as Llama, Qwen, Gemma and GLM have it."
    )


def _steps(decoder: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """A decoder's steps, those of sequences one by one."""
    if decoder is None:
        return
    if decoder["type"] == "Sequence":
        for step in decoder["decoders"]:
            yield from _steps(step)
    else:
        yield decoder
