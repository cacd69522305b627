"""`rlsp train --reuse OTHER`: take over the stages that two runs begin with, instead of training them twice."""

import contextlib
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import jax

from rlsp_jax.algorithms import outcome_model, ppo, sft
from rlsp_jax.checkpoints import Saver
from rlsp_jax.common.errors import UserError
from rlsp_jax.records import METRICS_FILE, read_rows, write_rows
from rlsp_jax.training.beginning import BASE
from rlsp_jax.training.config import Experiment, Stage
from rlsp_jax.training.run import Run
from rlsp_jax.training.stages import init_state
from rlsp_jax.training.workdir import load_from_workdir, stage_end, stage_folder, tokenizer_files
from rlsp_jax.types import Params

# what decides a first stage, beside itself
SHARED = ("seed", "weights", "tokenizer", "prompts", "problems", "max_prompt", "mesh")
JUDGES = ("checker", "verifier", "effort_judge")  # what decides a stage that draws responses, beside these
TRUNK = ("value_heads", "value_trunk", "value_hidden")  # fields of the model that its policy does not depend on


def adopt(run: Run, other: Path) -> None:
    """Make the last stage that both runs begin with the newest of this one: its policy, records and expenses.

    Raises `UserError` when the other has finished no stage that both begin with.
    """
    theirs = load_from_workdir(other).experiment
    index = last_common_stage(run.experiment, theirs, other)
    if tokenizer_files(run.workdir) != tokenizer_files(other):
        raise UserError(f"The tokenizers of {run.workdir} and {other} differ, so nothing of {other} can be reused.")
    if (other / BASE).is_file():
        shutil.copyfile(other / BASE, run.workdir / BASE)  # what its adapters need is held against what is found now
    params = run.init_params()
    _take_rows(run, other, theirs, run.experiment.stage_names[: index + 1])
    earlier = [i for i, stage in enumerate(theirs.stages[:index]) if isinstance(stage, outcome_model.Config)]
    for place in (*earlier, index):  # later stages ask the outcome models that were trained on the way
        _take_stage(run, other, theirs, place, params)
    run.display.say(f"Reusing stage {run.experiment.stage_names[index]!r} of {other}.")


def _take_stage(run: Run, other: Path, theirs: Experiment, index: int, params: Params) -> None:
    """Make the end of another run's stage that of this run's: its policy, and what else was trained up to there."""
    config, end = run.experiment.stages[index], stage_end(other, theirs, index)
    trained_critics = any(isinstance(stage, ppo.Config) for stage in theirs.stages[: index + 1])
    wanted = dict(params) if trained_critics else {"policy": params["policy"]}
    if isinstance(config, outcome_model.Config):
        wanted[outcome_model.NAME] = run.place(outcome_model.init_state(config, params).params[outcome_model.NAME])
    with contextlib.closing(Saver(stage_folder(other, theirs, index))) as saver:
        part, spent = saver.restore_part(end, {"params": wanted})
    state = run.place(init_state(config, params | part["params"]))
    state = state._replace(
        step=jax.device_put(state.step + end, state.step.sharding), params=state.params | part["params"]
    )
    with contextlib.closing(Saver(run.stage_folder(index))) as saver:
        saver.save(end, state, spent)


def last_common_stage(ours: Experiment, theirs: Experiment, other: Path) -> int:
    """The index of the last stage that the other run has finished and up to which both do the same."""
    for field in SHARED:
        if getattr(ours, field) != getattr(theirs, field):
            raise UserError(f"The run in {other} has another {field}, so none of its stages can be reused.")
    if _policy(ours) != _policy(theirs):
        raise UserError(f"The run in {other} has another model, so none of its stages can be reused.")
    found = None
    for index, (mine, its) in enumerate(zip(ours.stages, theirs.stages, strict=False)):
        if mine != its or not _learns_alike(mine, ours, theirs):
            break
        end = stage_folder(other, theirs, index) / str(stage_end(other, theirs, index))
        if end.is_dir():  # Orbax renames what is whole
            found = index
    if found is None:
        raise UserError(f"The run in {other} begins with another stage, or has not finished its first; reuse another.")
    return found


def _learns_alike(stage: Stage, ours: Experiment, theirs: Experiment) -> bool:
    """Whether a stage that both runs have learns the same in both: by the same judges, and with the same critics."""
    if isinstance(stage, sft.Config):
        return True
    judged = all(getattr(ours, field) == getattr(theirs, field) for field in JUDGES)
    return judged and (ours.model == theirs.model or not isinstance(stage, ppo.Config))


def _policy(experiment: Experiment) -> Any:
    """The model but for its critics."""
    return {k: v for k, v in dataclasses.asdict(experiment.model).items() if k not in TRUNK}


def _take_rows(run: Run, other: Path, theirs: Experiment, stages: tuple[str, ...]) -> None:
    """Copy what was recorded of these stages; evaluations only where both runs ask the same."""
    same = {config.name for config in run.experiment.evals if config in theirs.evals}
    files = [METRICS_FILE, *(f"{kind}/{name}.jsonl" for name in same for kind in ("samples", "evals", "grids"))]
    files += [f"scaling/{config.name}.jsonl" for config in run.experiment.scalings if config in theirs.scalings]
    files += [f"calibration/{stage}.jsonl" for stage in stages]
    for file in [file for file in files if (other / file).exists()]:
        rows = [row for row in read_rows(other / file) if row["stage"] in stages]
        write_rows(run.workdir / file, rows)
