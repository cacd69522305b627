"""From an experiment file to an `Experiment`; what is wrong with the file is said in one sentence."""

import contextlib
import difflib
import sys
import traceback
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.override import apply_overrides
from rlsp_jax.training.config import Experiment


class Loaded(NamedTuple):
    """An experiment with what it was made from."""

    experiment: Experiment
    source: str  # the text of its file
    siblings: Mapping[str, str]  # name → text of the files that it imports from its folder
    overrides: tuple[str, ...]


def load_experiment(path: Path, overrides: Sequence[str] = (), *, siblings: Path | None = None) -> Loaded:
    """The experiment that a Python file's `get_config()` returns, with overrides applied.

    As in a script, the file may import others from its folder, or from the folder `siblings` instead. Raises
    `UserError` with one sentence for every mistake in the arguments and in the file.
    """
    if not path.is_file():
        raise UserError(f"There is no experiment file {path}{_similar(path)}")
    if path.suffix != ".py":
        raise UserError(f"{path} is not a Python file; an experiment file ends in .py.")
    with _importing_from((siblings or path.parent).absolute()) as imported:
        try:
            experiment = _run_get_config(path)
        except (Exception, SystemExit) as error:
            raise UserError(f"{_where(error, path)}: {_what(error)}") from error
    if not isinstance(experiment, Experiment):
        raise UserError(f"get_config() in {path} returns {type(experiment).__name__}, not an Experiment.")
    return Loaded(apply_overrides(experiment, overrides), path.read_text(), imported, tuple(overrides))


def _run_get_config(path: Path) -> object:
    module = types.ModuleType(f"experiment_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where its dataclasses look their annotations up
    exec(compile(path.read_text(), path, "exec"), vars(module))
    get_config = vars(module).get("get_config")
    if not callable(get_config):
        raise UserError("there is no function get_config(); it must return an Experiment (see experiments/forkme.py).")
    return get_config()


@contextlib.contextmanager
def _importing_from(folder: Path) -> Iterator[dict[str, str]]:
    """Let imports find the files of a folder first; name → text of those imported, which are forgotten afterwards.

    A file of the same name from another folder, such as that of another run, is therefore never taken for it.
    """
    imported: dict[str, str] = {}
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield imported
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            file = vars(sys.modules[name]).get("__file__")
            if file is not None and Path(file).parent == folder and name != f"experiment_{Path(file).stem}":
                imported[Path(file).name] = Path(file).read_text()
                del sys.modules[name]


def _where(error: BaseException, path: Path) -> str:
    """The experiment file, with the line of it that went wrong."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}, line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}, line {lines[-1]}" if lines else str(path)


def _what(error: BaseException) -> str:
    if isinstance(error, UserError):
        return str(error)
    message = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"{': '.join(filter(None, (type(error).__name__, message.rstrip('.'))))}."


def _similar(path: Path) -> str:
    near = difflib.get_close_matches(path.name, [other.name for other in path.parent.glob("*.py")], n=1)
    return f"; did you mean {path.parent / near[0]}?" if near else "."
