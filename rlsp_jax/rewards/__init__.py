"""Rewards on the device: jitted and batched, from token ids to a `[batch, time]` reward per stream.

The checkers of Countdown and of mathematics, the streams, and the kernels that fill them; nothing here reads a string
at run time.
"""

from rlsp_jax.rewards import rlsp
from rlsp_jax.rewards.attempts import SearchAttempts
from rlsp_jax.rewards.combine import Finished, Penalized, Sum
from rlsp_jax.rewards.correctness import Correctness
from rlsp_jax.rewards.countdown import CountdownChecker, CountdownTruth
from rlsp_jax.rewards.effort import SearchEffort
from rlsp_jax.rewards.exact_text import ExactTextChecker, ExactTextTruth
from rlsp_jax.rewards.judged import Judged
from rlsp_jax.rewards.length import HyperbolicLength, HyperbolicReasoning, LinearLength, NumSteps
from rlsp_jax.rewards.math import MathChecker, MathTruth
from rlsp_jax.rewards.novelty import GroupNovelty, TokenEntropy, TrainingNovelty
from rlsp_jax.rewards.penalties import GarbledBytes, HighPerplexity, NoAnswer, RepeatedNgrams, Truncation
from rlsp_jax.rewards.promise import Promise, PromiseSteps
from rlsp_jax.rewards.reference_steps import ReferenceSteps
from rlsp_jax.rewards.streams import (
    Kernel,
    LeaveOneOut,
    Normalization,
    ResponseKernel,
    Score,
    Stream,
    Whiten,
    init_memory,
    needed_columns,
    score,
)

__all__ = [
    "Correctness",
    "CountdownChecker",
    "CountdownTruth",
    "ExactTextChecker",
    "ExactTextTruth",
    "Finished",
    "GarbledBytes",
    "GroupNovelty",
    "HighPerplexity",
    "HyperbolicLength",
    "HyperbolicReasoning",
    "Judged",
    "Kernel",
    "LeaveOneOut",
    "LinearLength",
    "MathChecker",
    "MathTruth",
    "NoAnswer",
    "Normalization",
    "NumSteps",
    "Penalized",
    "Promise",
    "PromiseSteps",
    "ReferenceSteps",
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
    "needed_columns",
    "rlsp",
    "score",
]
