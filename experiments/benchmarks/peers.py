"""Verifiers behind one interface, so that they can be measured side by side in pools of workers.

A truth is `{"answer": gold, "bare": whether the prediction is an answer rather than a whole response}`.
"""

from collections.abc import Mapping
from typing import Any

from rlsp_jax.common.codes import Verdict
from rlsp_jax.verifiers import Math, Outcome
from rlsp_jax.verifiers.math import forget_comparisons


class Ours:
    """`rlsp_jax.verifiers.Math` as it is by default."""

    def __init__(self):
        self.math = Math()

    def verify(self, truth: Mapping[str, Any], response: str) -> Outcome:
        return (self.math.compare if truth["bare"] else self.math.verify)(truth["answer"], response)

    def equivalence(self, answer: str) -> str | None:
        return self.math.equivalence(answer)

    def forget(self) -> None:
        forget_comparisons()


class MathVerify:
    """Math-Verify (`pip install math-verify`) as it is by default; a bare answer is put in a box, to be found."""

    def verify(self, truth: Mapping[str, Any], response: str) -> Outcome:
        import math_verify  # pyright: ignore[reportMissingImports]

        gold = math_verify.parse(boxed(truth["answer"]))
        found = math_verify.parse(boxed(response) if truth["bare"] else response)
        right = math_verify.verify(gold, found)
        return Outcome(Verdict.CORRECT if right else Verdict.WRONG, str(found[-1]) if found else None, "Math-Verify")

    def equivalence(self, answer: str) -> str | None:
        return answer

    def forget(self) -> None:
        """It remembers nothing."""


def boxed(answer: str) -> str:
    return answer if "$" in answer or "\\boxed" in answer else f"\\boxed{{{answer}}}"
