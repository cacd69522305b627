"""Answers that stand alone, without a response around them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rlsp_jax.verifiers.outcome import Outcome, Verifier


class BareAnswer(str):
    """A response that is a final answer and nothing else: none has to be found in it."""


class Comparer(Verifier, Protocol):
    """A verifier that also judges answers found by somebody else."""

    def compare(self, truth: Mapping[str, Any], answer: str) -> Outcome:
        """Judge a bare answer against the problem's truth."""
        ...


@dataclass(frozen=True)
class BareAnswers:
    """Judges a `BareAnswer` as it stands, and all other responses as `verifier` does: a pool takes both at once."""

    verifier: Comparer

    def verify(self, truth: Mapping[str, Any], response: str) -> Outcome:
        if isinstance(response, BareAnswer):
            return self.verifier.compare(truth, str(response))
        return self.verifier.verify(truth, response)

    def equivalence(self, answer: str) -> str | None:
        return self.verifier.equivalence(answer)
