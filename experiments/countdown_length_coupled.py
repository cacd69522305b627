"""The paper's reward as nearly as this size allows: correctness and −C/|o| added into one, one critic.

Paper:     On the Emergence of Thinking in LLMs I (2502.06773), Eq. 1
Command:   rlsp train experiments/countdown_length_coupled.py --workdir runs/countdown_length_coupled
Expect:    greedy 0.23 → 0.38, pass@1 0.17 → 0.31, backtracks 0.02 → 3.9 (means of 3 seeds, 512 problems, 2026-11-21)
"""

import dataclasses

import countdown_coupled
import countdown_length

from rlsp_jax.algorithms import ppo
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    base = countdown_coupled.get_config()
    *sft, last = base.stages
    assert isinstance(last, ppo.Config)
    correctness, exploration = last.streams
    streams = (correctness, dataclasses.replace(exploration, kernel=countdown_length.LENGTH))
    return dataclasses.replace(
        base,
        name="countdown_length_coupled",
        stages=(*sft, dataclasses.replace(last, streams=streams)),
    )
