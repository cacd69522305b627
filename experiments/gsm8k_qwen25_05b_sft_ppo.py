"""Qwen2.5-0.5B, the base model, on one GPU: imitate GSM8K's solutions, then PPO paid for the outcome.

Paper:     Teaching Large Language Models to Reason with Reinforcement Learning (2403.04642), on one GPU
Command:   rlsp train experiments/gsm8k_qwen25_05b_sft_ppo.py --workdir runs/gsm8k_qwen25_05b_sft_ppo
Hardware:  1 × L4, 24 GB each
Published: nothing at this size
Expect:    not yet run at this size
"""

import dataclasses

import gsm8k_qwen25_05b_outcome_only

from rlsp_jax import checkpoints, data
from rlsp_jax.algorithms import sft
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Cosine
from rlsp_jax.training import Experiment

SOURCE = "Qwen/Qwen2.5-0.5B"


def get_config() -> Experiment:
    base = gsm8k_qwen25_05b_outcome_only.get_config()
    imitate = sft.Config(
        demonstrations=data.GSM8KSolutions(),
        num_demonstrations=7_473,
        num_steps=900,
        batch_size=4,
        row_length=1024,
        micro_batches=2,
        optimizer=AdamW(Cosine(1e-4, 900, warmup_steps=20)),
    )
    return dataclasses.replace(
        base,
        name="gsm8k_qwen25_05b_sft_ppo",
        weights=checkpoints.Pretrained(SOURCE),
        tokenizer=data.PretrainedTokenizer(SOURCE),
        prompts=data.Plain(before="Q: ", after="\nA: "),
        stages=(imitate, *base.stages),
    )
