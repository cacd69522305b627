"""A whole run of the debug experiment: what it compiles, what it writes, and that breaking it off changes nothing."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from rich.console import Console

from rlsp_jax.common.errors import Interrupted, UserError
from rlsp_jax.records import read_json, read_rows
from rlsp_jax.report.load import load_run
from rlsp_jax.training import supervised
from rlsp_jax.training.experiment_file import Loaded, load_experiment
from rlsp_jax.training.progress import Display
from rlsp_jax.training.reuse import last_common_stage
from rlsp_jax.training.train import train

ROOT = Path(__file__).parent.parent
DEBUG = ROOT / "experiments" / "debug.py"
SMALL = ("stages.0.num_steps=6", "stages.1.num_steps=4", "stages.1.epochs=1", "evals.0.problems=16", "evals.1.every=2")
TIMES = {"seconds", "speed/tokens"}  # of all that is recorded, these alone may differ


class Crash(Exception):
    """Stands for a power cut: nothing after it is done in order."""


class Watch(Display):
    """Tells what happens in a run, in order, and does something at a chosen moment."""

    def __init__(self, at: str = "", then=lambda: None):
        super().__init__(Console(), enabled=False)
        self.events: list[str] = []
        self._at, self._then = at, then

    def happened(self, event: str) -> None:
        self.events.append(event)
        if event == self._at:
            self._then()

    def end(self) -> None:
        self.happened("end")

    def note(self, message: str) -> None:
        self.happened(message)

    def say(self, message: str) -> None:
        self.happened(message)

    def update(self, done: int, metrics) -> None:
        self.happened(f"{self._stage} {done}")


def load(*overrides: str) -> Loaded:
    return load_experiment(DEBUG, (*SMALL, *overrides))


@pytest.fixture(autouse=True, scope="module")
def frequent_checkpoints():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervised, "SAVE_EVERY", 3)
        patch.setattr(supervised, "LOG_EVERY", 2)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, list[str]]:
    """An uninterrupted run, and what happened in it, each compilation included."""
    workdir, watch = tmp_path_factory.mktemp("whole"), Watch()

    def listen(name: str, seconds: float, **about) -> None:
        if name == "/jax/core/compile/backend_compile_duration":
            watch.happened(f"compiled {about}")

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        train(load(), workdir, watch)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return workdir, watch.events


def parameters(workdir: Path) -> dict[str, np.ndarray]:
    """All that the last stage's last checkpoint holds, by path."""
    state = ocp.StandardCheckpointer().restore(workdir / "checkpoints" / "1_ppo" / "4" / "state")
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def recorded(workdir: Path) -> tuple[dict, dict]:
    """Metrics and evaluations, as a reader sees them: of rows written twice, the last one; times left out."""

    def last(file: Path, *keys: str) -> dict:
        rows = {tuple(row[key] for key in keys): row for row in read_rows(file)}
        return {place: {k: v for k, v in row.items() if k not in TIMES} for place, row in rows.items()}

    evals = {file.name: last(file, "stage", "step", "level") for file in (workdir / "evals").glob("*.jsonl")}
    return last(workdir / "metrics.jsonl", "stage", "step"), evals


def assert_same(workdir: Path, whole: Path) -> None:
    """Two runs ended with bit-identical states, and their readers are told the same."""
    ours, theirs = parameters(workdir), parameters(whole)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []
    assert recorded(workdir) == recorded(whole)
    for stage, other in zip(load_run(workdir).stages, load_run(whole).stages, strict=True):
        assert stage.steps == other.steps and stage.tokens == other.tokens
    ours, theirs = (read_json(folder / "summary.json") for folder in (workdir, whole))
    assert ours["tokens_generated"] == theirs["tokens_generated"] > 0


def test_nothing_is_compiled_after_a_stages_first_step_but_the_first_run_of_an_eval(whole):
    late, seen, settled, first_run = [], set(), False, False
    for event in whole[1]:
        match event.split():
            case ["sft" | "ppo", "1"]:
                settled = True
            case ["end"]:
                settled = False
            case ["evaluating:", name, *_]:
                first_run = name not in seen
                seen.add(name)
            case [_, _, _, "greedy", *_]:
                first_run = False
            case ["compiled", *_] if settled and not first_run:
                late.append(event)
    assert late == []
    assert seen == {"heldout,", "progress,"} and whole[1].count("end") == 2
    assert any(event.startswith("compiled") for event in whole[1])


def test_every_step_and_evaluation_is_recorded_and_the_summary_adds_up(whole):
    workdir, _ = whole
    metrics, evals = recorded(workdir)
    assert list(metrics) == [("sft", 0), ("sft", 2), ("sft", 4), ("sft", 5), *(("ppo", step) for step in range(4))]
    assert {(stage, step) for stage, step, _ in evals["heldout.jsonl"]} == {("sft", 6), ("ppo", 4)}
    assert {(stage, step) for stage, step, _ in evals["progress.jsonl"]} == {("ppo", 0), ("ppo", 2), ("ppo", 4)}
    summary = read_json(workdir / "summary.json")
    assert [stage["stage"] for stage in summary["stages"]] == ["sft", "ppo"]
    assert summary["final"] == summary["stages"][1]["evals"]["all"] == evals_row(workdir, "ppo", 4)
    seconds = summary["seconds"]
    assert set(seconds) == {"setup", "sft", "ppo", "evaluate", "report", "total"}
    assert math.isclose(seconds.pop("total"), sum(seconds.values()))
    generated = sum(row.get("rollout/tokens", 0) for row in metrics.values())
    assert summary["tokens_generated"] == summary["stages"][1]["tokens_generated"] == generated > 0


