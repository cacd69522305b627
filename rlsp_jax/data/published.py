"""What a checkpoint says of its tokenizer beside the vocabulary: special tokens, what ends a response, templates."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.tokenizer import NOTHING, Conventions

CONFIG, GENERATION = "tokenizer_config.json", "generation_config.json"
TEMPLATE, TEMPLATES, OLD_TEMPLATE = "chat_template.jinja", "additional_chat_templates", "chat_template.json"
# All files of a checkpoint that a tokenizer may need; no checkpoint has all of them.
FILES = (
    *("tokenizer.json", "tokenizer.model", CONFIG, "special_tokens_map.json", "added_tokens.json", GENERATION),
    *(TEMPLATE, f"{TEMPLATES}/*.jinja", OLD_TEMPLATE),
)
DEFAULT = "default"  # the name of the chat template that counts where none is named


class Published:
    """What a folder says of its tokenizer, beside the vocabulary. Raises `UserError` where a file is no JSON object."""

    def __init__(self, folder: Path, defaults: Mapping[str, str] = NOTHING):
        """`defaults` are special tokens by what they are for, where no file says another thing."""
        self.folder = folder
        self._defaults = defaults
        self.config = _read_if_there(folder / CONFIG)
        self._older = _read_if_there(folder / "special_tokens_map.json")  # where the config says nothing
        self._generation = _read_if_there(folder / GENERATION)

    def token(self, name: str) -> str | None:
        """A special token by what it is for, such as `bos_token`, as it is written."""
        said = _written(self.config.get(name)) or _written(self._older.get(name))
        return said or self._defaults.get(name)

    def named_tokens(self) -> dict[str, str]:
        """All special tokens that have a name, by name: what chat templates know them by."""
        names = [name for name in {**self._defaults, **self._older, **self.config} if name.endswith("_token")]
        return {name: written for name in names if (written := self.token(name))}

    def special_tokens(self) -> list[str]:
        """All tokens that are said to be control tokens."""
        more = [self.config.get("additional_special_tokens"), self.config.get("extra_special_tokens")]
        lists = (tokens for tokens in more if isinstance(tokens, list))
        written = [text for tokens in lists for token in tokens if (text := _written(token))]
        return [*self.named_tokens().values(), *written]

    def added_tokens(self) -> dict[int, tuple[str, bool]]:
        """Tokens beside those of a SentencePiece model: id → (as it is written, whether it is a control token)."""
        special = set(self.special_tokens())
        older = _read_if_there(self.folder / "added_tokens.json")
        found = {int(token): (text, text in special) for text, token in older.items()}
        for token, entry in self.config.get("added_tokens_decoder", {}).items():
            found[int(token)] = (entry["content"], bool(entry.get("special")))
        return found

    def end_ids(self) -> tuple[int, ...]:
        """The ids that end a response, as `generation_config.json` has them; none where it does not say."""
        ids = self._generation.get("eos_token_id")
        return tuple(ids) if isinstance(ids, list) else () if ids is None else (ids,)

    def templates(self) -> dict[str, str]:
        """The chat templates by name. Files of their own come before what the config holds, as in `transformers`."""
        held = self.config.get("chat_template") or _read_if_there(self.folder / OLD_TEMPLATE).get("chat_template")
        if isinstance(held, str):
            found = {DEFAULT: held}
        else:
            found = {entry["name"]: entry["template"] for entry in held or ()}
        files = {path.stem: path for path in sorted((self.folder / TEMPLATES).glob("*.jinja"))}
        if (self.folder / TEMPLATE).is_file():
            files[DEFAULT] = self.folder / TEMPLATE
        return {name: path.read_text(encoding="utf-8") for name, path in files.items()} or found


def read_conventions(
    published: Published, vocabulary: Mapping[str, int], controls: Mapping[str, int], start_ids: tuple[int, ...]
) -> tuple[int, int, Conventions]:
    """The id of eos, the id to pad with, and the rest of what a folder says.

    Where the folder names no eos, it is the first id that ends a response, and where it names no padding, eos: masks
    tell padding from text. `UserError` where it says neither what eos is nor what ends a response.
    """
    ends = published.end_ids()
    eos = published.token("eos_token")
    if eos is not None and eos not in vocabulary:
        raise UserError(f"{published.folder / CONFIG} names {eos!r} as eos_token, which is no token of its vocabulary.")
    if eos is None and not ends:
        raise UserError(
            f"Nothing in {published.folder} says what ends a response; add eos_token to its {CONFIG}, or eos_token_id "
            f"to its {GENERATION}."
        )
    eos_id = ends[0] if eos is None else vocabulary[eos]
    pad_id = vocabulary.get(published.token("pad_token") or "", eos_id)
    conventions = Conventions(
        source=str(published.folder),
        start_ids=start_ids,
        stop_ids=tuple(token for token in dict.fromkeys(ends) if token != eos_id),
        controls=dict(controls),
        special_tokens=published.named_tokens(),
        templates=published.templates(),
    )
    return eos_id, pad_id, conventions


def read_json(path: Path) -> dict[str, Any]:
    """The object that a file holds; `UserError` where it holds none, as when it was cut short."""
    try:
        value = json.loads(path.read_bytes())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UserError(f"{path} is not whole: it holds no JSON object; copy or fetch it again.")
    return value


def _read_if_there(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _written(token: Any) -> str | None:
    """How a special token is written: some releases have an object of settings in its place."""
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) and token else None


def copy_files(source: Path, target: Path) -> None:
    """Copy what a tokenizer needs of a folder. A new folder appears as a whole; into one that exists go the files."""
    if target.is_dir():
        _copy(source, target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.{uuid.uuid4().hex}.draft")  # other processes may be at it too
    _copy(source, draft)
    try:
        os.rename(draft, target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(draft)  # one was faster, with the same files


def _copy(source: Path, target: Path) -> None:
    for path in _own_files(source):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _own_files(folder: Path) -> Iterator[Path]:
    for pattern in FILES:
        yield from sorted(folder.glob(pattern))
