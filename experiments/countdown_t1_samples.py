"""How many samples to a problem: `countdown_t1.py` with a reference that stays, so that its KL counts from the start.

Nothing is drawn twice here: 256 responses a step whatever K is. K = 16; for 4 and 64 add
`--set stages.rloo.samples_per_prompt=4 --set stages.rloo.prompts_per_step=64`, or 64 and 4.

Paper:     Advancing Language Model Reasoning through RL and Inference Scaling (2501.11651), T1: more samples to a
           problem give more reward per unit of KL
Command:   rlsp train experiments/countdown_t1_samples.py --workdir runs/countdown_t1_samples
Expect:    not yet run
"""

import dataclasses

import countdown_t1

from rlsp_jax.algorithms import rloo
from rlsp_jax.algorithms.references import Fixed
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    base = countdown_t1.get_config()
    *sft, last = base.stages
    assert isinstance(last, rloo.Config)
    still = dataclasses.replace(last, reference=Fixed(), dynamic=None, chunk_prompts=None)
    return dataclasses.replace(base, name="countdown_t1_samples", stages=(*sft, still))
