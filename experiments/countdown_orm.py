"""An outcome model of the policy, and PPO paid for raising what it promises: a learned dense reward.

The start is that of `countdown_searching_base.py`, whose responses have lines to judge. The second stage draws
responses, and learns to tell after each token how likely they are to end right; the policy stays as it is. The third
pays for being right, and for every line by how far it raises that chance. From the second stage on evaluations rerank:
the sample that the outcome model likes best.

Paper:     Teaching Large Language Models to Reason with Reinforcement Learning (2403.04642), in miniature: ORM rewards
Command:   rlsp train experiments/countdown_orm.py --workdir runs/countdown_orm
Hardware:  2 CPU cores, 15 minutes
Expect:    the outcome model tells right from wrong with an AUC of 0.94; rerank@8 0.78 where pass@1 is 0.59. PPO
           paid by it: greedy 0.69 → 0.66, pass@1 0.59 → 0.59; at a weight of 0.5 0.65 and 0.57 (seed 0 alone, 512
           problems, 2026-11-21)
"""

import dataclasses

import countdown_rlsp
import countdown_searching_base

from rlsp_jax import rewards
from rlsp_jax.algorithms import outcome_model
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Constant, Cosine
from rlsp_jax.training import Experiment

OUTCOME_MODEL = outcome_model.Config(
    num_problems=1536,
    samples_per_prompt=4,
    sampling=countdown_rlsp.SAMPLING,
    draw_size=512,
    num_steps=600,
    batch_size=8,
    optimizer=AdamW(Cosine(1e-3, 600, warmup_steps=20), weight_decay=0.1),
)
PROMISE = rewards.Stream("outcome", rewards.PromiseSteps(), weight=Constant(0.1), normalization=rewards.Whiten())


def get_config() -> Experiment:
    base = countdown_searching_base.get_config()
    imitate, explore = base.stages
    return paid_by(base, "countdown_orm", (imitate, OUTCOME_MODEL, explore), PROMISE)


def paid_by(experiment: Experiment, name: str, stages: tuple, *dense: rewards.Stream) -> Experiment:
    """The experiment with these stages, the last of which is paid for being right and by these dense streams."""
    *earlier, last = stages
    streams = (last.streams[0], *dense)
    heads = tuple(stream.name for stream in streams)
    return dataclasses.replace(
        experiment,
        name=name,
        model=dataclasses.replace(experiment.model, value_heads=heads),
        stages=(*earlier, dataclasses.replace(last, streams=streams)),
    )
