"""`t1_qwen25_32b.py` from Qwen2.5-14B-Instruct, with responses of up to 10,240 tokens: the model of T1's ablations.

Data:      that of t1_qwen25_32b.py
Paper:     Advancing Language Model Reasoning through RL and Inference Scaling (2501.11651), T1
Command:   rlsp train experiments/t1_qwen25_14b.py --workdir runs/t1_qwen25_14b
Hardware:  32 × H100, 80 GB each
Published: MATH-500 78.9 → 77.2 (SFT) → 87.4; AIME 2024 13.7 → 10.3 → 30.5
Expect:    not yet run at this size
"""

import dataclasses

import t1_qwen25_32b

from rlsp_jax import checkpoints, data, models
from rlsp_jax.algorithms import rloo, sft
from rlsp_jax.models import ModelConfig
from rlsp_jax.sharding import MeshConfig
from rlsp_jax.training import Experiment

MAX_LENGTH = 12_288  # a prompt of 2,048 tokens and a response of 10,240


def get_config() -> Experiment:
    model = models.qwen25_14b(max_length=MAX_LENGTH, remat="full")
    return smaller("t1_qwen25_14b", "Qwen/Qwen2.5-14B-Instruct", model, MeshConfig(data=1, fsdp=8, tensor=4))


def smaller(name: str, source: str, model: ModelConfig, mesh: MeshConfig) -> Experiment:
    """The same run from another model, with the shorter responses that the paper gives to all but the largest."""
    base = t1_qwen25_32b.get_config()
    imitate, learn = base.stages
    assert isinstance(imitate, sft.Config) and isinstance(learn, rloo.Config)
    sampling = dataclasses.replace(t1_qwen25_32b.SAMPLING, max_response=10_240)
    return dataclasses.replace(
        base,
        name=name,
        model=model,
        weights=checkpoints.Pretrained(source),
        tokenizer=data.PretrainedTokenizer(source),
        mesh=mesh,
        stages=(
            dataclasses.replace(imitate, row_length=MAX_LENGTH),
            dataclasses.replace(learn, sampling=sampling),
        ),
        evals=tuple(dataclasses.replace(config, sampling=sampling) for config in base.evals),
    )
