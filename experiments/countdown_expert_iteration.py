"""Expert Iteration on Countdown: the same start as `countdown_rlsp.py`, then draw, keep what is right, imitate, again.

Every round begins where the stage began and imitates the correct responses of all rounds so far. All rounds together
draw as many responses as the PPO of `countdown_rlsp.py`: 15,360.

Paper:     Teaching Large Language Models to Reason with Reinforcement Learning (2403.04642), in miniature
Command:   rlsp train experiments/countdown_expert_iteration.py --workdir runs/countdown_expert_iteration
Hardware:  2 CPU cores
Expect:    greedy 0.23 → 0.29, pass@1 0.17 → 0.26 (means of 3 seeds, 512 problems, 2026-11-21)
"""

import dataclasses

import countdown_rlsp

from rlsp_jax.algorithms import expert_iteration
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Cosine
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    base = countdown_rlsp.get_config()
    *sft, _ = base.stages
    return dataclasses.replace(
        base,
        name="countdown_expert_iteration",
        stages=(
            *sft,
            expert_iteration.Config(
                rounds=4,
                problems_per_round=480,
                samples_per_prompt=8,
                sampling=countdown_rlsp.SAMPLING,
                steps_per_round=400,
                batch_size=5,
                row_length=184,
                optimizer=AdamW(Cosine(5e-4, 400, warmup_steps=20), b2=0.99, weight_decay=0.1),
            ),
        ),
    )
