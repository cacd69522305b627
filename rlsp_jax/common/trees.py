"""Trees of arrays as wholes: copies, parts of a batch, finiteness."""

import jax
import jax.numpy as jnp


def split_rows(tree, parts: int):
    """Every leaf `[rows, …]` as `[parts, rows / parts, …]`; part j takes rows j, j + parts, …

    Rows are dealt out rather than cut, so that each part stays spread over the devices as the whole was.
    """
    return jax.tree.map(lambda x: jnp.swapaxes(x.reshape(x.shape[0] // parts, parts, *x.shape[1:]), 0, 1), tree)


def join_rows(tree):
    """The inverse of `split_rows`."""
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]), tree)


def take_rows(tree, indices):
    """The given rows of every leaf."""
    return jax.tree.map(lambda x: jnp.take(x, indices, axis=0), tree)


def all_finite(tree):
    """True when no floating leaf holds a NaN or an infinity."""
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.all(jnp.asarray([jnp.all(jnp.isfinite(leaf)) for leaf in floats]))


def choose(condition, left, right):
    """`left` where the scalar condition holds, else `right`, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), left, right)


def copy(tree):
    """The same values in memory of their own: what is donated later never aliases them."""
    return jax.tree.map(jnp.copy, tree)


def path_name(path) -> str:
    """A leaf's place, as in `block_0/attention/query/kernel`."""
    return "/".join(str(getattr(part, "key", getattr(part, "name", getattr(part, "idx", part)))) for part in path)
