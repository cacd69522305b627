"""Runs begin as published checkpoints and end as such."""

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

from rlsp_jax import data
from rlsp_jax.algorithms import outcome_model
from rlsp_jax.checkpoints import Pretrained, Saver, export_policy, read_outcome_model
from rlsp_jax.checkpoints.model_json import read_model
from rlsp_jax.common.errors import UserError
from rlsp_jax.models import ActorCritic, nano
from rlsp_jax.training import load_experiment
from rlsp_jax.training.convert import export, import_checkpoint
from rlsp_jax.training.progress import Display
from rlsp_jax.training.stages import init_state
from rlsp_jax.training.train import train
from rlsp_jax.training.workdir import open_workdir
from tests.checkpoints.published import all_devices, identical, tensors
from tests.models.builders import build
from tests.training.conftest import DEBUG

FIXTURES = Path(__file__).parent.parent / "fixtures"
HEADS = ("correctness", "exploration", "kl")
MODEL = nano(qkv_bias=True, vocab_size=320, max_length=160, value_heads=HEADS, value_trunk="separate")
CRITIC_LESS = dataclasses.replace(MODEL, value_heads=(), value_trunk="shared")


@pytest.fixture
def published(tmp_path) -> Path:
    """A checkpoint in the layout of Qwen2.5, stored in bfloat16, with a key that means nothing to us."""
    folder = tmp_path / "published"
    folder.mkdir()
    longer = dataclasses.replace(CRITIC_LESS, max_length=512)
    export_policy(folder, longer, build(longer, vocab=320)[1]["policy"], dtype="bfloat16")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"max_window_layers": 28}))
    return folder


@pytest.fixture
def begun(open_debug, published, tmp_path):
    """Open a run that begins as the checkpoint."""

    @contextlib.contextmanager
    def begun(**changes):
        with open_debug(weights=Pretrained(str(published)), model=MODEL, **changes) as run:
            run.workdir = tmp_path / "run"
            yield run

    return begun


def same(left, right) -> bool:
    return all(map(np.array_equal, jax.tree.leaves(left), jax.tree.leaves(right)))


def test_a_policy_begins_as_the_checkpoint_and_its_critic_as_a_copy_with_fresh_heads(begun, published):
    with begun() as run:
        params = run.init_params()
    weights = tensors(published)
    np.testing.assert_array_equal(params["policy"]["embed"]["embedding"], weights["model.embed_tokens.weight"])
    assert same(params["value"]["trunk"], params["policy"])
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(params["value"]["heads"]))
    jax.tree.map(lambda leaf: leaf.delete(), params["policy"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params["value"]["trunk"]))


def test_a_run_with_a_checkpoint_of_its_own_needs_the_other_no_longer(begun, published):
    with begun() as run:
        expected = run.init_params()
        state = init_state(run.experiment.stages[0], expected)
        with contextlib.closing(Saver(run.stage_folder(0))) as saver:
            saver.save(1, run.place(state), run.spent.dump())
        shutil.rmtree(published)
        again = run.init_params()
    assert jax.tree.map(np.shape, again) == jax.tree.map(np.shape, expected) and not same(again, expected)


def write_experiment(folder: Path, weights: Path) -> Path:
    """An experiment file whose policy begins as a checkpoint."""
    file = folder / "from_checkpoint.py"
    file.write_text(
        f"""
import dataclasses
from pathlib import Path
from rlsp_jax import checkpoints, models
from rlsp_jax.algorithms import outcome_model
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.training import load_experiment

def get_config():
    base = load_experiment(Path({str(DEBUG)!r}), ("stages.0.num_steps=2", "stages.1.num_steps=2")).experiment
    outcome = outcome_model.Config(num_steps=2, batch_size=8, sampling=SamplingConfig(max_response=48))
    model = models.nano(qkv_bias=True, vocab_size=320, max_length=160, value_heads={HEADS}, value_trunk="separate")
    return dataclasses.replace(
        base, name="from_checkpoint", weights=checkpoints.Pretrained({str(weights)!r}), model=model,
        stages=(*base.stages, outcome)
    )
"""
    )
    return file


def test_a_model_of_another_shape_is_refused_before_anything_is_written(published, tmp_path):
    loaded = load_experiment(write_experiment(tmp_path, published), ("model.mlp_dim=80",))
    with pytest.raises(UserError, match=r"^model\.mlp_dim is 80, but .*published/config\.json has 64; give the model"):
        train(loaded, tmp_path / "run", Display(Console(), enabled=False))
    shutil.rmtree(published)
    with pytest.raises(UserError, match=r"^There is no folder .*published; put the checkpoint there"):
        train(loaded, tmp_path / "run", Display(Console(), enabled=False))
    assert not (tmp_path / "run").exists()


