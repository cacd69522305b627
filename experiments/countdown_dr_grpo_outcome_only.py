"""`countdown_dr_grpo.py` paid for being right and for nothing else: groups without that division, and without a search.

Paper:     Understanding R1-Zero-Like Training (2503.20783), Dr. GRPO
Command:   rlsp train experiments/countdown_dr_grpo_outcome_only.py --workdir runs/countdown_dr_grpo_outcome_only
Expect:    greedy 0.23 → 0.26, pass@1 0.17 → 0.23 (means of 3 seeds, 512 problems, 2026-11-21)
"""

import countdown_dr_grpo
from countdown_rloo_outcome_only import for_outcome_only

from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return for_outcome_only(countdown_dr_grpo.get_config())
