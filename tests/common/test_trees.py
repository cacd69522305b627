import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.common.trees import all_finite, choose, copy, join_rows, split_rows, take_rows

TREE = {"a": jnp.arange(12), "b": (jnp.arange(36.0).reshape(12, 3),)}


def same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_rows_are_dealt_out_in_turn():
    parts = split_rows(TREE, 4)
    assert parts["a"].shape == (4, 3) and parts["b"][0].shape == (4, 3, 3)
    for j in range(4):
        same(jax.tree.map(lambda x, j=j: x[j], parts), jax.tree.map(lambda x, j=j: x[j::4], TREE))


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 6, 12])
def test_joining_undoes_splitting(parts):
    same(join_rows(split_rows(TREE, parts)), TREE)


def test_rows_that_do_not_divide_are_an_error():
    with pytest.raises(TypeError, match="reshape"):
        split_rows(TREE, 5)


def test_take_rows_takes_them_in_the_given_order_from_every_leaf():
    same(take_rows(TREE, jnp.asarray([5, 0, 5])), jax.tree.map(lambda x: x[np.asarray([5, 0, 5])], TREE))


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_one_number_that_is_not_finite_is_noticed_in_any_leaf(bad):
    assert bool(all_finite(TREE))
    spoiled = TREE | {"b": (TREE["b"][0].at[7, 1].set(bad),)}
    assert not bool(jax.jit(all_finite)(spoiled))


def test_integers_are_always_finite():
    assert bool(all_finite({"a": jnp.arange(3)})) and bool(all_finite(()))


def test_choose_takes_one_tree_or_the_other_as_a_whole():
    other = jax.tree.map(lambda x: -x - 1, TREE)
    same(jax.jit(choose)(jnp.asarray(True), TREE, other), TREE)
    same(jax.jit(choose)(jnp.asarray(False), TREE, other), other)


def test_the_tree_not_chosen_may_hold_nan():
    left, right = {"x": jnp.ones(2)}, {"x": jnp.full(2, jnp.nan)}
    same(choose(jnp.asarray(True), left, right), left)


def test_a_copy_survives_the_donation_of_its_original():
    original = {"x": jnp.arange(4.0)}
    kept = copy(original)
    jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)(original)
    assert original["x"].is_deleted()
    np.testing.assert_array_equal(kept["x"], np.arange(4.0))
