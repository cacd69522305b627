"""The other base: a model that already searches (and often gives up), paid as in `countdown_rlsp.py`.

Command:   rlsp train experiments/countdown_searching_base.py --workdir runs/countdown_searching_base
Expect:    greedy 0.72 → 0.71, pass@1 0.60 → 0.65, cut off 4.9 % → 0.8 % (means of 3 seeds, 512 problems, 2026-11-21)
"""

import dataclasses

import countdown_rlsp

from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return from_searching_base(countdown_rlsp.get_config(), "countdown_searching_base")


def from_searching_base(experiment: Experiment, name: str) -> Experiment:
    """The experiment without the stage that teaches to answer at once."""
    search, _, last = experiment.stages
    return dataclasses.replace(experiment, name=name, stages=(search, last))
