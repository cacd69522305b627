"""PPO paid for being right, and for intermediate results that a reference solution has too: a heuristic dense reward.

Paper:     Teaching Large Language Models to Reason with Reinforcement Learning (2403.04642), in miniature: the reward
           by matching a reference's steps, which hurt a little there
Command:   rlsp train experiments/countdown_dense.py --workdir runs/countdown_dense
Hardware:  2 CPU cores, 10 minutes
Expect:    greedy 0.23 → 0.30, pass@1 0.17 → 0.28 (means of 3 seeds, 512 problems, 2026-11-21)
"""

import countdown_rlsp
from countdown_orm import paid_by

from rlsp_jax import rewards
from rlsp_jax.schedules import Constant
from rlsp_jax.training import Experiment

STEPS = rewards.Stream("steps", rewards.ReferenceSteps(), weight=Constant(0.5), normalization=rewards.Whiten())


def get_config() -> Experiment:
    experiment = countdown_rlsp.get_config()
    return paid_by(experiment, "countdown_dense", experiment.stages, STEPS)
