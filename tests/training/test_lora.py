"""Runs that train adapters of a published checkpoint, and what becomes of them."""

import contextlib
import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from rlsp_jax.algorithms import outcome_model
from rlsp_jax.checkpoints import Pretrained, Saver, export_policy, read_critic
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import SentencePiece
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.models import Lora, nano
from rlsp_jax.training import load_experiment
from rlsp_jax.training.convert import export, import_checkpoint
from rlsp_jax.training.progress import Display
from rlsp_jax.training.promise import load_oracle
from rlsp_jax.training.stages import init_state
from rlsp_jax.training.train import train
from rlsp_jax.training.workdir import open_workdir
from tests.checkpoints.published import identical, one_device, opened, tensors
from tests.models.builders import build
from tests.training.conftest import DEBUG

HEADS = ("correctness", "exploration", "kl")
BARE = nano(qkv_bias=True, vocab_size=320, max_length=160, value_heads=HEADS, value_trunk="separate")
MODEL = dataclasses.replace(BARE, lora=Lora(rank=2, targets=("query", "value", "down")))


@pytest.fixture
def published(tmp_path):
    """A checkpoint in the layout of Qwen2.5."""
    folder = tmp_path / "published"
    folder.mkdir()
    export_policy(folder, BARE, build(BARE, vocab=320)[1]["policy"])
    return folder


@pytest.fixture
def begun(open_debug, published, tmp_path):
    """Open a run that trains adapters of the checkpoint."""

    @contextlib.contextmanager
    def begun(**changes):
        with open_debug(**{"weights": Pretrained(str(published)), "model": MODEL} | changes) as run:
            run.workdir = tmp_path / "run"
            yield run

    return begun


def same(left, right) -> bool:
    return all(map(np.array_equal, jax.tree.leaves(left), jax.tree.leaves(right)))


def test_a_run_begins_as_the_checkpoint_with_adapters_that_do_nothing_yet(begun, published):
    with begun() as run:
        params = run.init_params()
    assert same(params["policy"]["base"], opened(published, one_device())[1])
    halves = {path[-1].key: leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params["policy"]["lora"])}
    assert (halves["b"] == 0).all() and (halves["a"] != 0).any()
    assert same(params["value"]["trunk"], params["policy"]["lora"])  # adapters of the same base
    shapes = jax.eval_shape(run.model.init, jax.random.key(0))
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)


@pytest.fixture
def resumed(begun):
    """A run that has a checkpoint of its own, its first parameters, and those that it finds when it goes on."""

    @contextlib.contextmanager
    def resumed(**changes):
        with begun(**changes) as run:
            params = run.init_params()
            state = run.place(init_state(run.experiment.stages[0], params))
            with contextlib.closing(Saver(run.stage_folder(0))) as saver:
                saver.save(1, state, run.spent.dump())
            yield run, params

    return resumed


@pytest.mark.parametrize("weights", [True, False])
def test_a_run_that_goes_on_has_the_same_base_again(weights, resumed, published):
    with resumed(**({} if weights else {"weights": None})) as (run, params):
        assert same(run.init_params()["policy"]["base"], params["policy"]["base"])
    known = json.loads((run.workdir / "checkpoints" / "base.json").read_text())
    assert known["source"] == (str(published) if weights else "seed 0") and known["checksum"]


def test_a_run_does_not_go_on_with_another_base(resumed, published):
    with resumed() as (run, _):
        export_policy(published, BARE, build(BARE, seed=1, vocab=320)[1]["policy"])
        with pytest.raises(UserError, match=r"^The base that the adapters in .*run were trained on is another "):
            run.init_params()
        shutil.rmtree(published)
        with pytest.raises(UserError, match=r"^There is no folder .*published; put the checkpoint there"):
            run.init_params()


def test_an_outcome_model_of_adapters_is_found_again_with_its_base(resumed):
    config = outcome_model.Config(num_steps=2, batch_size=8, sampling=SamplingConfig(max_response=48))
    with resumed() as (run, params):
        experiment = dataclasses.replace(run.experiment, stages=(*run.experiment.stages, config))
        state = outcome_model.init_state(config, params)
        state.params[outcome_model.NAME]["trunk"]["lora"] = jax.tree.map(jnp.cos, params["policy"]["lora"])
        with contextlib.closing(Saver(run.workdir / "checkpoints" / "2_outcome_model")) as saver:
            saver.save(2, run.place(state), {})
        oracle = load_oracle(experiment, run.workdir, run.mesh, run.model)
    assert oracle is not None and same(oracle.params, state.params[outcome_model.NAME])


