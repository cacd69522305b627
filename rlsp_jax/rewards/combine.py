"""Kernels made of kernels."""

import dataclasses

import jax.numpy as jnp

from rlsp_jax.common.codes import StopReason
from rlsp_jax.common.errors import UserError
from rlsp_jax.rewards.streams import Kernel, ResponseKernel, Score, needs, terminal
from rlsp_jax.types import PyTree, Rollout, TokenBytes, Verdicts


@dataclasses.dataclass(frozen=True)
class Finished:
    """The kernel's reward for responses that ended by themselves; `truncated`, at the last token, for those cut off.

    Without it, a response cut off by the length limit keeps what its length or effort earned.
    """

    kernel: Kernel
    truncated: float = 0.0

    @property
    def needs(self) -> frozenset[str]:
        return needs(self.kernel)

    def init(self) -> PyTree:
        return self.kernel.init()

    def __call__(
        self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes, memory: PyTree
    ) -> tuple[Score, PyTree]:
        score, memory = self.kernel(rollout, verdicts, token_bytes, memory)
        cut = rollout.stop_reason == StopReason.LENGTH
        instead = terminal(jnp.full(len(cut), self.truncated), rollout.mask)
        return Score(jnp.where(cut[:, None], instead, score.reward), cut | score.valid), memory


@dataclasses.dataclass(frozen=True)
class Sum:
    """Several kernels in one stream, each with a constant factor; valid where all of them are."""

    terms: tuple[tuple[float, Kernel], ...]

    def __post_init__(self):
        if not self.terms:
            raise UserError("terms is empty; a sum needs at least one (factor, kernel).")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset().union(*(needs(kernel) for _, kernel in self.terms))

    def init(self) -> PyTree:
        return tuple(kernel.init() for _, kernel in self.terms)

    def __call__(
        self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes, memory: PyTree
    ) -> tuple[Score, PyTree]:
        parts = [kernel(rollout, verdicts, token_bytes, m) for (_, kernel), m in zip(self.terms, memory, strict=True)]
        reward = sum(factor * score.reward for (factor, _), (score, _) in zip(self.terms, parts, strict=True))
        valid = jnp.all(jnp.stack([score.valid for score, _ in parts]), axis=0)
        return Score(jnp.asarray(reward), valid), tuple(remembered for _, remembered in parts)


@dataclasses.dataclass(frozen=True)
class Penalized:
    """The kernel's reward, but for responses with a bad pattern: those earn the worst penalty instead (T1 §2.2.3).

    The penalty stands at the last token, in place of all that the kernel pays, and it is known whatever the verdict.
    A response that some penalty cannot judge and no other one charges is not valid.
    """

    kernel: Kernel
    penalties: tuple[ResponseKernel, ...]

    def __post_init__(self):
        if not self.penalties:
            raise UserError("penalties is empty; without any, the kernel alone will do.")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset().union(*(needs(kernel) for kernel in (self.kernel, *self.penalties)))

    def init(self) -> PyTree:
        return self.kernel.init()

    def __call__(
        self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes, memory: PyTree
    ) -> tuple[Score, PyTree]:
        score, memory = self.kernel(rollout, verdicts, token_bytes, memory)
        grades = [penalty.grade(rollout, verdicts, token_bytes) for penalty in self.penalties]
        charges = jnp.stack([jnp.where(known, charge, 0.0) for charge, known in grades])
        worst, judged = jnp.min(charges, axis=0), jnp.all(jnp.stack([known for _, known in grades]), axis=0)
        charged = worst < 0
        reward = jnp.where(charged[:, None], terminal(worst, rollout.mask), score.reward)
        return Score(reward, charged | (score.valid & judged)), memory
