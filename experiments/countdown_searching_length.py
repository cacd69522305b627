"""`countdown_length.py` from the base that searches already: paid for length instead of search.

Command:   rlsp train experiments/countdown_searching_length.py --workdir runs/searching_length
Expect:    greedy 0.72 → 0.67, pass@1 0.59 → 0.60, cut off 4.9 % → 0.3 % (means of 3 seeds, 512 problems, 2026-11-21)
"""

import countdown_length
from countdown_searching_base import from_searching_base

from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return from_searching_base(countdown_length.get_config(), "countdown_searching_length")
