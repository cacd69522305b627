"""The Countdown answer on the host: a hand-written grammar and exact fractions, never `eval`.

The final answer is the text after the last "answer:", up to the end of its line. Blanks around tokens mean nothing:

    expr   := term (("+" | "-") term)*
    term   := factor (("*" | "/") factor)*
    factor := number | "(" expr ")"
    number := "0" | [1-9][0-9]*

It is correct when it uses each of the problem's numbers exactly once and its value is the target.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.words import ANSWER, GIVE_UP
from rlsp_jax.verifiers.outcome import Outcome

MAX_ANSWER_BYTES = 256

_T = TypeVar("_T")
_TOKEN = re.compile("[0-9]+|[^ ]")  # whatever is no token of the grammar is met, and refused, by the parser
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}
_TIMES = {1: "once", 2: "twice"}


@dataclass(frozen=True)
class Countdown:
    """Judges Countdown answers; one longer than `max_answer_bytes` is unknown, unread."""

    max_answer_bytes: int = MAX_ANSWER_BYTES

    def __post_init__(self):
        if self.max_answer_bytes < 1:
            raise UserError(f"max_answer_bytes is {self.max_answer_bytes}; an answer needs at least 1 byte.")

    def verify(self, truth: Mapping[str, Any], response: str) -> Outcome:
        return verify(truth, response, self.max_answer_bytes)

    def equivalence(self, answer: str) -> str | None:
        return None if _num_bytes(answer) > self.max_answer_bytes else canonical(answer)


def verify(truth: Mapping[str, Any], response: str, max_answer_bytes: int = MAX_ANSWER_BYTES) -> Outcome:
    """Judge a response against `{"numbers": [ints], "target": int}`."""
    text = extract(response)
    if text is None:
        return Outcome(Verdict.WRONG, None, "no final answer")
    answer = text.strip(" ")
    if (size := _num_bytes(text)) > max_answer_bytes:
        return Outcome(Verdict.UNKNOWN, answer, f"answer is {size} bytes, over the limit of {max_answer_bytes}")
    fault = _fault(truth, answer)
    return Outcome(Verdict.WRONG, answer, fault) if fault else Outcome(Verdict.CORRECT, answer, "correct")


def extract(response: str) -> str | None:
    """The text between the last "answer:" and the end of its line, blanks included; None without the marker."""
    _, marker, rest = response.rpartition(ANSWER)
    return rest.partition("\n")[0] if marker else None


def parse(answer: str) -> tuple[str, ...] | None:
    """The expression's tree as its tokens in postfix order, "(3*7)+12" as 3 7 * 12 +; None if it is no expression.

    The stack is explicit, so no answer is too deep: 100,000 parentheses are read like two.
    """
    postfix: list[str] = []
    pending: list[str] = []  # operators and "(" that wait for their right-hand side
    operand_due = True
    for token in _TOKEN.findall(answer):
        if operand_due and token == "(":
            pending.append(token)
        elif operand_due and _is_number(token):
            postfix.append(token)
            operand_due = False
        elif not operand_due and token in _PRECEDENCE:
            _settle(postfix, pending, _PRECEDENCE[token])
            pending.append(token)
            operand_due = True
        elif not operand_due and token == ")":
            _settle(postfix, pending, 0)
            if not pending:
                return None
            pending.pop()
        else:
            return None
    _settle(postfix, pending, 0)
    return None if operand_due or pending else tuple(postfix)


def evaluate(expression: Sequence[str]) -> Fraction:
    """The exact value of a parsed expression. Raises ZeroDivisionError."""

    def apply(operator: str, left: Fraction, right: Fraction) -> Fraction:
        match operator:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case _:
                return left / right

    return _fold(expression, Fraction, apply)


def canonical(answer: str) -> str | None:
    """One spelling for all answers that differ by the order of operands of + and * only; None if malformed."""

    def spell(operator: str, left: str, right: str) -> str:
        if operator in "+*":
            left, right = sorted((left, right))
        return f"({left}{operator}{right})"

    expression = parse(answer)
    return None if expression is None else _fold(expression, str, spell)


def _fault(truth: Mapping[str, Any], answer: str) -> str | None:
    """What is wrong with an answer, or None."""
    if not answer:
        return "empty answer"
    if answer == GIVE_UP:
        return "gave up"
    expression = parse(answer)
    if expression is None:
        return "not an expression"
    # Numbers are compared as text, which is exact without leading zeros: no foreign number is ever computed with.
    used = Counter(token for token in expression if token not in _PRECEDENCE)
    if fault := _misuse(used, Counter(map(str, truth["numbers"]))):
        return fault
    try:
        value = evaluate(expression)
    except ZeroDivisionError:
        return "divides by zero"
    return None if value == truth["target"] else f"value is {value}, not {truth['target']}"


def _misuse(used: Counter[str], given: Counter[str]) -> str | None:
    """How the numbers used differ from the numbers given, or None."""
    for number in used - given:
        times = _TIMES.get(used[number], f"{used[number]} times")
        return f"uses {number} {times}" if given[number] else f"uses {number}, which is not given"
    for number in given - used:
        times = _TIMES.get(used[number], f"{used[number]} times")
        return f"uses {number} only {times}" if used[number] else f"does not use {number}"
    return None


def _settle(postfix: list[str], pending: list[str], precedence: int) -> None:
    """Write out the waiting operators that bind at least as tightly, back to the last open parenthesis."""
    while pending and _PRECEDENCE.get(pending[-1], -1) >= precedence:
        postfix.append(pending.pop())


def _fold(expression: Sequence[str], leaf: Callable[[str], _T], node: Callable[[str, _T, _T], _T]) -> _T:
    stack: list[_T] = []
    for token in expression:
        if token in _PRECEDENCE:
            right, left = stack.pop(), stack.pop()
            stack.append(node(token, left, right))
        else:
            stack.append(leaf(token))
    return stack.pop()


def _is_number(token: str) -> bool:
    return token == "0" or token[0] in "123456789"


def _num_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
