"""The safetensors files of a folder: names, shapes and types at once, numbers one tensor at a time."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from rlsp_jax.common.errors import UserError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


class WeightFiles:
    """The tensors of a checkpoint's folder, found by name in one file or in several that an index lists.

    Opening reads headers only, and finds out that a file is absent or cut off. Use it in a `with` block.
    """

    def __init__(self, folder: Path, single: str = SINGLE):
        """`single` is the name of the file where there is one."""
        self.folder = folder
        self._single = single
        self._open = contextlib.ExitStack()
        self._home: dict[str, str] = {}  # tensor → the name of its file
        self._files: dict[str, Any] = {}
        try:
            self._find()
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> "WeightFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def names(self) -> set[str]:
        return set(self._home)

    def file(self, name: str) -> Path:
        """Where a tensor lies."""
        return self.folder / self._home[name]

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._files[self._home[name]].get_slice(name).get_shape())

    def dtype(self, name: str) -> str:
        """The type's name in numpy; that of safetensors where it is no floating point number."""
        found: str = self._files[self._home[name]].get_slice(name).get_dtype()
        return FLOATS.get(found, found)

    def read(self, name: str, *, part: int = 0, parts: int = 1) -> np.ndarray:
        """A tensor, or one of several equal cuts of its rows."""
        file = self._files[self._home[name]]
        if parts == 1:
            return file.get_tensor(name)
        size = self.shape(name)[0] // parts
        return file.get_slice(name)[part * size : (part + 1) * size]

    def _find(self) -> None:
        index = self.folder / INDEX
        if (self.folder / self._single).is_file() or not index.is_file():
            self._files[self._single] = self._enter(self._single, _nothing(self.folder, self._single))
            self._home = dict.fromkeys(self._files[self._single].keys(), self._single)
            return
        self._home = _read_index(index)
        for name in sorted(set(self._home.values())):
            self._files[name] = self._enter(name, f"{index} names {name}, which is absent; copy or download it too.")
        held = {name: set(file.keys()) for name, file in self._files.items()}
        for tensor, name in self._home.items():
            if tensor not in held[name]:
                raise UserError(
                    f"{self.folder / name} does not hold {tensor}, though {INDEX} says so; copy both again."
                )

    def _enter(self, name: str, absent: str) -> Any:
        """A file, open; `absent` says what it means that there is none."""
        path = self.folder / name
        try:
            return self._open.enter_context(safe_open(path, framework="np"))
        except FileNotFoundError:
            raise UserError(absent) from None
        except SafetensorError as error:
            raise UserError(f"{path} is cut off or no safetensors file ({error}); copy or download it again.") from None


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file of tensors.

    The library writes whatever lies in memory, so that strides are lost, and lets nobody but the owner read the file.
    """
    path.touch()
    mode = path.stat().st_mode
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path, metadata={"format": "pt"})
    path.chmod(mode)


def _nothing(folder: Path, name: str) -> str:
    pickled = "; PyTorch's pickled files are not read" if any(folder.glob("*.bin")) else ""
    return f"{folder} has no weights: neither {name} nor {INDEX} lies there{pickled}."


def _read_index(path: Path) -> dict[str, str]:
    try:
        return {str(tensor): str(name) for tensor, name in json.loads(path.read_text())["weight_map"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is no index of weights (a JSON object with a weight_map); copy it again.") from None
