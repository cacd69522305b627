"""One head, one mixed reward, as in the paper: the streams of `countdown_rlsp.py` added before the critic sees them.

Nothing is normalized before it is added, so exploration is paid 1.0 instead of 0.5: in one pilot run on a start that
searches a little, that did as well in 20 steps as the streams apart.

Command:   rlsp train experiments/countdown_coupled.py --workdir runs/countdown_coupled
Expect:    greedy 0.23 → 0.35, pass@1 0.17 → 0.31, backtracks 0.02 → 2.7 (means of 3 seeds, 512 problems, 2026-11-21)
"""

import dataclasses

import countdown_rlsp

from rlsp_jax import rewards
from rlsp_jax.algorithms import ppo
from rlsp_jax.algorithms.combination import Coupled
from rlsp_jax.schedules import Constant
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    base = countdown_rlsp.get_config()
    *sft, last = base.stages
    assert isinstance(last, ppo.Config)
    correctness, exploration = last.streams
    streams = (
        rewards.Stream("correctness", correctness.kernel),
        rewards.Stream("exploration", exploration.kernel, weight=Constant(1.0)),
    )
    return dataclasses.replace(
        base,
        name="countdown_coupled",
        model=dataclasses.replace(base.model, value_heads=("total",)),
        stages=(*sft, dataclasses.replace(last, streams=streams, combination=Coupled(normalization=rewards.Whiten()))),
    )
