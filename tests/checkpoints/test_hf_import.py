"""A checkpoint that is not whole, or not of the model that is wanted, is refused in one sentence before it is read."""

import dataclasses
import json
import shutil
import tracemalloc
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rlsp_jax.checkpoints import Pretrained, export_policy, hf_import, import_policy
from rlsp_jax.checkpoints.families import FAMILIES, looks_like
from rlsp_jax.checkpoints.model_json import family_of, from_json, read_model, to_json
from rlsp_jax.common.errors import UserError
from rlsp_jax.models import AXES, ActorCritic, LinearScaling, Llama3Scaling, ModelConfig, nano
from rlsp_jax.sharding import tree_shardings
from tests.checkpoints.published import all_devices, one_device, opened, tensors
from tests.models.builders import build

FIXTURES = Path(__file__).parent.parent / "fixtures"
QUERY = "model.layers.1.self_attn.q_proj.weight"


@pytest.fixture
def copy(tmp_path):
    """A checkpoint that may be spoiled, by the name of its fixture."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(FIXTURES / name, tmp_path / name))

    return copy


def edit_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder: Path, **changes) -> None:
    """Change tensors by name; None leaves one out."""
    path = folder / "model.safetensors"
    weights = {**load_file(path), **changes}
    save_file({name: array for name, array in weights.items() if array is not None}, path)


def sentence(folder: Path, **changes) -> str:
    """What is said when it is read."""
    with pytest.raises(UserError) as raised:
        opened(folder, one_device(), **changes)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# ---- weights that are not whole ----


def test_a_folder_without_weights_says_what_it_looked_for(copy):
    folder = copy("llama2")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert sentence(folder) == (
        f"{folder} has no weights: neither model.safetensors nor model.safetensors.index.json lies there; "
        "PyTorch's pickled files are not read."
    )


@pytest.mark.parametrize("kept", [0, 5, 2000, -7])
def test_a_file_that_was_cut_off_is_named(copy, kept):
    folder = copy("llama32")
    path = folder / "model-00002-of-00003.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert sentence(folder).startswith(f"{path} is cut off or no safetensors file (")


def test_a_shard_that_is_absent_is_named(copy):
    folder = copy("llama32")
    (folder / "model-00003-of-00003.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    absent = "model-00003-of-00003.safetensors, which is absent; copy or download it too."
    assert sentence(folder) == f"{index} names {absent}"


def test_an_index_that_is_none_or_that_errs_is_named(copy):
    folder = copy("llama32")
    index = folder / "model.safetensors.index.json"
    weight_map = json.loads(index.read_text())["weight_map"]
    index.write_text(json.dumps({"weight_map": weight_map | {"model.norm.bias": "model-00001-of-00003.safetensors"}}))
    assert sentence(folder).startswith(f"{folder}/model-00001-of-00003.safetensors does not hold model.norm.bias, ")
    for text in ("{", "[]", '{"weight_map": 3}'):
        index.write_text(text)
        assert sentence(folder).startswith(f"{index} is no index of weights")


def test_a_weight_that_is_missing_superfluous_or_misshapen_is_named(copy):
    folder = copy("llama31")
    whole = load_file(folder / "model.safetensors")
    edit_weights(folder, **{QUERY: None, "model.norm.weight": None})
    assert sentence(folder).startswith(f"{folder} lacks {QUERY} and 1 more; ")
    edit_weights(folder, **whole, **{"model.layers.1.extra": np.zeros(3, np.float32)})
    assert sentence(folder).startswith(f"{folder} holds model.layers.1.extra, which no such Llama model has; ")
    edit_weights(folder, **{"model.layers.1.extra": None, QUERY: whole[QUERY][:-1]})
    assert sentence(folder) == (
        f"{QUERY} in {folder}/model.safetensors has the shape [31, 32], but by config.json it should be [32, 32]; "
        "the two do not belong together."
    )


def test_a_model_of_fewer_layers_than_its_weights_is_refused(copy):
    folder = copy("qwen3")
    edit_config(folder, num_hidden_layers=1)
    assert sentence(folder).startswith(
        f"{folder} holds model.layers.1.input_layernorm.weight and 10 more, which no such"
    )


@pytest.mark.parametrize(("dtype", "name"), [(np.int8, "I8"), (np.uint8, "U8"), (np.int64, "I64")])
def test_quantized_weights_are_refused(copy, dtype, name):
    folder = copy("llama2")
    edit_weights(folder, **{QUERY: np.zeros((32, 32), dtype)})
    assert sentence(folder) == (
        f"{QUERY} in {folder}/model.safetensors is of the type {name}; quantized weights are not read, so take the "
        "checkpoint that they were made from."
    )


@pytest.mark.parametrize("weights", ["llama31", "qwen25", "qwen3", "glm4"])
@pytest.mark.parametrize("config", ["llama31", "qwen25", "qwen3", "glm4"])
def test_weights_of_another_family_are_recognized(copy, weights, config):
    folder = copy(weights)
    shutil.copyfile(FIXTURES / config / "config.json", folder / "config.json")
    if weights == config:
        opened(folder, one_device())
        return
    theirs, ours = read_model(FIXTURES / weights)[0], read_model(FIXTURES / config)[0]
    assert sentence(folder).startswith(
        f"The weights in {folder} look like those of {theirs.name}, but its config.json says {ours.name} "
    )


def test_what_looks_like_no_family_is_taken_for_none():
    assert looks_like(["transformer.h.0.attn.c_attn.weight"]) is None


def test_a_tied_head_that_is_stored_twice_and_computed_buffers_are_passed_over(copy):
    folder = copy("qwen3")
    embedding = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    before = opened(folder, one_device())[1]
    buffers = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": np.ones(8, np.float32) for i in range(2)}
    edit_weights(folder, **{"lm_head.weight": embedding, **buffers})
    jax.tree.map(np.testing.assert_array_equal, opened(folder, one_device())[1], before)


# ---- configs ----


def test_a_folder_without_a_config_or_with_a_broken_one_is_refused(copy):
    folder = copy("llama2")
    (folder / "config.json").write_text("{")
    assert sentence(folder).startswith(f"{folder}/config.json is not JSON (")
    (folder / "config.json").write_text("[1]")
    assert sentence(folder).startswith(f"{folder}/config.json holds no JSON object")
    (folder / "config.json").unlink()
    assert sentence(folder).startswith(f"{folder} has no config.json; ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"architectures": ["MistralForCausalLM"]},
            "describes a model of the kind MistralForCausalLM, which is not known here; known are Llama "
            "(LlamaForCausalLM), Qwen2.5 (Qwen2ForCausalLM), Qwen3 (Qwen3ForCausalLM), GLM-4 (GlmForCausalLM).",
        ),
        ({"attention_bias": True}, "has attention_bias = True; of Llama, only models with False are known here."),
        ({"hidden_act": "gelu"}, "has hidden_act = 'gelu'; of Llama, only models with 'silu' are known here."),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "has layers with other than full attention"),
        ({"quantization_config": {"bits": 4}}, "describes quantized weights; take the checkpoint that they were made"),
        (
            {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}},
            "scales rotations in the way 'yarn'; known here are 'linear' and 'llama3'.",
        ),
        ({"rope_parameters": {"rope_type": "linear"}}, "has factor = None, which is no number; copy or download it"),
        ({"hidden_size": "32"}, "has hidden_size = '32', which is no number; copy or download it again."),
        ({"vocab_size": None}, "has vocab_size = None, which is no number; copy or download it again."),
    ],
)
def test_a_config_that_is_not_understood_is_refused(copy, changes, said):
    folder = copy("llama2")
    edit_config(folder, **changes)
    assert sentence(folder).startswith(f"{folder}/config.json {said}")


def test_sliding_windows_in_use_are_refused_and_unused_ones_are_not(copy):
    folder = copy("qwen25")
    edit_config(folder, sliding_window=4096)
    opened(folder, one_device())
    edit_config(folder, use_sliding_window=True)
    assert "has use_sliding_window = True; of Qwen2.5, only models with False" in sentence(folder)


OLD = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 99}
OLD |= {"max_position_embeddings": 512, "rms_norm_eps": 1e-5}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, {}),
        ({"model_type": "llama", "rope_theta": 5e5, "num_key_value_heads": 2}, {"rope_theta": 5e5, "num_kv_heads": 2}),
        ({"model_type": "llama", "rope_scaling": None, "head_dim": None}, {}),
        (
            {"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 2}},
            {"rope_scaling": LinearScaling(2.0)},
        ),
        (
            {
                "model_type": "llama",
                "rope_scaling": {
                    "factor": 32.0,
                    "high_freq_factor": 4.0,
                    "low_freq_factor": 1.0,
                    "original_max_position_embeddings": 8192,
                    "rope_type": "llama3",
                },
            },
            {"rope_scaling": Llama3Scaling(factor=32.0)},
        ),
        ({"model_type": "qwen2", "tie_word_embeddings": True}, {"qkv_bias": True, "tie_embeddings": True}),
        ({"model_type": "qwen3"}, {"qk_norm": True, "head_dim": 128}),
        ({"model_type": "glm"}, {"qkv_bias": True, "head_dim": 128, "rope_fraction": 0.5}),
        (
            {"model_type": "glm", "partial_rotary_factor": 0.25, "head_dim": 16},
            {"qkv_bias": True, "head_dim": 16, "rope_fraction": 0.25},
        ),
    ],
)
def test_configs_of_older_checkpoints_mean_what_they_meant(said, expected):
    """The spelling up to version 4 of transformers, and what is meant by a key that is left out."""
    usual = dict(
        num_layers=2, embed_dim=64, num_heads=4, num_kv_heads=4, head_dim=16, mlp_dim=96, vocab_size=99, max_length=512,
        norm_eps=1e-5, tie_embeddings=False,
    )  # fmt: skip
    assert from_json(OLD | said, Path("config.json"))[1] == ModelConfig(**(usual | expected))


@pytest.mark.parametrize("name", sorted(path.parent.name for path in FIXTURES.glob("*/config.json")))
def test_a_config_that_is_written_reads_as_the_same_model(name):
    family, config = read_model(FIXTURES / name)
    assert from_json(json.loads(json.dumps(to_json(family, config))), Path("config.json")) == (family, config)
    assert family_of(config) == family


def test_a_model_that_no_family_has_is_refused():
    with pytest.raises(UserError, match=r"^No published family has models with qkv_bias = True, qk_norm = True, "):
        family_of(nano(qkv_bias=True, qk_norm=True))
    assert family_of(nano()).name == "Llama" and len(FAMILIES) == 4


# ---- the model that is wanted ----


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_kv_heads": 4}, "model.num_kv_heads is 4, but {} has 2; give the model the checkpoint's shape."),
        ({"rope_theta": 1e4}, "model.rope_theta is 10000.0, but {} has 500000.0; give the model the checkpoint's "),
        ({"rope_scaling": None}, "model.rope_scaling is None, but {} has Llama3Scaling(factor=8.0, low_frequency=1.0"),
        ({"max_length": 129}, "model.max_length is 129, but the checkpoint in {parent} was trained on 128 tokens at "),
    ],
)
def test_a_model_of_another_shape_is_told_where_it_differs(changes, said):
    folder = FIXTURES / "llama31"
    wanted = said.format(folder / "config.json", parent=folder)
    assert sentence(folder, **changes).startswith(wanted)
    config = dataclasses.replace(read_model(folder)[1], **changes)
    with pytest.raises(UserError) as raised:
        Pretrained(str(folder)).check(config)
    assert str(raised.value).startswith(wanted)


def test_what_does_not_change_the_function_may_differ():
    config = dataclasses.replace(read_model(FIXTURES / "llama31")[1], max_length=64, scan_layers=True, remat="full")
    Pretrained(str(FIXTURES / "llama31")).check(dataclasses.replace(config, dtype="bfloat16", value_heads=("a",)))


def test_a_source_without_a_name_is_refused():
    with pytest.raises(UserError, match=r"^source is empty; name the folder of a checkpoint, or a Hub id"):
        Pretrained("")


# ---- where parameters lie ----


@pytest.mark.parametrize("scan_layers", [False, True])
@pytest.mark.parametrize("param_dtype", ["float32", "bfloat16"])
def test_parameters_lie_where_training_wants_them(scan_layers, param_dtype):
    mesh = all_devices()
    model, policy = opened(FIXTURES / "qwen25", mesh, scan_layers=scan_layers, param_dtype=param_dtype)
    shapes = jax.eval_shape(model.init, jax.random.key(0))["policy"]
    assert jax.tree.map(lambda x: (x.shape, x.dtype), policy) == jax.tree.map(lambda x: (x.shape, x.dtype), shapes)
    assert jax.tree.map(lambda x: x.sharding.spec, policy) == jax.tree.map(
        lambda x: x.spec, tree_shardings(mesh, shapes, AXES)
    )
    embedding = tensors(FIXTURES / "qwen25")["model.embed_tokens.weight"].astype(param_dtype)
    np.testing.assert_array_equal(policy["embed"]["embedding"], embedding)


def test_the_host_holds_one_tensor_at_a_time_and_not_the_model(tmp_path):
    """numpy's memory while 40 layers are read in bfloat16 and stacked in float32, by Python's own count."""
    config = nano(num_layers=40, embed_dim=64, mlp_dim=256, scan_layers=True, param_dtype="bfloat16")
    model, params = build(config)
    export_policy(tmp_path, config, jax.tree.map(lambda x: x.astype(jnp.bfloat16), params["policy"]), dtype="bfloat16")
    wide = ActorCritic(dataclasses.replace(config, vocab_size=24, param_dtype="float32"), 24)
    shapes = jax.eval_shape(wide.init, jax.random.key(0))["policy"]
    largest = 64 * 256 * 4  # bytes of one layer's largest matrix
    whole = sum(leaf.size * 4 for leaf in jax.tree.leaves(shapes))
    import_policy(tmp_path, wide, one_device())  # compiles
    tracemalloc.start()
    import_policy(tmp_path, wide, one_device())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert whole > 100 * largest and peak < 12 * largest


def test_each_tensor_is_read_once_and_a_fused_one_by_halves(monkeypatch):
    read = []
    original = hf_import.WeightFiles.read

    def count(self, name, *, part=0, parts=1):
        read.append((name, part))
        array = original(self, name, part=part, parts=parts)
        if "gate_up" in name:
            assert array.shape == (40, 32)
        return array

    names = set(tensors(FIXTURES / "glm4"))
    monkeypatch.setattr(hf_import.WeightFiles, "read", count)
    opened(FIXTURES / "glm4", one_device())
    assert len(read) == len(set(read)) == len(names) + 2 and {name for name, _ in read} == names
