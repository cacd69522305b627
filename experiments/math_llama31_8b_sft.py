"""The SFT of RLSP: Llama-3.1-8B-Instruct imitates 88,000 long responses of QwQ-32B-Preview, five times over.

Demonstrations are packed into rows of 8,192 tokens; longer ones have to be left out of the file. The paper's batch is
64 demonstrations; 32 rows are as many where two fill a row, which has not been counted.

Data:      data/qwq_longcot_88k.jsonl, QwQ-LongCoT-130K as the paper filtered it (rows whose problem is in
           NuminaMath-CoT and in no test set, each question once), an object a line with question and
           response; beside it those of math_llama31_8b_rlsp_length.py
Paper:     On the Emergence of Thinking in LLMs I (2502.06773), App. B.2
Command:   rlsp train experiments/math_llama31_8b_sft.py --workdir runs/math_llama31_8b_sft
Hardware:  32 × H100, 80 GB each
Published: MATH-500 50.6 → 70.2
Expect:    not yet run at this size
"""

import dataclasses
from pathlib import Path

import math_llama31_8b_rlsp_length

from rlsp_jax import data
from rlsp_jax.algorithms import sft
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Cosine
from rlsp_jax.training import Experiment

STEPS = 5 * 88_000 // 64

SFT = sft.Config(
    demonstrations=data.JSONLDemonstrations(Path("data/qwq_longcot_88k.jsonl")),
    num_demonstrations=88_000,
    num_steps=STEPS,
    batch_size=32,
    row_length=8192,
    micro_batches=4,
    optimizer=AdamW(Cosine(2e-5, STEPS, warmup_steps=200)),
)


def get_config() -> Experiment:
    base = math_llama31_8b_rlsp_length.get_config()
    model = dataclasses.replace(base.model, value_heads=())
    math500, _ = base.evals
    return dataclasses.replace(base, name="math_llama31_8b_sft", model=model, stages=(SFT,), evals=(math500,))
