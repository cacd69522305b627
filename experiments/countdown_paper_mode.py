"""RLSP's reward as the paper prints it, from the start of `countdown_rlsp.py`: R = α · 1[correct] − (1 − α) · C/|o|.

α is 0.8 as in the paper. Its C of 1000 meets responses of about 900 tokens, so that the length term begins at
0.2 · 1000/900 ≈ 0.22; the responses of this start have 9 tokens, and C = 10 begins there too. One critic and one
whitened advantage, λ = 0.95, rewards within [−10, 10], and 4 steps in which only the critic learns, as the paper has
them; everything else is the twin's. Nothing guards the length term here: a response that is cut off keeps what its
length has earned.

Paper:     On the Emergence of Thinking in LLMs I (2502.06773), Eq. 1 and App. B.4
Command:   rlsp train experiments/countdown_paper_mode.py --workdir runs/countdown_paper_mode
Expect:    greedy 0.23 → 0.33, pass@1 0.17 → 0.28, cut off 0.0 % → 27.4 % (means of 3 seeds, 512 problems, 2026-11-21)
"""

import dataclasses

import countdown_rlsp

from rlsp_jax import rewards
from rlsp_jax.algorithms import ppo
from rlsp_jax.algorithms.combination import Coupled
from rlsp_jax.rewards import Stream, rlsp
from rlsp_jax.training import Experiment
from rlsp_jax.verifiers import LexicalJudge

STREAMS = rlsp.paper(exploration=rewards.HyperbolicLength(scale=10.0))


def get_config() -> Experiment:
    return paid_by(STREAMS, "countdown_paper_mode")


def paid_by(streams: tuple[Stream, ...], name: str, effort_judge: LexicalJudge | None = None) -> Experiment:
    """The twin with one mixed reward, the sum of these streams."""
    base = countdown_rlsp.get_config()
    *sft, last = base.stages
    assert isinstance(last, ppo.Config)
    mixed = dataclasses.replace(
        last,
        streams=streams,
        combination=Coupled(lam=0.95, normalization=rewards.Whiten(), clip=10.0),
        value_warmup_steps=4,
    )
    return dataclasses.replace(
        base,
        name=name,
        model=dataclasses.replace(base.model, value_heads=("total",)),
        stages=(*sft, mixed),
        effort_judge=effort_judge,
    )
