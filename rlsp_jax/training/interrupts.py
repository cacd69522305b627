"""Ctrl-C and SIGTERM, taken at a place where nothing is lost."""

import contextlib
import signal
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """A first signal waits for the step under way and becomes a KeyboardInterrupt at the next `check`.

    Inside `abortable` blocks, whose work is done again by the resumed run, it is raised at once; so is a second one
    everywhere.
    """

    def __init__(self, say: Callable[[str], None]):
        self._say = say
        self._count = 0
        self._abortable = False

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Watch for signals; only the main thread may."""
        before = [signal.signal(number, self._handle) for number in SIGNALS]
        try:
            yield
        finally:
            for number, handler in zip(SIGNALS, before, strict=True):
                signal.signal(number, handler)

    @property
    def impatient(self) -> bool:
        """A second signal came: stop without saving."""
        return self._count > 1

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came."""
        if self._count:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def abortable(self) -> Iterator[None]:
        """A block that a first signal may break off."""
        self.check()
        self._abortable = True
        try:
            yield
        finally:
            self._abortable = False
        self.check()

    def _handle(self, number: int, frame: object) -> None:
        self._count += 1
        if self._abortable or self.impatient:
            raise KeyboardInterrupt
        self._say("Finishing this step and saving; press Ctrl-C again to stop at once.")
