"""Opening a workdir: a new one, the same run again, or a clear refusal."""

import shutil
from pathlib import Path

from rlsp_jax.common.describe import diff, to_dict
from rlsp_jax.common.errors import UserError
from rlsp_jax.records import RunInfo, read_json, to_row, write_json
from rlsp_jax.training.config import Experiment, Loaded, load_experiment
from rlsp_jax.training.environment import devices, git_revision, now, versions

RUN_FILE = "run.json"
EXPERIMENT_FILE = "experiment.py"
SUMMARY_FILE = "summary.json"
OWN = (
    *(RUN_FILE, EXPERIMENT_FILE, SUMMARY_FILE, "metrics.jsonl", "report.html"),
    *("evals", "samples", "checkpoints", "tensorboard"),
)


def open_workdir(loaded: Loaded, workdir: Path, *, overwrite: bool) -> bool:
    """Make the workdir ready; True when it holds an earlier part of this very run.

    Raises `UserError` when it holds a run of another config, or files that are no run.
    """
    experiment = loaded.experiment
    if overwrite:
        clear(workdir)
    if is_run(workdir):
        check_same(experiment, workdir)
        return True
    if workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
        raise UserError(f"{workdir} exists and is not the workdir of a run; give --workdir a new or an empty folder.")
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / EXPERIMENT_FILE).write_text(loaded.source)
    config = to_dict(experiment)
    info = RunInfo(experiment.name, config, loaded.overrides, git_revision(), versions(), devices(), now())
    write_json(workdir / RUN_FILE, to_row(info))
    return False


def load_from_workdir(workdir: Path) -> Loaded:
    """The experiment that a workdir's run was started with; `UserError` if it is no longer the same one."""
    if not is_run(workdir):
        raise UserError(f"{workdir} is not the workdir of a run: it has no {RUN_FILE}. Start one with rlsp train --workdir {workdir}.")
    loaded = load_experiment(workdir / EXPERIMENT_FILE, read_json(workdir / RUN_FILE)["overrides"])
    check_same(loaded.experiment, workdir)
    return loaded


def is_run(workdir: Path) -> bool:
    return (workdir / RUN_FILE).is_file()


def is_finished(workdir: Path) -> bool:
    return is_run(workdir) and (workdir / SUMMARY_FILE).is_file()


def clear(workdir: Path) -> None:
    """Remove what a run wrote, and nothing else."""
    if not is_run(workdir):
        return
    for name in OWN:
        path = workdir / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def check_same(experiment: Experiment, workdir: Path) -> None:
    """Raise `UserError` that names the differences unless the workdir's run has this config."""
    differences = diff(read_json(workdir / RUN_FILE)["config"], experiment)
    if not differences:
        return
    shown = ", ".join(f"{path} was {there!r} and is {here!r}" for path, there, here in differences[:3])
    more = f" and {len(differences) - 3} more differences" if len(differences) > 3 else ""
    raise UserError(
        f"{workdir} holds a run of another config: {shown}{more}. Choose another --workdir, or start anew with --overwrite."
    )
