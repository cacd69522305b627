"""The files that a config names: their sums are written down when a run begins, so that other data is noticed later."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.override import is_config


def digests(config: Any) -> dict[str, str]:
    """The SHA-256 of every file that a nested config names and that is there, by its path."""
    return {str(path): _digest(path) for path in _paths(config) if path.is_file()}


def check_unchanged(config: Any, recorded: Mapping[str, str]) -> None:
    """Raise `UserError` where a file is not what it was. One that is gone is left to whoever needs it."""
    now = digests(config)
    for path, digest in recorded.items():
        if now.get(path, digest) != digest:
            raise UserError(
                f"{path} has changed since this run began, so going on would learn from other data; put the old file "
                "back, or start anew with --overwrite or another --workdir."
            )


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif is_config(value):
        for field in dataclasses.fields(value):
            yield from _paths(getattr(value, field.name))
    elif isinstance(value, tuple | list | Mapping):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _paths(item)
