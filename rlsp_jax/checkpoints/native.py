"""A policy in a format of our own, for pods: each process reads only what its devices hold, all of them at once.

`rlsp convert import` writes such a folder: the config.json and the tokenizer of the checkpoint as they were, and beside
them the parameters by Orbax, reordered and checked already. Layers are stacked there, a few large arrays.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rlsp_jax.checkpoints.model_json import FILE, check_agrees, read_model
from rlsp_jax.models import AXES, ActorCritic, ModelConfig
from rlsp_jax.sharding import tree_shardings
from rlsp_jax.types import Params

PARAMS = "params"  # the folder within


def is_native(folder: Path) -> bool:
    return (folder / PARAMS).is_dir()


def stacked(config: ModelConfig) -> ModelConfig:
    """The model whose parameters lie as they are stored."""
    return dataclasses.replace(config, scan_layers=True)


def save_policy(folder: Path, policy: Params) -> None:
    """Write the parameters of a model whose layers are stacked."""
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save((folder / PARAMS).absolute(), policy)


def restore_policy(folder: Path, model: ActorCritic, mesh: Mesh) -> Params:
    """The policy, in the layout and the `param_dtype` of `model`, on the mesh. `UserError` if it is another model's."""
    check_agrees(model.config, read_model(folder)[1], folder / FILE)
    shapes = jax.eval_shape(ActorCritic(stacked(model.config), model.vocab_size).init, jax.random.key(0))["policy"]
    placed = tree_shardings(mesh, shapes, AXES)
    like = jax.tree.map(lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes, placed)
    layout = ocp.checkpoint_utils.construct_restore_args(like)
    with ocp.PyTreeCheckpointer() as checkpointer:
        policy: Any = checkpointer.restore((folder / PARAMS).absolute(), item=like, restore_args=layout)
    return policy if model.config.scan_layers else unstack(policy)


def unstack(policy: Params) -> Params:
    """The same parameters with layers apart. Stacks are let go one by one, so that little is held twice."""
    rest = {name: tree for name, tree in policy.items() if name != "blocks"}
    leaves, tree = jax.tree.flatten(policy["blocks"])
    layers = zip(*(_apart(leaf) for leaf in leaves), strict=True)
    return rest | {f"block_{i}": jax.tree.unflatten(tree, layer) for i, layer in enumerate(layers)}


def _apart(stack: jax.Array) -> tuple[jax.Array, ...]:
    assert isinstance(stack.sharding, NamedSharding)
    sharding = NamedSharding(stack.sharding.mesh, PartitionSpec(*stack.sharding.spec[1:]))
    layers = make_split_fn(sharding)(stack)
    stack.delete()
    return layers


def make_split_fn(sharding: NamedSharding) -> Callable[[jax.Array], tuple[jax.Array, ...]]:
    """`split(stack) -> layers`, each laid out so; jitted."""
    return jax.jit(lambda stack: tuple(stack[i] for i in range(len(stack))), out_shardings=sharding)
