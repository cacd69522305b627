"""The loop stops when sampler and learner disagree."""

import math

import pytest

from rlsp_jax.common.errors import UserError
from rlsp_jax.training.rl import check_gap


@pytest.mark.parametrize(
    ("gap", "message"),
    [
        (0.06, "differ by 0.06 nats a token at step 3, more than max_logp_gap = 0.05"),
        (math.nan, "log-probabilities are not finite at step 3; lower the learning rate or use model.dtype=float32"),
        (math.inf, "log-probabilities are not finite at step 3; lower the learning rate or use model.dtype=float32"),
    ],
)
def test_a_gap_between_sampler_and_learner_is_one_sentence(gap, message):
    check_gap(0.05, 0.05, 3)
    with pytest.raises(UserError, match=message):
        check_gap(gap, 0.05, 3)
