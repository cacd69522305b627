"""A tokenizer that was trained here as the files that `transformers` loads, whose ids are the same."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlsp_jax.data.published import CONFIG, GENERATION
from rlsp_jax.data.sentencepiece import Piece, SentencePieceTokenizer
from rlsp_jax.data.token_bytes import BLANK

JSON, MODEL = "tokenizer.json", "tokenizer.model"


def export_sentencepiece(folder: Path, tokenizer: SentencePieceTokenizer) -> None:
    """Write `tokenizer.json`, what says how it is used, and SentencePiece's own model into a folder that exists.

    What differs there: control tokens have a spelling, which `transformers` reads in texts; and beside a config.json of
    Qwen2.5 its version 5 has `AutoTokenizer` make a tokenizer of Qwen's kind, so use `PreTrainedTokenizerFast` there.
    """
    pieces = tokenizer.pieces()
    specials = {"pad_token": tokenizer.pad_id, "eos_token": tokenizer.eos_id, "unk_token": tokenizer.unk_id}
    config = {name: pieces[token].text for name, token in specials.items()}
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    ids = {"eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id}
    for name, value in ((JSON, to_json(pieces)), (CONFIG, config), (GENERATION, ids)):
        (folder / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    tokenizer.save(folder / MODEL)


def to_json(pieces: list[Piece]) -> dict[str, Any]:
    """The `tokenizer.json` of byte-pair encoding with byte fallback.

    Blanks stand in its pieces as such, so a text is not rewritten first, and a literal U+2581 is three bytes.
    """
    vocabulary = {piece.text: token for token, piece in enumerate(pieces)}
    decoder = [
        {
            "type": "Replace",
            "pattern": {"String": BLANK},
            "content": " ",
        },  # there is none; it says what kind this is
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(token, piece) for token, piece in enumerate(pieces) if piece.kind in _ADDED],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": decoder},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": next(piece.text for piece in pieces if piece.kind == "unknown"),
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": [[left, right] for _, left, right in sorted(_merges(pieces), reverse=True)],
        },
    }


_ADDED = ("control", "unknown", "symbol")  # found in a text before anything is merged


def _added(token: int, piece: Piece) -> dict[str, Any]:
    exact = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token, "content": piece.text, **exact, "special": piece.kind != "symbol"}


def _merges(pieces: list[Piece]) -> Iterator[tuple[float, str, str]]:
    """SentencePiece joins any two neighbours that make a piece, the piece of the highest score first."""
    known = {piece.text for piece in pieces if piece.kind == "text"}
    for piece in pieces:
        for cut in range(1, len(piece.text)) if piece.kind == "text" else ():
            if piece.text[:cut] in known and piece.text[cut:] in known:
                yield piece.score, piece.text[:cut], piece.text[cut:]
