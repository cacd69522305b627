"""Workdirs read back, whole or not."""

import math

import pytest

from rlsp_jax.records import append_rows
from rlsp_jax.report.load import load_run, number
from rlsp_jax.report.story import learning_stages, milestones, points, samples_by_stage, stage_title


def test_a_finished_workdir_is_read_back_whole(fake_run, tmp_path):
    run = load_run(fake_run(tmp_path / "run", seed=2))
    assert run.finished
    assert (run.info.name, run.seed) == ("countdown_rlsp", 2)
    assert [(stage.name, len(stage.steps)) for stage in run.stages] == [("sft", 31), ("ppo", 40)]
    assert {name: len(results) for name, results in run.evals.items()} == {"heldout": 8, "progress": 9}
    assert len(run.samples) == 2 * 60 * 4
    assert run.seconds["ppo"] == 305.9


def test_a_half_written_row_is_skipped_and_the_rest_is_kept(fake_run, tmp_path):
    run = load_run(fake_run(tmp_path / "run", finished=False))
    assert not run.finished
    assert run.stages[1].steps == tuple(range(20))


def test_an_empty_folder_is_a_run_that_has_said_nothing(tmp_path):
    run = load_run(tmp_path)
    assert (run.info.name, run.seed, run.stages, run.evals, run.samples) == (tmp_path.name, None, (), {}, ())


def test_a_missing_workdir_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_run(tmp_path / "nowhere")


def test_rows_that_are_no_records_are_skipped(fake_run, tmp_path):
    workdir = fake_run(tmp_path / "run")
    before = load_run(workdir)
    append_rows(workdir / "metrics.jsonl", [{"stage": "ppo"}, {"stage": 3, "step": 1}, {"step": 4}])
    append_rows(workdir / "evals/heldout.jsonl", [{"eval": "heldout"}, {"eval": "heldout", "maj_interval": [0, 1]}])
    append_rows(workdir / "samples/heldout.jsonl", [{"problem": 1}])
    after = load_run(workdir)
    assert (after.stages, after.evals, after.samples) == (before.stages, before.evals, before.samples)


def test_a_step_written_twice_counts_as_last_written(tmp_path):
    rows = [
        {"stage": "ppo", "stage_index": 0, "step": step, "rollout/length": length}
        for step, length in ((1, 5), (2, 6), (1, 7))
    ]
    append_rows(tmp_path / "metrics.jsonl", rows)
    (stage,) = load_run(tmp_path).stages
    assert stage.steps == (1, 2)
    assert stage.columns["rollout/length"] == (7.0, 6.0)


def test_what_is_no_finite_number_reads_as_nan():
    assert number(3) == 3.0
    assert all(math.isnan(number(value)) for value in (None, "3", True, math.inf, math.nan, [1]))


def test_milestones_are_the_last_full_evaluation_of_each_stage(fake_run, tmp_path):
    ends = milestones(load_run(fake_run(tmp_path / "run")))
    assert [(end.stage, end.step, end.overall.eval) for end in ends] == [
        ("sft", 600, "heldout"),
        ("ppo", 40, "heldout"),
    ]
    assert [result.level for result in ends[1].levels] == ["easy", "medium", "hard"]


def test_one_stage_alone_starts_at_its_first_evaluation(fake_run, tmp_path):
    workdir = fake_run(tmp_path / "run")
    (workdir / "evals/heldout.jsonl").unlink()
    assert [(end.stage, end.step) for end in milestones(load_run(workdir))] == [("ppo", 0), ("ppo", 40)]


def test_the_way_through_a_stage_begins_where_the_stage_before_ended(fake_run, tmp_path):
    workdir = fake_run(tmp_path / "run")
    (workdir / "evals/progress.jsonl").unlink()
    run = load_run(workdir)
    (stage,) = learning_stages(run)
    way = points(run, stage)
    assert [(point.step, point.result.stage) for point in way] == [(0, "sft"), (40, "ppo")]
    assert [point.tokens for point in way] == [0.0, stage.tokens[-1]]


def test_samples_are_those_last_written_in_each_stage(fake_run, tmp_path):
    by_stage = samples_by_stage(load_run(fake_run(tmp_path / "run")))
    assert {label: len(samples) for label, samples in by_stage.items()} == {"SFT, step 600": 240, "PPO, step 40": 240}


def test_a_stage_is_named_as_a_reader_writes_it():
    names = ("sft", "sft_2", "ppo_3", "rloo", "expert_iteration", "expert_iteration_2")
    titles = ["SFT", "SFT 2", "PPO 3", "RLOO", "Expert iteration", "Expert iteration 2"]
    assert [stage_title(name) for name in names] == titles
