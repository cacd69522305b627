r"""Answers in mathematics: whether the last final answer of a response is the gold answer.

What is equal and what is not is told in `docs/verifier.md`. Nothing that a model wrote is ever evaluated as code.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.rationals import Plain, plain
from rlsp_jax.verifiers.computed import leaves_to_compute
from rlsp_jax.verifiers.equivalence import same, signature
from rlsp_jax.verifiers.errors import NotUnderstood, TooLarge
from rlsp_jax.verifiers.extract import final_answer
from rlsp_jax.verifiers.lexer import tokenize
from rlsp_jax.verifiers.numeric import exact, identical, is_too_large, near
from rlsp_jax.verifiers.outcome import Outcome
from rlsp_jax.verifiers.parser import parse
from rlsp_jax.verifiers.quantities import measure
from rlsp_jax.verifiers.spellings import choice, chosen, dashed, same_time, time_of_day, unwrapped, words
from rlsp_jax.verifiers.terms import Apply, Number, Term
from rlsp_jax.verifiers.values import has_value

MAX_ANSWER = 2000  # characters
CACHE_SIZE = 4096  # comparisons that a process remembers, of a few kilobytes at most


@dataclass(frozen=True)
class Math:
    """Judges mathematical answers; the fields are what people disagree about.

    fallback: without a box or a marker, take the last formula or number.
    forgive_percent: `12%` is right for a gold 12 (and always for a gold 0.12).
    unevaluated: arithmetic that is left to do (`2^{10}`, `56/8`) is right for the number that it comes to.
    decimal_comma: `1,5` is one and a half, and no pair.
    tolerance: the relative error that is forgiven where the gold is no whole number; 0 asks for equality.
    """

    fallback: bool = True
    forgive_percent: bool = True
    unevaluated: bool = False
    decimal_comma: bool = False
    tolerance: float = 0.0

    def __post_init__(self):
        if not 0 <= self.tolerance < 1:
            raise UserError(f"tolerance is {self.tolerance}; it must be 0 or more and less than 1.")

    def verify(self, truth: str | Mapping[str, Any], response: str | None) -> Outcome:
        """Judge the last final answer of a response against the gold answer, or a problem's `{"answer": gold}`."""
        found = final_answer(response or "", fallback=self.fallback)
        if found is None:
            return Outcome(Verdict.WRONG, None, "no final answer")
        return self.compare(truth, found.text)

    def compare(self, truth: str | Mapping[str, Any], answer: str) -> Outcome:
        """Judge a bare answer."""
        gold = _gold(truth)
        if gold is None:
            empty = not unwrapped(answer[:MAX_ANSWER])
            return Outcome(Verdict.WRONG if empty else Verdict.UNKNOWN, answer[:100], "no gold answer")
        if len(answer) > MAX_ANSWER or len(gold) > MAX_ANSWER:
            return _compare_long(gold.strip(), answer.strip())
        return _compare(self, gold, answer)

    def _compare(self, gold: str, answer: str) -> Outcome:
        gold, answer = unwrapped(gold), unwrapped(answer)
        if self.decimal_comma:
            gold, answer = (_DECIMAL_COMMA.sub(r"\1.\2", text) for text in (gold, answer))
        if not answer:
            return Outcome(Verdict.WRONG, answer, "empty answer")
        if gold == answer:
            return Outcome(Verdict.CORRECT, answer, "the same text")
        first, second = plain(gold), plain(answer)
        if first and second:
            return self._compare_plain(first, second, answer)
        return self._compare_terms(gold, answer)

    def _compare_plain(self, gold: Plain, answer: Plain, text: str) -> Outcome:
        same_sign = not (gold.percent and answer.degree or gold.degree and answer.percent)
        forgiven = gold.percent or not answer.percent or self.forgive_percent
        right = gold.value == answer.value and same_sign and forgiven
        if gold.percent != answer.percent and not right and same_sign:
            right = gold.value / (100 if gold.percent else 1) == answer.value / (100 if answer.percent else 1)
        if self.tolerance and same_sign and forgiven and gold.value.denominator != 1:
            right = right or abs(gold.value - answer.value) <= Fraction(self.tolerance) * abs(gold.value)
        if right and answer.divided and not gold.divided and not self.unevaluated:
            return Outcome(Verdict.WRONG, text, "a quotient left to compute")
        return Outcome(Verdict.CORRECT if right else Verdict.WRONG, text, "equal numbers" if right else "other number")

    def _compare_terms(self, gold: str, answer: str) -> Outcome:
        if (letter := choice(gold)) is not None and (picked := chosen(answer)) is not None:
            return _verdict(letter == picked, answer, "choice")
        if (time := time_of_day(gold)) is not None and (told := time_of_day(answer)) is not None:
            return _verdict(same_time(time, told), answer, "time")
        if (numbers := dashed(gold)) is not None:
            return _verdict(numbers == dashed(answer), answer, "score or date")
        if words(gold) and words(gold) == words(answer):
            return _verdict(True, answer, "text")
        reasons: list[str] = []
        golds = _readings(gold, reasons)
        if not golds and words(gold):
            return _verdict(False, answer, "text")
        if not golds:
            return Outcome(Verdict.UNKNOWN, answer, f"gold {reasons[0]}")
        answers = _readings(answer, reasons)
        for first in golds:
            for second in answers:
                try:
                    if self._is_right(first, second):
                        return Outcome(Verdict.CORRECT, answer, "equivalent")
                except TooLarge as error:
                    if is_too_large(first):
                        return Outcome(Verdict.UNKNOWN, answer, f"too large: {error}")
                    reasons.append(f"too large: {error}")
                except (NotUnderstood, ArithmeticError) as error:
                    reasons.append(str(error) or type(error).__name__)
        if not all(map(has_value, golds)):
            return Outcome(Verdict.UNKNOWN, answer, "gold has no value, and the answer is not written as it is")
        return Outcome(Verdict.WRONG, answer, reasons[0] if reasons else "different")

    def _is_right(self, gold: Term, answer: Term) -> bool:
        if not self.forgive_percent and measure(answer)[1] == "percent" != measure(gold)[1]:
            share = Apply("mul", (measure(answer)[0], Number(Fraction(1, 100))))
            right = exact(gold) is not None and exact(gold) == exact(share)
        else:
            right = same(gold, answer) or self._allows(gold, answer)
        return right and (self.unevaluated or not leaves_to_compute(gold, answer))

    def _allows(self, gold: Term, answer: Term) -> bool:
        """What the settings forgive beyond equality."""
        whole = exact(gold)
        if self.unevaluated and whole is not None and identical(gold, answer):
            return True
        return self.tolerance > 0 and (whole is None or whole.denominator != 1) and near(gold, answer, self.tolerance)

    def equivalence(self, answer: str) -> str | None:
        """The class of equal answers that `answer` votes for in maj@k; None casts no vote."""
        if len(answer) > MAX_ANSWER:
            return None
        text = unwrapped(answer)
        if (number := plain(text)) is not None:
            return f"{number.value}{'%' if number.percent else ''}"
        try:
            readings = _readings(text, [])
            return signature(readings[0]) if readings else text or None
        except (NotUnderstood, TooLarge, ArithmeticError):
            return text


