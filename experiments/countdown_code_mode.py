"""RLSP's reward as its released code computes it, from the start of `countdown_rlsp.py`.

R = 1 if correct, 0 if wrong, −0.5 without an answer, less C/L for the L tokens before the first answer, with no
weight α. The paper's runs begin at 1000/900 ≈ 1.1 for that term, more than correctness is worth. A response of this
start answers at once: L is 0, which counts as 1, and C = 1 begins at 1.0. A line of search, some 10 tokens, brings it
down to 0.1; so it pays for beginning to write, and next to nothing for going on.

Paper:     On the Emergence of Thinking in LLMs I (2502.06773), its repository's openrlhf/cli/orm_server_efficient.py
Command:   rlsp train experiments/countdown_code_mode.py --workdir runs/countdown_code_mode
Expect:    greedy 0.23 → 0.43, pass@1 0.17 → 0.38, cut off 0.0 % → 32.6 % (means of 3 seeds, 512 problems, 2026-11-21)
"""

import countdown_paper_mode

from rlsp_jax.rewards import rlsp
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    return countdown_paper_mode.paid_by(rlsp.code(scale=1.0), "countdown_code_mode")
