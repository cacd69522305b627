import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.common.errors import UserError
from rlsp_jax.models import LinearScaling, Llama3Scaling, ModelConfig, rope

ROTATE = jax.jit(rope.rotate)
HEAD_DIM = 8
PLAIN = rope.frequencies(100.0, HEAD_DIM)


def turned(vector, place, frequencies=PLAIN):
    """One vector at one position."""
    x = jnp.asarray(vector, jnp.float32)[None, None, None]
    return ROTATE(x, jnp.full((1, 1), place, jnp.int32), frequencies)[0, 0, 0]


@settings(max_examples=30)
@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200), st.integers(0, 1000))
def test_a_rotated_product_depends_on_the_distance_only(i, j, shift, seed):
    query, key = np.random.default_rng(seed).normal(size=(2, HEAD_DIM))
    here = turned(query, i) @ turned(key, j)
    there = turned(query, i + shift) @ turned(key, j + shift)
    np.testing.assert_allclose(here, there, atol=2e-4)


def test_a_rotation_keeps_lengths_and_place_0_is_no_rotation():
    vector = np.random.default_rng(0).normal(size=HEAD_DIM)
    np.testing.assert_allclose(turned(vector, 0), vector, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(turned(vector, 37)), np.linalg.norm(vector), rtol=1e-5)
    assert np.abs(turned(vector, 1) - vector).max() > 0.1


def test_places_far_away_stay_exact_in_bfloat16():
    """Angles are taken in float32: at place 1000 a bfloat16 angle would be off by whole radians."""
    vector = np.random.default_rng(0).normal(size=HEAD_DIM)
    x = jnp.asarray(vector, jnp.bfloat16)[None, None, None]
    rough = ROTATE(x, jnp.full((1, 1), 1001, jnp.int32), PLAIN)
    np.testing.assert_allclose(rough[0, 0, 0].astype(jnp.float32), turned(vector, 1001), atol=0.05)


def test_dimensions_beyond_the_turned_ones_know_no_place():
    vector = np.random.default_rng(0).normal(size=HEAD_DIM)
    half = turned(vector, 37, rope.frequencies(100.0, HEAD_DIM // 2))
    np.testing.assert_array_equal(half[4:], vector.astype(np.float32)[4:])
    assert (np.abs(half[:4] - vector[:4]) > 1e-3).all()
    np.testing.assert_allclose(half[:4], ROTATE(vector[None, None, None, :4], np.full((1, 1), 37), PLAIN[::2])[0, 0, 0])


def test_linear_scaling_counts_every_position_as_a_part_of_itself():
    vector = np.random.default_rng(0).normal(size=HEAD_DIM)
    slowed = rope.frequencies(100.0, HEAD_DIM, LinearScaling(4.0))
    np.testing.assert_allclose(turned(vector, 20, slowed), turned(vector, 5), atol=1e-5)


def test_llama_3_scaling_leaves_fast_pairs_slows_down_slow_ones_and_blends_those_between():
    """The 64 frequencies of Llama-3.1-8B."""
    plain, scaled = rope.frequencies(500_000.0, 128), rope.frequencies(500_000.0, 128, Llama3Scaling())
    ratio, turns = np.asarray(scaled / plain), 8192 * np.asarray(plain) / (2 * np.pi)
    np.testing.assert_allclose(ratio[turns > 4], 1.0, rtol=1e-6)
    np.testing.assert_allclose(ratio[turns < 1], 1 / 8, rtol=1e-6)
    between = ratio[(turns >= 1) & (turns <= 4)]
    assert len(between) > 3 and (np.diff(between) < 0).all() and between.min() > 1 / 8 and between.max() < 1
    assert (np.diff(np.asarray(scaled)) < 0).all()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: LinearScaling(0.0), r"^factor of a rope_scaling is 0\.0; it must be positive\.$"),
        (
            lambda: Llama3Scaling(original_length=-1),
            r"^original_length of a rope_scaling is -1; it must be positive\.$",
        ),
        (
            lambda: Llama3Scaling(low_frequency=4.0),
            r"^low_frequency = 4\.0 must be smaller than high_frequency = 4\.0\.$",
        ),
        (
            lambda: ModelConfig(head_dim=8, rope_fraction=0.4),
            r"^model\.rope_fraction = 0\.4 turns 3 of a head's 8 dimensions; their number must be even, ",
        ),
        (lambda: ModelConfig(rope_fraction=2.0), "turns 48 of a head's 24 dimensions"),
    ],
)
def test_a_rotation_that_cannot_be_is_one_clear_sentence(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()
