r"""Answers in mathematics, judged on the device: those that are plain numbers, by the rules of the host's verifier.

The final answer is the last box of a response or what follows its last `####` (`final_answer`). Where it and the gold
answer are plain numbers (`plain_numbers`), they are compared exactly; a box that holds the gold answer's own text is
right whatever that is. All else is left to the host: other answers, other markers such as “the answer is”, boxes that
may be one list, a box in a box, one beside an operator, and what follows a `<think>`. The two never contradict each
other.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt8

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.rationals import plain
from rlsp_jax.records import Problem
from rlsp_jax.rewards.answer_markers import Vocabulary, read_vocabulary
from rlsp_jax.rewards.automaton import DEAD, END
from rlsp_jax.rewards.box_neighbours import may_be_operand, start_behind, step
from rlsp_jax.rewards.final_answer import absent_as_last, find_final_answer
from rlsp_jax.rewards.joined_boxes import may_be_joined
from rlsp_jax.rewards.plain_numbers import PlainTruth, compare, encode_plain
from rlsp_jax.rewards.token_reader import read_symbols
from rlsp_jax.types import Rollout, TokenBytes, Verdicts

_MARGIN = 8  # symbols beside an answer's bytes: what closes it, and tokens without bytes


class MathTruth(NamedTuple):
    """What the checker compares with: numpy where it is made, on the device where it is used."""

    number: PlainTruth
    text: UInt8[Array | np.ndarray, "batch answer_bytes"]  # zero-padded
    length: Int[Array | np.ndarray, " batch"]  # -1 where the text is not compared


@dataclasses.dataclass(frozen=True)
class MathChecker:
    """Judges the final answers of a rollout whose prompts carry a `MathTruth`; a problem's truth is its "answer".

    UNKNOWN, for the host to decide: an answer longer than `answer_bytes`, a quotient of numbers from 10⁹ on, words
    behind an answer that is not boxed, and a box beside an operator. `forgive_percent` and `unevaluated` are those of
    the host's verifier; with its other departures from equality, a tolerance and decimal commas, this checker is not
    for use.
    """

    answer_bytes: int = 64
    forgive_percent: bool = True
    unevaluated: bool = False

    def __post_init__(self):
        if self.answer_bytes < 1:
            raise UserError(f"answer_bytes is {self.answer_bytes}; an answer needs at least 1 byte.")

    def encode_truth(self, problems: Sequence[Problem]) -> MathTruth:
        golds = [problem.truth["answer"] for problem in problems]
        answers = [str(gold) if isinstance(gold, str | int | float) else "" for gold in golds]  # as the host takes them
        text = np.zeros((len(answers), self.answer_bytes), np.uint8)
        length = np.full(len(answers), -1, np.int32)
        for row, answer in enumerate(answers):
            data = answer.encode()
            if len(data) <= self.answer_bytes and any(map(str.isalnum, answer)) and "<|" not in answer:
                text[row, : len(data)], length[row] = list(data), len(data)
        return MathTruth(encode_plain([plain(answer) for answer in answers], self.answer_bytes), text, length)

    def read_vocabulary(self, token_bytes: TokenBytes) -> Vocabulary:
        return read_vocabulary(token_bytes)

    def __call__(self, rollout: Rollout, vocabulary: Vocabulary) -> Verdicts:
        truth: MathTruth = rollout.prompts.truth
        token_bytes = vocabulary.token_bytes
        tokens = absent_as_last(rollout.tokens, rollout.mask, vocabulary)
        found = find_final_answer(tokens, vocabulary)
        boxed, marked = found.box >= 0, found.hash >= 0
        place, offset = (
            jnp.where(boxed, box, hash_) for box, hash_ in zip(found.in_box, found.behind_hash, strict=True)
        )
        symbols = read_symbols(tokens, token_bytes, place, offset, self.answer_bytes + _MARGIN).symbol
        answer = compare(
            symbols, ~boxed, truth.number, forgive_percent=self.forgive_percent, unevaluated=self.unevaluated
        )
        box = _read_box(symbols, truth)
        same_text, nothing = boxed & box.same_text, boxed & (answer.empty | box.unclosed)
        single = ~boxed | (found.closed < 0) | ~may_be_joined(tokens, token_bytes, found)
        alone = ~boxed | nothing | ~(box.before_operator | may_be_operand(tokens, token_bytes, found))
        decided = same_text | nothing | (answer.plain & truth.number.known)
        right = same_text | (answer.right & ~nothing)
        outcome = jnp.where(right, jnp.int8(Verdict.CORRECT), jnp.int8(Verdict.WRONG))
        known = (boxed | marked) & ~found.odd & single & alone & decided
        answered = found.first >= 0
        return Verdicts(
            jnp.where(known, outcome, jnp.int8(Verdict.UNKNOWN)),
            jnp.where(answered, found.first, rollout.mask.sum(axis=1).astype(jnp.int32)),
            answered,
        )


class _Box(NamedTuple):
    unclosed: Bool[Array, " batch"]  # the text ends before the box does
    same_text: Bool[Array, " batch"]  # it holds the truth's text, byte for byte
    before_operator: Bool[Array, " batch"]  # there may be an operator behind it


class _BoxCarry(NamedTuple):
    """[batch] each."""

    depth: jax.Array  # 0 once the box is closed
    escaped: jax.Array  # behind a backslash, where a brace is a character
    length: jax.Array  # of what has been read inside of the box
    differs: jax.Array
    behind: jax.Array  # the state of what is read behind the box


def _read_box(symbols: Int[Array, "size batch"], truth: MathTruth) -> _Box:
    """What is to be seen in a box by its braces alone; the symbols begin behind its opening one."""
    text = jnp.asarray(truth.text)

    def read(was: _BoxCarry, symbol: jax.Array) -> tuple[_BoxCarry, None]:
        brace = (symbol == ord("{")).astype(jnp.int32) - (symbol == ord("}"))
        depth = jnp.where((was.depth > 0) & ~was.escaped, was.depth + brace, was.depth)
        inside = (depth > 0) & (symbol >= 0) & (symbol != END)
        expected = jnp.take_along_axis(text, was.length[:, None], axis=1, mode="clip")[:, 0]
        escaped = jnp.where(symbol < 0, was.escaped, (symbol == ord("\\")) & ~was.escaped)
        differs = was.differs | (inside & (symbol != expected))
        behind = jnp.where(was.depth == 0, step(was.behind, symbol), was.behind)
        return _BoxCarry(depth, escaped, was.length + inside, differs, behind), None

    zero = jnp.zeros_like(symbols[0])
    end, _ = jax.lax.scan(read, _BoxCarry(zero + 1, zero != 0, zero, zero != 0, zero + start_behind()), symbols)
    same_text = (end.depth == 0) & ~end.differs & (end.length == truth.length)
    return _Box((end.depth > 0) & (symbols[-1] == END), same_text, (end.depth == 0) & (end.behind != DEAD))
