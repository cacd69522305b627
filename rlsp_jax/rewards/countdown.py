"""The Countdown answer, judged on the device: the same rules as the host's verifier, for a whole batch in one program.

The final answer is the bytes after the last "answer:", up to the end of its line. It is correct when it is an
expression (see `expression`) that uses each of the problem's numbers exactly once and whose value is the target.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.words import ANSWER
from rlsp_jax.records import Problem
from rlsp_jax.rewards.byte_text import MAX_DIGITS, ByteText, expand, first_match, last_match, take, windows
from rlsp_jax.rewards.expression import ABSENT, evaluate, parse
from rlsp_jax.types import Rollout, TokenBytes, Verdicts

_MARKER = ANSWER.encode()
_NEWLINE = ord("\n")
_MAX_NUMBER = 10**MAX_DIGITS - 1


class CountdownTruth(NamedTuple):
    """What the checker compares with: numpy where it is made, on the device where it is used."""

    numbers: Int[Array | np.ndarray, "batch numbers"]  # ABSENT beyond the problem's last number
    target: Int[Array | np.ndarray, " batch"]


def encode_truth(problems: Sequence[Problem], max_numbers: int) -> CountdownTruth:
    """The truths of problems as int32 numpy arrays. ValueError for one that does not fit them."""
    numbers = np.full((len(problems), max_numbers), ABSENT, np.int32)
    target = np.zeros(len(problems), np.int32)
    for row, problem in enumerate(problems):
        given, goal = problem.truth["numbers"], problem.truth["target"]
        if not 1 <= len(given) <= max_numbers:
            raise UserError(
                f"Problem {problem.number} has {len(given)} numbers, "
                f"but the checker takes 1 to {max_numbers}; raise max_numbers."
            )
        if min(given) < 0 or max(given) > _MAX_NUMBER or abs(goal) > _MAX_NUMBER:
            raise UserError(
                f"Problem {problem.number} has the numbers {list(given)} and the target {goal}; "
                f"the checker takes numbers from 0 to {_MAX_NUMBER}."
            )
        numbers[row, : len(given)] = given
        target[row] = goal
    return CountdownTruth(numbers, target)


@dataclasses.dataclass(frozen=True)
class CountdownChecker:
    """Judges the final answers of a rollout whose prompts carry a `CountdownTruth`.

    UNKNOWN, for the host to decide: an answer longer than `answer_bytes`, a response longer than `max_bytes` (by
    default that of `byte_text.expand`), and an otherwise proper answer with an intermediate numerator or denominator
    that may reach 2³⁰.
    """

    max_numbers: int = 6
    answer_bytes: int = 64
    max_bytes: int | None = None

    def __post_init__(self):
        if self.max_numbers < 1:
            raise UserError(f"max_numbers is {self.max_numbers}; a problem has at least 1 number.")
        if self.answer_bytes < 1:
            raise UserError(f"answer_bytes is {self.answer_bytes}; an answer needs at least 1 byte.")
        if self.max_bytes is not None and self.max_bytes < 1:
            raise UserError(f"max_bytes is {self.max_bytes}; a response needs room for at least 1 byte.")

    def encode_truth(self, problems: Sequence[Problem]) -> CountdownTruth:
        return encode_truth(problems, self.max_numbers)

    def read_vocabulary(self, token_bytes: TokenBytes) -> TokenBytes:
        return token_bytes

    def __call__(self, rollout: Rollout, token_bytes: TokenBytes) -> Verdicts:
        text = expand(rollout.tokens, rollout.mask, token_bytes, max_bytes=self.max_bytes)
        start, answered = answer_start(text, rollout.mask)
        correct, known = self._judge(text, rollout.prompts.truth)
        known = ~answered | known
        outcome = jnp.where(answered & correct, jnp.int8(Verdict.CORRECT), jnp.int8(Verdict.WRONG))
        return Verdicts(jnp.where(known & ~text.overflow, outcome, jnp.int8(Verdict.UNKNOWN)), start, answered)

    def _judge(self, text: ByteText, truth: CountdownTruth) -> tuple[Bool[Array, " batch"], Bool[Array, " batch"]]:
        """Whether each last answer is correct, and whether that can be told; without meaning where there is none."""
        after = jnp.maximum(last_match(text, _MARKER), 0) + len(_MARKER)
        window = windows(text.bytes, after[:, None], self.answer_bytes + 1)[:, 0]
        columns = jnp.arange(self.answer_bytes + 1, dtype=jnp.int32)
        length = jnp.min(jnp.where(window == _NEWLINE, columns, self.answer_bytes + 1), axis=1)
        length = jnp.minimum(length, text.mask.sum(axis=1) - after)
        expression = parse(window, length, max_values=self.max_numbers)
        given = truth.numbers
        uses = jnp.all(jnp.sort(expression.values, axis=1) == jnp.sort(given, axis=1), axis=1)
        proper = expression.well_formed & uses & (expression.num_values == jnp.sum(given != ABSENT, axis=1))
        value = evaluate(expression)
        hits = (value.denominator == 1) & (value.numerator == truth.target) & ~value.zero_division
        return proper & hits, (length <= self.answer_bytes) & ~(proper & value.overflow)


def answer_start(text: ByteText, mask: Bool[Array, "batch time"]) -> tuple[Int[Array, " batch"], Bool[Array, " batch"]]:
    """The token in which the first final answer begins (the response's length without one), and whether it does."""
    place = first_match(text, _MARKER)
    size = text.bytes.shape[1]
    answered = place < size
    owner = take(text.owner, place[:, None])[:, 0]
    return jnp.where(answered, owner, mask.sum(axis=1).astype(jnp.int32)), answered
