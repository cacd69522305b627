"""config.json of a published checkpoint ↔ `ModelConfig`.

Read are both spellings of the rotation: `rope_theta`, `rope_scaling` and `partial_rotary_factor`, as transformers
wrote them up to version 4, and `rope_parameters`, which holds all three since. Written is the first, which every
version reads.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlsp_jax.checkpoints.families import FAMILIES, Family
from rlsp_jax.common.errors import UserError
from rlsp_jax.models import LinearScaling, Llama3Scaling, ModelConfig
from rlsp_jax.models.rope import Scaling

FILE = "config.json"

KEYS = {  # theirs → ours
    "vocab_size": "vocab_size",
    "hidden_size": "embed_dim",
    "intermediate_size": "mlp_dim",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "num_key_value_heads": "num_kv_heads",
    "head_dim": "head_dim",
    "max_position_embeddings": "max_length",
    "rms_norm_eps": "norm_eps",
    "tie_word_embeddings": "tie_embeddings",
}
LLAMA3_KEYS = {
    "factor": "factor",
    "low_freq_factor": "low_frequency",
    "high_freq_factor": "high_frequency",
    "original_max_position_embeddings": "original_length",
}
# what decides the function that a policy computes: two models that agree here are one
SHAPE = (
    *("num_layers", "embed_dim", "num_heads", "num_kv_heads", "head_dim", "mlp_dim", "vocab_size"),
    *("rope_theta", "rope_fraction", "rope_scaling", "norm_eps", "qkv_bias", "qk_norm", "tie_embeddings"),
)


# ---- reading -----------------------------------------------------------------------------------


def read_model(folder: Path) -> tuple[Family, ModelConfig]:
    """The family and the shape of the model in a folder, with its whole context. `UserError` if there is none such."""
    return from_json(read_json(folder), folder / FILE)


def read_json(folder: Path) -> dict[str, Any]:
    """The config.json of a folder."""
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder} has no {FILE}; name the folder of a published checkpoint, or a Hub id.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); copy or download it again.") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no JSON object; copy or download it again.")
    return values


def from_json(values: Mapping[str, Any], where: Path) -> tuple[Family, ModelConfig]:
    """The family and the shape that a config.json describes."""
    family = _family(values, where)
    rotation = {**(values.get("rope_scaling") or {}), **(values.get("rope_parameters") or {})}
    found = {key: value for key, value in {**values, **rotation}.items() if value is not None}
    _check_understood(family, found, where)
    heads, width = (_number(found, key, where) for key in ("num_attention_heads", "hidden_size"))
    usual = {
        "num_key_value_heads": heads,
        "head_dim": width // (heads or 1),
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
    }
    found = {**usual, **family.absent, **found}
    fields = {ours: _number(found, theirs, where) for theirs, ours in KEYS.items()}
    fields["rope_theta"] = float(found.get("rope_theta", 10_000.0))
    fields["rope_fraction"] = float(found.get("partial_rotary_factor", 1.0))
    kind = rotation.get("rope_type", rotation.get("type", "default"))
    return family, ModelConfig(**{**fields, **family.fields}, rope_scaling=_scaling(kind, found, where))


def dtype_of(values: Mapping[str, Any]) -> str | None:
    """What a config.json says that the weights are stored in."""
    return values.get("dtype") or values.get("torch_dtype")


def _family(values: Mapping[str, Any], where: Path) -> Family:
    named = [*(values.get("architectures") or ()), values.get("model_type")]
    for family in FAMILIES:
        if family.architecture in named or (not values.get("architectures") and family.model_type in named):
            return family
    known = ", ".join(f"{family.name} ({family.architecture})" for family in FAMILIES)
    raise UserError(f"{where} describes a model of the kind {named[0]}, which is not known here; known are {known}.")


def _check_understood(family: Family, values: Mapping[str, Any], where: Path) -> None:
    """Raise `UserError` where the config asks for what our transformer does not do."""
    for key, value in family.only.items():
        if values.get(key, value) != value:
            raise UserError(
                f"{where} has {key} = {values[key]!r}; of {family.name}, only models with {value!r} are known here."
            )
    if any(kind != "full_attention" for kind in values.get("layer_types", ())):
        raise UserError(f"{where} has layers with other than full attention (layer_types), which are not known here.")
    if "quantization_config" in values:
        raise UserError(f"{where} describes quantized weights; take the checkpoint that they were made from.")


def _number(values: Mapping[str, Any], key: str, where: Path) -> Any:
    if not isinstance(values.get(key), int | float):
        raise UserError(f"{where} has {key} = {values.get(key)!r}, which is no number; copy or download it again.")
    return values[key]


def _scaling(kind: str, values: Mapping[str, Any], where: Path) -> Scaling | None:
    """The scaling of this kind, its numbers found among those of the whole config."""
    match kind:
        case "default":
            return None
        case "linear":
            return LinearScaling(float(_number(values, "factor", where)))
        case "llama3":
            whole = {"original_max_position_embeddings": values["max_position_embeddings"], **values}
            return Llama3Scaling(**{ours: _number(whole, theirs, where) for theirs, ours in LLAMA3_KEYS.items()})
    raise UserError(f"{where} scales rotations in the way {kind!r}; known here are 'linear' and 'llama3'.")


# ---- writing -----------------------------------------------------------------------------------


def to_json(family: Family, config: ModelConfig) -> dict[str, Any]:
    """The config.json of a model; its vocabulary's size must be given.

    It names no special tokens: families have defaults of their own for those, which another tokenizer does not know.
    """
    values: dict[str, Any] = {"architectures": [family.architecture], "model_type": family.model_type}
    values |= dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    values |= {theirs: vars(config)[ours] for theirs, ours in KEYS.items()}
    values |= {"rope_theta": config.rope_theta, "rope_scaling": None, **family.only}
    match config.rope_scaling:
        case LinearScaling(factor):
            values["rope_scaling"] = {"rope_type": "linear", "factor": factor}
        case Llama3Scaling() as scaling:
            numbers = {theirs: vars(scaling)[ours] for theirs, ours in LLAMA3_KEYS.items()}
            values["rope_scaling"] = {"rope_type": "llama3", **numbers}
    if "rope_fraction" not in family.fields:
        values["partial_rotary_factor"] = config.rope_fraction
    return values


def family_of(config: ModelConfig) -> Family:
    """The first family that has such models. `UserError` if none has."""
    whole = dataclasses.replace(config, vocab_size=config.vocab_size or 1)
    for family in FAMILIES:
        if first_difference(whole, from_json(to_json(family, whole), Path(FILE))[1]) is None:
            return family
    names = ", ".join(f"{name} = {vars(config)[name]!r}" for name in ("qkv_bias", "qk_norm", "rope_fraction"))
    raise UserError(f"No published family has models with {names}, so there is no format to write this one in.")


# ---- agreement ---------------------------------------------------------------------------------


def first_difference(config: ModelConfig, published: ModelConfig) -> str | None:
    """The first field in which two models are not one; None if they are."""
    return next((name for name in SHAPE if vars(config)[name] != vars(published)[name]), None)


def check_agrees(config: ModelConfig, published: ModelConfig, where: Path) -> None:
    """Raise `UserError`, which names the first field that differs, unless the config is that of the checkpoint."""
    name = first_difference(config, published)
    if name is not None:
        ours, theirs = vars(config)[name], vars(published)[name]
        raise UserError(f"model.{name} is {ours!r}, but {where} has {theirs!r}; give the model the checkpoint's shape.")
    if config.max_length > published.max_length:
        raise UserError(
            f"model.max_length is {config.max_length:,}, but the checkpoint in {where.parent} was trained on "
            f"{published.max_length:,} tokens at most; make it no longer."
        )
