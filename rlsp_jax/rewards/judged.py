"""Pay for effort as a judge sees it: the grade of each response, made on the host, is a column of the verdicts."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp

from rlsp_jax.common.errors import UserError
from rlsp_jax.rewards.streams import ResponseKernel
from rlsp_jax.types import Rollout, TokenBytes, Verdicts


@dataclasses.dataclass(frozen=True)
class Judged(ResponseKernel):
    """The effort judge's grade, in [0, 1] (RLSP §2.2, judge form); rows without a grade are masked, never scored."""

    needs: ClassVar[frozenset[str]] = frozenset({"effort"})

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        if verdicts.effort is None:
            raise UserError("Judged pays what an effort judge says, but nobody has judged: set effort_judge.")
        known = jnp.isfinite(verdicts.effort)
        return jnp.where(known, verdicts.effort, 0.0), known
