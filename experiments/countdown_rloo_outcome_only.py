"""`countdown_rloo.py` paid for being right and for nothing else: what leave-one-out baselines do without a search.

Paper:     Back to Basics: Revisiting REINFORCE Style Optimization (2402.14740), RLOO
Command:   rlsp train experiments/countdown_rloo_outcome_only.py --workdir runs/countdown_rloo_outcome_only
Expect:    greedy 0.23 → 0.25, pass@1 0.17 → 0.23 (means of 3 seeds, 512 problems, 2026-11-21)
"""

import dataclasses

import countdown_rloo

from rlsp_jax.algorithms import rloo
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return for_outcome_only(countdown_rloo.get_config())


def for_outcome_only(experiment: Experiment) -> Experiment:
    """The experiment without its streams for anything but correctness."""
    *sft, last = experiment.stages
    assert isinstance(last, rloo.Config)
    streams = tuple(stream for stream in last.streams if stream.name == "correctness")
    return dataclasses.replace(
        experiment, name=f"{experiment.name}_outcome_only", stages=(*sft, dataclasses.replace(last, streams=streams))
    )
