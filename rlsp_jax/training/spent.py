"""What a run has spent, over all its sessions: wall seconds by phase, tokens generated, what its judge was asked."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

GENERATED = ("rollout/tokens", "select/tokens")  # the metrics that count tokens generated to learn from
COUNTS = ("tokens_generated", "judge_requests", "judge_tokens")


class Spent:
    """Counts up; saved with every checkpoint, so that a resumed run goes on counting from there."""

    def __init__(self):
        self.tokens_generated = 0
        self.judge_requests = self.judge_tokens = 0  # of an effort judge behind an endpoint
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the wall time of the block towards a phase. Phases do not nest."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())

    def dump(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in COUNTS} | {"seconds": dict(self.seconds)}

    def add(self, earlier: Mapping[str, Any]) -> None:
        """Add what earlier sessions spent up to a checkpoint, as dumped beside it."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + earlier.get(name, 0))  # an older checkpoint has fewer
        for name, seconds in earlier["seconds"].items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
