"""Every experiment file works as far as can be seen without training it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from rlsp_jax.common.describe import diff, flatten, to_dict
from rlsp_jax.models import AXES, ActorCritic
from rlsp_jax.sharding import tree_shardings
from rlsp_jax.training import Experiment, checks, load_experiment
from rlsp_jax.training.plan import make_plan
from rlsp_jax.training.share import abstract_mesh
from rlsp_jax.training.stages import init_state

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "experiments").glob("*.py"))
PUBLISHED = [path for path in FILES if "\nPublished: " in path.read_text()]


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
    mesh = abstract_mesh(experiment.mesh, None)
    model = ActorCritic(experiment.model, experiment.model.vocab_size or experiment.tokenizer.vocab_size)
    params = jax.eval_shape(model.init, jax.random.key(0))
    for config in experiment.stages:
        state = jax.eval_shape(lambda params, config=config: init_state(config, params), params)
        shardings = tree_shardings(mesh, state, AXES)
        for leaf, sharding in zip(jax.tree.leaves(state), jax.tree.leaves(shardings), strict=True):
            sharding.shard_shape(leaf.shape)  # raises where it does not divide


def test_its_batches_divide_over_its_own_mesh(experiment, monkeypatch):
    monkeypatch.setattr(checks, "_shown_problems", lambda experiment: [])  # published ones are in files
    checks.check_sizes(experiment, abstract_mesh(experiment.mesh, None))


# ---- experiments with published models ------------------------------------------------------------


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_it_says_what_is_published_and_that_it_was_not_run_where_it_was_not(path):
    docstring = compile(path.read_text(), path, "exec").co_consts[0]
    lines = dict(re.findall(r"^(\w+): +(.+)", docstring, re.M))
    assert {"Paper", "Command", "Hardware", "Published", "Expect"} <= lines.keys()
    assert lines["Expect"] == "not yet run at this size" or re.search(r"\d{4}-\d{2}-\d{2}", lines["Expect"])


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_its_mesh_has_as_many_devices_as_it_says(path):
    mesh = load_experiment(path).experiment.mesh
    assert mesh.data is not None
    assert mesh.data * mesh.fsdp * mesh.tensor == stated_hardware(path)[0]


@pytest.mark.slow
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_its_plan_fits_its_hardware(path):
    devices, memory = stated_hardware(path)
    assert make_plan(load_experiment(path).experiment, devices).fits(memory * 10**9)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_its_model_has_the_width_of_its_mesh(path):
    """Each device has whole heads of queries and keys, and no kernel is copied where it could be split."""
    experiment = load_experiment(path).experiment
    model, mesh = experiment.model, experiment.mesh
    assert model.vocab_size is not None
    for size in (model.num_heads, model.num_kv_heads, model.mlp_dim, model.vocab_size):
        assert size % mesh.tensor == 0
    assert model.embed_dim % mesh.fsdp == 0


def stated_hardware(path: Path) -> tuple[int, int]:
    """How many devices an experiment's header names, and how many GB each has."""
    found = re.search(r"^Hardware: +(\d+) × [^,]+, (\d+) GB each$", path.read_text(), re.M)
    assert found is not None
    return int(found[1]), int(found[2])
