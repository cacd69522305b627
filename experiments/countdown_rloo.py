"""No critic: the streams of `countdown_rlsp.py`, each compared with the other responses to the same problem.

The unbiased baseline in the units of the reward: a stream's advantage is what a response earned more than its siblings.
As the base does, it takes eight clipped updates a step: one alone would need a learning rate that takes the policy
apart.

Paper:     Back to Basics: Revisiting REINFORCE Style Optimization (2402.14740), RLOO
Command:   rlsp train experiments/countdown_rloo.py --workdir runs/countdown_rloo
Expect:    greedy 0.23 → 0.25, pass@1 0.17 → 0.24, backtracks 0.02 → 0.1 (means of 3 seeds, 512 problems, 2026-11-21)
"""

import dataclasses

import countdown_rlsp

from rlsp_jax import rewards
from rlsp_jax.algorithms import ppo, rloo
from rlsp_jax.schedules import Constant
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    # the reference would be the model that does not think: no KL, as in the base
    return without_critics("countdown_rloo", rloo.Config(**shared(), loss=rloo.ClippedSurrogate(), kl=None))


def without_critics(name: str, last: rloo.Config) -> Experiment:
    """The base experiment with another last stage, on a model without value heads."""
    base = countdown_rlsp.get_config()
    model = dataclasses.replace(base.model, value_heads=())
    return dataclasses.replace(base, name=name, model=model, stages=(*base.stages[:2], last))


def shared() -> dict:
    """What the critic-free experiments have in common with their base: 256 responses a step, the same streams.

    But no entropy bonus: where all siblings earn the same, it would be all that is learned from.
    """
    last = countdown_rlsp.get_config().stages[2]
    assert isinstance(last, ppo.Config)
    correctness, exploration = last.streams
    return dict(
        num_steps=last.num_steps,
        prompts_per_step=32,
        samples_per_prompt=8,
        sampling=last.sampling,
        streams=(
            rewards.Stream("correctness", correctness.kernel),
            rewards.Stream("exploration", exploration.kernel, weight=Constant(0.5)),
        ),
        minibatch_size=last.minibatch_size,
        micro_batches=last.micro_batches,
        optimizer=last.optimizer,
    )
