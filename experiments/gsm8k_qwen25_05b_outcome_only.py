"""`gsm8k_qwen25_05b_rlsp_length.py` without its length term: PPO paid for the outcome alone.

Paper:     On the Emergence of Thinking in LLMs I (2502.06773), on one GPU: what it is held against
Command:   rlsp train experiments/gsm8k_qwen25_05b_outcome_only.py --workdir runs/gsm8k_qwen25_05b_outcome_only
Hardware:  1 × L4, 24 GB each
Published: nothing at this size
Expect:    not yet run at this size
"""

import dataclasses

import gsm8k_qwen25_05b_rlsp_length

from rlsp_jax import rewards
from rlsp_jax.algorithms import ppo
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    base = gsm8k_qwen25_05b_rlsp_length.get_config()
    (last,) = base.stages
    assert isinstance(last, ppo.Config)
    stages = (dataclasses.replace(last, streams=(rewards.Stream("correctness", rewards.Correctness()),)),)
    return dataclasses.replace(base, name="gsm8k_qwen25_05b_outcome_only", stages=stages)