def evals_row(workdir: Path, stage: str, step: int) -> dict:
    rows = read_rows(workdir / "evals" / "heldout.jsonl")
    return next(row for row in rows if (row["stage"], row["step"], row["level"]) == (stage, step, "all"))


def crash() -> None:
    raise Crash


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("sft 5", marks=pytest.mark.slow),  # the last checkpoint is that of step 3
        "ppo 3",  # of step 2
        pytest.param("evaluating: heldout, 16 problems", marks=pytest.mark.slow),  # a stage is done, the next not begun
    ],
)
def test_a_run_that_died_resumes_to_the_same_end(moment, whole, tmp_path):
    with pytest.raises(Crash):
        train(load(), tmp_path, Watch(moment, crash))
    train(load(), tmp_path, Watch())
    assert_same(tmp_path, whole[0])


@pytest.mark.parametrize(
    ("moment", "stopped"),
    [
        pytest.param("sft 5", "after step 5 of 6 of stage 'sft'", marks=pytest.mark.slow),
        ("ppo 1", "after step 1 of 4 of stage 'ppo'"),
        pytest.param("evaluating: progress, 32 problems", "after step 0 of 4 of stage 'ppo'", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_saves_where_it_stops_and_the_run_resumes_to_the_same_end(moment, stopped, whole, tmp_path):
    with pytest.raises(Interrupted, match=stopped):
        train(load(), tmp_path, Watch(moment, ctrl_c))
    watch = Watch()
    train(load(), tmp_path, watch)
    again = [event for event in watch.events if event.split()[0] == stopped.split()[-1].strip("'")]
    assert moment not in again  # no step is taken twice
    assert_same(tmp_path, whole[0])


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_resumes_to_the_same_end(whole, tmp_path):
    workdir = tmp_path / "run"
    overrides = [word for override in SMALL for word in ("--set", override)]
    command = [sys.executable, "-m", "rlsp_jax", "train", str(DEBUG), "--workdir", str(workdir), *overrides]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for stage, step in (("sft", 0), ("ppo", 2)):
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while process.poll() is None and (stage, step) not in recorded(workdir)[0]:
                time.sleep(0.01)
            process.kill()
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0 and (workdir / "report.html").is_file(), finished.stderr
    rows = recorded(workdir)[0]
    assert {place: row for place, row in recorded(whole[0])[0].items() if place in rows} == rows
    ours, theirs = parameters(workdir), parameters(whole[0])
    assert [name for name in theirs if ours[name].tobytes() != theirs[name].tobytes()] == []


def test_a_run_that_takes_over_anothers_first_stage_ends_as_if_it_had_trained_it(whole, tmp_path):
    other = shutil.copytree(whole[0], tmp_path / "other")
    shutil.rmtree(other / "checkpoints" / "1_ppo")
    watch = Watch()
    train(load(), tmp_path / "run", watch, reuse=other)
    assert f"Reusing stage 'sft' of {other}." in watch.events
    assert not [event for event in watch.events if event.startswith("sft ")]
    assert_same(tmp_path / "run", whole[0])
    assert read_json(tmp_path / "run" / "run.json")["reused"] == str(other)


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("seed=1", "has another seed, so none of its stages can be reused"),
        ("model.num_layers=1", "has another model, so none of its stages can be reused"),
        ("stages.0.batch_size=4", "begins with another stage, or has not finished its first"),
    ],
)
def test_nothing_is_reused_of_a_run_that_began_differently(override, why, whole):
    ours, theirs = load(override).experiment, load_experiment(DEBUG, SMALL).experiment
    with pytest.raises(UserError, match=why):
        last_common_stage(ours, theirs, whole[0])


def test_stages_are_common_while_they_are_equal_and_finished(whole):
    theirs = load().experiment
    assert last_common_stage(load("stages.1.clip=0.1").experiment, theirs, whole[0]) == 0
    assert last_common_stage(load("model.value_hidden=8", "stages.1.clip=0.1").experiment, theirs, whole[0]) == 0
    assert last_common_stage(theirs, theirs, whole[0]) == 1


@pytest.mark.slow
def test_updates_that_are_not_finite_stop_the_run_and_name_step_and_problems(tmp_path):
    explode = "stages.1.value_optimizer.learning_rate.value=1e38"
    with pytest.raises(UserError, match=r"'ppo' stopped at step \d \(problems \d+ to \d+ of .*\): the loss or its"):
        train(load(explode, "stages.1.max_bad_steps=1", "stages.1.value_warmup_steps=0"), tmp_path, Watch())
    assert all(row["update/skipped"] == 0 for row in list(read_rows(tmp_path / "metrics.jsonl"))[:-1])


@pytest.mark.slow
def test_sampler_and_learner_that_disagree_stop_the_run(tmp_path):
    with pytest.raises(UserError, match="log-probabilities differ by .* at step 0, more than max_logp_gap = 0"):
        train(load("stages.1.max_logp_gap=0.0"), tmp_path, Watch())
