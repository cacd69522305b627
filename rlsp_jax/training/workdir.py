"""Opening a workdir: a new one, the same run again, or a clear refusal."""

import contextlib
import dataclasses
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from rlsp_jax.checkpoints import has_checkpoint
from rlsp_jax.common.describe import ABSENT, diff, flatten, to_dict
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.locks import locked_file
from rlsp_jax.common.override import Place, is_config, locate
from rlsp_jax.records import (
    METRICS_FILE,
    OPERATIONAL,
    RUN_FILE,
    SUMMARY_FILE,
    RunInfo,
    check_run,
    is_run,
    read_json,
    read_rows,
    to_row,
    write_json,
)
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.data_files import check_unchanged, digests
from rlsp_jax.training.environment import devices, git_revision, now, versions
from rlsp_jax.training.experiment_file import Loaded, load_experiment

EXPERIMENT_FILE = "experiment.py"
SIBLINGS = "experiment"  # other files that the experiment file imports
CHECKPOINTS = "checkpoints"
TOKENIZER = f"{CHECKPOINTS}/tokenizer.model"  # one that was trained here
PRETRAINED_TOKENIZER = f"{CHECKPOINTS}/tokenizer"  # the files of a published one
STOPPED = "stage/stopped"  # the metric of a step that became its stage's last one before the config's last
OWN = (  # what a run writes; run.json, which makes a folder a run, goes last
    *(EXPERIMENT_FILE, SIBLINGS, SUMMARY_FILE, METRICS_FILE, "report.html"),
    *("evals", "samples", "draws", "calibration", "scaling", "grids", CHECKPOINTS, "tensorboard", RUN_FILE),
)
LOCK_FILE = "run.lock"  # outlives the run


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Keep other processes from training there too; the system unlocks it however this one ends.

    Raises `UserError` when another process holds it, or when the folder cannot be a workdir.
    """
    check_usable(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    with locked_file(workdir / LOCK_FILE, f"Another process trains in {workdir}; let it end or stop it first."):
        yield


def open_workdir(loaded: Loaded, workdir: Path, *, overwrite: bool, reuse: Path | None = None) -> bool:
    """Make the workdir ready; True when it holds an earlier part of this very run.

    Raises `UserError` when it holds a run of another config or of other data, or files that no run wrote.
    """
    found = is_run(workdir)
    resumed = found and not overwrite and (workdir / METRICS_FILE).exists()  # else it failed before its first step
    if resumed:
        check_same(loaded.experiment, workdir)
        check_unchanged(loaded.experiment, read_json(workdir / RUN_FILE).get("files", {}))
    elif found:
        clear(workdir)
    else:
        check_usable(workdir)
    if not resumed:
        write_info(loaded, workdir, reuse)
    if not (workdir / EXPERIMENT_FILE).is_file():
        write_sources(loaded, workdir)
    return resumed


def check_usable(workdir: Path) -> None:
    """Raise `UserError` when the folder is no run's and holds what no run wrote."""
    if not is_run(workdir) and not is_vacant(workdir):
        raise UserError(f"{workdir} exists and is not the workdir of a run; give --workdir a new or an empty folder.")


def is_vacant(workdir: Path) -> bool:
    """Whether nothing lies there, but for what a start leaves that was cut off."""
    left = (LOCK_FILE, f"{RUN_FILE}.draft")
    return not workdir.exists() or (workdir.is_dir() and all(path.name in left for path in workdir.iterdir()))


def write_sources(loaded: Loaded, workdir: Path) -> None:
    """Keep the experiment file, and before it the files that it imports from its folder."""
    for name, text in loaded.siblings.items():
        (workdir / SIBLINGS).mkdir(exist_ok=True)
        (workdir / SIBLINGS / name).write_text(text)
    (workdir / EXPERIMENT_FILE).write_text(loaded.source)


def write_info(loaded: Loaded, workdir: Path, reuse: Path | None = None) -> None:
    """Write down what runs and where: this makes the folder the workdir of a run."""
    experiment = loaded.experiment
    info = RunInfo(
        name=experiment.name,
        config=to_dict(experiment),
        overrides=loaded.overrides,
        git=git_revision(),
        versions=versions(),
        devices=devices(),
        started=now(),
        reused=str(reuse or ""),
        files=digests(experiment),
    )
    write_json(workdir / RUN_FILE, to_row(info))


