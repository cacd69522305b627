"""`math_llama31_8b_rlsp_length.py` by the paper's own formula: R = 0.8 · 1[correct] − 0.2 · 1000/|o| (Eq. 1).

At 900 tokens the length term is −0.22, where the released code pays −1.1: less than correctness is worth.

Paper:     On the Emergence of Thinking in LLMs I (2502.06773), Eq. 1 and App. B.4
Command:   rlsp train experiments/math_llama31_8b_paper_mode.py --workdir runs/math_llama31_8b_paper_mode
Hardware:  32 × H100, 80 GB each
Published: nothing that is known to have been computed so
Expect:    not yet run at this size
"""

import math_llama31_8b_outcome_only

from rlsp_jax.rewards import rlsp
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return math_llama31_8b_outcome_only.paid_by(rlsp.paper(), "math_llama31_8b_paper_mode")
