"""`countdown_length.py` from the base that searches already: paid for length instead of search.

Command:   rlsp train experiments/countdown_searching_length.py --workdir runs/searching_length
Expect:    pass@1 0.60 → 0.60 (means of seeds 0 and 1, 512 problems, 2026-11-21)
"""

import countdown_length
from countdown_searching_base import from_searching_base

from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return from_searching_base(countdown_length.get_config(), "countdown_searching_length")