@functools.lru_cache(CACHE_SIZE)
def _compare(math: Math, gold: str, answer: str) -> Outcome:
    """Samples of one problem mostly end in the same few answers; each is compared once."""
    return math._compare(gold, answer)


def forget_comparisons() -> None:
    """Compare anew what was compared before: for those who measure how fast that is."""
    _compare.cache_clear()


def _gold(truth: str | Mapping[str, Any]) -> str | None:
    """The gold answer as text; None where there is none."""
    gold = truth if isinstance(truth, str) else truth["answer"]
    return str(gold) if isinstance(gold, str | int | float) else None


def _compare_long(gold: str, answer: str) -> Outcome:
    """Too long to be read: equal only where it is the same text, and unknown where that is the gold's fault."""
    if gold == answer:
        return Outcome(Verdict.CORRECT, answer[:100], "the same text")
    if len(gold) > MAX_ANSWER and not (gold.isdecimal() and answer.isdecimal()):
        return Outcome(Verdict.UNKNOWN, answer[:100], f"too large: the gold is longer than {MAX_ANSWER} characters")
    return Outcome(Verdict.WRONG, answer[:100], f"longer than {MAX_ANSWER} characters")


def _readings(text: str, reasons: list[str]) -> list[Term]:
    """The ways to read an answer: `1,234` as a number and as a list."""
    terms: list[Term] = []
    for thousands in (True, False):
        try:
            term = parse(tokenize(text, thousands=thousands))
        except NotUnderstood as error:
            reasons.append(f"not understood: {error}")
            left, _, right = text.rpartition("=")  # `\lim … = 1`: what it is said to be
            if not _CALCULATION.match(left) or not right.strip() or _ENUMERATION.search(text):
                continue
            try:
                term = parse(tokenize(right, thousands=thousands))
            except NotUnderstood:
                continue
        if term not in terms:
            terms.append(term)
    return terms


_DECIMAL_COMMA = re.compile(r"(?<![\d,(\[{])(\d+),(\d{1,2}|\d{4,})(?![\d,)\]}])")
_CALCULATION = re.compile(
    r"\s*\$?\s*\\(?:lim|int|iint|iiint|oint|sum|prod|det|begin|sup|inf|max|min|gcd|deg)(?![A-Za-z])"
)
_ENUMERATION = re.compile(r"[,;]|\b(?:and|or)\b")


def _verdict(right: bool, answer: str, reason: str) -> Outcome:
    return Outcome(
        Verdict.CORRECT if right else Verdict.WRONG, answer, f"the same {reason}" if right else f"other {reason}"
    )
