"""Run experiments for several seeds on this machine, some processes at a time; finished runs are left alone.

    python launch/local_runs.py experiments/countdown_{rlsp,outcome_only}.py --seeds 0 1 2 --out runs --processes 2

Each run lies in OUT/NAME.sSEED, with its overrides in between, and its output beside it in a .log file. Runs of a seed
that begin with the same stages train them once: the first run does, and the others wait for it and take them over
(`rlsp train --reuse`). Started again, it goes on where it was stopped. Each process has its share of the cores to
itself.
"""

import dataclasses
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import tyro
from tyro.conf import Positional

from rlsp_jax.common.errors import UserError
from rlsp_jax.training import Experiment, load_experiment
from rlsp_jax.training.reuse import last_common_stage
from rlsp_jax.training.workdir import is_finished

POLL_SECONDS = 2.0


@dataclasses.dataclass
class Job:
    """One experiment with one seed, and the process that works on it."""

    file: Path
    workdir: Path
    overrides: tuple[str, ...]
    experiment: Experiment
    process: subprocess.Popen | None = None
    cores: tuple[int, ...] = ()
    started: float = 0.0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def failed(self) -> bool:
        return self.process is not None and self.process.poll() not in (None, 0)

    def start(self, cores: tuple[int, ...], reuse: Path | None) -> None:
        command = [sys.executable, "-m", "rlsp_jax", "train", str(self.file), "--workdir", str(self.workdir)]
        command += [argument for override in self.overrides for argument in ("--set", override)]
        command += ["--reuse", str(reuse)] if reuse else []
        with open(self.workdir.with_name(self.workdir.name + ".log"), "a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self.process.pid, cores)
        self.cores, self.started = cores, time.monotonic()


def main(
    experiments: Positional[tuple[Path, ...]],
    /,
    out: Path,
    seeds: tuple[int, ...] = (0, 1, 2),
    processes: int = 1,
    set: tuple[str, ...] = (),
) -> int:
    """Run experiments for several seeds on this machine.

    Args:
        experiments: Experiment files.
        out: Where the workdirs go.
        seeds: Each experiment runs once with each.
        processes: Runs at a time.
        set: Overrides for all of them, as in rlsp train --set.
    """
    return run_all([make_job(file, seed, out, set) for seed, file in itertools.product(seeds, experiments)], processes)


def run_all(jobs: Sequence[Job], processes: int) -> int:
    """Run jobs, so many at a time, the first ones first; 1 if any failed."""
    todo = [job for job in jobs if not is_finished(job.workdir)]
    print(f"{len(jobs)} runs, {len(jobs) - len(todo)} of them finished already.", flush=True)
    shares = core_shares(processes)
    try:
        while todo:
            for job in [job for job in todo if job.process is not None and not job.running]:
                todo.remove(job)
                minutes = (time.monotonic() - job.started) / 60
                ending = f"failed; see {job.workdir}.log" if job.failed else "finished"
                print(f"{job.workdir.name}: {ending} after {minutes:.1f} minutes; {len(todo)} runs left.", flush=True)
            free = [share for share in shares if not any(job.running and job.cores == share for job in todo)]
            for share in free:
                start_one(share, todo, jobs)
            time.sleep(POLL_SECONDS)
    finally:  # on Ctrl-C each run has had the signal too, and saves
        for job in jobs:
            if job.process is not None:
                job.process.wait()
    return int(any(job.failed for job in jobs))


def make_job(file: Path, seed: int, out: Path, overrides: Sequence[str]) -> Job:
    """A run in a folder of its own: its name tells the experiment, what is overridden, and the seed."""
    out.mkdir(parents=True, exist_ok=True)
    pairs = [override.partition("=") for override in overrides]
    changes = "".join(f".{path.rpartition('.')[2]}={value}" for path, _, value in pairs)
    overrides = (*overrides, f"seed={seed}")
    return Job(file, out / f"{file.stem}{changes}.s{seed}", overrides, load_experiment(file, overrides).experiment)


def core_shares(processes: int) -> list[tuple[int, ...]]:
    """This process's cores, dealt out."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    processes = max(1, processes)
    return [tuple(cores[i::processes]) or (cores[i % len(cores)],) for i in range(processes)]


def start_one(cores: tuple[int, ...], todo: list[Job], jobs: Sequence[Job]) -> None:
    """Start the next run that need not wait for a running one to finish the stages that both begin with."""
    for job in [job for job in todo if job.process is None]:
        reuse = deepest_reusable(job, jobs)
        if reuse is None and any(other.running and begin_alike(job, other) for other in jobs):
            continue
        job.start(cores, reuse)
        return


def begin_alike(job: Job, other: Job) -> bool:
    return (job.experiment.seed, job.experiment.stages[0]) == (other.experiment.seed, other.experiment.stages[0])


def deepest_reusable(job: Job, jobs: Sequence[Job]) -> Path | None:
    """The run that has finished the most of the stages that this one begins with."""
    found = [(depth, other.workdir) for other in jobs if (depth := common_stages(job, other)) is not None]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def common_stages(job: Job, other: Job) -> int | None:
    if other is job:
        return None
    try:
        return last_common_stage(job.experiment, other.experiment, other.workdir)
    except UserError:
        return None


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
