"""What stops a stage with a sentence loses nothing, and the sentence can be followed."""

import contextlib
from pathlib import Path

import jax.numpy as jnp
import pytest
from rich.console import Console

from rlsp_jax.checkpoints import Saver
from rlsp_jax.common.errors import UserError
from rlsp_jax.records import read_rows
from rlsp_jax.training import load_experiment
from rlsp_jax.training.progress import Display
from rlsp_jax.training.stage import StageRun
from rlsp_jax.training.train import train
from rlsp_jax.training.workdir import is_finished
from rlsp_jax.types import TrainState

DEBUG = Path(__file__).parent.parent.parent / "experiments" / "debug.py"


def state(step: int, weight: float, bad_steps: int = 0) -> TrainState:
    count = lambda number: jnp.asarray(number, jnp.int32)  # noqa: E731
    return TrainState(
        step=count(step),
        params={"policy": {"weight": jnp.full(3, weight)}},
        opt_state=(),
        reference=(),
        memory=(),
        bad_steps=count(bad_steps),
        skipped=count(bad_steps),
    )


def begin(run) -> StageRun:
    return StageRun(run, 0, run.experiment.stages[0], state(0, 0.0), log_every=1, save_every=100)


def newest(run) -> int | None:
    with contextlib.closing(Saver(run.stage_folder(0))) as saver:
        return saver.latest_step()


def test_a_stage_that_stops_with_a_sentence_goes_on_behind_the_step_it_stopped_at(run):
    with pytest.raises(UserError, match="too large"), begin(run) as stage:
        for step in stage.steps():
            stage.state = state(step + 1, float(step))
            if step == 2:
                raise UserError("too large")
    with begin(run) as stage:
        assert next(stage.steps()) == 3 and stage.state.params["policy"]["weight"].tolist() == [2.0] * 3


def test_a_step_that_was_not_taken_is_taken_again(run):
    with pytest.raises(UserError), begin(run) as stage:
        for step in stage.steps():
            if step == 2:
                raise UserError("no prompt")
            stage.state = state(step + 1, 1.0)
    assert newest(run) == 2


@pytest.mark.parametrize(
    ("weight", "error"), [(float("nan"), UserError("diverged")), (float("inf"), UserError("x")), (1.0, ValueError("x"))]
)
def test_parameters_that_are_not_finite_and_faults_of_ours_are_not_saved(weight, error, run):
    with pytest.raises(type(error)), begin(run) as stage:
        for step in stage.steps():
            stage.state = state(step + 1, weight)
            raise error
    assert newest(run) is None


def test_updates_that_are_not_finite_stop_a_stage_that_keeps_what_it_learned_before(run):
    with pytest.raises(UserError, match=r"at step 4 \(problem 7\).* in 5 updates in a row.*lower the learning rate"):
        with begin(run) as stage:
            for step in stage.steps():
                stage.state = state(step + 1, 1.0, bad_steps=step + 1)
                stage.record(step, {"sft/tokens": jnp.ones(())}, tokens="sft/tokens", about="problem 7")
    with pytest.raises(UserError, match=r"at step 4 \(before this start\).* in 5 updates"), begin(run) as stage:
        next(stage.steps())
    assert newest(run) == 5


@pytest.mark.slow
def test_a_run_that_stopped_over_the_gap_goes_on_with_a_larger_one_allowed(tmp_path):
    short = ("stages.0.num_steps=2", "stages.1.num_steps=2", "evals.0.problems=16")
    display = Display(Console(), enabled=False)
    with pytest.raises(UserError, match="raise max_logp_gap to go on from there"):
        train(load_experiment(DEBUG, (*short, "stages.1.max_logp_gap=0")), tmp_path, display)
    train(load_experiment(DEBUG, (*short, "stages.1.max_logp_gap=1")), tmp_path, display)
    assert is_finished(tmp_path)
    steps = [(row["stage"], row["step"]) for row in read_rows(tmp_path / "metrics.jsonl")]
    assert steps == [("sft", 0), ("sft", 1), ("ppo", 0), ("ppo", 1)]
