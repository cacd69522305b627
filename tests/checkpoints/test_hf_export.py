"""A policy of ours becomes a folder of published form, whole or not at all, and comes back the same."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from rlsp_jax.checkpoints import (
    Pretrained,
    export_policy,
    load_policy,
    new_folder,
    read_critic,
    read_outcome_model,
    write_critic,
    write_outcome_model,
)
from rlsp_jax.checkpoints.model_json import read_model
from rlsp_jax.checkpoints.native import save_policy
from rlsp_jax.common.errors import UserError
from rlsp_jax.models import ActorCritic, Llama3Scaling, init_outcome_model, nano
from tests.checkpoints.published import all_devices, identical, one_device, opened, tensors
from tests.models.builders import VOCAB, build

FIXTURES = Path(__file__).parent.parent / "fixtures"
MODELS = {
    "Llama": nano(rope_scaling=Llama3Scaling(original_length=64), tie_embeddings=False),
    "Qwen2.5": nano(qkv_bias=True),
    "Qwen3": nano(qk_norm=True, head_dim=12, scan_layers=True),
    "GLM-4": nano(qkv_bias=True, rope_fraction=0.5, tie_embeddings=False),
}
CRITICS = nano(value_heads=("correctness", "exploration"))


def assert_same(left, right) -> None:
    jax.tree.map(np.testing.assert_array_equal, left, right)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_our_own_is_written_as_one_of_the_family_it_could_be_of(name, tmp_path):
    model, params = build(MODELS[name])
    export_policy(tmp_path, model.config, params["policy"])
    family, config = read_model(tmp_path)
    assert family.name == name and config.vocab_size == VOCAB
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == "float32"
    assert_same(opened(tmp_path, all_devices(), scan_layers=model.config.scan_layers)[1], params["policy"])


def test_a_model_that_no_family_has_cannot_be_written(tmp_path):
    model, params = build(nano(qkv_bias=True, qk_norm=True))
    with pytest.raises(UserError, match="there is no format to write this one in"):
        export_policy(tmp_path, model.config, params["policy"])
    assert list(tmp_path.iterdir()) == []


def test_large_models_are_written_in_several_files_none_of_them_too_large(tmp_path):
    model, params = build(MODELS["Qwen2.5"])
    for name, limit in (("one", 10**9), ("many", 10_000)):
        (tmp_path / name).mkdir()
        export_policy(tmp_path / name, model.config, params["policy"], max_bytes=limit)
    files = sorted((tmp_path / "many").glob("*.safetensors"))
    assert {file.stat().st_mode for file in files} == {(tmp_path / "many" / "config.json").stat().st_mode}
    assert len(files) > 5 and files[0].name == f"model-00001-of-{len(files):05}.safetensors"
    assert all(sum(array.nbytes for array in load_file(file).values()) <= 10_000 for file in files)
    assert identical(tensors(tmp_path / "one"), tensors(tmp_path / "many"))
    index = json.loads((tmp_path / "many" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in tensors(tmp_path / "one").values())
    assert_same(opened(tmp_path / "many", one_device())[1], params["policy"])


def test_an_export_is_stored_as_the_checkpoint_it_began_as_unless_another_type_is_asked_for(tmp_path):
    """The other keys of its config.json are kept, those too that mean nothing to us."""
    model, policy = opened(FIXTURES / "qwen25", one_device())
    theirs = json.loads((FIXTURES / "qwen25" / "config.json").read_text())
    for dtype, stored in ((None, "bfloat16"), ("float32", "float32")):
        folder = tmp_path / stored
        folder.mkdir()
        export_policy(folder, model.config, policy, like=FIXTURES / "qwen25", dtype=dtype)
        assert {str(array.dtype) for array in tensors(folder).values()} == {stored}
        written = json.loads((folder / "config.json").read_text())
        assert written.pop("torch_dtype") == stored
        assert written == {key: value for key, value in theirs.items() if key != "dtype"}


def test_a_policy_is_not_written_like_a_checkpoint_of_another_shape(tmp_path):
    model, policy = opened(FIXTURES / "qwen25", one_device())
    with pytest.raises(UserError, match=r"^model\.num_kv_heads is 2, but .* has 1; "):
        export_policy(tmp_path, model.config, policy, like=FIXTURES / "qwen25_tied")
    assert list(tmp_path.iterdir()) == []


# ---- folders ----


def test_a_folder_comes_into_being_whole_or_not_at_all(tmp_path):
    for folder in (tmp_path / "new", tmp_path / "in" / "new" / "folders"):
        with pytest.raises(ZeroDivisionError), new_folder(folder) as draft:
            (draft / "half").write_text("written")
            assert not folder.exists()
            raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "new") as draft:
        (draft / "all").write_text("written")
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "all"]


def test_nothing_that_lies_there_is_written_over(tmp_path):
    (tmp_path / "file").write_text("kept")
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError, match="exists already; give --out a new or an empty folder"), new_folder(taken):
            pass
    assert (tmp_path / "file").read_text() == "kept"
    (tmp_path / "empty").mkdir()
    with new_folder(tmp_path / "empty") as draft:
        (draft / "all").write_text("written")
    assert (tmp_path / "empty" / "all").exists()


# ---- our own form ----


@pytest.mark.parametrize("scan_layers", [False, True])
@pytest.mark.parametrize("name", ["llama31", "glm4", "qwen25"])
def test_what_was_imported_is_read_as_the_published_checkpoint_is(name, scan_layers, tmp_path):
    folder = FIXTURES / name
    _, policy = opened(folder, all_devices(), scan_layers=True)
    save_policy(tmp_path, policy)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    model, expected = opened(folder, all_devices(), scan_layers=scan_layers)
    actual = load_policy(tmp_path, model, all_devices())
    assert_same(actual, expected)
    assert jax.tree.map(lambda x: x.sharding.spec, actual) == jax.tree.map(lambda x: x.sharding.spec, expected)


def test_what_was_imported_in_bfloat16_is_read_in_the_type_that_is_wanted(tmp_path):
    _, policy = opened(FIXTURES / "qwen25", all_devices(), scan_layers=True, param_dtype="bfloat16")
    save_policy(tmp_path, policy)
    (tmp_path / "config.json").write_bytes((FIXTURES / "qwen25" / "config.json").read_bytes())
    model, expected = opened(FIXTURES / "qwen25", one_device())
    actual = load_policy(tmp_path, model, one_device())
    assert {leaf.dtype for leaf in jax.tree.leaves(actual)} == {jnp.dtype("float32")}
    assert_same(actual, expected)


# ---- critics and outcome models ----


@pytest.mark.parametrize("trunk", ["detached", "separate"])
@pytest.mark.parametrize("hidden", [0, 6])
def test_a_critic_comes_back_as_it_was(trunk, hidden, tmp_path):
    config = nano(value_heads=("correctness", "kl"), value_trunk=trunk, value_hidden=hidden, vocab_size=VOCAB)
    model, params = build(config)
    write = lambda folder, policy: export_policy(folder, config, policy)  # noqa: E731
    write(tmp_path, params["policy"])
    write_critic(tmp_path, config, params["value"], write)
    assert_same(Pretrained(str(tmp_path), critic=True).load(model, all_devices()), params)
    assert read_model(tmp_path)[0].name == "Llama"


def test_a_critic_that_is_absent_or_another_is_told_so(tmp_path):
    model, params = build(CRITICS)
    with pytest.raises(UserError, match="has no critic; a folder that rlsp convert export wrote"):
        read_critic(tmp_path, model, one_device())
    write_critic(tmp_path, CRITICS, params["value"], export_policy)
    other = ActorCritic(nano(value_heads=("correctness",)), VOCAB)
    with pytest.raises(UserError, match=r"^model\.value_heads is \('correctness',\), but the critic in .* has \['corr"):
        read_critic(tmp_path, other, one_device())
    (tmp_path / "critic" / "heads.safetensors").unlink()
    with pytest.raises(UserError, match=r"critic has no weights: neither heads\.safetensors nor "):
        read_critic(tmp_path, model, one_device())


def test_a_model_without_a_critic_writes_none(tmp_path):
    model, params = build(nano())
    write_critic(tmp_path, model.config, params["value"], export_policy)
    assert list(tmp_path.iterdir()) == []


def test_an_outcome_model_comes_back_as_it_was(tmp_path):
    model, params = build(nano(vocab_size=VOCAB))
    outcome = init_outcome_model(params["policy"])
    outcome["heads"]["out"]["kernel"] += 0.25
    write_outcome_model(tmp_path, outcome, lambda folder, trunk: export_policy(folder, model.config, trunk))
    assert_same(read_outcome_model(tmp_path, model, all_devices()), outcome)
    with pytest.raises(UserError, match="has no outcome model; one that rlsp convert export wrote"):
        read_outcome_model(tmp_path / "outcome_model", model, one_device())


def test_what_was_imported_must_be_of_the_model_that_is_wanted(tmp_path):
    _, policy = opened(FIXTURES / "llama31", one_device(), scan_layers=True)
    save_policy(tmp_path, policy)
    (tmp_path / "config.json").write_bytes((FIXTURES / "llama31" / "config.json").read_bytes())
    with pytest.raises(UserError, match=r"^model\.embed_dim is 96, but .*config\.json has 32; "):
        load_policy(tmp_path, ActorCritic(nano(embed_dim=96, vocab_size=80), 80), one_device())
