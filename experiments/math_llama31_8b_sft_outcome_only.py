"""The row that RLSP's table lacks: SFT as in `math_llama31_8b_sft.py`, then PPO paid for the outcome alone.

Held against `math_llama31_8b_rlsp_judge.py`, it tells what the exploration reward adds to accuracy.

Data:      that of math_llama31_8b_sft.py
Paper:     On the Emergence of Thinking in LLMs I (2502.06773), beside Table 1
Command:   rlsp train experiments/math_llama31_8b_sft_outcome_only.py --workdir runs/math_llama31_8b_sft_outcome_only
Hardware:  32 × H100, 80 GB each
Published: nothing; the rows beside it are 70.2 (SFT) and 73.4 (SFT and RLSP) on MATH-500
Expect:    not yet run at this size
"""

import dataclasses

import math_llama31_8b_outcome_only
import math_llama31_8b_sft

from rlsp_jax import rewards
from rlsp_jax.schedules import Constant
from rlsp_jax.training import Experiment

# α = 1 in Eq. 1
STREAMS = (rewards.Stream("correctness", rewards.Correctness(), weight=Constant(1.0)),)


def get_config() -> Experiment:
    paid = math_llama31_8b_outcome_only.paid_by(STREAMS, "math_llama31_8b_sft_outcome_only")
    return dataclasses.replace(paid, stages=(math_llama31_8b_sft.SFT, *paid.stages))
