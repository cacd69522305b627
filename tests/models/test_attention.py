import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlsp_jax
from rlsp_jax.models import attention, positions


def test_a_place_that_may_see_nothing_gets_0_and_passes_no_nan():
    rng = np.random.default_rng(0)
    queries = jnp.asarray(rng.normal(size=(1, 2, 4, 8)), jnp.float32)
    cache = attention.to_cache(*jnp.asarray(rng.normal(size=(2, 1, 3, 2, 8)), jnp.float32))
    mask = jnp.asarray([[[False] * 3, [True, False, True]]])

    @jax.jit
    def attend(queries, cache):
        mixed, pull = jax.vjp(lambda q, c: attention.attend(q, c, mask), queries, cache)
        return mixed, pull(jnp.ones_like(mixed))

    mixed, gradients = attend(queries, cache)
    assert (mixed[0, 0] == 0).all() and (jnp.abs(mixed[0, 1]) > 0).all()
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


# ---- positions, and shifting inside jit ----


def slow_positions(segments):
    """How many tokens of the same run of one segment stand before each token."""
    places = np.zeros(segments.shape, int)
    for row, out in zip(segments, places, strict=True):
        for t in range(1, len(row)):
            out[t] = out[t - 1] + 1 if row[t] == row[t - 1] else 0
    return places


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4), min_size=3, max_size=3), st.integers(0, 4))
def test_positions_count_from_the_start_of_each_segment(rows, left):
    """Flattened in the same jit: in such programs XLA:CPU has mistaken a shifted slice (openxla/xla#49176)."""
    segments = np.zeros((3, 20), np.int32)
    for row, lengths in zip(segments, rows, strict=True):
        numbers = np.repeat(np.arange(1, len(lengths) + 1), lengths)
        row[left : left + len(numbers)] = numbers
    flat = jax.jit(lambda s: positions(s).reshape(-1))(segments)
    real = segments > 0
    np.testing.assert_array_equal(np.asarray(flat).reshape(3, 20)[real], slow_positions(segments)[real])


SHIFTED = re.compile(r"(\w+)\.at\[[^]]*:[^]]*\]\.set\(\s*\1\[")


def test_no_array_is_written_into_itself_shifted():
    """XLA:CPU gets such a write wrong when a reshape follows (openxla/xla#49176): shift by pad, roll or concatenate."""
    sources = Path(rlsp_jax.__file__).parent.rglob("*.py")
    assert [str(path) for path in sources if SHIFTED.search(path.read_text())] == []


@pytest.mark.parametrize("line", ["b = b.at[1:].set(b[:-1])", "x.at[:, 1:].set( x[:, :-1])"])
def test_the_search_for_shifted_writes_would_find_one(line):
    assert SHIFTED.search(line)
