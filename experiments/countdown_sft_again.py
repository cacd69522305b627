"""What imitating a few demonstrations again and again does to the model that searches: 500 of them, 4 times each.

Fine-tuning is said to raise what a majority of answers is worth and to lower the chance that one of many is right. For
1 and 16 passes, `--set stages.1.num_steps=41` with `--set stages.1.optimizer.learning_rate.num_steps=41`, or
656 in both.

Paper:     Teaching Large Language Models to Reason with Reinforcement Learning (2403.04642)
Command:   rlsp train experiments/countdown_sft_again.py --workdir runs/countdown_sft_again
Hardware:  2 CPU cores
Expect:    not yet run
"""

import dataclasses

import countdown_rlsp

from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Cosine
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    base = countdown_rlsp.get_config()
    imitate = base.stages[0]
    again = dataclasses.replace(
        imitate,
        num_demonstrations=500,
        num_steps=164,
        optimizer=AdamW(Cosine(1e-3, 164, warmup_steps=20), b2=0.99, weight_decay=0.1),
    )
    return dataclasses.replace(base, name="countdown_sft_again", stages=(imitate, again))
