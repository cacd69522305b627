"""What an outcome model is worth, in a report; and records from before there was one."""

import dataclasses
import json

import pytest

from rlsp_jax.records import Calibration, append_rows, read_rows, to_row, write_rows
from rlsp_jax.report import tables
from rlsp_jax.report.compare import write_comparison
from rlsp_jax.report.figures import calibration_figure
from rlsp_jax.report.load import load_run
from rlsp_jax.report.page import write_report

NAN = float("nan")
END = Calibration(
    stage="outcome_model", step=400, at="end", predictions=400, cross_entropy=0.51, accuracy=0.76, auc=0.801,
    calibration_error=0.031, correct=0.3, counts=(200, 0, 200), predicted=(0.1, NAN, 0.8), observed=(0.12, NAN, 0.75),
)  # fmt: skip


@pytest.fixture
def workdir(fake_run, tmp_path):
    """A run with a stage of an outcome model before its PPO, whose last evaluation reranks."""
    folder = fake_run(tmp_path / "run")
    stage = {"stage": "outcome_model", "stage_index": 1, "seconds": 220.0, "tokens_generated": 0}
    rows = [{**stage, "step": step, "outcome_model/loss": 0.7 - step / 1000} for step in range(0, 400, 20)]
    append_rows(folder / "metrics.jsonl", rows)
    found = [dataclasses.replace(END, step=step, at=at) for step in (200, 400) for at in ("end", "all")]
    append_rows(folder / "calibration" / "outcome_model.jsonl", [to_row(row) for row in [*found, END]])
    results = list(read_rows(folder / "evals/heldout.jsonl"))
    for row in results:
        row["rerank_at"] = {"8": 0.625} if row["stage"] == "ppo" else {}
    write_rows(folder / "evals/heldout.jsonl", results)
    return folder


def test_calibrations_are_read_back_and_count_as_last_written(workdir):
    found = load_run(workdir).calibrations
    assert [(c.step, c.at) for c in found] == [(200, "end"), (200, "all"), (400, "end"), (400, "all")]
    assert json.dumps(to_row(found[2])) == json.dumps(to_row(END))


def test_the_figure_shows_what_was_said_beside_what_was_true(workdir):
    run = load_run(workdir)
    stage = next(stage for stage in run.stages if stage.name == "outcome_model")
    figure = calibration_figure(run, stage)
    assert figure is not None and len(figure.panels) == 2
    assert "AUC 0.801" in figure.caption and "calibration error 0.031 (400 predictions)" in figure.caption
    assert [calibration_figure(run, other) for other in run.stages if other.name != "outcome_model"] == [None, None]
    page = write_report(workdir).read_text()
    assert "What the outcome model knows" in page and "As said" in page or "as said" in page


def test_the_tables_have_a_row_for_reranking_where_a_run_reranks(workdir, fake_run, tmp_path):
    assert "rerank@8" in write_report(workdir).read_text()
    other = fake_run(tmp_path / "other", name="other")
    assert "rerank@" not in write_report(other).read_text()
    page = write_comparison([workdir, other], tmp_path / "comparison.html").read_text()
    assert "rerank@8" in page and "62.5%" in page


def test_records_from_before_there_were_outcome_models_are_read_as_without_one(fake_run, tmp_path):
    folder = fake_run(tmp_path / "run")
    for file, field in (("evals/heldout.jsonl", "rerank_at"), ("samples/heldout.jsonl", "score")):
        write_rows(folder / file, [{k: v for k, v in row.items() if k != field} for row in read_rows(folder / file)])
    run = load_run(folder)
    assert len(run.samples) == 480 and {sample.score for sample in run.samples} == {None}
    assert [result.rerank_at for result in run.evals["heldout"]] == [{}] * 8
    assert "rerank@" not in " ".join(q.name for q in tables.quantities(run.evals["heldout"]))
