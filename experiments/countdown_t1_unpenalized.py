"""`countdown_t1.py` without its penalties: nothing but the outcome tells it to end, or not to repeat itself.

Paper:     Advancing Language Model Reasoning through RL and Inference Scaling (2501.11651), T1: without penalties the
           length explodes
Command:   rlsp train experiments/countdown_t1_unpenalized.py --workdir runs/countdown_t1_unpenalized
Expect:    not yet run
"""

import dataclasses

import countdown_t1

from rlsp_jax import rewards
from rlsp_jax.algorithms import rloo
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    base = countdown_t1.get_config()
    *sft, last = base.stages
    assert isinstance(last, rloo.Config)
    bare = dataclasses.replace(last, streams=(rewards.Stream("correctness", rewards.Correctness()),))
    return dataclasses.replace(base, name="countdown_t1_unpenalized", stages=(*sft, bare))
