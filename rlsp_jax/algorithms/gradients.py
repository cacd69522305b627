"""One gradient step, the same for every algorithm: begin, accumulate, check, apply."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool

from rlsp_jax.algorithms.by_length import deal_by_length, on_needed_columns
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.common.trees import all_finite, choose, split_rows, take_rows
from rlsp_jax.models import learned, with_learned
from rlsp_jax.types import Params, PRNGKeyArray, PyTree, TrainState

# (params, rows) → the loss, a sum over the rows already divided by the whole batch's count, and metrics likewise
LossFn = Callable[[Params, PyTree], tuple[jax.Array, dict[str, jax.Array]]]


def minibatch_rows(key: PRNGKeyArray, rows: int, minibatch_size: int, epochs: int) -> jax.Array:
    """Which rows each optimizer step learns from, `[updates, minibatch_size]`: all rows in a new order each epoch."""
    orders = [jax.random.permutation(key_of(key, "epoch", epoch), rows) for epoch in range(epochs)]
    return jnp.concatenate(orders).reshape(-1, minibatch_size)


def first_state(params: Params, opt_state: PyTree, *, reference: Params = (), memory: PyTree = ()) -> TrainState:
    """The state before the first step; `opt_state` and `reference` are of what is learned (`models.learned`)."""
    step, bad_steps, skipped = (jnp.zeros((), jnp.int32) for _ in range(3))  # apart, since the state is donated
    return TrainState(step, params, opt_state, reference, memory, bad_steps, skipped)


def accumulate(
    loss_fn: LossFn,
    params: Params,
    batch: PyTree,
    micro_batches: int,
    mask: Bool[Array, "batch time"] | None = None,
) -> tuple[Params, dict[str, jax.Array]]:
    """Gradients and metrics summed over equal parts of the batch, one part in memory at a time.

    Gradients are of what is learned: where there are adapters, their base has none (`models.learned`).
    Since `loss_fn` divides by counts of the whole batch, the result does not depend on the number of parts. With a
    `mask` of response tokens, which begin in the first column, parts are made by length (`by_length`); what `loss_fn`
    says must then not depend on columns that no row of a part needs.
    """

    def of_learned(part: Params, rows: PyTree):
        return loss_fn(with_learned(params, part), rows)

    gradient = functools.partial(jax.grad(of_learned, has_aux=True), learned(params))
    if micro_batches == 1:
        return gradient(batch)
    if mask is not None:
        batch, mask = take_rows((batch, mask), deal_by_length(mask.sum(axis=1), micro_batches))

    def of_part(part: PyTree, mask: Array | None):
        if mask is None:
            return gradient(part)
        return on_needed_columns(gradient, part, mask.sum(axis=1), mask.shape[1])

    def add(total, part):
        return jax.tree.map(jnp.add, total, of_part(*part)), None

    parts = split_rows((batch, mask), micro_batches)
    shapes = jax.eval_shape(gradient, jax.tree.map(lambda x: x[0], parts[0]))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.scan(add, zeros, parts)[0]


def apply_gradients(
    optimizer: optax.GradientTransformationExtraArgs,
    state: TrainState,
    gradients: Params,
    frozen: Params | None = None,
) -> TrainState:
    """Take the step if every gradient is finite; otherwise keep the state and count a bad step.

    `frozen` (a tree of booleans like the gradients, or None) marks parameters that stay as they are.
    """
    finite = all_finite(gradients)
    if frozen is not None:
        gradients = jax.tree.map(lambda g, still: jnp.where(still, 0.0, g), gradients, frozen)
    before = learned(state.params)
    updates, opt_state = optimizer.update(gradients, state.opt_state, before, step=state.step)
    if frozen is not None:
        updates = jax.tree.map(lambda u, still: jnp.where(still, 0.0, u), updates, frozen)
    params = choose(finite, optax.apply_updates(before, updates), before)
    return state._replace(
        params=with_learned(state.params, params),
        opt_state=choose(finite, opt_state, state.opt_state),
        bad_steps=jnp.where(finite, 0, state.bad_steps + 1),
        skipped=state.skipped + ~finite,
    )
