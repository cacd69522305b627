"""Runs side by side."""

import math
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from rlsp_jax.records import append_rows, read_json, read_rows, write_json
from rlsp_jax.report.compare import write_comparison
from rlsp_jax.report.export import markdown_table
from rlsp_jax.report.load import load_run
from rlsp_jax.report.plots import CYCLE
from rlsp_jax.report.seeds import by_step, by_tokens, group_by_config, mean_and_error, mean_at, mean_line, reached

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
def folder(workdirs, tmp_path_factory):
    """The folder `files`, with a page beside it."""
    root = tmp_path_factory.mktemp("out") / "deep"
    write_comparison(workdirs, root / "comparison.html", root / "files")
    return root / "files"


@pytest.fixture(scope="module")
def text(folder):
    html = (folder.parent / "comparison.html").read_text()
    assert not re.findall(r"https?:|url\((?!#)", html)
    assert len(re.findall("<svg", html)) == 14  # aspects twice, rates by samples, training, levels, budgets
    return plain(html)


def plain(html: str) -> str:
    """What a page says outside its charts."""
    return " ".join(re.sub(r"<(style|script|svg).*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL).split())


def rewritten(path, change) -> None:
    """Every row of a JSONL file, changed."""
    rows = [change(row) for row in read_rows(path)]
    path.unlink()
    append_rows(path, rows)


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
    searching, outcome = group_by_config(runs)
    x = reached([searching, outcome], by_tokens, lambda r: r.greedy)
    assert x == min(run.stages[-1].tokens[-1] for run in runs)
    expected = []
    for run in runs[:3]:
        tokens = (0.0, *run.stages[1].tokens)  # after 0, 1, 2 … updates
        way = run.evals["progress"]
        expected.append(np.interp(x, [tokens[r.step] for r in way], [r.greedy for r in way]))
    mean, error = mean_at(searching, by_tokens, lambda r: r.greedy, x)
    assert mean == pytest.approx(np.mean(expected)) and error == pytest.approx(stats.sem(expected))


def test_greedy_and_pass_at_1_stand_side_by_side_at_equal_expense(text):
    for place in ("step 40, which is 10,240 samples drawn", r"[\d,]+ generated tokens"):
        assert re.search(rf"At {place} Seeds Greedy accuracy pass@1 Backtracks", text)
    assert text.count("“progress”, 480 problems, 1 greedy response to each and 1 drawn.") == 1
    assert "not watched alike" not in text


def test_runs_watched_without_drawn_responses_compare_by_greedy_accuracy_and_the_page_says_so(tmp_path, fake_run):
    paths = [fake_run(tmp_path / name, name=name) for name in NAMES]
    greedy_only = {"problems": 256, "samples": 0, "pass_at": {}, "maj_at": {}}
    rewritten(paths[1] / "evals/progress.jsonl", lambda row: row | greedy_only)
    text = plain(write_comparison(paths, tmp_path / "one.html").read_text())
    assert "1 greedy response to each and 1 drawn; “progress”, 256 problems, 1 greedy response to each." in text
    assert "The runs were not watched alike" in text
    assert re.search(r"countdown_outcome_only 1 \d+\.\d% – ", text[text.index("At step 40") :])  # no pass@1
    rewritten(paths[0] / "evals/progress.jsonl", lambda row: row | greedy_only)
    text = plain(write_comparison(paths, tmp_path / "two.html").read_text())
    assert "At step 40, which is 10,240 samples drawn Seeds Greedy accuracy Backtracks" in text


def test_a_run_counts_only_as_far_as_it_got(workdirs, tmp_path, fake_run):
    half = fake_run(tmp_path / "half", seed=7, finished=False)
    (experiment,) = group_by_config([load_run(path) for path in (workdirs[0], half)])
    mean, error = mean_at(experiment, by_step, lambda r: r.greedy, 30.0)
    assert mean == load_run(workdirs[0]).evals["progress"][6].greedy and math.isnan(error)


def test_a_mean_curve_is_the_mean_at_each_evaluation_with_a_band(workdirs):
    runs = [load_run(path) for path in workdirs[:3]]
    (experiment,) = group_by_config(runs)
    line = mean_line(experiment, by_step, lambda r: r.greedy)
    table = np.array([[r.greedy for r in run.evals["progress"]] for run in runs])
    assert line.x == list(range(0, 41, 5))
    np.testing.assert_allclose(line.y, table.mean(axis=0))
    np.testing.assert_allclose(np.subtract(line.high, line.y), stats.sem(table, axis=0))
    np.testing.assert_allclose(np.subtract(line.y, line.low), stats.sem(table, axis=0))


def test_experiments_of_one_colour_are_told_apart_by_dashes(tmp_path, fake_run):
    count = len(CYCLE) + 2
    experiments = group_by_config([load_run(fake_run(tmp_path / f"r{i}", name=f"e{i}")) for i in range(count)])
    lines = [mean_line(experiment, by_step, lambda r: r.greedy) for experiment in experiments]
    assert len({(line.color, line.dashed) for line in lines}) == count
    assert [line.dashed for line in lines] == [False] * len(CYCLE) + [True] * 2


def test_a_single_seed_has_no_band_and_no_error(workdirs, tmp_path):
    (experiment,) = group_by_config([load_run(workdirs[0])])
    assert mean_line(experiment, by_step, lambda r: r.greedy).low is None
    html = write_comparison(workdirs[:1], tmp_path / "one.html").read_text()
    table = html[html.index("<tbody>") : html.index("</tbody>")]
    assert "±" not in table and "%" in table


def test_mean_and_error_leave_out_what_is_unknown():
    assert mean_and_error([1.0, math.nan, 3.0]) == (2.0, pytest.approx(1.0))
    assert mean_and_error([2.0])[0] == 2.0 and math.isnan(mean_and_error([2.0])[1])
    assert all(math.isnan(value) for value in mean_and_error([math.nan]))


def test_chart_labels_leave_out_what_all_names_begin_with(workdirs):
    experiments = group_by_config([load_run(path) for path in workdirs])
    assert [(e.name, e.label) for e in experiments] == [(n, n.removeprefix("countdown_")) for n in NAMES]


def test_only_runs_that_differ_by_their_seed_alone_are_seeds_of_one_experiment(tmp_path, fake_run):
    paths = [fake_run(tmp_path / f"run_{i}", seed=seed) for i, seed in enumerate((0, 1, 2, 1))]
    info = read_json(paths[2] / "run.json")
    changed = {**info["config"], "stages": [{"num_steps": 600}, {"num_steps": 40, "clip": 0.1}]}
    overrides = ["seed=2", "stages.ppo.clip=0.1"]
    write_json(paths[2] / "run.json", info | {"config": changed, "overrides": overrides})
    experiments = group_by_config([load_run(path) for path in paths])
    found = [(e.name, [seed.run.seed for seed in e.seeds]) for e in experiments]
    assert found == [
        ("countdown_rlsp (run_0)", [0, 1]),
        ("countdown_rlsp clip=0.1", [2]),
        ("countdown_rlsp (run_3)", [1]),
    ]


def change_config(workdir, overrides, change) -> None:
    info = read_json(workdir / "run.json")
    change(info["config"])
    write_json(workdir / "run.json", info | {"overrides": [*info["overrides"], *overrides]})


def test_overrides_and_workdirs_stay_whole_in_chart_labels(tmp_path, fake_run):
    paths = [fake_run(tmp_path / f"rlsp_{i}") for i in range(2)]
    same = group_by_config([load_run(path) for path in paths])
    assert [e.label for e in same] == ["countdown_rlsp (rlsp_0)", "countdown_rlsp (rlsp_1)"]
    for path, coef in zip(paths, (0.5, 1.0), strict=True):
        change_config(path, [f"stages.ppo.value_coef={coef}"], lambda config, coef=coef: config.update(coef=coef))
    runs = [load_run(path) for path in paths]
    told = ["countdown_rlsp value_coef=0.5", "countdown_rlsp value_coef=1.0"]
    assert [e.label for e in group_by_config(runs)] == told
    other = load_run(fake_run(tmp_path / "other", name="countdown_outcome_only"))
    assert [e.label for e in group_by_config([*runs, other])] == [
        *(name.removeprefix("countdown_") for name in told),
        "outcome_only",
    ]


def test_workdirs_of_one_name_go_by_their_paths(tmp_path, fake_run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [load_run(fake_run(Path(folder))) for folder in ("x/run", "y/run", "z")]
    names = [f"countdown_rlsp ({path})" for path in ("x/run", "y/run", "z")]
    assert [e.name for e in group_by_config(runs)] == names


def test_the_current_folder_goes_by_its_name(tmp_path, fake_run, monkeypatch):
    paths = [fake_run(tmp_path / "here"), fake_run(tmp_path / "there")]
    monkeypatch.chdir(paths[0])
    experiments = group_by_config([load_run(Path(".")), load_run(paths[1])])
    assert [e.name for e in experiments] == ["countdown_rlsp (here)", "countdown_rlsp (there)"]
    assert "here countdown_rlsp (here) 0" in plain(write_comparison([Path("."), paths[1]], tmp_path / "p").read_text())


def test_the_table_of_every_run_tells_apart_what_differs_by_overrides(tmp_path, fake_run):
    paths = [fake_run(tmp_path / "a"), fake_run(tmp_path / "b", seed=1)]
    change_config(paths[1], ["stages.ppo.clip=0.1"], lambda config: config["stages"][1].update(clip=0.1))
    text = plain(write_comparison(paths, tmp_path / "page.html").read_text())
    assert "a countdown_rlsp 0" in text and "b countdown_rlsp clip=0.1 1" in text


def test_settings_that_decide_no_result_do_not_split_seeds(tmp_path, fake_run):
    paths = [fake_run(tmp_path / str(seed), seed=seed) for seed in SEEDS]
    change_config(paths[0], ["stages.ppo.max_bad_steps=9"], lambda config: config["stages"][1].update(max_bad_steps=9))
    change_config(paths[1], ["checkpoint_every=5"], lambda c: c.update(checkpoint_every=5, verifier_workers=2))
    change_config(paths[2], ["stages.ppo.micro_batches=4"], lambda c: c["stages"][1].update(micro_batches=4))
    (experiment,) = group_by_config([load_run(path) for path in paths])
    assert [seed.run.seed for seed in experiment.seeds] == list(SEEDS)
    other = fake_run(tmp_path / "other")
    change_config(other, ["stages.ppo.clip=0.1"], lambda config: config["stages"][1].update(clip=0.1))
    names = [e.name for e in group_by_config([load_run(path) for path in (*paths, other)])]
    assert names == ["countdown_rlsp", "countdown_rlsp clip=0.1"]


def test_a_half_run_seed_that_is_only_watched_periodically_has_not_ended(tmp_path, fake_run):
    paths = [fake_run(tmp_path / str(seed), seed=seed, finished=seed < 2) for seed in SEEDS]
    for path in paths:
        (path / "evals/heldout.jsonl").unlink()
    (experiment,) = group_by_config([load_run(path) for path in paths])
    assert [len(seed.ends) for seed in experiment.seeds] == [2, 2, 2]
    assert [seed.run.seed for seed in experiment.ended] == [0, 1]


def test_a_seed_in_an_earlier_stage_is_behind_however_many_steps_that_has(tmp_path, fake_run):
    paths = [fake_run(tmp_path / str(seed), seed=seed) for seed in SEEDS]
    (paths[0] / "evals/progress.jsonl").unlink()
    (row,) = [r for r in read_rows(paths[0] / "evals/heldout.jsonl") if (r["stage"], r["level"]) == ("sft", "all")]
    (paths[0] / "evals/heldout.jsonl").unlink()
    append_rows(paths[0] / "evals/heldout.jsonl", [row | {"step": 0}, row])  # SFT from its start to step 600
    (paths[1] / "evals/heldout.jsonl").unlink()
    (paths[1] / "evals/progress.jsonl").unlink()  # not evaluated yet
    (experiment,) = group_by_config([load_run(path) for path in paths])
    assert [len(seed.ends) for seed in experiment.seeds] == [2, 0, 2]
    assert [seed.run.seed for seed in experiment.ended] == [2]


def test_a_seed_whose_last_stage_has_not_ended_is_no_part_of_the_end(workdirs, tmp_path, fake_run):
    late = fake_run(tmp_path / "late", seed=5, finished=False)
    rows = [row for row in read_rows(late / "evals/heldout.jsonl") if row["stage"] == "sft"]
    (late / "evals/heldout.jsonl").unlink()
    append_rows(late / "evals/heldout.jsonl", rows)
    text = plain(write_comparison([late, *workdirs[:2]], tmp_path / "page.html").read_text())
    ends = final(workdirs[:2], "countdown_rlsp", "ppo", lambda row: row["greedy"])
    assert f"PPO 2 {np.mean(ends):.1%} ± {100 * stats.sem(ends):.1f}" in text
    assert "late countdown_rlsp 5" in text  # in the table of every run


def test_every_figure_is_a_picture_of_its_own(folder):
    names = {path.name for path in folder.iterdir()}
    figures = ("greedy", "pass_at_1", "backtracks", "length", "samples", "learning", "ends")
    assert names == {*(f"{name}.svg" for name in figures), "table.md"}
    for path in folder.glob("*.svg"):
        root = ElementTree.fromstring(path.read_text())
        panels = root.findall("{http://www.w3.org/2000/svg}svg")
        ends = [float(panel.get("x")) + float(panel.get("width")) for panel in panels]
        assert len(panels) == 2 and ends[0] < float(panels[1].get("x")) and ends[1] < float(root.get("width"))
        assert "var(" not in path.read_text() and "#2f6db3" in path.read_text()  # blue of the light scheme


def test_the_tables_are_the_pages_as_markdown(folder, workdirs):
    lines = (folder / "table.md").read_text().split("\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    heading, start, end, change = rows[0], rows[2], rows[3], rows[4]
    assert [row[:3] for row in (heading, start, end, change)] == [
        ["Experiment", "At", "Seeds"],
        ["countdown_rlsp", "SFT", "3"],
        ["countdown_rlsp", "PPO", "3"],
        ["countdown_rlsp", "change", "3"],
    ]
    for name, k in (("pass_at", "8"), ("maj_at", "8")):
        value = lambda row, name=name, k=k: row[name][k]  # noqa: E731
        found = final(workdirs, "countdown_rlsp", "ppo", value)
        column = heading.index(f"{name.removesuffix('_at')}@{k}")
        assert end[column] == f"{np.mean(found):.1%} ± {100 * stats.sem(found):.1f}"
    assert len({len(row) for row in rows[:8]}) == 1
    assert sum(line.startswith("At ") for line in lines) == 2


def test_names_cannot_break_a_markdown_table():
    table = markdown_table(["a", "b"], [["x|y<b>\n| z", 3]])
    assert table == "| a | b |\n| --- | ---: |\n| x\\|y\\<b> \\| z | 3 |"


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
