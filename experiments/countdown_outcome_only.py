"""The control: the same start and settings as `countdown_rlsp.py`, paid for being right and for nothing else.

Command:   rlsp train experiments/countdown_outcome_only.py --workdir runs/countdown_outcome_only
Expect:    greedy 0.23 → 0.29, pass@1 0.17 → 0.27, search dies out (means of 3 seeds, 512 problems, 2026-11-21)
"""

import dataclasses

import countdown_rlsp

from rlsp_jax.algorithms import ppo
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    base = countdown_rlsp.get_config()
    *sft, last = base.stages
    assert isinstance(last, ppo.Config)
    streams = tuple(stream for stream in last.streams if stream.name == "correctness")
    return dataclasses.replace(
        base,
        name="countdown_outcome_only",
        stages=(*sft, dataclasses.replace(last, streams=streams)),
    )
