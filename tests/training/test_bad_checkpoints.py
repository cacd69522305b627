"""A checkpoint that is not whole, or that does not fit the run, is one sentence, and nothing half-written is left."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file, save_file

from rlsp_jax import data
from rlsp_jax.checkpoints import Pretrained, export_policy
from rlsp_jax.common.errors import UserError
from rlsp_jax.models import nano
from rlsp_jax.training import load_experiment
from rlsp_jax.training.convert import import_checkpoint
from rlsp_jax.training.progress import Display
from rlsp_jax.training.train import train
from rlsp_jax.training.workdir import newest_stage
from tests.checkpoints.published import tensors
from tests.data import published
from tests.models.builders import build
from tests.training.conftest import DEBUG

MODEL = nano(qkv_bias=True, vocab_size=512, max_length=160)
INDEX = "model.safetensors.index.json"
LAST = "model-00002-of-00002.safetensors"


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """In the layout of Qwen2.5, weights in two files, with its kind of tokenizer."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    export_policy(folder, MODEL, build(MODEL, vocab=512)[1]["policy"], dtype="float32")
    weights = tensors(folder)
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[::2], LAST: names[1::2]}
    (folder / "model.safetensors").unlink()
    for file, kept in parts.items():
        save_file({name: weights[name] for name in kept}, folder / file)
    weight_map = {name: file for file, kept in parts.items() for name in kept}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return published.qwen(folder)


def cut_off(folder: Path) -> None:
    (folder / LAST).write_bytes((folder / LAST).read_bytes()[:-7])


def lose_shard(folder: Path) -> None:
    (folder / LAST).unlink()


def name_absent_file(folder: Path) -> None:
    index = json.loads((folder / INDEX).read_text())
    first = next(iter(index["weight_map"]))
    index["weight_map"][first] = "model-00009-of-00002.safetensors"
    (folder / INDEX).write_text(json.dumps(index))


def quantize(folder: Path) -> None:
    weights = load_file(folder / LAST)
    name = next(name for name in weights if name.endswith("proj.weight"))
    save_file(weights | {name: weights[name].astype(np.int8)}, folder / LAST)


BROKEN = {
    cut_off: "is cut off or no safetensors file",
    lose_shard: r"is absent; copy or download it too\.$",
    name_absent_file: r"names model-00009-of-00002\.safetensors, which is absent",
    quantize: "is of the type I8; quantized weights are not read",
}


@pytest.mark.parametrize(("breaks", "said"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_an_import_of_a_broken_checkpoint_leaves_nothing(breaks, said, checkpoint, tmp_path):
    breaks(checkpoint)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError) as raised:
        import_checkpoint(str(checkpoint), tmp_path / "imported", revision=None)
    assert re.search(said, str(raised.value)) and "\n" not in str(raised.value)
    assert sorted(tmp_path.iterdir()) == before


def begin(checkpoint: Path, workdir: Path, **changes) -> str:
    """What a run that begins as the checkpoint says, before any of its steps."""
    loaded = load_experiment(DEBUG)
    experiment = dataclasses.replace(
        loaded.experiment,
        model=dataclasses.replace(loaded.experiment.model, vocab_size=512, qkv_bias=True, max_length=160),
        weights=Pretrained(str(checkpoint)),
        tokenizer=data.PretrainedTokenizer(str(checkpoint)),
        **{"prompts": data.Chat(), "max_prompt": 96} | changes,
    )
    with pytest.raises(UserError) as raised:
        train(loaded._replace(experiment=experiment), workdir, Display(Console(), enabled=False))
    assert newest_stage(workdir, experiment) is None  # mended, the run begins as if nothing had been
    assert not list(workdir.glob("**/*.tmp*")) and not list(workdir.glob("samples/*"))
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(("breaks", "said"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_run_from_a_broken_checkpoint_stops_before_its_first_step(breaks, said, checkpoint, tmp_path):
    breaks(checkpoint)
    assert re.search(said, begin(checkpoint, tmp_path / "run"))


def test_a_run_with_a_tokenizer_without_a_template_stops_before_its_first_step(checkpoint, tmp_path):
    config = json.loads((checkpoint / "tokenizer_config.json").read_text())
    del config["chat_template"]
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(config))
    assert begin(checkpoint, tmp_path / "run").startswith("There is no chat template in ")


def test_a_run_whose_prompts_are_longer_than_their_room_stops_before_its_first_step(checkpoint, tmp_path):
    said = begin(checkpoint, tmp_path / "run", max_prompt=24)
    assert re.search(r"^The prompt of problem .* tokens, more than max_prompt = 24; raise max_prompt", said)


def test_prompts_and_responses_beyond_the_context_are_refused_with_the_config(checkpoint):
    experiment = load_experiment(DEBUG).experiment
    with pytest.raises(UserError, match="more than the model's context of model.max_length ="):
        dataclasses.replace(experiment, max_prompt=experiment.model.max_length)
