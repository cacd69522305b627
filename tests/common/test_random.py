import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.common.random import row_keys, stream

DRAW = """
import jax
from rlsp_jax.common.random import stream
print(jax.random.bits(stream(jax.random.key(7), "rollout", 3)))
"""


def bits(key):
    return int(jax.random.bits(key))


def test_a_stream_is_the_same_in_another_process():
    printed = subprocess.run(
        [sys.executable, "-c", DRAW],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), "PYTHONHASHSEED": "1"},
    ).stdout
    assert int(printed) == bits(stream(jax.random.key(7), "rollout", 3))


def test_streams_differ_by_key_name_and_step():
    draws = {
        bits(stream(jax.random.key(seed), name, step))
        for seed in range(2)
        for name in ("rollout", "epoch", "rollou")
        for step in range(3)
    }
    assert len(draws) == 2 * 3 * 3


def test_a_step_inside_jit_gives_the_key_of_the_step_outside():
    key = jax.random.key(0)
    draws = jax.jit(lambda step: jax.random.bits(stream(key, "rollout", step)))(5)
    assert int(draws) == bits(stream(key, "rollout", 5))


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_a_row_key_depends_on_problem_and_sample_and_not_on_the_place_in_the_batch(make):
    problem, sample = jnp.array([4, 4, 9, 9]), jnp.array([0, 1, 0, 1])
    draws = np.asarray(jax.vmap(jax.random.bits)(row_keys(make(0), problem, sample)))
    order = np.array([3, 0, 2])
    moved = jax.vmap(jax.random.bits)(row_keys(make(0), problem[order], sample[order]))
    assert len(set(draws.tolist())) == 4
    np.testing.assert_array_equal(moved, draws[order])


def test_problem_and_sample_are_not_interchangeable():
    first, second = row_keys(jax.random.key(0), jnp.array([1, 2]), jnp.array([2, 1]))
    assert bits(first) != bits(second)
