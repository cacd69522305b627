"""Dr. GRPO: GRPO without its two biases, the deviation of the group and the length of the response.

Paper:     Understanding R1-Zero-Like Training (2503.20783), Dr. GRPO
Command:   rlsp train experiments/countdown_dr_grpo.py --workdir runs/countdown_dr_grpo
Expect:    greedy 0.23 → 0.25, pass@1 0.17 → 0.23, backtracks 0.02 → 0.7 (means of 3 seeds, 512 problems, 2026-11-21)
"""

import countdown_rloo

from rlsp_jax.algorithms import rloo
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return countdown_rloo.without_critics("countdown_dr_grpo", rloo.dr_grpo(**countdown_rloo.shared()))
