"""A workdir is a new one, the same run again, or refused; nothing in it is lost that was not asked for."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rlsp_jax.common.errors import UserError
from rlsp_jax.data import JSONLDemonstrations
from rlsp_jax.records import check_run, is_run, read_json, write_json
from rlsp_jax.training import load_experiment
from rlsp_jax.training import workdir as module
from rlsp_jax.training.workdir import is_finished, load_from_workdir, locked, newest_stage, open_workdir

DEBUG = Path(__file__).parent.parent.parent / "experiments" / "debug.py"


@pytest.fixture(scope="module")
def loaded():
    return load_experiment(DEBUG, ("seed=4",))


@pytest.fixture(scope="module")
def other():
    return load_experiment(DEBUG, ("seed=5", "stages.1.clip=0.1", "stages.1.num_steps=7", "stages.0.num_steps=8"))


def begin(loaded, folder: Path) -> Path:
    """A run that has taken a step."""
    assert open_workdir(loaded, folder, overwrite=False) is False
    (folder / "metrics.jsonl").write_text("{}\n")
    (folder / "checkpoints" / "0_sft" / "5").mkdir(parents=True)
    return folder


def test_a_new_workdir_says_what_runs_and_gives_it_back(loaded, tmp_path):
    folder = tmp_path / "a" / "b"
    begin(loaded, folder)
    info = read_json(folder / "run.json")
    assert info["name"] == "debug" and info["overrides"] == ["seed=4"] and info["config"]["seed"] == 4
    assert set(info["versions"]) >= {"jax", "flax", "python"} and info["started"]
    again = load_from_workdir(folder)
    assert again.experiment == loaded.experiment and again.source == DEBUG.read_text()


def test_the_same_config_goes_on(loaded, tmp_path):
    begin(loaded, tmp_path)
    before = read_json(tmp_path / "run.json")
    assert open_workdir(loaded, tmp_path, overwrite=False) is True
    assert read_json(tmp_path / "run.json") == before and (tmp_path / "metrics.jsonl").exists()


@pytest.fixture
def from_file(loaded, tmp_path):
    """An experiment whose demonstrations stand in a file."""
    path = tmp_path / "traces.jsonl"
    path.write_text('{"question": "1 + 1?", "response": "2"}\n')
    first, *others = loaded.experiment.stages
    stages = (dataclasses.replace(first, demonstrations=JSONLDemonstrations(path)), *others)
    return loaded._replace(experiment=dataclasses.replace(loaded.experiment, stages=stages)), path


def test_a_run_whose_data_file_has_changed_does_not_go_on(from_file, tmp_path):
    told, path = from_file
    folder, before = begin(told, tmp_path / "run"), path.read_text()
    assert open_workdir(told, folder, overwrite=False) is True
    path.write_text(before.replace("2", "3"))
    with pytest.raises(
        UserError, match=r"traces\.jsonl has changed since this run began, so going on would learn from"
    ):
        open_workdir(told, folder, overwrite=False)
    path.write_text(before)
    assert open_workdir(told, folder, overwrite=False) is True
    path.unlink()  # whoever needs it will say so
    assert open_workdir(told, folder, overwrite=False) is True
    path.write_text("")
    assert open_workdir(told, folder, overwrite=True) is False  # another run, of what the file holds now


def test_a_run_from_before_data_files_were_recorded_goes_on(from_file, tmp_path):
    told, _ = from_file
    folder = begin(told, tmp_path / "run")
    info = read_json(folder / "run.json")
    assert len(info.pop("files")) == 1
    write_json(folder / "run.json", info)
    assert open_workdir(told, folder, overwrite=False) is True


def test_a_field_that_the_run_does_not_know_may_hold_its_default_and_nothing_else(loaded, tmp_path):
    begin(loaded, tmp_path)
    info = read_json(tmp_path / "run.json")
    for path in (("scalings",), ("stages", 1, "clip"), ("mesh",)):
        *way, last = path
        place = info["config"]
        for key in way:
            place = place[key]
        del place[last]
    write_json(tmp_path / "run.json", info)
    assert open_workdir(loaded, tmp_path, overwrite=False) is True
    for override in ("stages.1.clip=0.1", "mesh.fsdp=2"):
        changed = load_experiment(DEBUG, ("seed=4", override))
        with pytest.raises(UserError, match=rf"{override.partition('=')[0]} was '\(absent\)' and is"):
            open_workdir(changed, tmp_path, overwrite=False)


def test_another_config_is_refused_by_naming_the_differences_and_loses_nothing(loaded, other, tmp_path):
    begin(loaded, tmp_path)
    with pytest.raises(UserError, match=r"stages.0.num_steps was 40 and is 8, .*, and 1 more; choose another"):
        open_workdir(other, tmp_path, overwrite=False)
    assert (tmp_path / "metrics.jsonl").exists() and newest_stage(tmp_path, loaded.experiment) == 0


def test_what_decides_no_result_may_change_and_the_run_goes_on(loaded, tmp_path):
    begin(loaded, tmp_path)
    changes = ("checkpoint_every=7", "verifier_workers=2", "stages.0.max_bad_steps=9", "stages.1.max_logp_gap=9")
    changes = (*changes, "stages.1.micro_batches=2")
    changed = load_experiment(DEBUG, (*loaded.overrides, *changes))
    assert open_workdir(changed, tmp_path, overwrite=False) is True
    assert load_from_workdir(tmp_path).experiment == loaded.experiment


def test_a_run_that_failed_before_its_first_step_may_be_started_with_another_config(loaded, other, tmp_path):
    open_workdir(loaded, tmp_path, overwrite=False)
    assert open_workdir(other, tmp_path, overwrite=False) is False
    assert load_from_workdir(tmp_path).experiment == other.experiment


def test_overwrite_removes_what_the_run_wrote_and_nothing_else(loaded, other, tmp_path):
    begin(loaded, tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    for notes in (tmp_path / "notes.txt", tmp_path / "mine" / "more.txt"):
        notes.parent.mkdir(exist_ok=True)
        notes.write_text("keep me")
    assert is_finished(tmp_path)
    assert open_workdir(other, tmp_path, overwrite=True) is False
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"run.json", "experiment.py", "notes.txt", "mine/more.txt"}
    assert read_json(tmp_path / "run.json")["config"]["seed"] == 5


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_no_run_wrote_is_refused_and_left_alone(loaded, tmp_path, overwrite):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "precious").write_text("x")
    with pytest.raises(UserError, match="exists and is not the workdir of a run"):
        open_workdir(loaded, tmp_path, overwrite=overwrite)
    assert [path.name for path in tmp_path.rglob("*")] == ["checkpoints", "precious"]
    file = tmp_path / "checkpoints" / "precious"
    with pytest.raises(UserError, match="exists and is not the workdir of a run"):
        open_workdir(loaded, file, overwrite=overwrite)


def test_a_start_that_was_cut_off_does_not_bar_the_next(loaded, tmp_path):
    (tmp_path / "run.json.draft").write_text('{"name"')
    assert open_workdir(loaded, tmp_path, overwrite=False) is False
    assert load_from_workdir(tmp_path).experiment == loaded.experiment


def test_a_workdir_is_trained_in_by_one_at_a_time_and_starting_anew_does_not_open_it(loaded, tmp_path):
    folder = tmp_path / "run"
    for _ in range(2):  # let go, it can be held again
        with locked(folder):
            open_workdir(loaded, folder, overwrite=True)
            with pytest.raises(UserError, match="Another process trains in .*/run; let it end"), locked(folder):
                pass


def test_a_killed_process_holds_no_workdir(tmp_path):
    script = "import fcntl; f = open('run.lock', 'a'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, **pipes) as process:
        assert process.stdout.readline() == b"\n"
        with pytest.raises(UserError, match="Another process trains"), locked(tmp_path):
            pass
        process.kill()
    with locked(tmp_path):
        pass


def test_a_folder_that_can_be_no_workdir_is_not_locked(tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(UserError, match="exists and is not the workdir of a run"), locked(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_files_that_the_experiment_imports_travel_with_the_run(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "base.py").write_text(DEBUG.read_text())
    (source / "variant.py").write_text("from base import get_config\n")
    loaded = load_experiment(source / "variant.py")
    open_workdir(loaded, tmp_path / "run", overwrite=False)
    (source / "base.py").unlink()
    assert load_from_workdir(tmp_path / "run").experiment == loaded.experiment


def test_an_experiment_that_this_version_reads_differently_is_not_mistaken_for_the_one_that_ran(loaded, tmp_path):
    begin(loaded, tmp_path)
    info = read_json(tmp_path / "run.json")
    info["config"]["stages"][1]["clip"] = 0.3
    (tmp_path / "run.json").write_text(json.dumps(info))
    with pytest.raises(
        UserError, match=r"This version of rlsp_jax reads .* differently .*: stages.1.clip was 0.3 and is 0.2"
    ):
        load_from_workdir(tmp_path)


def test_a_folder_that_is_no_run_says_so(tmp_path):
    assert not is_run(tmp_path)
    with pytest.raises(UserError, match="is not the workdir of a run: there is no run.json in it"):
        check_run(tmp_path)
    with pytest.raises(UserError, match="is not the workdir of a run"):
        load_from_workdir(tmp_path / "absent")


def test_the_newest_stage_is_the_last_with_a_finished_checkpoint(loaded, tmp_path):
    assert newest_stage(tmp_path, loaded.experiment) is None
    (tmp_path / "checkpoints" / "0_sft" / "40").mkdir(parents=True)
    (tmp_path / "checkpoints" / "1_ppo" / "2.orbax-checkpoint-tmp").mkdir(parents=True)
    assert newest_stage(tmp_path, loaded.experiment) == 0
    (tmp_path / "checkpoints" / "1_ppo" / "2").mkdir()
    assert newest_stage(tmp_path, loaded.experiment) == 1


def test_a_crash_while_clearing_leaves_a_run_that_can_be_cleared_again(loaded, tmp_path, monkeypatch):
    begin(loaded, tmp_path)
    monkeypatch.setattr(module.shutil, "rmtree", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        open_workdir(loaded, tmp_path, overwrite=True)
    monkeypatch.undo()
    assert is_run(tmp_path) and open_workdir(loaded, tmp_path, overwrite=True) is False
