"""The control: the same start and settings as `permutations_rlsp.py`, paid for being right and for nothing else.

Command:   rlsp train experiments/permutations_outcome_only.py --workdir runs/permutations_outcome_only
Hardware:  1 CPU core; 15 minutes on one that several other programs shared
Expect:    greedy 0.199 → 0.998, pass@1 0.155 → 0.976: where one response in fifty is a chain, being right is enough to
           find it, only later (pass@1 after 10 steps: 0.672 here, 0.838 with the length paid for). Length again 7.3 →
           22.3 tokens, 7.0 13.0 19.0 25.0 31.0 36.9 by swaps (one seed, 512 held-out problems, 2026-11-21)
"""

import dataclasses

import permutations_rlsp

from rlsp_jax.algorithms import ppo
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    base = permutations_rlsp.get_config()
    *sft, last = base.stages
    assert isinstance(last, ppo.Config)
    streams = tuple(stream for stream in last.streams if stream.name == "correctness")
    return dataclasses.replace(
        base,
        name="permutations_outcome_only",
        stages=(*sft, dataclasses.replace(last, streams=streams)),
    )
