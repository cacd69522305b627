"""The policy's parameters → a folder that transformers loads, by the tables that checkpoints are read with."""

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rlsp_jax.checkpoints.families import Family, Slot
from rlsp_jax.checkpoints.model_json import FILE, check_agrees, dtype_of, family_of, from_json, read_json, to_json
from rlsp_jax.checkpoints.weight_files import INDEX, SINGLE, write_tensors
from rlsp_jax.common.trees import path_name
from rlsp_jax.models import ModelConfig
from rlsp_jax.types import Params

MAX_BYTES = 2 * 2**30  # of one file; the host holds no more of the model than that


class Tensor(NamedTuple):
    """A published tensor, and the parameters that it is put together from, in the order of its rows."""

    name: str
    slots: list[Slot]
    size: int  # numbers

    def collect(self, leaves: dict[str, jax.Array], dtype: np.dtype) -> np.ndarray:
        """Its numbers, on the host."""
        return np.concatenate([_written(slot, leaves[slot.path], dtype) for slot in self.slots])


def export_policy(
    folder: Path,
    config: ModelConfig,
    policy: Params,
    *,
    like: Path | None = None,
    dtype: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Write config.json and weights into a folder that exists.

    `like` is the folder of the checkpoint that the policy began as: its config.json is taken over. Weights are stored
    in `dtype`; by default in that of `like`, else in float32. Raises `UserError` where no family has such models.
    """
    family, values = _describe(config, policy, like)
    dtype = dtype or dtype_of(values) or "float32"
    leaves = {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(policy)}
    tensors = _tensors(family, config, leaves)
    _write_weights(folder, tensors, leaves, jax.numpy.dtype(dtype), max_bytes)
    values = {key: value for key, value in values.items() if key != "dtype"} | {"torch_dtype": dtype}
    (folder / FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _describe(config: ModelConfig, policy: Params, like: Path | None) -> tuple[Family, dict[str, Any]]:
    """The family of a model and its config.json: that of the checkpoint it began as, or one of our own making."""
    if like is None:
        whole = dataclasses.replace(config, vocab_size=policy["embed"]["embedding"].shape[0])
        return family_of(whole), to_json(family_of(whole), whole)
    values = read_json(like)
    family, published = from_json(values, like / FILE)
    check_agrees(config, published, like / FILE)
    return family, values


def _tensors(family: Family, config: ModelConfig, leaves: dict[str, jax.Array]) -> list[Tensor]:
    """The published tensors of a model, in the order of its publisher."""
    tensors: dict[str, Tensor] = {}
    for slot in family.table(config):
        size = math.prod(leaves[slot.path].shape[slot.layer is not None :])
        before = tensors.get(slot.tensor, Tensor(slot.tensor, [], 0))
        tensors[slot.tensor] = Tensor(slot.tensor, [*before.slots, slot], before.size + size)
    return list(tensors.values())


def _written(slot: Slot, leaf: jax.Array, dtype: np.dtype) -> np.ndarray:
    parameter = np.asarray(leaf if slot.layer is None else leaf[slot.layer])
    return slot.weight.layout.write(parameter.astype(dtype))


def _write_weights(
    folder: Path, tensors: Sequence[Tensor], leaves: dict[str, jax.Array], dtype: np.dtype, max_bytes: int
) -> None:
    """One file, or several of at most so many bytes and an index; a tensor is never cut."""
    files = list(_shards(tensors, max_bytes // dtype.itemsize))
    home: dict[str, str] = {}
    for number, shard in enumerate(files, 1):
        name = SINGLE if len(files) == 1 else f"model-{number:05}-of-{len(files):05}.safetensors"
        arrays = {tensor.name: tensor.collect(leaves, dtype) for tensor in shard}
        write_tensors(folder / name, arrays)
        home |= dict.fromkeys(arrays, name)
    if len(files) > 1:
        total = sum(tensor.size for tensor in tensors) * dtype.itemsize
        index = {"metadata": {"total_size": total}, "weight_map": home}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _shards(tensors: Sequence[Tensor], max_size: int) -> Iterator[list[Tensor]]:
    shard: list[Tensor] = []
    for tensor in tensors:
        if shard and sum(other.size for other in shard) + tensor.size > max_size:
            yield shard
            shard = []
        shard.append(tensor)
    yield shard
