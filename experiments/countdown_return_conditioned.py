"""Return-conditioned learning on Countdown: label 15,360 responses right or wrong, imitate all, ask for right ones.

The same start as `countdown_rlsp.py` and as many responses as its PPO draws. The labels are lines of the prompt, of
pieces that the tokenizer knows.

Paper:     Teaching Large Language Models to Reason with Reinforcement Learning (2403.04642), in miniature
Command:   rlsp train experiments/countdown_return_conditioned.py --workdir runs/countdown_return_conditioned
Hardware:  2 CPU cores
Expect:    greedy 0.23 → 0.26, pass@1 0.17 → 0.20 (means of 3 seeds, 512 problems, 2026-11-21)
"""

import dataclasses

import countdown_rlsp

from rlsp_jax.algorithms import return_conditioned
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Cosine
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    base = countdown_rlsp.get_config()
    *sft, _ = base.stages
    return dataclasses.replace(
        base,
        name="countdown_return_conditioned",
        stages=(
            *sft,
            return_conditioned.Config(
                num_problems=1920,
                samples_per_prompt=8,
                sampling=countdown_rlsp.SAMPLING,
                labels=return_conditioned.Outcomes(wrong="-\n", right="+\n"),
                num_steps=1600,
                batch_size=5,
                row_length=184,
                optimizer=AdamW(Cosine(5e-4, 1600, warmup_steps=20), b2=0.99, weight_decay=0.1),
            ),
        ),
    )
