import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.common.errors import UserError
from rlsp_jax.schedules import Complement, Constant, Cosine, Linear, Schedule

SCHEDULES = [
    Constant(0.3),
    Linear(1.0, 0.2, 10),
    Cosine(2.0, 20, warmup_steps=5),
    Cosine(2.0, 4, warmup_steps=4),
    Complement(Linear(0.1, 0.9, 10)),
]


def curve(schedule, steps):
    return [float(schedule(step)) for step in steps]


def test_constant_is_the_same_at_every_step():
    assert curve(Constant(0.25), [0, 1, 1000]) == [0.25] * 3


def test_linear_runs_straight_from_start_to_end_and_then_flat():
    np.testing.assert_allclose(curve(Linear(1.0, 0.2, 4), [0, 1, 2, 4, 9]), [1.0, 0.8, 0.6, 0.2, 0.2], rtol=1e-6)


def test_cosine_warms_up_to_its_peak_and_falls_along_half_a_cosine():
    schedule = Cosine(2.0, 24, warmup_steps=4, final_fraction=0.1)
    np.testing.assert_allclose(curve(schedule, range(5)), [0.5, 1.0, 1.5, 2.0, 2.0], rtol=1e-6)
    for step in (9, 14, 19, 24):
        share = 0.1 + 0.9 * (1 + math.cos(math.pi * (step - 4) / 20)) / 2
        np.testing.assert_allclose(schedule(step), 2.0 * share, rtol=1e-5)
    np.testing.assert_allclose(curve(schedule, [24, 30, 1000]), [0.2] * 3, rtol=1e-5)


def test_a_schedule_and_its_complement_add_up_to_one():
    alpha = Linear(0.1, 0.9, 4)
    np.testing.assert_allclose(curve(Complement(alpha), range(6)), [0.9, 0.7, 0.5, 0.3, 0.1, 0.1], rtol=1e-6)


def test_the_first_step_of_a_warm_up_already_learns():
    assert float(Cosine(1.0, 10, warmup_steps=5)(0)) > 0


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_schedule_is_the_same_function_inside_and_outside_jit(schedule):
    assert isinstance(schedule, Schedule)
    steps = jnp.arange(25)
    inside = jax.jit(jax.vmap(schedule))(steps)
    assert inside.dtype == jnp.float32 and inside.shape == (25,)
    np.testing.assert_allclose(inside, curve(schedule, range(25)), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Linear(1.0, 0.0, 0), r"^num_steps is 0; a schedule needs at least 1 step\.$"),
        (lambda: Cosine(1.0, 0), r"^num_steps is 0; a schedule needs at least 1 step\.$"),
        (lambda: Cosine(1.0, 4, warmup_steps=5), r"^warmup_steps is 5; it must lie between 0 and num_steps = 4\.$"),
    ],
)
def test_an_impossible_schedule_is_one_clear_sentence(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()
