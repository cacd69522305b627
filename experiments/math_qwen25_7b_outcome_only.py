"""`math_qwen25_7b_rlsp_length.py` without its length term: PPO paid for the outcome, and −0.5 for no box.

Data:      that of math_llama31_8b_rlsp_length.py
Paper:     On the Emergence of Thinking in LLMs I (2502.06773), §3
Command:   rlsp train experiments/math_qwen25_7b_outcome_only.py --workdir runs/math_qwen25_7b_outcome_only
Hardware:  16 × H100, 80 GB each
Published: response length ≈ 400 → ≈ 600: with this model it grows by itself; no accuracy
Expect:    not yet run at this size
"""

import dataclasses

import math_qwen25_7b_rlsp_length

from rlsp_jax.algorithms import ppo
from rlsp_jax.rewards import rlsp
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    base = math_qwen25_7b_rlsp_length.get_config()
    (last,) = base.stages
    assert isinstance(last, ppo.Config)
    stages = (dataclasses.replace(last, streams=rlsp.code(scale=0.0)),)
    return dataclasses.replace(base, name="math_qwen25_7b_outcome_only", stages=stages)
