"""Return-conditioned learning from the SFT of `gsm8k_llama2_7b_ppo.py`: label, imitate all, ask for right ones.

The labels are those of a trainer that the paper's first author had written before, `[Score: 1]`, and in their natural
ratio: balancing them is said to make it worse.

Data:      that of gsm8k_llama2_7b_ppo.py
Paper:     Teaching Large Language Models to Reason with Reinforcement Learning (2403.04642)
Command:   rlsp train experiments/gsm8k_llama2_7b_return_conditioned.py --workdir runs/return_conditioned
Hardware:  8 × A100, 80 GB each
Published: comparable to Expert Iteration, which is best in most settings; numbers were not at hand
Expect:    not yet run at this size
"""

import dataclasses

import gsm8k_llama2_7b_ppo

from rlsp_jax.algorithms import return_conditioned
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Cosine
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    base = gsm8k_llama2_7b_ppo.get_config()
    return dataclasses.replace(
        base,
        name="gsm8k_llama2_7b_return_conditioned",
        model=dataclasses.replace(base.model, value_heads=(), value_trunk="shared"),
        stages=(
            gsm8k_llama2_7b_ppo.SFT,
            return_conditioned.Config(
                num_problems=7_400,
                samples_per_prompt=8,
                sampling=gsm8k_llama2_7b_ppo.SAMPLING,
                draw_size=256,
                labels=return_conditioned.Outcomes(wrong="\n[Score: 0]", right="\n[Score: 1]"),
                num_steps=2_400,
                batch_size=8,
                row_length=1024,
                optimizer=AdamW(Cosine(1e-4, 2_400, warmup_steps=20)),
            ),
        ),
    )
