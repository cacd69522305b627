"""`gsm8k_qwen25_05b_rlsp_length.py` with Qwen2.5-1.5B-Instruct.

Paper:     On the Emergence of Thinking in LLMs I (2502.06773), on one GPU
Command:   rlsp train experiments/gsm8k_qwen25_15b_rlsp_length.py --workdir runs/gsm8k_qwen25_15b_rlsp_length
Hardware:  1 × L4, 24 GB each
Published: nothing on GSM8K; others' replication on MATH-500 has 0.400 → 0.436 with PPO, adapters and a length term
Expect:    not yet run at this size
"""

import gsm8k_qwen25_05b_rlsp_length
from gsm8k_qwen25_15b_outcome_only import enlarged

from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return enlarged(gsm8k_qwen25_05b_rlsp_length.get_config(), "gsm8k_qwen25_15b_rlsp_length")
