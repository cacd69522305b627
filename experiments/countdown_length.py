"""Paid for length instead of search: `countdown_rlsp.py` with the paper's −C/|o| as its exploration stream.

Paper:     On the Emergence of Thinking in LLMs I (2502.06773), §2.2: the length form of the exploration reward
Command:   rlsp train experiments/countdown_length.py --workdir runs/countdown_length
Expect:    greedy 0.23 → 0.40, pass@1 0.17 → 0.32, backtracks 0.02 → 6.9 (means of 3 seeds, 512 problems, 2026-11-21)
"""

import dataclasses

import countdown_rlsp

from rlsp_jax import rewards
from rlsp_jax.algorithms import ppo
from rlsp_jax.training import Experiment

# −C/|o| is −1/3 at the 9 tokens of a direct answer; a response that is cut off is paid as one of three tokens.
LENGTH = rewards.Finished(rewards.HyperbolicLength(scale=3.0), truncated=-1.0)


def get_config() -> Experiment:
    base = countdown_rlsp.get_config()
    *sft, last = base.stages
    assert isinstance(last, ppo.Config)
    correctness, exploration = last.streams
    streams = (correctness, dataclasses.replace(exploration, kernel=LENGTH))
    return dataclasses.replace(
        base,
        name="countdown_length",
        stages=(*sft, dataclasses.replace(last, streams=streams)),
    )
