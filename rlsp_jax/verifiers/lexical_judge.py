"""How hard a response tries, by its words: a deterministic judge that needs no network."""

import functools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rlsp_jax.common import words
from rlsp_jax.common.errors import UserError
from rlsp_jax.verifiers.judge import Effort


@dataclass(frozen=True)
class LexicalJudge:
    """An `EffortJudge` that counts distinct search moves of three kinds, and knows nothing of what they mean.

        score = mean over the kinds of  n / (n + half),   n = distinct moves of the kind

    so `half` moves of each kind score 1/2, each further one earns less, and no single kind earns more than 1/3.

    A move is one of its kind's phrases, matched whole and without regard to case. Two moves of a kind are the same when
    the next `continuation` words are: those of the first line with words after the phrase, up to the next phrase. A
    phrase with nothing after it is no move. So saying it again earns nothing, nor do phrases piled upon each other; new
    words after them do, whether they make sense or not. The defaults read English and Countdown traces.
    """

    backtracks: tuple[str, ...] = (
        words.BACK, "wait", "start over", "dead end", "mistake", "doesn't work", "does not work", "on second thought",
    )  # fmt: skip
    verifications: tuple[str, ...] = (
        words.CHECK, "checking", "verify", "verifying", "confirm", "plug in", "substitute back", "make sure",
    )  # fmt: skip
    alternatives: tuple[str, ...] = (
        words.TRY, "trying", "alternatively", "another way", "another approach", "different approach", "instead",
        "what if",
    )  # fmt: skip
    half: float = 4.0
    continuation: int = 4  # words

    def __post_init__(self):
        for name, phrases in self.kinds().items():
            if isinstance(phrases, str) or not phrases or not all(phrases):
                raise UserError(f"{name} is {phrases!r}; it must be a tuple of one or more non-empty phrases.")
        if not 0 < self.half < float("inf"):
            raise UserError(f"half is {self.half}; it must be a positive, finite number of moves.")
        if self.continuation < 1:
            raise UserError(f"continuation is {self.continuation}; it needs at least 1 word.")

    def judge(self, items: Sequence[tuple[str, str]]) -> list[Effort]:
        """The efforts of (question, response) pairs, in order; the questions are not read."""
        return [self._effort(response) for _, response in items]

    def _effort(self, response: str) -> Effort:
        counts = self.count(response)
        score = sum(n / (n + self.half) for n in counts.values()) / len(counts)
        return Effort(score, ", ".join(f"{n} {kind}" for kind, n in counts.items()))

    def count(self, response: str) -> dict[str, int]:
        """Distinct moves by kind."""
        moves: set[tuple[str | None, tuple[str, ...]]] = set()
        follows: tuple[str, ...] = ()
        end = len(response)
        for match in reversed(list(_phrases(self).finditer(response))):
            # Of two phrases with nothing between them, both lead to what follows the second.
            follows = _first_words(response[match.end() : end], self.continuation) or follows
            if follows:
                moves.add((match.lastgroup, follows))
            end = match.start()
        counts = Counter(kind for kind, _ in moves)
        return {kind: counts[kind] for kind in self.kinds()}

    def kinds(self) -> dict[str, tuple[str, ...]]:
        """The phrases of each kind of move."""
        return dict(backtracks=self.backtracks, verifications=self.verifications, alternatives=self.alternatives)


def _first_words(text: str, number: int) -> tuple[str, ...]:
    """Up to `number` words from the first line that has any, without case and outer punctuation."""
    for line in text.split("\n"):
        if said := [word for raw in line.split() if (word := raw.strip(".,;:!?…\"'()*_").lower())]:
            return tuple(said[:number])
    return ()


@functools.lru_cache
def _phrases(judge: LexicalJudge) -> re.Pattern[str]:
    kinds = judge.kinds().items()
    return re.compile("|".join(f"(?P<{kind}>{words.any_of(phrases)})" for kind, phrases in kinds), re.IGNORECASE)
