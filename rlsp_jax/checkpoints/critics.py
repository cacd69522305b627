"""Critics and outcome models beside an exported policy: transformers goes without them, we read them back.

A critic lies in `critic/`: its heads in one file, what they are in another, and a transformer of its own, where it has
one, in `critic/trunk/`. An outcome model is `outcome_model/`. Both transformers are checkpoints like the policy's.
"""

import json
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from rlsp_jax.checkpoints.hf_import import import_policy, place
from rlsp_jax.checkpoints.weight_files import WeightFiles, write_tensors
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.trees import path_name
from rlsp_jax.models import AXES, ActorCritic, ModelConfig, init_outcome_model
from rlsp_jax.sharding import tree_shardings
from rlsp_jax.types import Params

CRITIC, TRUNK, OUTCOME = "critic", "trunk", "outcome_model"
HEADS, ABOUT = "heads.safetensors", "critic.json"
FIELDS = ("value_heads", "value_trunk", "value_hidden")  # of the model, which decide what a critic is

WriteTrunk = Callable[[Path, Params], None]  # as a checkpoint, into a folder that exists


def write_critic(folder: Path, config: ModelConfig, value: Params, write_trunk: WriteTrunk) -> None:
    """Write a critic into an exported folder; nothing where the model has none."""
    if not config.value_heads:
        return
    own = folder / CRITIC
    own.mkdir()
    _write_heads(own, value["heads"])
    (own / ABOUT).write_text(json.dumps({name: vars(config)[name] for name in FIELDS}, indent=2) + "\n")
    if "trunk" in value:
        (own / TRUNK).mkdir()
        write_trunk(own / TRUNK, value["trunk"])


def read_critic(folder: Path, model: ActorCritic, mesh: Mesh) -> Params:
    """The critic that lies beside an exported policy. `UserError` where there is none, or another kind."""
    path = folder / CRITIC / ABOUT
    if not path.is_file():
        raise UserError(f"{folder} has no critic; a folder that rlsp convert export wrote of a run with one has.")
    about = json.loads(path.read_text())
    for name in FIELDS:
        ours, theirs = vars(model.config)[name], about[name]
        if ours != (tuple(theirs) if isinstance(theirs, list) else theirs):
            raise UserError(f"model.{name} is {ours!r}, but the critic in {folder} has {theirs!r}; give both the same.")
    shapes = jax.eval_shape(model.init, jax.random.key(0))["value"]
    value = {"heads": _read_heads(folder / CRITIC, shapes["heads"], mesh)}
    return value | ({"trunk": import_policy(folder / CRITIC / TRUNK, model, mesh)} if "trunk" in shapes else {})


def write_outcome_model(folder: Path, params: Params, write_trunk: WriteTrunk) -> None:
    """Write an outcome model into an exported folder."""
    own = folder / OUTCOME
    own.mkdir()
    write_trunk(own, params["trunk"])
    _write_heads(own, params["heads"])


def read_outcome_model(folder: Path, model: ActorCritic, mesh: Mesh) -> Params:
    """The outcome model that lies beside an exported policy, and is of its shape. `UserError` where there is none."""
    own = folder / OUTCOME
    if not own.is_dir():
        raise UserError(f"{folder} has no outcome model; one that rlsp convert export wrote of a run with one has.")
    policy = jax.eval_shape(model.init, jax.random.key(0))["policy"]
    heads = jax.eval_shape(init_outcome_model, policy)["heads"]
    return {"trunk": import_policy(own, model, mesh), "heads": _read_heads(own, heads, mesh)}


def _write_heads(folder: Path, heads: Params) -> None:
    leaves = jax.tree_util.tree_leaves_with_path(heads)
    write_tensors(folder / HEADS, {path_name(path): np.asarray(leaf) for path, leaf in leaves})


def _read_heads(folder: Path, shapes: Params, mesh: Mesh) -> Params:
    with WeightFiles(folder, HEADS) as files:

        def read(path, leaf, sharding) -> jax.Array:
            name = path_name(path)
            if name not in files.names or files.shape(name) != leaf.shape:
                raise UserError(f"{folder / HEADS} has no {name} of the shape {list(leaf.shape)}; export it again.")
            return place(files.read(name), leaf.dtype, sharding)

        return jax.tree_util.tree_map_with_path(read, shapes, tree_shardings(mesh, {"heads": shapes}, AXES)["heads"])