@pytest.fixture
def trained(published, tmp_path):
    """A workdir as it is after all stages, and the parameters of its last checkpoint: drawn at random, not trained."""
    loaded = load_experiment(write_experiment(tmp_path, published))
    experiment, workdir = loaded.experiment, tmp_path / "run"
    open_workdir(loaded, workdir, overwrite=False)
    (workdir / "checkpoints").mkdir()
    experiment.weights.keep_config(workdir / "checkpoints")
    texts = [problem.question for problem in experiment.problems.problems("train", 0, 200)]
    data.SentencePiece(vocab_size=320).train(texts, workdir / "checkpoints" / "tokenizer.model")
    _, params = build(experiment.model, vocab=320)
    state = init_state(experiment.stages[-1], params)
    kernel = state.params[outcome_model.NAME]["heads"]["out"]
    kernel["kernel"] = kernel["kernel"] + 0.5
    with contextlib.closing(Saver(workdir / "checkpoints" / "2_outcome_model")) as saver:
        saver.save(2, state, {})
    return workdir, state.params


def test_a_run_is_exported_with_its_critic_its_outcome_model_and_its_tokenizer(trained, published, tmp_path):
    workdir, params = trained
    shutil.rmtree(published)  # what is needed of it lies in the workdir
    out = tmp_path / "out"
    export(workdir, out, dtype="float32")
    model = ActorCritic(MODEL, 320)
    restored = Pretrained(str(out), critic=True).load(model, all_devices())
    assert same(restored, {"policy": params["policy"], "value": params["value"]})
    assert same(read_outcome_model(out, model, all_devices()), params[outcome_model.NAME])
    written = json.loads((out / "config.json").read_text())
    assert written["max_window_layers"] == 28 and written["torch_dtype"] == "float32"
    assert read_model(out)[1].max_length == 512
    tokenizer = data.load_sentencepiece(out / "tokenizer.model")
    assert json.loads((out / "generation_config.json").read_text()) == {
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
    }
    assert not list(tmp_path.glob("*.draft"))


def test_weights_are_exported_in_the_type_of_the_checkpoint_they_began_as(trained, tmp_path):
    workdir, params = trained
    export(workdir, tmp_path / "out")
    stored = tensors(tmp_path / "out")
    assert {str(array.dtype) for array in stored.values()} == {"bfloat16"}
    embedding = np.asarray(params["policy"]["embed"]["embedding"])
    np.testing.assert_array_equal(stored["model.embed_tokens.weight"], embedding.astype(jax.numpy.bfloat16))


def test_an_export_that_fails_leaves_nothing(trained, tmp_path, monkeypatch):
    workdir, _ = trained

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("rlsp_jax.training.convert.write_outcome_model", fail)
    with pytest.raises(OSError, match="No space left"):
        export(workdir, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob("*.draft"))


def test_a_run_without_a_checkpoint_is_not_exported(trained, tmp_path):
    workdir, _ = trained
    shutil.rmtree(workdir / "checkpoints" / "2_outcome_model")
    with pytest.raises(UserError, match=r"^The run in .* has no checkpoint yet; let rlsp train work on it"):
        export(workdir, tmp_path / "out")
    with pytest.raises(UserError, match=r"is neither a run's workdir nor a folder that rlsp convert import wrote\.$"):
        export(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["qwen25", "glm4", "llama32"])
def test_what_is_imported_and_exported_is_the_same_bit_for_bit(name, tmp_path):
    source = Path(shutil.copytree(FIXTURES / name, tmp_path / "source"))
    (source / "tokenizer.json").write_text("{}")
    import_checkpoint(str(source), tmp_path / "ours")
    export(tmp_path / "ours", tmp_path / "out")
    assert identical(tensors(tmp_path / "out"), tensors(source))
    assert read_model(tmp_path / "out") == read_model(source)
    for kept in ("tokenizer.json", "generation_config.json"):
        assert (tmp_path / "out" / kept).read_bytes() == (source / kept).read_bytes()


def test_what_cannot_be_imported_leaves_nothing(published, tmp_path):
    (published / "model.safetensors").write_bytes((published / "model.safetensors").read_bytes()[:-1])
    with pytest.raises(UserError, match="is cut off or no safetensors file"):
        import_checkpoint(str(published), tmp_path / "ours")
    with pytest.raises(UserError, match=r"^There is no folder ./nowhere; put the checkpoint there, or give a Hub id"):
        import_checkpoint("./nowhere", tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["published"]