def load_from_workdir(workdir: Path) -> Loaded:
    """The experiment that a workdir's run was started with; `UserError` if this version makes another one of it."""
    check_run(workdir)
    overrides = read_json(workdir / RUN_FILE)["overrides"]
    loaded = load_experiment(workdir / EXPERIMENT_FILE, overrides, siblings=workdir / SIBLINGS)
    if differences := differences_from(loaded.experiment, workdir):
        raise UserError(
            f"This version of rlsp_jax reads {workdir / EXPERIMENT_FILE} differently than the one that ran it: "
            f"{differences}; use the version named in {workdir / RUN_FILE}."
        )
    return loaded


def is_finished(workdir: Path) -> bool:
    return is_run(workdir) and (workdir / SUMMARY_FILE).is_file()


def check_same(experiment: Experiment, workdir: Path) -> None:
    """Raise `UserError` that names the differences unless the workdir's run has this config."""
    if differences := differences_from(experiment, workdir):
        raise UserError(
            f"{workdir} holds a run of another config: {differences}; choose another --workdir, or start anew with "
            "--overwrite."
        )


def differences_from(experiment: Experiment, workdir: Path) -> str:
    """Where the workdir's config and the experiment differ, the first few places in words; empty if nowhere.

    What decides when a run stops or saves, or in how many parts it computes, may differ: no result depends on it, but
    for rounding. And a field that the run does not know, since it is newer, may hold its default.
    """
    recorded = flatten(read_json(workdir / RUN_FILE)["config"])
    places = [place for place in diff(recorded, experiment) if not re.fullmatch(OPERATIONAL, place[0])]
    found = [place for place in places if place[1] != ABSENT or not _is_newer(experiment, place[0], recorded)]
    shown = ", ".join(f"{path} was {there!r} and is {here!r}" for path, there, here in found[:3])
    return shown + (f", and {len(found) - 3} more" if len(found) > 3 else "")


def _is_newer(experiment: Experiment, path: str, recorded: Iterable[str]) -> bool:
    """Whether a path lies in a field that the record knows nothing of and that holds its default."""
    places = locate(experiment, path.removesuffix(".type"))
    unknown = [place for place in places if not any(f"{known}.".startswith(f"{place.path}.") for known in recorded)]
    return any(map(_holds_default, unknown))


def _holds_default(place: Place) -> bool:
    fields = dataclasses.fields(place.holder) if is_config(place.holder) else ()
    return any(field.name == place.key and field.default == place.value for field in fields)


def clear(workdir: Path) -> None:
    """Remove what a run wrote, and nothing else."""
    for path in [workdir / name for name in OWN]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def tokenizer_files(workdir: Path) -> dict[str, bytes]:
    """The files of the run's tokenizer, by their places in the workdir."""
    places = [workdir / TOKENIZER, *(workdir / PRETRAINED_TOKENIZER).rglob("*")]
    return {str(path.relative_to(workdir)): path.read_bytes() for path in places if path.is_file()}


def stage_folder(workdir: Path, experiment: Experiment, index: int) -> Path:
    """Where a stage's checkpoints lie."""
    return workdir / CHECKPOINTS / f"{index}_{experiment.stage_names[index]}"


def stage_end(workdir: Path, experiment: Experiment, index: int) -> int:
    """A stage's last step: that of its config, or the one after which its records say that it stopped."""
    name = experiment.stage_names[index]
    rows = (row for row in read_rows(workdir / METRICS_FILE) if row["stage"] == name and row.get(STOPPED))
    return max((row["step"] + 1 for row in rows), default=experiment.stages[index].num_steps)


def newest_stage(workdir: Path, experiment: Experiment) -> int | None:
    """The last stage that has a checkpoint."""
    begun = [i for i in range(len(experiment.stages)) if has_checkpoint(stage_folder(workdir, experiment, i))]
    return max(begun, default=None)
