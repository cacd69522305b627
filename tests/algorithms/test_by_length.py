"""Rows of like length are computed on together, on no more columns than they need, and the result is the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.algorithms.by_length import WIDTHS, deal_by_length, drop_columns, map_by_length, on_needed_columns, widths
from rlsp_jax.common.trees import split_rows

TIME, BEFORE = 10, 3
LENGTHS = np.array([4, 0, 10, 1, 3, 2, 9, 5])


def masks(lengths=LENGTHS):
    return jnp.asarray(np.arange(TIME) < lengths[:, None])


def arrays(key=0):
    """Response columns of every row, and the same after three columns of a prompt."""
    rng = np.random.default_rng(key)
    response = rng.normal(size=(len(LENGTHS), TIME)).astype(np.float32)
    prompt = rng.normal(size=(len(LENGTHS), BEFORE)).astype(np.float32)
    return jnp.asarray(response), jnp.asarray(np.concatenate([prompt, response], axis=1))


@pytest.mark.parametrize("parts", [1, 2, 4, 8])
def test_parts_are_of_like_length(parts):
    dealt = split_rows(jnp.asarray(LENGTHS)[deal_by_length(jnp.asarray(LENGTHS), parts)], parts)
    np.testing.assert_array_equal(np.sort(np.asarray(dealt), axis=1).reshape(-1), np.sort(LENGTHS))


@pytest.mark.parametrize("time", [1, 2, 3, 7, 16, 160])
def test_the_last_width_is_the_full_one_and_each_is_a_step_wider(time):
    options = widths(time)
    assert options[-1] == time
    assert len(options) <= WIDTHS
    assert max(np.diff((0, *options))) <= -(-time // WIDTHS)


@pytest.mark.parametrize("longest", range(TIME + 1))
def test_no_column_that_is_needed_is_cut_and_every_other_width_is(longest):
    response, whole = arrays()
    seen = []

    def fn(tree):
        narrow_response, narrow_whole = tree
        assert narrow_whole.shape[1] - BEFORE == narrow_response.shape[1]
        seen.append(narrow_response.shape[1])
        return jnp.float32(narrow_response.shape[1])

    lengths = jnp.asarray(np.minimum(LENGTHS, longest))
    width = float(jax.jit(lambda rows: on_needed_columns(fn, rows, lengths, TIME))((response, whole)))
    assert sorted(set(seen)) == list(widths(TIME)) == [3, 5, 8, 10]
    assert width == min(w for w in widths(TIME) if w >= longest)


@pytest.mark.parametrize("parts", [1, 2, 4, 8])
def test_rows_come_back_in_their_order_with_zeros_where_nothing_was_computed(parts):
    response, whole = arrays()

    def fn(tree):
        narrow_response, narrow_whole = tree
        before = jnp.cumsum(narrow_whole, axis=1)[:, BEFORE:]
        return before, jnp.stack([narrow_response, -narrow_response], axis=1)

    sums, pairs = jax.jit(lambda rows: map_by_length(fn, rows, masks(), parts))((response, whole))
    needed = np.asarray(masks())
    np.testing.assert_allclose(sums[needed], np.cumsum(whole, axis=1)[:, BEFORE:][needed], rtol=1e-5)
    np.testing.assert_array_equal(pairs[:, 0][needed], response[needed])
    np.testing.assert_array_equal(pairs[:, 1][needed], -response[needed])
    if parts == len(LENGTHS):
        cut = np.arange(TIME) >= np.array([min(w for w in widths(TIME) if w >= n) for n in LENGTHS])[:, None]
        assert cut.any()
        assert not np.any(np.asarray(sums)[cut])


def test_columns_are_dropped_from_the_end_of_every_leaf():
    response, whole = arrays()
    cut_response, cut_whole = drop_columns((response, whole), 4)
    np.testing.assert_array_equal(cut_response, response[:, :6])
    np.testing.assert_array_equal(cut_whole, whole[:, : BEFORE + 6])
    assert drop_columns(response, 0).shape == response.shape
