"""Rows of like length go through the model together, and on no more columns than the longest of them needs.

In a batch of responses most columns are padding: their mean length is half of the longest, or less. Shapes are static,
so a function is compiled for a few widths, and each part of the batch picks its own while the program runs.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from rlsp_jax.common.trees import join_rows, split_rows, take_rows
from rlsp_jax.types import PyTree

WIDTHS = 4  # programs that a function is compiled to


def deal_by_length(lengths: Int[Array, " rows"], parts: int) -> Int[Array, " rows"]:
    """The order of rows in which `trees.split_rows` makes parts of like length: part 0 has the shortest."""
    return jnp.argsort(lengths).reshape(parts, -1).T.reshape(-1)


def map_by_length(fn: Callable[[PyTree], PyTree], rows: PyTree, mask: Bool[Array, "rows time"], parts: int) -> PyTree:
    """`fn(rows)`, which tells each row apart, computed on one of so many parts of the rows at a time.

    The leaves of `rows` end in an axis of columns as in `on_needed_columns`, those of the result in one of `time`;
    columns that were not computed are 0.
    """
    time = mask.shape[1]
    order = deal_by_length(mask.sum(axis=1), parts)

    def part(rows_and_mask):
        rows, mask = rows_and_mask
        return on_needed_columns(lambda tree: widen(fn(tree), time), rows, mask.sum(axis=1), time)

    result = join_rows(jax.lax.map(part, split_rows(take_rows((rows, mask), order), parts)))
    return take_rows(result, jnp.argsort(order))


def on_needed_columns(fn: Callable[[PyTree], Any], rows: PyTree, lengths: Int[Array, " rows"], time: int) -> Any:
    """`fn(rows)` with the columns cut that no row needs; its value must not depend on them, nor its shape.

    The leaves of `rows` end in an axis of `time` response columns, which may have others before them. Of the widths
    time/4, time/2, … (rounded up) the first is taken that has room for all `lengths`.
    """
    options = widths(time)
    branches = [lambda tree, cut=time - width: fn(drop_columns(tree, cut)) for width in options]
    return jax.lax.switch(jnp.searchsorted(jnp.asarray(options), jnp.max(lengths)), branches, rows)


def widths(time: int) -> tuple[int, ...]:
    """Equal steps up to the full width."""
    return tuple(sorted({-(-time * step // WIDTHS) for step in range(1, WIDTHS + 1)}))


def drop_columns(tree: PyTree, count: int) -> PyTree:
    """Every leaf without its last columns."""
    return jax.tree.map(lambda leaf: leaf[..., : leaf.shape[-1] - count], tree)


def widen(tree: PyTree, time: int) -> PyTree:
    """Every leaf `[…, columns]` with columns of 0 behind, `time` in all."""
    return jax.tree.map(lambda x: jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, time - x.shape[-1])]), tree)
