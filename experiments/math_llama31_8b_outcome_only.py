"""`math_llama31_8b_rlsp_length.py` without its length term: PPO paid for the outcome, and −0.5 for no box.

Paper:     On the Emergence of Thinking in LLMs I (2502.06773), §3; the repository's run with C = 0
Command:   rlsp train experiments/math_llama31_8b_outcome_only.py --workdir runs/math_llama31_8b_outcome_only
Hardware:  32 × H100, 80 GB each
Published: response length ≈ 900 → ≈ 550 to 600, no search; no accuracy of this run by itself
Expect:    not yet run at this size
"""

import dataclasses

import math_llama31_8b_rlsp_length

from rlsp_jax.algorithms import ppo
from rlsp_jax.rewards import Stream, rlsp
from rlsp_jax.training import Experiment
from rlsp_jax.verifiers import HttpJudge


def get_config() -> Experiment:
    return paid_by(rlsp.code(scale=0.0), "math_llama31_8b_outcome_only")


def paid_by(streams: tuple[Stream, ...], name: str, effort_judge: HttpJudge | None = None) -> Experiment:
    """The same run, paid by the sum of other streams."""
    base = math_llama31_8b_rlsp_length.get_config()
    (last,) = base.stages
    assert isinstance(last, ppo.Config)
    stages = (dataclasses.replace(last, streams=streams),)
    return dataclasses.replace(base, name=name, stages=stages, effort_judge=effort_judge)
