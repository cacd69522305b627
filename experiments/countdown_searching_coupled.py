"""`countdown_coupled.py` from the base that searches already: its two streams added before one critic sees them.

Command:   rlsp train experiments/countdown_searching_coupled.py --workdir runs/searching_coupled
Expect:    greedy 0.72 → 0.71, pass@1 0.59 → 0.65, cut off 4.9 % → 1.1 % (means of 3 seeds, 512 problems, 2026-11-21)
"""

import countdown_coupled
from countdown_searching_base import from_searching_base

from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return from_searching_base(countdown_coupled.get_config(), "countdown_searching_coupled")
