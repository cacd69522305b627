"""`countdown_length.py` from the base that searches already: paid for length instead of search.

Command:   rlsp train experiments/countdown_searching_length.py --workdir runs/searching_length
Expect:    not yet run
"""

import countdown_length
from countdown_searching_base import from_searching_base

from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return from_searching_base(countdown_length.get_config(), "countdown_searching_length")
