"""Dr. GRPO: GRPO without its two biases, the deviation of the group and the length of the response.

Paper:     Understanding R1-Zero-Like Training (2503.20783), Dr. GRPO
Command:   rlsp train experiments/countdown_dr_grpo.py --workdir runs/countdown_dr_grpo
Expect:    not yet run
"""

import countdown_rloo

from rlsp_jax.algorithms import rloo
from rlsp_jax.schedules import Constant
from rlsp_jax.training import Experiment


def get_config() -> Experiment:
    fields = countdown_rloo.shared()
    # the loss of a response of 9 tokens is divided by 160 here, the mean entropy is not
    fields["entropy_coef"] = Constant(0.001)
    return countdown_rloo.without_critics("countdown_dr_grpo", rloo.dr_grpo(**fields))
