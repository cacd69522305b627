"""When a run measures inference scaling, with which summary model, and that it writes it down once."""

import contextlib
import dataclasses

import jax
import numpy as np
import pytest

from rlsp_jax.checkpoints import Saver
from rlsp_jax.common.errors import UserError
from rlsp_jax.evaluation import Scaling
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.records import Sample, append_rows, read_rows, to_row
from rlsp_jax.report.load import load_run
from rlsp_jax.training import scaling as module
from rlsp_jax.training.checks import check_markers
from rlsp_jax.training.scaling import default_scalings, is_watched, scale_due, summary_model
from rlsp_jax.training.stages import init_state

SCALING = Scaling(
    "thinking",
    problems=8,
    fractions=(0.5, 1.0),
    sampling=SamplingConfig(max_response=48),
    batch_size=8,
    elicit_tokens=4,
)


@pytest.fixture
def scaled(open_debug):
    """A run with a scaling, before its first step."""
    with open_debug(scalings=(SCALING,)) as run:
        yield run


def save(run, index: int, step: int):
    """Leave a checkpoint of random parameters at the end of a stage, and return its policy."""
    state = run.place(init_state(run.experiment.stages[index], run.init_params()))
    policy = jax.tree.map(lambda x: x + 0.01, state.params["policy"])
    state = state._replace(params=state.params | {"policy": policy})
    with contextlib.closing(Saver(run.stage_folder(index))) as saver:
        saver.save(step, state, {})
    return policy


def test_it_is_measured_where_samples_are_drawn_and_before_that_but_not_between_demonstrations(run):
    sft, ppo = run.experiment.stages
    watched = {
        (sft, ppo): [True, True],
        (sft, sft, ppo): [False, True, True],
        (ppo, ppo): [True, True],
        (sft, sft): [False, True],
    }
    for stages, expected in watched.items():
        experiment = dataclasses.replace(run.experiment, stages=stages)
        assert [is_watched(experiment, index) for index in range(len(stages))] == expected


def test_the_summary_model_is_what_the_stage_before_left_and_nobody_where_there_was_none(scaled):
    like = scaled.init_params()["policy"]
    assert summary_model(scaled, 1, like) is None  # no checkpoint
    policy = save(scaled, 0, 40)
    assert summary_model(scaled, 0, like) is None
    found = summary_model(scaled, 1, like)
    assert found.name == "sft 40"
    jax.tree.map(np.testing.assert_array_equal, found.policy, policy)


@pytest.mark.slow
def test_the_end_of_a_stage_is_measured_and_written_down_once(scaled):
    policy = scaled.init_params()["policy"]
    save(scaled, 0, 40)
    for step in (5, 6, 6):
        scale_due(scaled, 1, step, policy)
    found = load_run(scaled.workdir).scalings["thinking"]
    assert len(list(read_rows(scaled.workdir / "scaling/thinking.jsonl"))) == len(found) == 3
    assert {(r.stage, r.step, r.responses, r.summarizer) for r in found} == {("ppo", 6, 8, "sft 40")}
    assert [(r.fraction, r.budget) for r in found] == [(0.5, None), (1.0, None), (None, None)]
    assert all(0 <= r.own <= 1 for r in found) and all(0 <= r.summary <= 1 for r in found[:-1])


def test_the_samples_of_the_eval_at_the_end_are_put_in_a_grid_once(scaled, monkeypatch):
    monkeypatch.setattr(module, "scale", lambda *arguments: None)
    rows = [
        Sample("heldout", "sft", 40, i // 2, "all", "1 2 = 3\n", i % 2, "…", 20, "eos", "correct", "1+2")
        for i in range(6)
    ]
    append_rows(
        scaled.workdir / "samples/heldout.jsonl", [to_row(row) for row in [*rows, *rows]]
    )  # before and after a crash
    for _ in range(2):
        scale_due(scaled, 0, 40, {})
    (grid,) = load_run(scaled.workdir).grids.values()
    assert {(r.k, r.budget): r.accuracy for r in grid} == {
        (k, budget): float(budget >= 20) for k in (1, 2) for budget in (16, 32, 48)
    }
    assert {(r.k, r.tokens) for r in grid if r.budget == 48} == {(1, 20.0), (2, 40.0)}
    assert len(list(read_rows(scaled.workdir / "grids/heldout.jsonl"))) == len(grid)


def test_a_run_without_scalings_writes_none_and_is_offered_what_its_eval_asks(run):
    scale_due(run, 0, 40, {})
    assert not (run.workdir / "scaling").exists() and not (run.workdir / "grids").exists()
    (config,) = default_scalings(run.experiment)
    assert (config.name, config.problems, config.budgets, config.batch_size) == ("heldout", 32, (16, 32, 48), 32)


def test_what_does_not_fit_the_context_is_one_sentence(run):
    long = dataclasses.replace(SCALING, elicit_tokens=100)
    with pytest.raises(UserError, match=r"The scaling 'thinking' may reach 16 \+ 148 tokens"):
        dataclasses.replace(run.experiment, scalings=(long,))
    longer = dataclasses.replace(SCALING, elicit_tokens=96, marker="answer: ")
    with pytest.raises(UserError, match=r"The scaling 'thinking' may reach 16 \+ 48 \+ 96 \+ \d+ tokens"):
        check_markers(dataclasses.replace(run.experiment, scalings=(longer,)), run.tokenizer)


def test_two_scalings_of_one_name_are_refused(run):
    with pytest.raises(UserError, match="Two scalings share a name: thinking, thinking"):
        dataclasses.replace(run.experiment, scalings=(SCALING, SCALING))
