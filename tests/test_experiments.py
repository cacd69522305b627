"""Every experiment file works as far as can be seen without training it."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from rlsp_jax.common.describe import diff, flatten, to_dict
from rlsp_jax.models import AXES, ActorCritic
from rlsp_jax.sharding import make_mesh, tree_shardings
from rlsp_jax.training import Experiment, load_experiment
from rlsp_jax.training.stages import init_state

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "experiments").glob("*.py"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def file(request) -> Path:
    return request.param


@pytest.fixture
def experiment(file) -> Experiment:
    return load_experiment(file).experiment


@pytest.mark.slow
def test_the_benchmark_of_parts_prints_a_json_line_for_each():
    command = [sys.executable, ROOT / "experiments" / "benchmarks" / "parts.py", FILES[0].parent / "debug.py"]
    printed = subprocess.run([*command, "--repeats", "1"], capture_output=True, text=True, check=True).stdout
    rows = [json.loads(line) for line in printed.splitlines()]
    assert [row["name"] for row in rows] == ["sft", "generate", "verify", "score", "experience", "update"]
    assert all(row["seconds"] > 0 and row["tokens"] > 0 for row in rows)


def test_there_are_experiments():
    assert ROOT / "experiments" / "debug.py" in FILES


def test_its_config_survives_being_written_down(experiment):
    written = json.loads(json.dumps(to_dict(experiment)))
    assert diff(written, experiment) == []
    assert flatten(written)["name"] == experiment.name


def test_its_name_is_that_of_its_file(file, experiment):
    assert experiment.name == file.stem


def test_its_docstring_names_the_command_that_runs_it(file):
    source = compile(file.read_text(), file, "exec")
    assert f"rlsp train {file.relative_to(ROOT)} --workdir" in (source.co_consts[0] or "")


def test_its_states_fit_its_own_mesh_without_being_allocated(experiment):
    mesh = make_mesh(experiment.mesh)
    model = ActorCritic(experiment.model, experiment.model.vocab_size or experiment.tokenizer.vocab_size)
    params = jax.eval_shape(model.init, jax.random.key(0))
    for config in experiment.stages:
        state = jax.eval_shape(lambda params, config=config: init_state(config, params), params)
        shardings = tree_shardings(mesh, state, AXES)
        for leaf, sharding in zip(jax.tree.leaves(state), jax.tree.leaves(shardings), strict=True):
            sharding.shard_shape(leaf.shape)  # raises where it does not divide
