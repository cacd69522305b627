"""One process at a time: a lock that the system lifts however its holder ends."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from rlsp_jax.common.errors import UserError


@contextlib.contextmanager
def locked_file(path: Path, refusal: str) -> Iterator[None]:
    """Hold the lock of a file, made where it is missing; a `UserError` of `refusal` when another process holds it.

    The file outlives the block: removed, it would be a lock on a file that the next process does not open.
    """
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(refusal) from None
        except OSError:  # a file system without locks: working there is no less safe than it was
            pass
        yield
