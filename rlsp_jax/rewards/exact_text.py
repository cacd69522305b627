"""The answer that must be the gold answer byte by byte, judged on the device by the rules of the host's verifier.

The final answer is the bytes after the last "answer:", up to the end of its line. Blanks around it mean nothing.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt8

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.words import ANSWER
from rlsp_jax.records import Problem
from rlsp_jax.rewards.byte_text import ByteText, expand, last_match, windows
from rlsp_jax.rewards.countdown import answer_start
from rlsp_jax.types import Rollout, TokenBytes, Verdicts

_MARKER = ANSWER.encode()
_NEWLINE, _BLANK = ord("\n"), ord(" ")


class ExactTextTruth(NamedTuple):
    """What the checker compares with: numpy where it is made, on the device where it is used."""

    answer: UInt8[Array | np.ndarray, "batch answer_bytes"]  # zero-padded
    length: Int[Array | np.ndarray, " batch"]


@dataclasses.dataclass(frozen=True)
class ExactTextChecker:
    """Judges the final answers of a rollout whose prompts carry an `ExactTextTruth`.

    UNKNOWN, for the host to decide: an answer longer than `answer_bytes`, blanks included, and a response longer than
    `max_bytes` (by default that of `byte_text.expand`).
    """

    answer_bytes: int = 64
    max_bytes: int | None = None

    def __post_init__(self):
        if self.answer_bytes < 1:
            raise UserError(f"answer_bytes is {self.answer_bytes}; an answer needs at least 1 byte.")
        if self.max_bytes is not None and self.max_bytes < 1:
            raise UserError(f"max_bytes is {self.max_bytes}; a response needs room for at least 1 byte.")

    def encode_truth(self, problems: Sequence[Problem]) -> ExactTextTruth:
        """The gold answers of problems as uint8 and int32 numpy arrays. `UserError` for one that does not fit them."""
        answer = np.zeros((len(problems), self.answer_bytes), np.uint8)
        length = np.zeros(len(problems), np.int32)
        for row, problem in enumerate(problems):
            gold = _gold_bytes(problem, self.answer_bytes)
            answer[row, : len(gold)] = np.frombuffer(gold, np.uint8)
            length[row] = len(gold)
        return ExactTextTruth(answer, length)

    def read_vocabulary(self, token_bytes: TokenBytes) -> TokenBytes:
        return token_bytes

    def __call__(self, rollout: Rollout, token_bytes: TokenBytes) -> Verdicts:
        text = expand(rollout.tokens, rollout.mask, token_bytes, max_bytes=self.max_bytes)
        start, answered = answer_start(text, rollout.mask)
        correct, known = self._judge(text, rollout.prompts.truth)
        known = (~answered | known) & ~text.overflow
        outcome = jnp.where(answered & correct, jnp.int8(Verdict.CORRECT), jnp.int8(Verdict.WRONG))
        return Verdicts(jnp.where(known, outcome, jnp.int8(Verdict.UNKNOWN)), start, answered)

    def _judge(self, text: ByteText, truth: ExactTextTruth) -> tuple[Bool[Array, " batch"], Bool[Array, " batch"]]:
        """Whether each last answer is the gold one, and whether it was read whole; no meaning where there is none."""
        after = jnp.maximum(last_match(text, _MARKER), 0) + len(_MARKER)
        window = windows(text.bytes, after[:, None], self.answer_bytes + 1)[:, 0]
        columns = jnp.arange(self.answer_bytes + 1, dtype=jnp.int32)
        length = jnp.min(jnp.where(window == _NEWLINE, columns, self.answer_bytes + 1), axis=1)
        length = jnp.minimum(length, text.mask.sum(axis=1) - after)
        solid = (window != _BLANK) & (columns < length[:, None])
        first = jnp.min(jnp.where(solid, columns, self.answer_bytes), axis=1)
        last = jnp.max(jnp.where(solid, columns, -1), axis=1)
        stripped = windows(window, first[:, None], self.answer_bytes)[:, 0]
        same = (stripped == truth.answer) | (columns[:-1] >= truth.length[:, None])
        return jnp.all(same, axis=1) & (last - first + 1 == truth.length), length <= self.answer_bytes


def _gold_bytes(problem: Problem, most: int) -> bytes:
    """A problem's gold answer, if an answer can be it."""
    gold = problem.truth["answer"].strip(" ")
    if not gold or "\n" in gold or "\ufffd" in gold:  # U+FFFD is how the host reads broken bytes
        raise UserError(f"Problem {problem.number} has the answer {gold!r}; it must be one line, and not empty.")
    data = gold.encode()
    if len(data) > most:
        raise UserError(f"The answer of problem {problem.number} has {len(data)} bytes; raise answer_bytes = {most}.")
    return data
