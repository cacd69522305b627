"""Inference scaling in the pages: what is drawn is what is recorded."""

import math
import re

import numpy as np
import pytest
from scipy import stats

from rlsp_jax.records import GridResult, ScalingResult, append_rows, read_json, read_rows, to_row, write_json
from rlsp_jax.report.compare import write_comparison
from rlsp_jax.report.load import load_run
from rlsp_jax.report.page import write_report
from rlsp_jax.report.plots import heat_map
from rlsp_jax.report.scaling import _thinking_line, _votes_line, own, scaling_figures, summary
from rlsp_jax.report.seeds import group_by_config

FRACTIONS, BUDGETS, STAGES = (0.25, 0.5, 1.0), (16, 32), {"sft": 600, "ppo": 40}
SEEDS = (0, 1, 2)


def accuracy(stage: str, part: float, seed: int) -> float:
    return 0.2 if stage == "sft" else 0.2 + 0.4 * part + 0.01 * seed


def scaling_rows(seed: int):
    for stage, step in STAGES.items():
        reader = "sft 600" if stage == "ppo" else ""
        cuts = [*((f, None, f) for f in FRACTIONS), *((None, b, b / 32) for b in BUDGETS), (None, None, 1.0)]
        for fraction, budget, part in cuts:
            right = accuracy(stage, part, seed)
            behind = right - 0.05 if reader and (fraction or budget) else math.nan
            yield ScalingResult(
                "thinking", stage, step, fraction, budget, 480, 60 * part + seed, right, 0, behind, 0, reader
            )


def grid_rows(seed: int):
    for stage, step in STAGES.items():
        for k in (1, 2, 4):
            for budget in BUDGETS:
                right = accuracy(stage, 0.1 * k * budget / 32, seed)
                yield GridResult("heldout", stage, step, k, budget, 480, right, k * (budget - 2.0 + seed), 0)


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory, fake_run):
    made = []
    for seed in SEEDS:
        workdir = fake_run(tmp_path_factory.mktemp("run") / f"s{seed}", seed=seed)
        append_rows(workdir / "scaling/thinking.jsonl", [to_row(row) for row in scaling_rows(seed)] * 2)
        append_rows(workdir / "grids/heldout.jsonl", [to_row(row) for row in grid_rows(seed)])
        made.append(workdir)
    return made


def test_a_row_written_twice_counts_once_and_half_a_row_not_at_all(workdirs):
    with open(workdirs[0] / "scaling/thinking.jsonl", "a") as file:
        file.write('{"scaling":"thinking","stage":"ppo"}\n{"sca')
    run = load_run(workdirs[0])
    assert len(run.scalings["thinking"]) == 12 and len(run.grids["heldout"]) == 12


def test_a_run_has_a_figure_of_its_thinking_and_one_of_its_votes(workdirs):
    thinking, votes = scaling_figures(load_run(workdirs[0]))
    for panel in thinking.panels:
        assert ">PPO 60%</text>" in panel and ">PPO, summary 55%</text>" in panel and ">SFT 20%</text>" in panel
    assert "480 responses" in thinking.caption and "(SFT, step 600)" in thinking.caption
    assert ">PPO 36%</text>" in votes.panels[0] and ">SFT 20%</text>" in votes.panels[0]
    cells = re.findall(r">(\d+%)</text>", votes.panels[1])
    assert sorted(cells) == sorted(f"{accuracy('ppo', 0.1 * k * b / 32, 0):.0%}" for k in (1, 2, 4) for b in BUDGETS)


def test_the_page_shows_them_and_prints_no_nan(workdirs):
    html = write_report(workdirs[0]).read_text()
    assert "Accuracy within a thinking budget" in html and "Majority of k within a token budget, PPO" in html
    svgs = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert not re.search(r"\bnan\b|\binf\b", svgs, re.IGNORECASE)
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("answer", "less"), [(own, 0.0), (summary, 0.05)])
def test_a_comparison_has_means_and_standard_errors_over_seeds(workdirs, answer, less):
    (experiment,) = group_by_config([load_run(workdir) for workdir in workdirs])
    line = _thinking_line(experiment, "fraction", answer, last=True)
    values = np.array([[accuracy("ppo", f, seed) - less for seed in SEEDS] for f in FRACTIONS])
    assert line.x == pytest.approx([60 * f + 1 for f in FRACTIONS])  # the mean over seeds
    assert line.y == pytest.approx(values.mean(axis=1))
    assert np.subtract(line.high, line.y) == pytest.approx(stats.sem(values, axis=1))
    assert _thinking_line(experiment, "budget", answer, last=True).x == list(BUDGETS)
    votes = _votes_line(experiment, last=False)
    assert votes.x == pytest.approx([k * 31 for k in (1, 2, 4)]) and votes.y == pytest.approx([0.2] * 3)


def test_a_seed_in_an_earlier_stage_is_no_part_of_what_follows(workdirs, fake_run, tmp_path):
    late = fake_run(tmp_path / "late", seed=9, finished=False)
    for path, rows in (("scaling/thinking.jsonl", scaling_rows(9)), ("grids/heldout.jsonl", grid_rows(9))):
        append_rows(late / path, [to_row(row) for row in rows if row.stage == "sft"])
    told = read_rows(late / "evals/heldout.jsonl")
    told = [row for row in told if row["stage"] == "sft"]
    (late / "evals/heldout.jsonl").unlink()
    append_rows(late / "evals/heldout.jsonl", told)
    runs = [load_run(workdir) for workdir in workdirs]
    alone, joined = (group_by_config(some)[0] for some in (runs, [*runs, load_run(late)]))
    assert len(joined.seeds) == 4
    found, expected = (_thinking_line(experiment, "fraction", own, last=True) for experiment in (joined, alone))
    assert (found.x, found.y) == (expected.x, expected.y)
    assert _votes_line(joined, last=True).y == _votes_line(alone, last=True).y


def test_a_comparison_writes_a_picture_of_each(workdirs, tmp_path):
    write_comparison(workdirs, tmp_path / "page.html", tmp_path / "files")
    names = {path.stem for path in (tmp_path / "files").glob("*.svg")}
    assert {"thinking", "thinking_budgets", "votes"} <= names
    assert "Own answers, before" in (tmp_path / "files/thinking_budgets.svg").read_text()


def test_a_run_of_an_earlier_version_that_knows_no_scalings_is_the_same_experiment(workdirs, fake_run, tmp_path):
    newer = fake_run(tmp_path / "newer", seed=7)
    info = read_json(newer / "run.json")
    write_json(newer / "run.json", info | {"config": info["config"] | {"scalings": [], "effort_judge": None}})
    assert len(group_by_config([load_run(workdirs[0]), load_run(newer)])) == 1


def test_a_heat_map_of_nothing_is_no_chart_and_an_unknown_cell_a_dash():
    assert heat_map("a", "t", "x", "y", [], {}) is None
    assert heat_map("a", "t", "x", "y", ["1"], {"r": [math.nan]}) is None
    assert ">–</text>" in heat_map("a", "t", "x", "y", ["1", "2"], {"r": [math.nan, 0.5]})
