"""What the person at the terminal sees: a live line where there is a terminal, plain lines where not."""

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

PLAIN_SECONDS = 15.0  # between two plain lines
SHOWN = {
    "sft/loss": "loss",
    "rollout/accuracy": "accuracy",
    "rollout/length": "length",
    "rollout/truncated": "truncated",
    "speed/tokens": "tokens/s",
}


class Display:
    """Shows one stage at a time; process 0 only, the others are silent."""

    def __init__(self, console: Console, *, enabled: bool = True):
        self.console = console
        self._enabled = enabled
        self._live: Progress | None = None
        self._last_plain = 0.0

    def say(self, message: str) -> None:
        """A line that stays."""
        if self._enabled:
            self.console.print(message, highlight=False, soft_wrap=True)

    def begin(self, stage: str, step: int, total: int) -> None:
        """A stage begins, or goes on from `step`."""
        self._stage, self._total, self._first = stage, total, step
        self._started = self._last_plain = time.monotonic()
        if self._enabled and self.console.is_terminal:
            columns = ("[bold]{task.description}", BarColumn(24), MofNCompleteColumn(), _Figures(), TimeRemainingColumn())
            self._live = Progress(*[TextColumn(c) if isinstance(c, str) else c for c in columns], console=self.console)
            self._task = self._live.add_task(stage, total=total, completed=step, figures="")
            self._live.start()

    def update(self, done: int, metrics: Mapping[str, float]) -> None:
        """`done` steps are behind us; `metrics` are of the last one."""
        figures = format_figures(metrics)
        if self._live is not None:
            self._live.update(self._task, completed=done, figures=figures)
        elif self._enabled and (time.monotonic() - self._last_plain > PLAIN_SECONDS or done == self._total):
            self._last_plain = time.monotonic()
            spent = self._last_plain - self._started
            left = spent / max(done - self._first, 1) * (self._total - done)
            self.say(f"{self._stage} {done}/{self._total}  {figures}  {left:.0f} s left")

    def end(self) -> None:
        """The stage is over, or broke off."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class _Figures(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(task.fields["figures"])


def format_figures(metrics: Mapping[str, float]) -> str:
    """The few figures worth a glance, in one line."""
    named = {label: metrics[name] for name, label in SHOWN.items() if name in metrics}
    named |= {name.removeprefix("reward/"): value for name, value in metrics.items() if name.startswith("reward/")}
    return "  ".join(f"{label} {_number(value)}" for label, value in named.items())


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
