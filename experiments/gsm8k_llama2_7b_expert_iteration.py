"""Expert Iteration from the SFT of `gsm8k_llama2_7b_ppo.py`: all training problems in each of four rounds.

Each round imitates the correct responses of all rounds so far, and begins where the stage began: behind SFT here, while
the paper's rounds are said to begin as the pretrained model.

Data:      that of gsm8k_llama2_7b_ppo.py
Paper:     Teaching Large Language Models to Reason with Reinforcement Learning (2403.04642)
Command:   rlsp train experiments/gsm8k_llama2_7b_expert_iteration.py --workdir runs/gsm8k_llama2_7b_expert_iteration
Hardware:  8 × A100, 80 GB each
Published: best in most settings; as others report it, about 7 points of greedy accuracy above SFT at this size
Expect:    not yet run at this size
"""

import dataclasses

import gsm8k_llama2_7b_ppo

from rlsp_jax.algorithms import expert_iteration
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Cosine
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    base = gsm8k_llama2_7b_ppo.get_config()
    return dataclasses.replace(
        base,
        name="gsm8k_llama2_7b_expert_iteration",
        model=dataclasses.replace(base.model, value_heads=(), value_trunk="shared"),
        stages=(
            gsm8k_llama2_7b_ppo.SFT,
            expert_iteration.Config(
                rounds=4,
                problems_per_round=7_400,
                samples_per_prompt=4,  # 96 in some of the paper's settings
                sampling=SamplingConfig(max_response=384, temperature=1.0),
                draw_size=256,
                steps_per_round=800,
                batch_size=8,
                row_length=1024,
                optimizer=AdamW(Cosine(1e-4, 800, warmup_steps=20)),
            ),
        ),
    )
