"""Return-conditioned learning by steps on Countdown: label each line of 15,360 responses, imitate all, ask for good.

The start and the outcome model are those of `countdown_orm.py`: responses there have lines to label. A line is good,
"!", where what the outcome model promises does not fall in it, and bad, "?", where it does; either is one token, which
responses have no other use for. The policy learns to write a label before each line, and at last is kept from "?".
Labels count as tokens of a response.

Paper:     Teaching Large Language Models to Reason with Reinforcement Learning (2403.04642), in miniature
Command:   rlsp train experiments/countdown_return_conditioned_steps.py --workdir runs/countdown_labelled_steps
Hardware:  2 CPU cores
Expect:    not yet run
"""

import dataclasses

import countdown_orm
import countdown_return_conditioned

from rlsp_jax.algorithms import return_conditioned
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    base = countdown_orm.get_config()
    *before, _ = base.stages
    *_, whole = countdown_return_conditioned.get_config().stages
    labels = return_conditioned.StepPromises(bad="?", good="!")
    steps = dataclasses.replace(whole, labels=labels, row_length=192)
    return dataclasses.replace(base, name="countdown_return_conditioned_steps", stages=(*before, steps))
