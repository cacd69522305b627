"""Return-conditioned learning from the start that searches: `countdown_return_conditioned.py` without the stage before.

Paper:     Teaching Large Language Models to Reason with Reinforcement Learning (2403.04642), in miniature
Command:   rlsp train experiments/countdown_searching_return_conditioned.py --workdir runs/searching_return_conditioned
Hardware:  2 CPU cores
Expect:    not yet run
"""

import countdown_return_conditioned
from countdown_searching_base import from_searching_base

from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return from_searching_base(countdown_return_conditioned.get_config(), "countdown_searching_return_conditioned")
