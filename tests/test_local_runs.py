"""Several runs on one machine: stages they begin with alike are trained once."""

import dataclasses
import importlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlsp_jax.records import read_json, read_rows

ROOT = Path(__file__).parent.parent
SMALL = ("stages.0.num_steps=3", "stages.1.num_steps=1", "evals.0.problems=16", "evals.1.problems=16")
VARIANT = """
import dataclasses
import debug

def get_config():
    base = debug.get_config()
    *sft, last = base.stages
    return dataclasses.replace(base, name="variant", stages=(*sft, dataclasses.replace(last, clip=0.1)))
"""


def run(files: list[Path], out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "launch" / "local_runs.py", *files, "--out", out, "--seeds", "3"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, "--processes", "2", "--set", *SMALL], env=environment, capture_output=True, text=True
    )


def folder(runs: Path, name: str) -> Path:
    """The one workdir of an experiment."""
    (found,) = (path for path in runs.glob(f"{name}.*") if path.is_dir())
    return found


@pytest.mark.slow
def test_runs_share_their_first_stage_and_finished_ones_are_left_alone(tmp_path):
    debug, variant = tmp_path / "debug.py", tmp_path / "variant.py"
    debug.write_text((ROOT / "experiments" / "debug.py").read_text())
    variant.write_text(VARIANT)
    first = run([debug, variant], tmp_path / "runs")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "2 runs, 0 of them finished already." in first.stdout
    trained, took_over = (folder(tmp_path / "runs", name) for name in ("debug", "variant"))
    assert trained.name == "debug.num_steps=3.num_steps=1.problems=16.problems=16.s3"
    assert read_json(trained / "run.json")["reused"] == ""
    assert read_json(took_over / "run.json")["reused"] == str(trained)
    ours, theirs = (
        [row for row in read_rows(run / "metrics.jsonl") if row["stage"] == "sft"] for run in (took_over, trained)
    )
    assert ours == theirs != []
    assert read_json(took_over / "run.json")["config"]["seed"] == 3
    again = run([debug, variant], tmp_path / "runs")
    assert again.stdout == "2 runs, 2 of them finished already.\n"


@pytest.mark.slow
def test_a_run_that_fails_is_named(tmp_path):
    broken = tmp_path / "broken.py"
    text = (ROOT / "experiments" / "debug.py").read_text()
    broken.write_text(text.replace("max_number=12", "max_number=1"))  # there are not that many problems
    done = run([broken], tmp_path / "runs")
    assert done.returncode == 1
    (log,) = (tmp_path / "runs").glob("broken.*.log")
    assert f"{log.stem}: failed; see {log}" in done.stdout
    assert "No heldout problem turned up" in log.read_text()


def test_every_row_of_the_study_is_a_run_of_its_own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "launch"))
    study = importlib.import_module("study")
    jobs = [study.make_job(study.EXPERIMENTS / f"{name}.py", 0, tmp_path, changes) for name, *changes in study.ROWS]
    assert len({job.workdir for job in jobs}) == len(jobs)
    configs = [dataclasses.replace(job.experiment, name="") for job in jobs]
    assert all(one != other for one, other in itertools.combinations(configs, 2))
