"""What a verifier is, and what it says of one response."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from rlsp_jax.common.codes import Verdict


@dataclass(frozen=True)
class Outcome:
    """A verdict, the final answer it was given on (None if there is none), and why, in a few words."""

    verdict: Verdict
    extracted: str | None
    reason: str


@runtime_checkable
class Verifier(Protocol):
    """A picklable value that judges final answers; its class must be importable by a worker process."""

    def verify(self, truth: Mapping[str, Any], response: str) -> Outcome:
        """Judge the last final answer of `response` against the problem's truth."""
        ...

    def equivalence(self, answer: str) -> str | None:
        """The class of equal answers that `answer` votes for in maj@k; None casts no vote."""
        ...
