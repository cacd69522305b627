"""The answer that must be the gold answer letter by letter.

The final answer is the text after the last "answer:", up to the end of its line. Blanks around it mean nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.verifiers.countdown import MAX_ANSWER_BYTES, extract
from rlsp_jax.verifiers.outcome import Outcome


@dataclass(frozen=True)
class ExactText:
    """Judges answers to problems with the truth `{"answer": text}`; one over `max_answer_bytes` is unknown, unread."""

    max_answer_bytes: int = MAX_ANSWER_BYTES

    def __post_init__(self):
        if self.max_answer_bytes < 1:
            raise UserError(f"max_answer_bytes is {self.max_answer_bytes}; an answer needs at least 1 byte.")

    def verify(self, truth: Mapping[str, Any], response: str) -> Outcome:
        text = extract(response)
        if text is None:
            return Outcome(Verdict.WRONG, None, "no final answer")
        answer, gold = text.strip(" "), truth["answer"].strip(" ")
        if (size := _num_bytes(text)) > self.max_answer_bytes:
            reason = f"answer is {size} bytes, over the limit of {self.max_answer_bytes}"
            return Outcome(Verdict.UNKNOWN, answer, reason)
        if not answer:
            return Outcome(Verdict.WRONG, answer, "empty answer")
        if answer != gold:
            return Outcome(Verdict.WRONG, answer, f"not {gold}")
        return Outcome(Verdict.CORRECT, answer, "correct")

    def equivalence(self, answer: str) -> str | None:
        return None if _num_bytes(answer) > self.max_answer_bytes else answer.strip(" ") or None


def _num_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
