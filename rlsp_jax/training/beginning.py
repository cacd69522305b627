"""What a run's parameters begin as: fresh ones, or a checkpoint; and the base of adapters, which no state holds."""

import math
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, UInt32

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.common.trees import copy
from rlsp_jax.models import AXES, ActorCritic, is_adapted, learned
from rlsp_jax.records import read_json, write_json
from rlsp_jax.sharding import replicated, tree_shardings
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.workdir import CHECKPOINTS, newest_stage
from rlsp_jax.types import Params

BASE = f"{CHECKPOINTS}/base.json"  # where the base of a run's adapters came from, and its checksum


def init_params(experiment: Experiment, workdir: Path, model: ActorCritic, mesh: Mesh) -> Params:
    """The parameters that a run begins with, made where they will lie.

    They are fresh, but for a policy that begins as a checkpoint, whose copy a critic's own transformer is then. A run
    that has checkpoints of its own goes on from those, and does not read the other's weights again, unless it trains
    adapters: then it does not hold their base.
    """
    begun, weights = newest_stage(workdir, experiment) is not None, experiment.weights
    if weights is not None and not begun:
        weights.keep_config(workdir / CHECKPOINTS)  # an export will be like it
    if model.config.lora is not None:
        policy = {
            "base": load_base(experiment, workdir, model, mesh),
            "lora": _fresh(experiment, mesh, lambda key: model.init(key)["policy"]["lora"]),
        }
        if not begun:
            write_json(workdir / BASE, _describe(experiment, policy["base"], mesh))
        return _with_critic(experiment, model, mesh, {"policy": policy})
    if weights is None or begun:
        return _fresh(experiment, mesh, model.init)
    params = weights.load(model, mesh)
    return params if "value" in params else _with_critic(experiment, model, mesh, params)


def _with_critic(experiment: Experiment, model: ActorCritic, mesh: Mesh, params: Params) -> Params:
    """Fresh heads, and as a critic's own transformer a copy of the policy, or of its adapters."""
    value = _fresh(experiment, mesh, lambda key: {k: v for k, v in model.init(key)["value"].items() if k != "trunk"})
    if value and model.config.value_trunk == "separate":
        value["trunk"] = copy(learned(params["policy"]))
    return params | {"value": value}


def _fresh(experiment: Experiment, mesh: Mesh, init: Callable[[jax.Array], Params]) -> Params:
    key = key_of(jax.random.key(experiment.seed), "init", 0)
    return jax.jit(init, out_shardings=tree_shardings(mesh, jax.eval_shape(init, key), AXES))(key)


# ---- the base of adapters ------------------------------------------------------------------------


def load_base(experiment: Experiment, workdir: Path, model: ActorCritic, mesh: Mesh) -> Params:
    """The base of a run's adapters: the checkpoint that it began as, read again, or drawn again if it was drawn.

    Raises `UserError` where it is not, to the bit, the one that the run began with.
    """
    weights = experiment.weights
    if weights is None:
        base = _fresh(experiment, mesh, lambda key: model.init(key)["policy"]["base"])
    else:
        base = weights.load(model.bare, mesh)["policy"]
    before = workdir / BASE
    if before.is_file() and read_json(before) != _describe(experiment, base, mesh):
        raise UserError(
            f"The base that the adapters in {workdir} were trained on is another one than {_origin(experiment)} gives "
            f"now; put back the one that {before} tells of."
        )
    return base


def with_base(experiment: Experiment, workdir: Path, model: ActorCritic, mesh: Mesh, transformer: Params) -> Params:
    """A transformer as a saver restores it, with the base of its adapters; as it is where it has none."""
    if not is_adapted(transformer):
        return transformer
    return transformer | {"base": load_base(experiment, workdir, model, mesh)}


def _origin(experiment: Experiment) -> str:
    return f"seed {experiment.seed}" if experiment.weights is None else experiment.weights.source


def _describe(experiment: Experiment, base: Params, mesh: Mesh) -> dict[str, str | None]:
    revision = None if experiment.weights is None else experiment.weights.revision
    checksum = int(make_checksum_fn(mesh)(base))
    return {"source": _origin(experiment), "revision": revision, "checksum": f"{checksum:08x}"}


def make_checksum_fn(mesh: Mesh) -> Callable[[Params], UInt32[Array, ""]]:
    """`checksum(params)`, jitted: a number that goes with every bit of the parameters, and not with the mesh."""
    return jax.jit(_checksum, out_shardings=replicated(mesh))


def _checksum(params: Params) -> UInt32[Array, ""]:
    """Sums modulo 2³², over each array, of its numbers' bits mixed with their places."""
    total = jnp.uint32(0)
    for leaf in jax.tree.leaves(params):
        bits = jax.lax.bitcast_convert_type(leaf, jnp.uint16 if leaf.dtype.itemsize == 2 else jnp.uint32)
        place = jnp.zeros(leaf.shape, jnp.uint32)
        for axis in range(leaf.ndim):
            step = jnp.uint32(math.prod(leaf.shape[axis + 1 :]) % 2**32)
            place = place + step * jax.lax.broadcasted_iota(jnp.uint32, leaf.shape, axis)
        total = 31 * total + jnp.sum(_mixed(bits.astype(jnp.uint32) ^ _mixed(place)), dtype=jnp.uint32)
    return total


def _mixed(x: Array) -> Array:
    """MurmurHash3's last steps, one to one: every bit goes into every other."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
