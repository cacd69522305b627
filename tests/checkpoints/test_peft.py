"""Adapters become a folder as PEFT writes it, and come back the same."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rlsp_jax.checkpoints import export_adapter, import_adapter
from rlsp_jax.common.errors import UserError
from rlsp_jax.models import ActorCritic, Lora, nano
from tests.checkpoints.published import all_devices
from tests.models.builders import VOCAB, build

LORA = Lora(rank=3, alpha=6.0)
ATTENTION = dataclasses.replace(LORA, targets=("query", "key", "value", "out"), rank_stabilized=True)
MODELS = {
    "Llama": nano(lora=LORA, tie_embeddings=False, head_dim=6),
    "Qwen3, scanned": nano(lora=LORA, qk_norm=True, head_dim=12, scan_layers=True),
    "GLM-4, whose heads lie in another order": nano(lora=ATTENTION, qkv_bias=True, rope_fraction=0.5),
}


@pytest.fixture
def written(tmp_path):
    """A folder with adapters, and their model."""
    model, params = build(MODELS["Llama"])
    export_adapter(tmp_path, model.config, params["policy"]["lora"], base="owner/name")
    return tmp_path, model


@pytest.mark.parametrize("name", MODELS)
def test_adapters_come_back_bit_for_bit(name, tmp_path):
    model, params = build(MODELS[name])
    export_adapter(tmp_path, model.config, params["policy"]["lora"], base="owner/name")
    back = import_adapter(tmp_path, model, all_devices())
    jax.tree.map(np.testing.assert_array_equal, back, params["policy"]["lora"])


def test_names_and_shapes_are_those_of_peft(written):
    folder, _ = written
    tensors = load_file(folder / "adapter_model.safetensors")
    assert len(tensors) == 2 * 7 * 2  # A and B of seven projections in two layers
    layer = "base_model.model.model.layers.1"
    assert tensors[f"{layer}.self_attn.q_proj.lora_A.weight"].shape == (3, 32)
    assert tensors[f"{layer}.self_attn.k_proj.lora_B.weight"].shape == (2 * 6, 3)
    assert tensors[f"{layer}.self_attn.o_proj.lora_A.weight"].shape == (3, 4 * 6)
    assert tensors[f"{layer}.mlp.down_proj.lora_B.weight"].shape == (32, 3)
    about = json.loads((folder / "adapter_config.json").read_text())
    assert (about["peft_type"], about["r"], about["lora_alpha"], about["use_rslora"]) == ("LORA", 3, 6.0, False)
    assert about["base_model_name_or_path"] == "owner/name"
    modules = [f"{name}_proj" for name in ("down", "gate", "k", "o", "q", "up", "v")]
    assert about["target_modules"] == modules


def test_a_projection_that_shares_its_matrix_has_no_adapter_there(tmp_path):
    model, params = build(nano(lora=LORA, qkv_bias=True, rope_fraction=0.5))
    with pytest.raises(UserError, match="GLM-4 keeps the projection gate in one matrix with another"):
        export_adapter(tmp_path, model.config, params["policy"]["lora"], base="")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("lora", "sentence"),
    [
        (dataclasses.replace(LORA, rank=4), r"has r = 3, but model.lora means 4; make them the same\.$"),
        (dataclasses.replace(LORA, rank_stabilized=True), "has use_rslora = False, but model.lora means True"),
        (dataclasses.replace(LORA, targets=("query",)), r"adapter_model.safetensors holds .*, unlike adapters of this"),
    ],
)
def test_other_adapters_are_one_clear_sentence(written, lora, sentence):
    folder, model = written
    other = ActorCritic(dataclasses.replace(model.config, lora=lora), VOCAB)
    with pytest.raises(UserError, match=sentence):
        import_adapter(folder, other, all_devices())


def test_adapters_of_another_shape_and_missing_ones_are_one_clear_sentence(written):
    folder, model = written
    wider = ActorCritic(dataclasses.replace(model.config, mlp_dim=128), VOCAB)
    with pytest.raises(UserError, match=r"has the shape \[3, 64\], but of this model it would be \[3, 128\]"):
        import_adapter(folder, wider, all_devices())
    weights = folder / "adapter_model.safetensors"
    missing = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"
    save_file({name: tensor for name, tensor in load_file(weights).items() if name != missing}, weights)
    with pytest.raises(UserError, match=f"lacks {missing}, unlike adapters of this model; export it again"):
        import_adapter(folder, model, all_devices())


def test_a_folder_without_adapters_is_one_clear_sentence(tmp_path):
    with pytest.raises(UserError, match="has no adapter_config.json; name a folder that PEFT or rlsp convert export"):
        import_adapter(tmp_path, build(MODELS["Llama"])[0], all_devices())
