"""Both dense rewards of `countdown_orm.py` and `countdown_dense.py` beside being right, each a stream with its critic.

Paper:     Teaching Large Language Models to Reason with Reinforcement Learning (2403.04642), in miniature
Command:   rlsp train experiments/countdown_orm_dense.py --workdir runs/countdown_orm_dense
Hardware:  2 CPU cores, 15 minutes
Expect:    not yet run
"""

from countdown_dense import STEPS
from countdown_orm import PROMISE, paid_by
from countdown_orm import get_config as with_outcome_model

from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    experiment = with_outcome_model()
    return paid_by(experiment, "countdown_orm_dense", experiment.stages, PROMISE, STEPS)
