"""What the person at the terminal sees: a live display where there is a terminal, plain lines where not."""

import time
from collections.abc import Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

PLAIN_SECONDS = 15.0  # between two plain lines
SHOWN = {
    "sft/loss": "loss",
    "policy/loss": "loss",
    "rollout/accuracy": "accuracy",
    "rollout/length": "length",
    "speed/tokens": "tokens/s",
}


class Display:
    """Shows one stage at a time: how far it is and its figures; what is said stays above them."""

    def __init__(self, console: Console, *, enabled: bool = True):
        self.console = console
        self._enabled = enabled
        self._live: Live | None = None
        self._figures, self._latest = Text(), ""

    def say(self, message: str) -> None:
        """A line that stays."""
        if self._enabled:
            self.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def note(self, message: str) -> None:
        """What is being done now; it is gone with the next step, and shown in a terminal only."""
        self._figures.plain = message

    def begin(self, stage: str, step: int, total: int) -> None:
        """A stage begins, or goes on from `step`."""
        self._stage, self._first, self._total = stage, step, total
        self._started, self._next_plain, self._latest = time.monotonic(), 0.0, ""
        if self._enabled and self.console.is_terminal:
            left = (
                TextColumn("{task.percentage:>3.0f}%"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            )
            columns = (TextColumn("[bold]{task.description}"), BarColumn(24), MofNCompleteColumn(), *left)
            self._bar = Progress(*columns, console=self.console)
            self._task = self._bar.add_task(stage, total=total, completed=step)
            self._figures = Text("compiling")
            self._live = Live(Group(self._bar, self._figures), console=self.console, refresh_per_second=4)
            self._live.start()

    def update(self, done: int, metrics: Mapping[str, float]) -> None:
        """`done` steps are behind us; `metrics` are of the last one."""
        figures = self._latest = format_figures(metrics)
        if self._live is not None:
            self._bar.update(self._task, completed=done)
            self._figures.plain = figures
        elif self._enabled and (time.monotonic() >= self._next_plain or done == self._total):
            now = time.monotonic()
            self._next_plain = now + PLAIN_SECONDS
            left = (now - self._started) / max(done - self._first, 1) * (self._total - done)
            self.say(f"{self._stage} {done}/{self._total}  {figures}  {left:.0f} s left")

    def end(self) -> None:
        """The stage is over, or broke off."""
        if self._live is not None:
            self._figures.plain = self._latest
            self._live.stop()
            self._live = None


def format_figures(metrics: Mapping[str, float]) -> str:
    """The few figures worth a glance, in one line."""
    named = {label: metrics[name] for name, label in SHOWN.items() if name in metrics}
    named |= {name.removeprefix("reward/"): value for name, value in metrics.items() if name.startswith("reward/")}
    return "  ".join(f"{label} {_number(value)}" for label, value in named.items())


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
