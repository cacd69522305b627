"""Trimming takes away columns that no response reaches, and nothing else."""

import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.generation.trim import trim
from rlsp_jax.types import PromptBatch, Rollout, Scores


def trimmed(lengths: list[int], width: int) -> Rollout:
    return trim(rollout(lengths, width), scores(len(lengths), width))[0]


def scores(rows: int, width: int) -> Scores:
    return Scores(jnp.arange(2.0 * rows * width).reshape(2, rows, width), jnp.ones((2, rows), bool))


def rollout(lengths: list[int], width: int) -> Rollout:
    rows = len(lengths)
    column = jnp.zeros(rows, jnp.int32)
    mask = jnp.arange(width) < jnp.asarray(lengths)[:, None]
    numbers = jnp.arange(rows * width).reshape(rows, width)
    prompts = PromptBatch(jnp.zeros((rows, 2), jnp.int32), jnp.ones((rows, 2), bool), column, column, ())
    logprobs = jnp.where(mask, -0.5 * numbers, 0.0)
    return Rollout(prompts, numbers, mask, logprobs, -logprobs, column.astype(jnp.int8))


@pytest.mark.parametrize(
    ("longest", "width"), [(160, 160), (81, 160), (80, 80), (41, 80), (40, 40), (20, 20), (19, 20), (1, 20)]
)
def test_the_width_is_the_full_one_halved_while_the_longest_response_fits(longest, width):
    assert trimmed([1, longest], 160).tokens.shape == (2, width)


@pytest.mark.parametrize("full", [7, 48, 160])
def test_no_chosen_token_is_lost_and_what_stays_is_as_it_was(full):
    for longest in range(1, full + 1):
        before = rollout([longest, 1, longest // 2], full)
        rewards = scores(3, full)
        after, cut = trim(before, rewards)
        width = after.tokens.shape[1]
        assert longest <= width and (width == full or width < max(2 * longest, 32))
        for name in ("tokens", "mask", "logprobs", "entropies"):
            old, new = np.asarray(getattr(before, name)), np.asarray(getattr(after, name))
            assert np.array_equal(old[:, :width], new)
        assert int(after.mask.sum()) == int(before.mask.sum())
        assert after.prompts is before.prompts
        assert np.array_equal(rewards.rewards[:, :, :width], cut.rewards) and cut.valid is rewards.valid


def test_there_are_few_widths_so_that_few_shapes_are_compiled():
    widths = {trimmed([longest], 4096).tokens.shape[1] for longest in (1, 60, 100, 900, 2000, 2049, 4096)}
    assert widths == {16, 64, 128, 1024, 2048, 4096}
