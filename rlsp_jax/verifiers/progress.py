"""How far the judging of a file is: a bar where there is a terminal, plain lines where not."""

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from rlsp_jax.verifiers.files import Row, Tally

PLAIN_SECONDS = 15.0  # between two plain lines
MAX_FAULTS = 5  # bad rows that are named


class Progress:
    """Shows how much of a file is judged and names its first bad rows, while it is entered."""

    def __init__(self, console: Console, source: Path):
        self._console, self._faults = console, 0
        self._size = source.stat().st_size or None  # a pipe has none
        self._started = time.monotonic()
        self._next_plain, self._judged = self._started + PLAIN_SECONDS, 0
        self._bar = Bar(
            TextColumn("verify"),
            BarColumn(24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            refresh_per_second=4,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=self._size)

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    @property
    def rate(self) -> float:
        """Rows judged a second."""
        return self._judged / max(time.monotonic() - self._started, 1e-9)

    def show(self, row: Row, tally: Tally) -> None:
        """A row is judged."""
        self._judged = tally.judged
        if row.item is None:
            self._name(row)
        if self._judged % 100 == 0 or time.monotonic() >= self._next_plain:
            self._bar.update(self._task, completed=row.end, description=str(tally))
        if not self._console.is_terminal and time.monotonic() >= self._next_plain:
            self._next_plain = time.monotonic() + PLAIN_SECONDS
            share = f" ({row.end / self._size:.0%})" if self._size else ""
            self._say(f"{tally}{share}, {self.rate:,.0f} rows/s")

    def _name(self, row: Row) -> None:
        self._faults += 1
        if self._faults <= MAX_FAULTS:
            self._say(f"line {row.line}: {row.fault}")
        elif self._faults == MAX_FAULTS + 1:
            self._say("There are more bad rows; the output says of each what is bad.")

    def _say(self, message: str) -> None:
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)
