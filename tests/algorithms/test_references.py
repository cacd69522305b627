import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.algorithms.references import Fixed, MovingAverage, Reference, Refreshed
from rlsp_jax.common.errors import UserError

REFERENCE = {"a": jnp.asarray([1.0, 2.0]), "b": {"c": jnp.asarray(3.0)}}


def followed(reference: Reference, steps: int):
    """The reference after each step of a policy that is `step` everywhere after its update number `step`."""
    update = jax.jit(reference.update)
    current, history = REFERENCE, []
    for step in range(1, steps + 1):
        policy = jax.tree.map(lambda x, step=step: jnp.full_like(x, step), REFERENCE)
        current = update(current, policy, jnp.asarray(step))
        history.append(float(current["b"]["c"]))
    return history


def test_a_fixed_reference_stays_what_the_stage_began_with():
    assert followed(Fixed(), 4) == [3.0] * 4


def test_a_refreshed_reference_is_a_copy_of_the_policy_every_so_many_steps():
    assert followed(Refreshed(3), 7) == [3.0, 3.0, 3.0, 3.0, 3.0, 6.0, 6.0]
    assert followed(Refreshed(1), 3) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("every", [1, 2])
def test_a_moving_average_equals_a_slow_loop(every):
    decay, expected, value = 0.8, [], 3.0
    for step in range(1, 7):
        value = decay * value + (1 - decay) * step if step % every == 0 else value
        expected.append(value)
    np.testing.assert_allclose(followed(MovingAverage(decay, every), 6), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (functools.partial(Refreshed, 0), r"^reference.every is 0; it must be at least 1\.$"),
        (functools.partial(MovingAverage, 1.0), r"^reference.decay is 1.0; it must lie in \[0, 1\)\.$"),
        (functools.partial(MovingAverage, 0.9, 0), r"^reference.every is 0; it must be at least 1\.$"),
    ],
)
def test_an_impossible_reference_is_one_clear_sentence(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()
