"""`gsm8k_qwen25_05b_outcome_only.py` with Qwen2.5-1.5B-Instruct.

Paper:     On the Emergence of Thinking in LLMs I (2502.06773), on one GPU: what it is held against
Command:   rlsp train experiments/gsm8k_qwen25_15b_outcome_only.py --workdir runs/gsm8k_qwen25_15b_outcome_only
Hardware:  1 × L4, 24 GB each
Published: nothing at this size
Expect:    not yet run at this size
"""

import dataclasses

import gsm8k_qwen25_05b_outcome_only

from rlsp_jax import checkpoints, data, models
from rlsp_jax.training import Experiment

SOURCE = "Qwen/Qwen2.5-1.5B-Instruct"


def get_config() -> Experiment:
    return enlarged(gsm8k_qwen25_05b_outcome_only.get_config(), "gsm8k_qwen25_15b_outcome_only")


def enlarged(base: Experiment, name: str) -> Experiment:
    """The same run with the larger model."""
    small = base.model
    return dataclasses.replace(
        base,
        name=name,
        model=models.qwen25_15b(
            value_heads=small.value_heads,
            value_trunk=small.value_trunk,
            max_length=small.max_length,
            remat=small.remat,
            lora=small.lora,
            param_dtype=small.param_dtype,
        ),
        weights=checkpoints.Pretrained(SOURCE),
        tokenizer=data.PretrainedTokenizer(SOURCE),
    )
