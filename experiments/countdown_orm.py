"""An outcome model of the policy, and PPO paid for raising what it promises: a learned dense reward.

After the two stages of `countdown_rlsp.py` the third one draws responses, and learns to tell after each token how
likely they are to end right; the policy stays as it is. The fourth pays for being right, and for every line by how far
it raises that chance. From the third stage on evaluations rerank: the sample that the outcome model likes best.

Paper:     Teaching Large Language Models to Reason with Reinforcement Learning (2403.04642), in miniature: ORM rewards
Command:   rlsp train experiments/countdown_orm.py --workdir runs/countdown_orm
Hardware:  2 CPU cores, 15 minutes
Expect:    not yet run
"""

import dataclasses

import countdown_rlsp

from rlsp_jax import rewards
from rlsp_jax.algorithms import outcome_model
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Constant, Cosine
from rlsp_jax.training import Experiment

OUTCOME_MODEL = outcome_model.Config(
    num_problems=8192,
    samples_per_prompt=4,
    sampling=countdown_rlsp.SAMPLING,
    draw_size=512,
    num_steps=600,
    batch_size=8,
    optimizer=AdamW(Cosine(5e-4, 600, warmup_steps=20), weight_decay=0.1),
)
PROMISE = rewards.Stream("outcome", rewards.PromiseSteps(), weight=Constant(0.5), normalization=rewards.Whiten())


def get_config() -> Experiment:
    *imitate, explore = countdown_rlsp.get_config().stages
    return paid_by(countdown_rlsp.get_config(), "countdown_orm", (*imitate, OUTCOME_MODEL, explore), PROMISE)


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
