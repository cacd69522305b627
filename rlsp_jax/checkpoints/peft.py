"""Adapters ↔ a folder as PEFT writes it: adapter_config.json, and A and B of every projection in PyTorch's layout.

Names and layouts are those of the family's table: an adapter lies as the projection does that it belongs to.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from rlsp_jax.checkpoints.families import Family, Slot
from rlsp_jax.checkpoints.hf_import import place
from rlsp_jax.checkpoints.layouts import Layout, Linear
from rlsp_jax.checkpoints.model_json import family_of, read_model
from rlsp_jax.checkpoints.weight_files import WeightFiles, write_tensors
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.trees import path_name
from rlsp_jax.models import AXES, ActorCritic, Lora, ModelConfig
from rlsp_jax.sharding import tree_shardings
from rlsp_jax.types import Params

ABOUT, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


class Half(NamedTuple):
    """A or B of one projection, of one layer: where it lies with us and there, and how."""

    path: str  # below the adapters
    layer: int | None  # its place where layers are stacked
    tensor: str
    layout: Layout


def export_adapter(folder: Path, config: ModelConfig, adapters: Params, *, base: str, like: Path | None = None) -> None:
    """Write adapters into a folder that exists; `base` is the folder or the Hub id of the policy without them.

    `like` is a folder with the config.json of that policy, which tells its family. Raises `UserError` where PEFT has no
    such adapters.
    """
    assert config.lora is not None
    family = read_model(like)[0] if like is not None else family_of(config)
    halves = list(_halves(family, config, config.lora))
    leaves = {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(adapters)}
    write_tensors(folder / WEIGHTS, {half.tensor: _written(half, leaves[half.path]) for half in halves})
    about = to_json(config.lora, _projections(family, config, config.lora), base)
    (folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def import_adapter(folder: Path, model: ActorCritic, mesh: Mesh, *, like: Path | None = None) -> Params:
    """The adapters in a folder, as those of `model`, on the mesh; `like` as in `export_adapter`.

    Raises `UserError` unless it holds exactly such adapters as `model.config.lora` says.
    """
    lora = model.config.lora
    assert lora is not None
    family = read_model(like)[0] if like is not None else family_of(model.config)
    _check_agrees(folder / ABOUT, to_json(lora, _projections(family, model.config, lora), ""))
    halves: dict[str, list[Half]] = {}
    for half in _halves(family, model.config, lora):
        halves.setdefault(half.path, []).append(half)
    shapes = jax.eval_shape(model.init, jax.random.key(0))["policy"]["lora"]
    with WeightFiles(folder, WEIGHTS) as files:
        if strange := sorted(files.names ^ {half.tensor for own in halves.values() for half in own}):
            what = "holds" if strange[0] in files.names else "lacks"
            raise UserError(f"{folder / WEIGHTS} {what} {strange[0]}, unlike adapters of this model; export it again.")

        def load(path, leaf, sharding) -> jax.Array:
            own = halves[path_name(path)]
            shape = leaf.shape if own[0].layer is None else leaf.shape[1:]
            layers = [half.layout.read(_checked(files, half, shape), shape) for half in own]
            return place(layers[0] if own[0].layer is None else np.stack(layers), leaf.dtype, sharding)

        return jax.tree_util.tree_map_with_path(load, shapes, tree_shardings(mesh, shapes, AXES))


def to_json(lora: Lora, modules: list[str], base: str) -> dict[str, Any]:
    """The adapter_config.json of adapters of these modules."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "use_rslora": lora.rank_stabilized,
        "target_modules": modules,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "lora_dropout": 0.0,
        "modules_to_save": None,
    }


def _check_agrees(path: Path, ours: dict[str, Any]) -> None:
    if not path.is_file():
        raise UserError(f"{path.parent} has no {ABOUT}; name a folder that PEFT or rlsp convert export wrote.")
    theirs = json.loads(path.read_text(encoding="utf-8"))
    usual = {"use_rslora": False, "bias": "none", "fan_in_fan_out": False, "modules_to_save": None}
    alike = ("peft_type", "r", "lora_alpha", "use_rslora", "bias", "fan_in_fan_out", "modules_to_save")
    for key in alike:
        found = theirs.get(key, usual.get(key))
        if found != ours[key]:
            raise UserError(f"{path} has {key} = {found!r}, but model.lora means {ours[key]!r}; make them the same.")


def _halves(family: Family, config: ModelConfig, lora: Lora) -> Iterator[Half]:
    """A and B of every projection that has an adapter."""
    for slot in _targets(family, config, lora):
        if slot.weight.parts > 1:
            raise UserError(
                f"{family.name} keeps the projection {_name(slot)} in one matrix with another, so PEFT has no adapter "
                "for it alone; export the policy merged, without --adapter."
            )
        path, tensor = slot.path.removesuffix("/kernel"), f"base_model.model.{slot.tensor.removesuffix('.weight')}"
        into, out_of = _layouts(slot.weight.layout)
        yield Half(f"{path}_lora/a", slot.layer, f"{tensor}.lora_A.weight", into)
        yield Half(f"{path}_lora/b", slot.layer, f"{tensor}.lora_B.weight", out_of)


def _layouts(kernel: Layout) -> tuple[Layout, Layout]:
    """How A, whose inputs are the kernel's, and B, whose outputs are, lie."""
    if isinstance(kernel, Linear):
        return kernel, Linear()
    return Linear(), kernel  # heads in another order: those of the outputs


def _targets(family: Family, config: ModelConfig, lora: Lora) -> list[Slot]:
    slots = family.table(config)
    return [slot for slot in slots if slot.path.endswith("/kernel") and _name(slot) in lora.targets]


def _name(slot: Slot) -> str:
    """Our name of a projection."""
    return slot.path.split("/")[-2]


def _projections(family: Family, config: ModelConfig, lora: Lora) -> list[str]:
    """What the modules with an adapter are called there, such as q_proj."""
    one = dataclasses.replace(config, num_layers=1)
    return sorted(slot.tensor.split(".")[-2] for slot in _targets(family, one, lora))


def _written(half: Half, leaf: jax.Array) -> np.ndarray:
    array = np.asarray(leaf if half.layer is None else leaf[half.layer], np.float32)
    return np.ascontiguousarray(half.layout.write(array))


def _checked(files: WeightFiles, half: Half, shape: tuple[int, ...]) -> np.ndarray:
    if files.shape(half.tensor) != half.layout.stored(shape):
        raise UserError(
            f"{half.tensor} in {files.file(half.tensor)} has the shape {list(files.shape(half.tensor))}, but of this "
            f"model it would be {list(half.layout.stored(shape))}; the two do not belong together."
        )
    return files.read(half.tensor)
