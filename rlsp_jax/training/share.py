"""The share of one device, on a mesh that need not be there: of a model, of its parameters, of a batch's rows."""

import dataclasses
from typing import TypeVar

import jax
from jax.sharding import AbstractMesh, AxisType

from rlsp_jax.algorithms import ppo, rloo
from rlsp_jax.common.errors import UserError
from rlsp_jax.models import AXES, ActorCritic, ModelConfig
from rlsp_jax.models.attention import Auto, Blockwise, Implementation, Plain
from rlsp_jax.sharding import MeshConfig, row_shards, tree_shardings
from rlsp_jax.training.memory import Shape
from rlsp_jax.types import Params

RL = TypeVar("RL", bound=ppo.Config | rloo.Config)


def abstract_mesh(config: MeshConfig, devices: int | None) -> AbstractMesh:
    """The mesh of an experiment, without devices; `devices` is how many there will be, where it takes all."""
    rest = config.fsdp * config.tensor
    data = config.data if config.data is not None else max((devices or rest) // rest, 1)
    if devices is not None and data * rest != devices:
        raise UserError(
            f"A mesh of data={data} × fsdp={config.fsdp} × tensor={config.tensor} needs {data * rest} devices, not "
            f"{devices}; change mesh.data, mesh.fsdp or mesh.tensor."
        )
    shape = (data, config.fsdp, config.tensor)
    return AbstractMesh(shape, ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)


@dataclasses.dataclass(frozen=True)
class Portable(Auto):
    """What `Auto` takes where there is no accelerator."""

    def choose(self, platform, queries, segments):
        return super().choose("cpu", queries, segments)


def portable(attention: Implementation) -> Implementation:
    """An attention that any device can compute; accelerators' own kernels need as little as `Blockwise`."""
    if isinstance(attention, Auto):
        return Portable()
    return attention if isinstance(attention, Plain | Blockwise) else Blockwise()


def shared_model(model: ActorCritic, mesh: AbstractMesh) -> ActorCritic:
    """The model as one device computes it: heads, feed-forward and vocabulary are split where `tensor` divides them.

    Parameters are whole along `fsdp`, over which they are gathered before they are used.
    """
    parts, config = mesh.shape["tensor"], model.config
    heads, kv_heads, mlp, vocab = (
        size if size % parts else size // parts
        for size in (config.num_heads, config.num_kv_heads, config.mlp_dim, model.vocab_size)
    )
    sizes = {"num_heads": heads, "num_kv_heads": kv_heads} if heads % kv_heads == 0 else {}
    local: ModelConfig = dataclasses.replace(config, mlp_dim=mlp, attention=portable(config.attention), **sizes)
    return ActorCritic(local, vocab)


def part_shapes(local: Params, whole: Params, mesh: AbstractMesh) -> dict[Shape, Shape]:
    """Shape of a parameter as one device computes with it → shape of the part that lies on the device."""
    leaves = (jax.tree.leaves(tree) for tree in (local, whole, tree_shardings(mesh, whole, AXES)))
    return {mine.shape: sharding.shard_shape(leaf.shape) for mine, leaf, sharding in zip(*leaves, strict=True)}


def share_of_rows(rows: int, mesh: AbstractMesh) -> int:
    return rows // row_shards(mesh)


def share_of_rl(config: RL, mesh: AbstractMesh) -> RL:
    """The config of one update with the rows that one device has, of as many micro-batches; what they are paid for and
    how they are compared, an update does not know."""
    minibatch = config.update_rows if isinstance(config, rloo.Config) else config.minibatch_size
    rows = share_of_rows(minibatch // config.micro_batches, mesh) * config.micro_batches
    if isinstance(config, ppo.Config):
        return dataclasses.replace(config, prompts_per_step=rows, minibatch_size=rows)
    rows += rows % 2 * config.micro_batches  # siblings are two or more
    sizes = {"prompts_per_step": rows // 2, "samples_per_prompt": 2, "minibatch_size": None}
    return dataclasses.replace(config, **sizes, chunk_prompts=None, dynamic=None)
