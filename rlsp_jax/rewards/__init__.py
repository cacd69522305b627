"""Rewards on the device: jitted and batched, from token ids to a `[batch, time]` reward per stream.

The checkers of Countdown and of mathematics, the streams, and the kernels that fill them; nothing here reads a string
at run time.
"""

from rlsp_jax.rewards.attempts import SearchAttempts
from rlsp_jax.rewards.combine import Finished, Sum
from rlsp_jax.rewards.correctness import Correctness
from rlsp_jax.rewards.countdown import CountdownChecker, CountdownTruth
from rlsp_jax.rewards.effort import SearchEffort
from rlsp_jax.rewards.length import HyperbolicLength, HyperbolicReasoning, LinearLength, NumSteps
from rlsp_jax.rewards.math import MathChecker, MathTruth
from rlsp_jax.rewards.novelty import GroupNovelty, TokenEntropy, TrainingNovelty
from rlsp_jax.rewards.penalties import GarbledBytes, NoAnswer, RepeatedNgrams, Truncation
from rlsp_jax.rewards.streams import (
    Kernel,
    LeaveOneOut,
    Normalization,
    ResponseKernel,
    Score,
    Stream,
    Whiten,
    init_memory,
    score,
)

__all__ = [
    "Correctness",
    "CountdownChecker",
    "CountdownTruth",
    "Finished",
    "GarbledBytes",
    "GroupNovelty",
    "HyperbolicLength",
    "HyperbolicReasoning",
    "Kernel",
    "LeaveOneOut",
    "LinearLength",
    "MathChecker",
    "MathTruth",
    "NoAnswer",
    "Normalization",
    "NumSteps",
    "RepeatedNgrams",
    "ResponseKernel",
    "Score",
    "SearchAttempts",
    "SearchEffort",
    "Stream",
    "Sum",
    "TokenEntropy",
    "TrainingNovelty",
    "Truncation",
    "Whiten",
    "init_memory",
    "score",
]
