"""RLSP's main result: SFT on long responses, then PPO paid for the outcome and for effort as a judge sees it (Eq. 1).

R = 0.8 · 1[correct] + 0.2 · grade. The paper asks GPT-4o and its released code gpt-4o-mini, in other words than ours;
any OpenAI-compatible endpoint serves: `--set effort_judge.endpoint.base_url=http://localhost:8000/v1`.

Data:      that of math_llama31_8b_sft.py
Paper:     On the Emergence of Thinking in LLMs I (2502.06773), §2.2 and §4.1
Command:   rlsp train experiments/math_llama31_8b_rlsp_judge.py --workdir runs/math_llama31_8b_rlsp_judge
Hardware:  32 × H100, 80 GB each
Published: MATH-500 50.6 → 70.2 (SFT) → 73.4
Expect:    not yet run at this size
"""

import dataclasses

import math_llama31_8b_outcome_only
import math_llama31_8b_sft

from rlsp_jax import rewards, verifiers
from rlsp_jax.rewards import rlsp
from rlsp_jax.training import Experiment

JUDGE = verifiers.HttpJudge(verifiers.Endpoint("gpt-4o", max_in_flight=64, deadline=900.0))


def get_config() -> Experiment:
    streams = rlsp.paper(exploration=rewards.Judged())
    paid = math_llama31_8b_outcome_only.paid_by(streams, "math_llama31_8b_rlsp_judge", JUDGE)
    return dataclasses.replace(paid, stages=(math_llama31_8b_sft.SFT, *paid.stages))
