"""T1 in miniature: many samples per problem at a high temperature, paid for being right, penalised for degenerating.

The base has learned trial and error from demonstrations, as T1's has. No stream pays for exploration. What is to keep
the policy exploring is the temperature, the entropy bonus, a reference that follows the policy, and problems whose
samples disagree; what is to keep it sane are penalties of −1.

Paper:     Advancing Language Model Reasoning through RL and Inference Scaling (2501.11651), T1
Command:   rlsp train experiments/countdown_t1.py --workdir runs/countdown_t1
Expect:    greedy 0.72 → 0.73, pass@1 0.59 → 0.64, pass@8 0.91 → 0.90 (means of 3 seeds, 512 problems, 2026-11-21)
"""

import dataclasses

import countdown_rloo
import countdown_rlsp
from countdown_searching_base import from_searching_base

from rlsp_jax import rewards
from rlsp_jax.algorithms import rloo
from rlsp_jax.algorithms.drawing import DynamicSampling
from rlsp_jax.algorithms.entropy import EntropyTarget
from rlsp_jax.algorithms.references import MovingAverage
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Cosine
from rlsp_jax.training import Experiment

PENALTIES = (
    rewards.Truncation(),
    rewards.RepeatedNgrams(n=8, allowed=0.2),
    rewards.GarbledBytes(),
    rewards.HighPerplexity(limit=4.0),
)


def get_config() -> Experiment:
    last = rloo.Config(
        num_steps=60,
        prompts_per_step=16,
        samples_per_prompt=16,
        sampling=dataclasses.replace(countdown_rlsp.SAMPLING, temperature=1.2, top_p=0.95),
        chunk_prompts=16,
        dynamic=DynamicSampling(max_draws=2),
        # ---- paid how ----
        streams=(rewards.Stream("correctness", rewards.Penalized(rewards.Correctness(), PENALTIES)),),
        kl=rloo.SequenceKL(2e-4),
        reference=MovingAverage(decay=0.9),
        entropy_coef=EntropyTarget(target=0.04, max_coef=0.5),  # of a mean over tokens; the loss is a sum
        micro_batches=64,
        optimizer=AdamW(Cosine(2e-4, 60, warmup_steps=5)),  # one update a step; 2e-3 took the policy apart
    )
    return from_searching_base(countdown_rloo.without_critics("countdown_t1", last), "countdown_t1")
