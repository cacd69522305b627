"""The outcome reward: what the verdict is worth."""

import dataclasses

import jax.numpy as jnp

from rlsp_jax.common.codes import Verdict
from rlsp_jax.rewards.streams import ResponseKernel
from rlsp_jax.types import Rollout, TokenBytes, Verdicts


@dataclasses.dataclass(frozen=True)
class Correctness(ResponseKernel):
    """`correct` or `wrong` by the verdict on the response; unknown verdicts are masked, never scored."""

    correct: float = 1.0
    wrong: float = 0.0

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        score = jnp.where(verdicts.outcome == Verdict.CORRECT, self.correct, self.wrong)
        return score, verdicts.outcome != Verdict.UNKNOWN
