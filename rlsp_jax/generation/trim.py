"""Cut the columns that no response reaches: the learner pays for every column it is handed."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from rlsp_jax.types import Rollout, Scores

NARROWEST = 16  # columns: below, a further program to compile is not worth it


def trim(rollout: Rollout, scores: Scores) -> tuple[Rollout, Scores]:
    """Rollout and rewards without the columns after the longest response, in one of a few widths.

    The widths are the full one halved again and again (rounded up), so that a learner is compiled for a handful of
    shapes and computes on at most twice the columns it needs, or 30. Reads one number from the device. Rewards are
    made of the whole rollout before, since the text that a kernel reads has room by the column.
    """
    width = _width(rollout.tokens.shape[1], int(_longest(rollout.mask)))
    rollout = rollout._replace(
        tokens=rollout.tokens[:, :width],
        mask=rollout.mask[:, :width],
        logprobs=rollout.logprobs[:, :width],
        entropies=rollout.entropies[:, :width],
    )
    return rollout, scores._replace(rewards=scores.rewards[:, :, :width])


def _width(full: int, longest: int) -> int:
    while longest <= (half := (full + 1) // 2) >= NARROWEST:
        full = half
    return full


@jax.jit
def _longest(mask: Bool[Array, "batch time"]) -> Int[Array, ""]:
    return jnp.max(mask.sum(axis=1))
