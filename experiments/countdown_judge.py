"""RLSP's reward with a judge of effort, from the start of `countdown_rlsp.py`: R = 0.8 · 1[correct] + 0.2 · grade.

The paper asks GPT-4o. Here a deterministic substitute judges, which counts distinct search moves by their words and
does not see whether they make sense: expect it to be exploited. A language model takes its place with
`effort_judge=verifiers.HttpJudge(verifiers.Endpoint("some-model", "http://localhost:8000/v1"))`.

Paper:     On the Emergence of Thinking in LLMs I (2502.06773), §2.2 and §4.1
Command:   rlsp train experiments/countdown_judge.py --workdir runs/countdown_judge
Expect:    greedy 0.23 → 0.29, pass@1 0.17 → 0.27, backtracks 0.02 → 0.3 (means of 3 seeds, 512 problems, 2026-11-21)
"""

import countdown_paper_mode

from rlsp_jax import rewards, verifiers
from rlsp_jax.rewards import rlsp
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    paid = rlsp.paper(exploration=rewards.Judged())
    return countdown_paper_mode.paid_by(paid, "countdown_judge", verifiers.LexicalJudge())
