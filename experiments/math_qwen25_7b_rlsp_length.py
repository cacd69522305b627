"""`math_llama31_8b_rlsp_length.py` from Qwen2.5-7B-Instruct.

The prompt is the released code's, which leaves out the system message that the checkpoint's chat template would write.

Data:      that of math_llama31_8b_rlsp_length.py
Paper:     On the Emergence of Thinking in LLMs I (2502.06773), §3
Command:   rlsp train experiments/math_qwen25_7b_rlsp_length.py --workdir runs/math_qwen25_7b_rlsp_length
Hardware:  16 × H100, 80 GB each
Published: for mathematics nothing; for code with the length term ≈ 1,000 → ≈ 7,000 tokens over 700 updates
Expect:    not yet run at this size
"""

import dataclasses

import math_llama31_8b_rlsp_length

from rlsp_jax import checkpoints, data, models
from rlsp_jax.sharding import MeshConfig
from rlsp_jax.training import Experiment

SOURCE = "Qwen/Qwen2.5-7B-Instruct"
PROMPTS = data.Plain(before="<|im_start|>user\nProblem:", after="<|im_end|>\n<|im_start|>assistant\n")


def get_config() -> Experiment:
    base = math_llama31_8b_rlsp_length.get_config()
    return dataclasses.replace(
        base,
        name="math_qwen25_7b_rlsp_length",
        model=models.qwen25_7b(value_heads=("total",), value_trunk="separate", max_length=10_240, remat="full"),
        weights=checkpoints.Pretrained(SOURCE),
        tokenizer=data.PretrainedTokenizer(SOURCE),
        prompts=PROMPTS,
        mesh=MeshConfig(data=1, fsdp=4, tensor=4),  # the model has four heads of keys
    )
