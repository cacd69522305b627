"""`countdown_outcome_only.py` from the base that searches already: paid for being right and for nothing else.

Command:   rlsp train experiments/countdown_searching_outcome_only.py --workdir runs/searching_outcome_only
Expect:    greedy 0.72 → 0.69, pass@1 0.59 → 0.62, cut off 4.9 % → 9.0 % (means of 3 seeds, 512 problems, 2026-11-21)
"""

import countdown_outcome_only
from countdown_searching_base import from_searching_base

from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return from_searching_base(countdown_outcome_only.get_config(), "countdown_searching_outcome_only")
