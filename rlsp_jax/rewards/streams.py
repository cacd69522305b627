"""Reward streams: who is paid for what, kept apart until the advantages.

A kernel turns a rollout and its verdicts into rewards per token; a stream is a kernel with its own name, weight, γ, λ,
normalization and clip. What is made of the streams is the algorithm's business.
"""

import abc
import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from rlsp_jax.common.errors import UserError
from rlsp_jax.schedules import Constant, Schedule
from rlsp_jax.types import PyTree, Rollout, Scores, TokenBytes, Verdicts


class Score(NamedTuple):
    """What a kernel pays, and which rows it knows anything of."""

    reward: Float[Array, "batch time"]
    valid: Bool[Array, " batch"]


@runtime_checkable
class Kernel(Protocol):
    """A frozen dataclass; pure, jitted by its caller.

    One that reads a column of `Verdicts` which not every run fills says so in `needs`, as `ResponseKernel` does.
    """

    def init(self) -> PyTree:
        """What it remembers before the first step of training; () for most."""
        ...

    def __call__(
        self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes, memory: PyTree
    ) -> tuple[Score, PyTree]: ...


class ResponseKernel(abc.ABC):
    """A kernel that remembers nothing and pays once, at the last token of the response."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def init(self) -> PyTree:
        return ()

    def __call__(
        self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes, memory: PyTree
    ) -> tuple[Score, PyTree]:
        score, valid = self.grade(rollout, verdicts, token_bytes)
        return Score(terminal(score, rollout.mask), valid), memory

    @abc.abstractmethod
    def grade(
        self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes
    ) -> tuple[Float[Array, " batch"], Bool[Array, " batch"]]:
        """The score of each response, and whether it is known."""


def terminal(score: Float[Array, " batch"], mask: Bool[Array, "batch time"]) -> Float[Array, "batch time"]:
    """The score at the last real token of each row, 0 elsewhere; a response without tokens is paid nothing."""
    columns = jnp.arange(mask.shape[1])
    last = jnp.max(jnp.where(mask, columns, -1), axis=1, keepdims=True)
    return jnp.where(columns == last, score[:, None], 0.0)


@dataclasses.dataclass(frozen=True)
class Whiten:
    """Advantages less their mean, over their standard deviation, both over the whole batch.

    A spread below `min_std` is not blown up to 1 but divided by `min_std`: where everyone is paid the same, what
    is left is the critic's own error. The rewards of the kernels lie in [0, 1], so a spread of a hundredth is that
    error rather than a difference in what responses earned.
    """

    min_std: float = 0.01

    def __post_init__(self):
        if not self.min_std > 0:
            raise UserError(f"min_std is {self.min_std}; it must be positive.")


@dataclasses.dataclass(frozen=True)
class LeaveOneOut:
    """A response's return less the mean return of its siblings (RLOO; T1 Eq. 2)."""


Normalization = Whiten | LeaveOneOut


@dataclasses.dataclass(frozen=True)
class Stream:
    """A named reward. `clip` bounds each token's reward to [-clip, clip] before anything else."""

    name: str
    kernel: Kernel
    weight: Schedule = Constant(1.0)
    gamma: float = 1.0
    lam: float = 1.0
    normalization: Normalization | None = None
    clip: float | None = None

    def __post_init__(self):
        if not self.name.isidentifier():
            raise UserError(f"name is {self.name!r}; a stream's name is made of letters, digits and underscores.")
        for field, value in (("gamma", self.gamma), ("lam", self.lam)):
            if not 0 <= value <= 1:
                raise UserError(f"{field} of stream {self.name!r} is {value}; it must lie in [0, 1].")
        if self.clip is not None and not self.clip > 0:
            raise UserError(f"clip of stream {self.name!r} is {self.clip}; it must be positive, or None for no clip.")


def needs(kernel: Kernel) -> frozenset[str]:
    """The columns of `Verdicts` that a kernel cannot do without, beside those that every checker fills."""
    return getattr(kernel, "needs", frozenset())


def needed_columns(streams: Sequence[Stream]) -> frozenset[str]:
    """The columns that some stream needs."""
    return frozenset().union(*(needs(stream.kernel) for stream in streams))


def init_memory(streams: Sequence[Stream]) -> dict[str, PyTree]:
    """What every stream remembers before the first step, by name. `UserError` when two share a name."""
    check_names(streams)
    return {stream.name: stream.kernel.init() for stream in streams}


def score(
    streams: Sequence[Stream],
    rollout: Rollout,
    verdicts: Verdicts,
    token_bytes: TokenBytes,
    memory: dict[str, PyTree],
) -> tuple[Scores, dict[str, PyTree]]:
    """Every stream's rewards, clipped but not weighted, in the order given, and what they remember next."""
    check_names(streams)
    scores, remembered = [], {}
    for stream in streams:
        (reward, valid), remembered[stream.name] = stream.kernel(rollout, verdicts, token_bytes, memory[stream.name])
        limit = jnp.inf if stream.clip is None else stream.clip
        scores.append(Score(jnp.clip(reward, -limit, limit), valid))
    return Scores(*(jnp.stack(parts) for parts in zip(*scores, strict=True))), remembered


def check_names(streams: Sequence[Stream]) -> None:
    """Raise `UserError` unless there are streams and each has a name of its own."""
    if not streams:
        raise UserError("There are no reward streams; give at least one.")
    name, count = Counter(stream.name for stream in streams).most_common(1)[0]
    if count > 1:
        raise UserError(f"{count} streams are named {name!r}; names must be unique.")
