"""Which training problems are worth a policy's time: chosen once, by the policy that a stage begins with."""

import dataclasses

from rlsp_jax.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Difficulty:
    """Keep the problems that are solved sometimes and not often: a pass rate in (0, highest].

    T1 (2501.11651), App. A.1: 16 responses a question and (0, 0.3). The rate is of the responses whose verdict is
    known; a problem without any is dropped.
    """

    candidates: int  # training problems looked at
    samples: int = 16  # responses drawn for each
    highest: float = 0.3

    def __post_init__(self):
        _check_candidates(self.candidates)
        if self.samples < 1:
            raise UserError(f"select.samples is {self.samples}; a pass rate needs at least 1 response.")
        if not 0 < self.highest <= 1:
            raise UserError(f"select.highest is {self.highest}; a pass rate to keep lies in (0, 1].")

    def keeps(self, correct: int, known: int) -> bool:
        """Whether a problem stays with `correct` of `known` responses right."""
        return correct > 0 and correct / known <= self.highest

    @property
    def greedy(self) -> bool:
        return False


@dataclasses.dataclass(frozen=True)
class Unsolved:
    """Drop the problems whose greedy response is right (RLSP, 2502.06773, App. B.3: prompts already solved removed)."""

    candidates: int  # training problems looked at

    def __post_init__(self):
        _check_candidates(self.candidates)

    def keeps(self, correct: int, known: int) -> bool:
        """Whether a problem stays with `correct` of `known` greedy responses right; an unknown one may be wrong."""
        return correct == 0

    @property
    def samples(self) -> int:
        return 1

    @property
    def greedy(self) -> bool:
        return True


def _check_candidates(candidates: int) -> None:
    if candidates < 1:
        raise UserError(f"select.candidates is {candidates}; at least 1 problem must be looked at.")


Selection = Difficulty | Unsolved
