"""The order in which rows are visited: a function of the place alone, so that a run resumes without an iterator."""

import functools

import numpy as np


def shuffled_rows(total: int, start: int, count: int, seed: tuple[int, ...]) -> np.ndarray:
    """Rows `[count]` from place `start` on of an endless walk over `total` rows, in a new order each epoch."""
    places = np.arange(start, start + count)
    epochs = range(start // total, (start + count - 1) // total + 1)
    orders = {epoch: _epoch_order(total, epoch, seed) for epoch in epochs}
    return np.asarray([orders[place // total][place % total] for place in places.tolist()], np.int64)


@functools.lru_cache(maxsize=4)
def _epoch_order(total: int, epoch: int, seed: tuple[int, ...]) -> np.ndarray:
    order = np.random.default_rng((*seed, epoch)).permutation(total)
    order.setflags(write=False)  # it is shared
    return order
