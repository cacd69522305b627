"""Dr. GRPO: GRPO without its two biases, the deviation of the group and the length of the response.

Paper:     Understanding R1-Zero-Like Training (2503.20783), Dr. GRPO
Command:   rlsp train experiments/countdown_dr_grpo.py --workdir runs/countdown_dr_grpo
Expect:    not yet run without an entropy bonus (with it: docs/results/algorithms.md)
"""

import countdown_rloo

from rlsp_jax.algorithms import rloo
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return countdown_rloo.without_critics("countdown_dr_grpo", rloo.dr_grpo(**countdown_rloo.shared()))
