"""`countdown_length_coupled.py` from the base that searches already: correctness and length added into one reward.

Command:   rlsp train experiments/countdown_searching_length_coupled.py --workdir runs/searching_length_coupled
Expect:    greedy 0.72 → 0.68, pass@1 0.59 → 0.61, cut off 4.9 % → 0.5 % (means of 3 seeds, 512 problems, 2026-11-21)
"""

import countdown_length_coupled
from countdown_searching_base import from_searching_base

from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return from_searching_base(countdown_length_coupled.get_config(), "countdown_searching_length_coupled")