SOURCE = """
import dataclasses
from pathlib import Path
from rlsp_jax.checkpoints import Pretrained
from rlsp_jax.training import load_experiment
from tests.training import test_lora
from tests.training.conftest import DEBUG


def get_config():
    base = load_experiment(DEBUG).experiment
    return dataclasses.replace(base, model=test_lora.MODEL, weights=Pretrained({published!r}), checkpoint_every=1)
"""


@pytest.fixture
def trained(published, tmp_path):
    """A workdir with a checkpoint of the second stage, and its parameters: drawn at random, not trained."""
    file, workdir = tmp_path / "experiment.py", tmp_path / "run"
    file.write_text(SOURCE.format(published=str(published)))
    loaded = load_experiment(file)
    experiment = loaded.experiment
    open_workdir(loaded, workdir, overwrite=False)
    (workdir / "checkpoints").mkdir()
    experiment.weights.keep_config(workdir / "checkpoints")
    texts = [problem.question for problem in experiment.problems.problems("train", 0, 200)]
    SentencePiece(vocab_size=320).train(texts, workdir / "checkpoints" / "tokenizer.model")
    model, params = build(MODEL, vocab=320)
    params["policy"]["base"] = opened(published, one_device())[1]
    with contextlib.closing(Saver(workdir / "checkpoints" / "1_ppo")) as saver:
        saver.save(1, init_state(experiment.stages[1], params), {})
    return workdir, model, params


def test_an_export_is_the_policy_and_the_critic_with_their_adapters_merged(trained, tmp_path):
    workdir, model, params = trained
    export(workdir, tmp_path / "out")
    params = params | {"value": params["value"] | {"trunk": params["policy"]["lora"]}}  # as PPO begins
    merged = model.merged(params)
    close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6)  # noqa: E731
    jax.tree.map(close, opened(tmp_path / "out", one_device())[1], merged["policy"])
    jax.tree.map(close, read_critic(tmp_path / "out", model.bare, one_device()), merged["value"])
    assert not same(merged["policy"], params["policy"]["base"])


def test_an_exported_adapter_is_small_and_names_its_base(trained, published, tmp_path):
    workdir, _, params = trained
    export(workdir, tmp_path / "out", adapter=True)
    about = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert about["base_model_name_or_path"] == str(published)
    assert about["target_modules"] == ["down_proj", "q_proj", "v_proj"]
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert (tmp_path / "out" / "tokenizer.model").is_file()


def test_what_has_no_adapters_has_none_to_export(published, tmp_path):
    import_checkpoint(str(published), tmp_path / "imported")
    with pytest.raises(UserError, match=r"holds no adapters, which a run with model.lora trains; leave --adapter out"):
        export(tmp_path / "imported", tmp_path / "out", adapter=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"model": dataclasses.replace(BARE, param_dtype="bfloat16")},
            r"^model.param_dtype is 'bfloat16', in ",
        ),
        ({"weights": Pretrained("folder", critic=True)}, r"^weights.critic brings a whole transformer, but with model"),
    ],
)
def test_what_cannot_be_trained_is_one_clear_sentence(changes, sentence):
    base = dataclasses.replace(load_experiment(DEBUG).experiment, model=MODEL)
    with pytest.raises(UserError, match=sentence):
        dataclasses.replace(base, **changes)


@pytest.mark.slow
def test_a_run_of_sft_and_ppo_trains_adapters_and_goes_on_where_it_was_broken_off(published, tmp_path):
    """Both ways end in the same bits, on the base of the checkpoint."""
    file = tmp_path / "experiment.py"
    file.write_text(SOURCE.format(published=str(published)))
    steps = ["stages.0.num_steps=4", "stages.1.num_steps=2"]
    loaded = load_experiment(file, [*steps, "stages.0.num_demonstrations=100", "evals=()"])
    weights = []
    for name in ("whole", "again"):
        train(loaded, tmp_path / name, Display(Console(quiet=True), enabled=False))
        export(tmp_path / name, tmp_path / f"{name}_out")
        weights.append(tensors(tmp_path / f"{name}_out"))
        if name == "whole":  # as if it had been broken off after its first step of PPO
            shutil.copytree(tmp_path / name, tmp_path / "again")
            shutil.rmtree(tmp_path / "again" / "checkpoints" / "1_ppo" / "2")
            (tmp_path / "again" / "summary.json").unlink()
    assert identical(*weights)
    before, changed = tensors(published), set()
    for name, tensor in weights[0].items():
        changed |= {name.split(".")[-2]} if not np.array_equal(tensor, before[name]) else set()
    assert changed == {"q_proj", "v_proj", "down_proj"}
