"""RLSP on 918 AIME problems from Qwen2.5-32B-Instruct, without SFT: paid for the outcome, for length and for effort.

The paper's text and caption disagree about the reward of this run; the repository's command for it turns on both the
length term and the judge: R = 0.8 · (base − 1000/L) + 0.2 · grade, with base 1, 0, or −0.5 without a box. Steps are
sets of 512 rollouts with 4 updates each: 750 of them are the 3,000 or so updates of the paper's Figure 4.

Data:      data/aime_1983_2023.jsonl, the AIME's problems of these years, an object a line with problem and answer;
           data/aime24.jsonl, the 30 problems of 2024, in the same form
Paper:     On the Emergence of Thinking in LLMs I (2502.06773), §4.2; the repository's run with C = 1000 and a judge
Command:   rlsp train experiments/aime_qwen25_32b_rlsp.py --workdir runs/aime_qwen25_32b_rlsp
Hardware:  64 × H100, 80 GB each
Published: AIME 2024 13.3 → 23.3 (4 → 7 of 30 problems), MATH-500 81.6 → 83.2, response length ≈ 900 → ≈ 1,450
Expect:    not yet run at this size
"""

import dataclasses
from pathlib import Path

import math_llama31_8b_rlsp_length
from math_llama31_8b_rlsp_judge import JUDGE
from math_llama31_8b_rlsp_length import SAMPLING, TESTING
from math_qwen25_7b_rlsp_length import PROMPTS

from rlsp_jax import checkpoints, data, evaluation, models
from rlsp_jax.algorithms import ppo
from rlsp_jax.optim import AdamW
from rlsp_jax.rewards import rlsp
from rlsp_jax.schedules import Cosine
from rlsp_jax.sharding import MeshConfig
from rlsp_jax.training import Experiment

SOURCE = "Qwen/Qwen2.5-32B-Instruct"
STEPS = 750


def get_config() -> Experiment:
    base = math_llama31_8b_rlsp_length.get_config()
    (last,) = base.stages
    assert isinstance(last, ppo.Config)
    stage = dataclasses.replace(
        last,
        num_steps=STEPS,
        select=None,
        streams=rlsp.code(scale=1000.0, judge=True),
        optimizer=AdamW(Cosine(2e-7, STEPS, warmup_steps=22)),
        value_optimizer=AdamW(Cosine(2e-6, STEPS, warmup_steps=22)),
    )
    return dataclasses.replace(
        base,
        name="aime_qwen25_32b_rlsp",
        model=models.qwen25_32b(value_heads=("total",), value_trunk="separate", max_length=10_240, remat="full"),
        weights=checkpoints.Pretrained(SOURCE),
        tokenizer=data.PretrainedTokenizer(SOURCE),
        prompts=PROMPTS,
        mesh=MeshConfig(data=1, fsdp=8, tensor=8),
        problems=data.JSONL(train=Path("data/aime_1983_2023.jsonl"), test=Path("data/aime24.jsonl")),
        stages=(stage,),
        effort_judge=JUDGE,
        evals=(
            evaluation.Eval("aime24", problems=30, samples=8, sampling=TESTING, batch_size=32),
            evaluation.Eval("progress", every=50, problems=30, samples=1, sampling=SAMPLING, batch_size=32),
        ),
    )
