"""Runs side by side."""

import math
import re

import numpy as np
import pytest
from scipy import stats

from rlsp_jax.records import read_rows
from rlsp_jax.report.compare import write_comparison
from rlsp_jax.report.load import load_run
from rlsp_jax.report.seeds import by_step, by_tokens, group_by_name, mean_and_error, mean_at, mean_line, reached

NAMES = {"countdown_rlsp": 0.32, "countdown_outcome_only": 0.1}
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory, fake_run):
    root = tmp_path_factory.mktemp("runs")
    return [
        fake_run(root / f"{name}_{seed}", name=name, seed=seed, gain=gain)
        for name, gain in NAMES.items()
        for seed in SEEDS
    ]


@pytest.fixture(scope="module")
def text(workdirs, tmp_path_factory):
    html = write_comparison(workdirs, tmp_path_factory.mktemp("out") / "deep" / "comparison.html").read_text()
    assert not re.findall(r"https?:|url\((?!#)", html)
    assert len(re.findall("<svg", html)) == 8  # three aspects twice, levels and budgets
    return " ".join(re.sub(r"<(style|script|svg).*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL).split())


def final(workdirs, name, stage, value):
    rows = [row for path in workdirs if name in path.name for row in read_rows(path / "evals/heldout.jsonl")]
    return [value(row) for row in rows if (row["stage"], row["level"]) == (stage, "all")]


@pytest.mark.parametrize("name", NAMES)
def test_the_table_holds_mean_and_standard_error_of_starts_ends_and_changes(workdirs, text, name):
    for value in (lambda row: row["greedy"], lambda row: row["pass_at"]["8"], lambda row: row["maj_at"]["8"]):
        starts, ends = final(workdirs, name, "sft", value), final(workdirs, name, "ppo", value)
        assert len(starts) == len(ends) == 3
        assert f"{np.mean(starts):.1%} ± {100 * stats.sem(starts):.1f}" in text
        assert f"{np.mean(ends):.1%} ± {100 * stats.sem(ends):.1f}" in text
        changes = np.subtract(ends, starts)
        assert f"+{100 * np.mean(changes):.1f} ± {100 * stats.sem(changes):.1f}" in text
    backtracks = final(workdirs, name, "ppo", lambda row: row["behaviors"]["backtracks"])
    assert f"{np.mean(backtracks):.2f} ± {stats.sem(backtracks):.2f}" in text


def test_no_nan_is_printed(text):
    assert not re.search(r"\b(nan|inf|None)\b", text, re.IGNORECASE)


def test_tokens_are_those_generated_in_the_last_stage(workdirs, text):
    tokens = [
        list(read_rows(path / "metrics.jsonl"))[-1]["tokens_generated"]
        for path in workdirs
        if "outcome_only" in path.name
    ]
    assert f"{np.mean(tokens):,.0f} ± {stats.sem(tokens):,.0f}" in text
    assert f"At {min(tokens):,} generated tokens" in text


def test_equal_tokens_are_read_off_each_runs_own_curve(workdirs):
    runs = [load_run(path) for path in workdirs]
    searching, outcome = group_by_name(runs)
    x = reached([searching, outcome], by_tokens, lambda r: r.greedy)
    assert x == min(run.stages[-1].tokens[-1] for run in runs)
    expected = []
    for run in runs[:3]:
        tokens = (0.0, *run.stages[1].tokens)  # after 0, 1, 2 … updates
        way = run.evals["progress"]
        expected.append(np.interp(x, [tokens[r.step] for r in way], [r.greedy for r in way]))
    mean, error = mean_at(searching, by_tokens, lambda r: r.greedy, x)
    assert mean == pytest.approx(np.mean(expected)) and error == pytest.approx(stats.sem(expected))


def test_a_mean_curve_is_the_mean_at_each_evaluation_with_a_band(workdirs):
    runs = [load_run(path) for path in workdirs[:3]]
    (experiment,) = group_by_name(runs)
    line = mean_line(experiment, by_step, lambda r: r.greedy)
    table = np.array([[r.greedy for r in run.evals["progress"]] for run in runs])
    assert line.x == list(range(0, 41, 5))
    np.testing.assert_allclose(line.y, table.mean(axis=0))
    np.testing.assert_allclose(np.subtract(line.high, line.y), stats.sem(table, axis=0))
    np.testing.assert_allclose(np.subtract(line.y, line.low), stats.sem(table, axis=0))


def test_a_single_seed_has_no_band_and_no_error(workdirs, tmp_path):
    (experiment,) = group_by_name([load_run(workdirs[0])])
    assert mean_line(experiment, by_step, lambda r: r.greedy).low is None
    html = write_comparison(workdirs[:1], tmp_path / "one.html").read_text()
    table = html[html.index("<tbody>") : html.index("</tbody>")]
    assert "±" not in table and "%" in table


def test_mean_and_error_leave_out_what_is_unknown():
    assert mean_and_error([1.0, math.nan, 3.0]) == (2.0, pytest.approx(1.0))
    assert mean_and_error([2.0])[0] == 2.0 and math.isnan(mean_and_error([2.0])[1])
    assert all(math.isnan(value) for value in mean_and_error([math.nan]))


def test_chart_labels_leave_out_what_all_names_begin_with(workdirs):
    experiments = group_by_name([load_run(path) for path in workdirs])
    assert [(e.name, e.label) for e in experiments] == [(n, n.removeprefix("countdown_")) for n in NAMES]


def test_runs_at_different_stages_compare_as_far_as_they_got(workdirs, tmp_path, fake_run):
    half = fake_run(tmp_path / "half", finished=False)
    empty = tmp_path / "empty"
    empty.mkdir()
    html = write_comparison([workdirs[3], half, empty], tmp_path / "page.html").read_text()
    assert html.count("in progress") == 2
    assert "At step 20" in html


def test_no_workdir_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no workdir"):
        write_comparison([], tmp_path / "page.html")
