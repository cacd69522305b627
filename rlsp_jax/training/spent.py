"""What a run has spent: wall seconds by phase and tokens generated, over all its sessions."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

GENERATED = ("rollout/tokens", "select/tokens")  # the metrics that count tokens generated to learn from


class Spent:
    """Counts up; saved with every checkpoint, so that a resumed run goes on counting from there."""

    def __init__(self):
        self.tokens_generated = 0
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
        return {"tokens_generated": self.tokens_generated, "seconds": dict(self.seconds)}

    def add(self, earlier: Mapping[str, Any]) -> None:
        """Add what earlier sessions spent up to a checkpoint, as dumped beside it."""
        self.tokens_generated += earlier["tokens_generated"]
        for name, seconds in earlier["seconds"].items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
