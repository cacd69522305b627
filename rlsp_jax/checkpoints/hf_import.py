"""A published checkpoint → the policy's parameters, tensor by tensor, straight to where they will lie.

At no time does the host hold more of the model than one tensor and its reordered copy: each is read, cut for the
devices of this process and let go before the next; stacked layers are stacked on the devices.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rlsp_jax.checkpoints.families import SUPERFLUOUS, Family, Slot, looks_like
from rlsp_jax.checkpoints.model_json import FILE, check_agrees, read_model
from rlsp_jax.checkpoints.weight_files import FLOATS, WeightFiles
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.trees import path_name
from rlsp_jax.models import AXES, ActorCritic
from rlsp_jax.sharding import tree_shardings
from rlsp_jax.types import Params


def import_policy(folder: Path, model: ActorCritic, mesh: Mesh) -> Params:
    """The policy of a published checkpoint, in the layout and the `param_dtype` of `model`, on the mesh.

    Raises `UserError`, before anything is put on a device, where the folder does not hold all weights of such a model
    whole, and nothing else.
    """
    family, published = read_model(folder)
    check_agrees(model.config, published, folder / FILE)
    shapes = jax.eval_shape(model.init, jax.random.key(0))["policy"]
    slots: dict[str, list[Slot]] = {}
    for slot in family.table(model.config):
        slots.setdefault(slot.path, []).append(slot)
    with WeightFiles(folder) as files:
        check_weights(files, family, expected_shapes(slots, shapes))

        def load(path, leaf, sharding) -> jax.Array:
            own = slots[path_name(path)]
            arrays = (_read(files, slot, leaf.shape) for slot in own)
            return place(next(arrays), leaf.dtype, sharding) if own[0].layer is None else _stack(arrays, leaf, sharding)

        return jax.tree_util.tree_map_with_path(load, shapes, tree_shardings(mesh, shapes, AXES))


def expected_shapes(slots: dict[str, list[Slot]], shapes: Params) -> dict[str, tuple[int, ...]]:
    """The shape of every published tensor of a model whose parameters have these shapes."""
    expected = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        for slot in slots[path_name(path)]:
            rows, *rest = slot.weight.layout.stored(_own_shape(slot, leaf.shape))
            expected[slot.tensor] = (rows * slot.weight.parts, *rest)
    return expected


def check_weights(files: WeightFiles, family: Family, expected: dict[str, tuple[int, ...]]) -> None:
    """Raise `UserError` unless the files hold exactly these tensors, as floating point numbers."""
    missing = [name for name in expected if name not in files.names]
    extra = sorted(name for name in files.names - set(expected) if not SUPERFLUOUS.fullmatch(name))
    if missing or extra:
        other = looks_like(files.names)
        if other not in (None, family):
            raise UserError(
                f"The weights in {files.folder} look like those of {other.name}, but its {FILE} says {family.name} "
                f"({family.architecture}); put the {FILE} there that belongs to them."
            )
        what = f"lacks {_some(missing)}" if missing else f"holds {_some(extra)}, which no such {family.name} model has"
        raise UserError(f"{files.folder} {what}; copy or download the checkpoint again.")
    for name, shape in expected.items():
        if files.shape(name) != shape:
            raise UserError(
                f"{name} in {files.file(name)} has the shape {list(files.shape(name))}, but by {FILE} it should be "
                f"{list(shape)}; the two do not belong together."
            )
        if files.dtype(name) not in FLOATS.values():
            raise UserError(
                f"{name} in {files.file(name)} is of the type {files.dtype(name)}; quantized weights are not read, so "
                "take the checkpoint that they were made from."
            )


def _some(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _own_shape(slot: Slot, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what a slot holds of a parameter: all of it, or one layer."""
    return shape if slot.layer is None else shape[1:]


def _read(files: WeightFiles, slot: Slot, shape: tuple[int, ...]) -> np.ndarray:
    tensor = files.read(slot.tensor, part=slot.weight.part, parts=slot.weight.parts)
    return slot.weight.layout.read(tensor, _own_shape(slot, shape))


def place(array: np.ndarray, dtype: np.dtype, sharding: NamedSharding) -> jax.Array:
    """The array on the devices: each gets a copy of its own part, of the type that is stored."""

    def part(index) -> np.ndarray:
        return np.ascontiguousarray(array[index], dtype)

    return jax.block_until_ready(jax.make_array_from_callback(array.shape, sharding, part))


def _stack(layers: Iterator[np.ndarray], leaf: jax.ShapeDtypeStruct, sharding: NamedSharding) -> jax.Array:
    """The layers of one parameter, stacked where they will lie."""
    insert = make_insert_fn(sharding)
    of_layer = NamedSharding(sharding.mesh, PartitionSpec(*sharding.spec[1:]))
    stack = jnp.zeros(leaf.shape, leaf.dtype, device=sharding)
    for number, layer in enumerate(layers):
        stack = insert(stack, place(layer, leaf.dtype, of_layer), number)
    return stack


def make_insert_fn(sharding: NamedSharding) -> Callable[..., jax.Array]:
    """`insert(stack, layer, number) -> stack`, in place; jitted."""

    def insert(stack: jax.Array, layer: jax.Array, number: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_index_in_dim(stack, layer, number, 0)

    return jax.jit(insert, donate_argnums=0, out_shardings=sharding)
