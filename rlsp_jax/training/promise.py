"""The outcome model of a run, once a stage has trained it: what it promises of responses."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from rlsp_jax.algorithms import outcome_model
from rlsp_jax.algorithms.likelihood import sequences
from rlsp_jax.checkpoints import Saver
from rlsp_jax.common.trees import join_rows, split_rows
from rlsp_jax.models import AXES, ActorCritic, OutcomeModel, init_outcome_model
from rlsp_jax.sharding import replicated, row_shards, tree_shardings
from rlsp_jax.training.beginning import with_base
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.workdir import stage_folder
from rlsp_jax.types import Params, Rollout

ROWS = 32  # responses of a device that are read at a time

PromiseFn = Callable[[Params, Rollout], Float[Array, "batch time"]]


@dataclasses.dataclass(frozen=True)
class Oracle:
    """A trained outcome model: its parameters, and its compiled functions."""

    params: Params
    promise_fn: PromiseFn
    rank_fn: Callable[[Params, Rollout], Float[Array, " batch"]]

    def promise(self, rollout: Rollout) -> Float[Array, "batch time"]:
        """p(the final answer will be correct) after each token of the responses; 0 where masked."""
        return self.promise_fn(self.params, rollout)

    def rank(self, rollout: Rollout, unread: tuple[int, ...] = ()) -> Float[Array, " batch"]:
        """The promise of each whole response, on every process, as if the tokens `unread` were not in it."""
        return self.rank_fn(self.params, without(rollout, unread) if unread else rollout)


def make_oracle(mesh: Mesh, model: OutcomeModel, params: Params) -> Oracle:
    """An oracle of these parameters; those of one mesh and model share what is compiled."""
    return Oracle(params, *_functions(mesh, model))


@functools.lru_cache(maxsize=4)
def _functions(mesh: Mesh, model: OutcomeModel):
    return make_promise_fn(mesh, model), make_rank_fn(mesh, model)


def make_promise_fn(mesh: Mesh, model: OutcomeModel) -> PromiseFn:
    """`promise(params, rollout) -> [batch, time]`, jitted; some rows at a time."""
    return jax.jit(functools.partial(_promise, model, ROWS * row_shards(mesh)))


def make_rank_fn(mesh: Mesh, model: OutcomeModel) -> Callable[[Params, Rollout], Float[Array, " batch"]]:
    """`rank(params, rollout) -> [batch]`: the promise at the last token, on every process; jitted."""

    @functools.partial(jax.jit, out_shardings=replicated(mesh))
    def rank(params: Params, rollout: Rollout):
        promise = _promise(model, ROWS * row_shards(mesh), params, rollout)
        last = jnp.maximum(rollout.mask.sum(axis=1, keepdims=True) - 1, 0)
        return jnp.take_along_axis(promise, last, axis=1)[:, 0]

    return rank


@functools.partial(jax.jit, static_argnums=1)
def without(rollout: Rollout, unread: tuple[int, ...]) -> Rollout:
    """The responses without these tokens: what follows moves up, and there is more padding. Jitted."""
    keep = rollout.mask & ~jnp.isin(rollout.tokens, jnp.asarray(unread))
    order = jnp.argsort(~keep, axis=1, stable=True)
    parts = (rollout.tokens, keep, rollout.logprobs, rollout.entropies)
    tokens, mask, logprobs, entropies = (jnp.take_along_axis(part, order, axis=1) for part in parts)
    return rollout._replace(tokens=tokens, mask=mask, logprobs=logprobs, entropies=entropies)


def _promise(model: OutcomeModel, size: int, params: Params, rollout: Rollout) -> Float[Array, "batch time"]:
    rows, time = rollout.tokens.shape

    def part(some: Rollout) -> Float[Array, "batch time"]:
        tokens, mask = sequences(some)
        logits = model.logits(params, tokens, mask)[:, -time:]
        return jnp.where(some.mask, jax.nn.sigmoid(logits), 0.0)

    return join_rows(jax.lax.map(part, split_rows(rollout, rows // math.gcd(rows, size))))


def load_oracle(experiment: Experiment, workdir: Path, mesh: Mesh, model: ActorCritic) -> Oracle | None:
    """The oracle of the newest finished outcome model in a workdir; None where there is none."""
    index = newest_finished(experiment, workdir)
    if index is None:
        return None
    policy = jax.eval_shape(model.init, jax.random.key(0))["policy"]
    shapes = jax.eval_shape(init_outcome_model, policy)
    placed = tree_shardings(mesh, shapes, AXES)
    like = jax.tree.map(lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes, placed)
    with contextlib.closing(Saver(stage_folder(workdir, experiment, index))) as saver:
        name = outcome_model.NAME
        part, _ = saver.restore_part(experiment.stages[index].num_steps, {"params": {name: like}})
    params = part["params"][name]
    params = params | {"trunk": with_base(experiment, workdir, model, mesh, params["trunk"])}
    return make_oracle(mesh, OutcomeModel(model.config, model.vocab_size), params)


def newest_finished(experiment: Experiment, workdir: Path) -> int | None:
    """The last stage that has trained an outcome model to its end."""
    finished = [
        index
        for index, stage in enumerate(experiment.stages)
        if isinstance(stage, outcome_model.Config)
        and (stage_folder(workdir, experiment, index) / str(stage.num_steps)).is_dir()
    ]
    return max(finished, default=None)
