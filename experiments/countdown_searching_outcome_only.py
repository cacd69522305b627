"""`countdown_outcome_only.py` from the base that searches already: paid for being right and for nothing else.

Command:   rlsp train experiments/countdown_searching_outcome_only.py --workdir runs/searching_outcome_only
Expect:    pass@1 0.60 → 0.62, cut off 6.8 % → 12.4 % (means of seeds 0 and 1, 512 problems, 2026-11-21)
"""

import countdown_outcome_only
from countdown_searching_base import from_searching_base

from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return from_searching_base(countdown_outcome_only.get_config(), "countdown_searching_outcome_only")
