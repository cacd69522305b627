"""One mesh, `data × fsdp × tensor`, and how arrays lie on it.

Rows of a batch are split over `data` and `fsdp` together; parameters over `fsdp` (their embedding
axis) and `tensor` (heads, feed-forward, vocabulary). The compiler inserts the collectives: every
function of the library is written for one device and is correct on any mesh.
"""

import dataclasses
import math
import re
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.trees import path_name
from rlsp_jax.types import PyTree

ROWS = ("data", "fsdp")

# logical axis of a parameter → mesh axis; axes that are not named here are replicated
MESH_AXES = {"embed": "fsdp", "vocab": "tensor", "heads": "tensor", "mlp": "tensor"}

Table = Sequence[tuple[str, tuple[str | None, ...]]]


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices along each axis. `data=None` takes all devices that the other two axes leave."""

    data: int | None = None
    fsdp: int = 1
    tensor: int = 1

    def __post_init__(self):
        for name, size in dataclasses.asdict(self).items():
            if size is not None and size < 1:
                raise UserError(f"mesh.{name} is {size}; an axis of the mesh has at least 1 device.")


def make_mesh(config: MeshConfig) -> Mesh:
    """The mesh over all devices of all processes; raises `ValueError` when the sizes do not fit them."""
    available = jax.device_count()
    rest = config.fsdp * config.tensor
    data = config.data if config.data is not None else max(available // rest, 1)
    if data * rest != available:
        raise UserError(
            f"A mesh of data={data} × fsdp={config.fsdp} × tensor={config.tensor} needs {data * rest} devices, "
            f"but {available} {'is' if available == 1 else 'are'} here; change mesh.data, mesh.fsdp or mesh.tensor."
        )
    shape = (data, config.fsdp, config.tensor)
    return jax.make_mesh(shape, ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)


def check_rows(mesh: Mesh | AbstractMesh, **sizes: int) -> None:
    """Raise `ValueError` unless every named number of rows divides over the mesh's row axes."""
    shards = row_shards(mesh)
    for name, size in sizes.items():
        if size % shards:
            raise UserError(f"{name} is {size}; it must be a multiple of the mesh's data × fsdp = {shards} devices.")


def row_shards(mesh: Mesh | AbstractMesh) -> int:
    return math.prod(mesh.shape[axis] for axis in ROWS)


def rows(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """The sharding of an array whose given axis is the batch."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, ROWS))


def replicated(mesh: Mesh | AbstractMesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def place_rows(mesh: Mesh, tree: PyTree) -> PyTree:
    """Put host arrays `[batch, …]` on the mesh, rows split over `data` and `fsdp`."""
    return jax.device_put(tree, rows(mesh))


def own_rows(mesh: Mesh, size: int) -> np.ndarray:
    """The numbers of the rows, out of `size`, that lie on this process's devices: all of them in a single process."""
    slices = rows(mesh).addressable_devices_indices_map((size,)).values()
    return np.unique(np.concatenate([np.arange(size)[index] for index in slices if index is not None]))


def place_own_rows(mesh: Mesh, own: np.ndarray, size: int) -> jax.Array:
    """An array `[size, …]` on the mesh, of which every process gives the rows that are its own, in order."""
    return jax.make_array_from_process_local_data(rows(mesh), own, (size, *own.shape[1:]))


def constrain_rows(x: jax.Array, *rest: str | None) -> jax.Array:
    """Keep rows split inside jit, if they divide; `rest` names the mesh axes of the following dimensions."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or len(x) % row_shards(mesh):
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec(ROWS, *rest))


def tree_shardings(mesh: Mesh | AbstractMesh, tree: PyTree, table: Table) -> PyTree:
    """A sharding for every leaf, looked up by its path; a leaf that no line matches is an error.

    `table` maps a regular expression, which must match the end of a parameter's path, to its logical
    axes. Optimizer moments end in the path of their parameter, so one table serves both; scalars are
    replicated, and so are moments with fewer axes than their parameter (a row or a column of it). Leading axes that
    the line does not name (a stack of layers) are not split.
    """

    def sharding(path, leaf):
        if leaf.ndim == 0:
            return replicated(mesh)
        name = path_name(path)
        for pattern, axes in table:
            if re.search(f"(^|/){pattern}$", name):
                return NamedSharding(mesh, _spec(mesh, leaf.shape, axes))
        raise KeyError(f"No line of the sharding table matches the parameter {name!r} of shape {leaf.shape}.")

    return jax.tree_util.tree_map_with_path(sharding, tree)


def _spec(mesh: Mesh | AbstractMesh, shape: tuple[int, ...], axes: tuple[str | None, ...]) -> PartitionSpec:
    if len(shape) < len(axes):
        return PartitionSpec()
    stacked = [None] * (len(shape) - len(axes))
    named = [MESH_AXES.get(axis or "") for axis in axes]
    sizes = shape[len(stacked) :]
    fits = [name if name and not size % mesh.shape[name] else None for name, size in zip(named, sizes, strict=True)]
    return PartitionSpec(*stacked, *fits)
