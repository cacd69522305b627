"""`countdown_grpo.py` paid for being right and for nothing else: groups normalised by their deviation, and no search.

Paper:     DeepSeekMath (2402.03300), GRPO
Command:   rlsp train experiments/countdown_grpo_outcome_only.py --workdir runs/countdown_grpo_outcome_only
Expect:    greedy 0.23 → 0.26, pass@1 0.17 → 0.25 (means of 3 seeds, 512 problems, 2026-11-21)
"""

import countdown_grpo
from countdown_rloo_outcome_only import for_outcome_only

from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return for_outcome_only(countdown_grpo.get_config())
