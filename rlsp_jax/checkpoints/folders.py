"""Folders that come into being whole."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from rlsp_jax.common.errors import UserError


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A draft to write into, which becomes the folder when the block ends well, and vanishes when it does not.

    Raises `UserError` where something lies already.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} exists already; give --out a new or an empty folder.")
    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
    new = [parent for parent in draft.parents if not parent.exists()]
    draft.mkdir(parents=True)
    try:
        yield draft
        os.replace(draft, folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        for parent in new:
            parent.rmdir()
        raise
