"""Read one response as moves of a search, and count what the search did. Pure functions of text."""

import dataclasses
import functools
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from rlsp_jax.behaviors.lexicon import COUNTDOWN, Lexicon
from rlsp_jax.common.words import any_of

Kind = Literal["text", "try", "check", "passed", "failed", "back", "answer"]

_CHECKS = ("check", "passed", "failed")
_NGRAM = 8


class Segment(NamedTuple):
    """A stretch of a response that makes one move; "check" is a verification that does not say how it came out."""

    kind: Kind
    text: str


@dataclasses.dataclass(frozen=True)
class Counts:
    """What one response did.

    backtracks      places where the search says that it turns back
    verifications   results held against the target
    attempts        distinct verified attempts: the same attempt below the same steps counts once
    wrong_to_right  a verification failed, and the final answer is correct
    repetition      share of the text that was said before, in [0, 1]: the larger of the share of repeated lines
                    (of two words or more) and the share of repeated 8-grams of words
    """

    backtracks: int
    verifications: int
    attempts: int
    wrong_to_right: bool
    repetition: float


def detect(response: str, correct: bool, lexicon: Lexicon = COUNTDOWN) -> Counts:
    """Count the behaviours of one response; `correct` is the verifier's word on its final answer."""
    moves = segments(response, lexicon)
    kinds = [move.kind for move in moves]
    return Counts(
        backtracks=kinds.count("back"),
        verifications=sum(kinds.count(check) for check in _CHECKS),
        attempts=_distinct_attempts(moves),
        wrong_to_right=correct and "failed" in kinds,
        repetition=repetition(response),
    )


def segments(response: str, lexicon: Lexicon = COUNTDOWN) -> tuple[Segment, ...]:
    """Cut a response into moves. A move begins at its word and ends before the next one, or with its line.

    An answer takes the rest of its line. The texts put together are the response.
    """
    found: list[Segment] = []
    for line in re.findall(r"[^\n]*\n|[^\n]+", response):
        start, kind = 0, "text"
        for match in _marker(lexicon).finditer(line):
            if match.start() > start:
                found.append(_segment(kind, line[start : match.start()], lexicon))
            start, kind = match.start(), match.lastgroup or "text"
            if kind == "answer":
                break
        found.append(_segment(kind, line[start:], lexicon))
    return tuple(found)


def repetition(response: str) -> float:
    """The larger of the shares of repeated lines (two words or more) and of repeated 8-grams of words."""
    lines = [" ".join(line.split()) for line in response.split("\n")]
    words = response.split()
    ngrams = [tuple(words[i : i + _NGRAM]) for i in range(len(words) - _NGRAM + 1)]
    return max(_repeated([line for line in lines if " " in line]), _repeated(ngrams))


def _repeated(items: Sequence) -> float:
    return 1 - len(set(items)) / len(items) if items else 0.0


def _segment(kind: str, text: str, lexicon: Lexicon) -> Segment:
    if kind != "check":
        return Segment(kind, text)  # pyright: ignore[reportArgumentType]  the groups of _marker are the kinds
    outcomes = _outcome(lexicon).findall(text)
    if not outcomes:
        return Segment("check", text)
    return Segment("passed" if outcomes[-1][0] else "failed", text)


def _distinct_attempts(moves: Sequence[Segment]) -> int:
    """Walk the search with the steps that led here; what they are matters, not their order or number.

    A "back" right after a check leaves the attempt just checked; any other leaves the last open step.
    """
    path: list[str] = []
    attempts: set[tuple[frozenset[str], str]] = set()
    said = [move for move in moves if move.kind != "text"]
    for i, move in enumerate(said):
        checked = i + 1 < len(said) and said[i + 1].kind in _CHECKS
        step = re.sub(r"\s+", "", move.text).lower()
        if move.kind == "try" and checked:
            attempts.add((frozenset(path), step))
        elif move.kind == "try":
            path.append(step)
        elif move.kind == "back" and path and said[i - 1].kind not in _CHECKS:
            path.pop()
    return len(attempts)


@functools.lru_cache
def _marker(lexicon: Lexicon) -> re.Pattern[str]:
    groups = {
        "try": lexicon.attempt,
        "check": lexicon.verify,
        "back": lexicon.backtrack,
        "answer": lexicon.answer,
    }
    return re.compile("|".join(f"(?P<{kind}>{any_of(phrases)})" for kind, phrases in groups.items()), re.IGNORECASE)


@functools.lru_cache
def _outcome(lexicon: Lexicon) -> re.Pattern[str]:
    return re.compile(f"({any_of(lexicon.passed)})|({any_of(lexicon.failed)})", re.IGNORECASE)
