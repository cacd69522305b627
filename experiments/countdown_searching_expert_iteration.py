"""Expert Iteration from the start that searches: `countdown_expert_iteration.py` without the stage before it.

Paper:     Teaching Large Language Models to Reason with Reinforcement Learning (2403.04642), in miniature
Command:   rlsp train experiments/countdown_searching_expert_iteration.py --workdir runs/searching_expert_iteration
Hardware:  2 CPU cores
Expect:    not yet run
"""

import countdown_expert_iteration
from countdown_searching_base import from_searching_base

from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return from_searching_base(countdown_expert_iteration.get_config(), "countdown_searching_expert_iteration")
