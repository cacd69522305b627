"""GRPO: the mixed reward of a response, normalised by mean and deviation of its group, and clipped ratios.

Within a group of equal outcomes the exploration reward, however small its weight, is all there is and is blown up to
unit variance: what `countdown_rloo.py` avoids.

Paper:     DeepSeekMath (2402.03300), GRPO
Command:   rlsp train experiments/countdown_grpo.py --workdir runs/countdown_grpo
Expect:    greedy 0.23 → 0.35, pass@1 0.17 → 0.31, backtracks 0.02 → 2.3 (means of 3 seeds, 512 problems, 2026-11-21)
"""

import countdown_rloo

from rlsp_jax.algorithms import rloo
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return countdown_rloo.without_critics("countdown_grpo", rloo.grpo(**countdown_rloo.shared(), kl=None))
