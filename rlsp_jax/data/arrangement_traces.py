"""Worked compositions as text: the arrangement after the first swaps, one by one or a few at a time, then the answer.

    dbaec 1:24 2:15 3:34
    1:deabc
    2:ceabd
    answer: cebad

A line is named by the last swap that it takes in, so that whoever writes may choose how many swaps to take at once;
to answer at once is to take them all.
"""

import dataclasses
import random

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.words import ANSWER
from rlsp_jax.data.permutations import arrangements
from rlsp_jax.records import Problem


@dataclasses.dataclass(frozen=True)
class ArrangementTraces:
    """Demonstrations of `Permutations` problems.

    direct: share of traces that give only an answer.
    strides: how many swaps a line takes in; one of these is drawn for each trace.
    """

    direct: float = 0.0
    strides: tuple[int, ...] = (1,)
    seed: int = 0

    def __post_init__(self):
        if not 0 <= self.direct <= 1:
            raise UserError(f"direct is {self.direct}; it is a probability and must lie between 0 and 1.")
        if not self.strides or min(self.strides) < 1:
            raise UserError(f"strides is {self.strides}; it needs at least one stride, and each must be at least 1.")

    def trace(self, problem: Problem, number: int) -> str:
        """Demonstration `number` of a problem: a pure function of the config, the problem and the number."""
        if "moves" not in problem.truth:
            raise UserError(f"{problem.question.strip()!r} is no Permutations problem, as ArrangementTraces needs.")
        passed = arrangements(problem.truth["start"], problem.truth["moves"])
        rng = random.Random(f"{self.seed}/{problem.question}/{number}")
        stride = len(passed) if rng.random() < self.direct else rng.choice(self.strides)
        lines = [f"{i}:{passed[i]}" for i in range(stride, len(passed) - 1, stride)]
        return "".join(f"\n{line}" for line in [*lines, f"{ANSWER} {passed[-1]}"])
