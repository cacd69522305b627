"""The rewards of RLSP (arXiv:2502.06773), as streams to be added up before one critic (`combination.Coupled`).

The paper prints one formula and its released code computes another; here are both. What is unknown (a response that
nobody could check, a judge that failed) is masked, where the code pays 0.0 or 0.5 for it: 0.0 is more than a short
correct answer earns. Only the last final answer is judged, where the code reads the first box; the length that is paid
for ends at the first one in both.
"""

import dataclasses

import jax.numpy as jnp

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.rewards.correctness import Correctness
from rlsp_jax.rewards.judged import Judged
from rlsp_jax.rewards.length import HyperbolicLength, HyperbolicReasoning
from rlsp_jax.rewards.streams import Kernel, ResponseKernel, Stream
from rlsp_jax.schedules import Complement, Constant, Schedule
from rlsp_jax.types import Rollout, TokenBytes, Verdicts

ALPHA = Constant(0.8)  # §2.2
SCALE = 1000.0  # C of App. B.4, for responses of about 1000 tokens
LENGTH = HyperbolicLength(scale=SCALE)


def paper(alpha: Schedule = ALPHA, exploration: Kernel = LENGTH) -> tuple[Stream, Stream]:
    """R = α · 1[correct] + (1 − α) · R_ex (Eq. 1), where R_ex = −C/|o| unless another kernel is given.

    The paper's other form of R_ex is `Judged`. A schedule lets α change with the step, as the paper recommends
    without doing it.
    """
    return (
        Stream("correctness", Correctness(), weight=alpha),
        Stream("exploration", exploration, weight=Complement(alpha)),
    )


def code(scale: float = SCALE, judge: bool = False) -> tuple[Stream, ...]:
    """What the released code pays, `openrlhf/cli/orm_server_efficient.py`.

        base = 1 if correct, 0 if wrong, −0.5 without a final answer
        base −= C / L,  L = tokens before the first final answer, all of them if there is none; not at C = `scale` = 0
        R = base, or with the judge 0.8 · base + 0.2 · judge

    The code counts four characters as a token; here tokens are counted. L is at least 1.
    """
    if not scale >= 0:
        raise UserError(f"scale is {scale}; it must be positive, or 0 for no length term.")
    share = ALPHA if judge else Constant(1.0)
    streams = [Stream("correctness", AnsweredCorrectness(), weight=share)]
    if scale:
        streams.append(Stream("exploration", HyperbolicReasoning(scale), weight=share))
    if judge:
        streams.append(Stream("effort", Judged(), weight=Complement(share)))
    return tuple(streams)


@dataclasses.dataclass(frozen=True)
class AnsweredCorrectness(ResponseKernel):
    """`correct` or `wrong` by the verdict on a response with a final answer, `unanswered` for one without.

    An unknown verdict is masked; that there is no final answer is known without one.
    """

    correct: float = 1.0
    wrong: float = 0.0
    unanswered: float = -0.5

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        score = jnp.where(verdicts.outcome == Verdict.CORRECT, self.correct, self.wrong)
        known = ~verdicts.answered | (verdicts.outcome != Verdict.UNKNOWN)
        return jnp.where(verdicts.answered, score, self.unanswered), known
