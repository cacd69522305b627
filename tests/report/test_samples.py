"""Sample complexity: how many responses a stage drew to learn from, by its metrics alone."""

import dataclasses
import itertools
import math
import re

import numpy as np
import pytest

from rlsp_jax.records import append_rows, read_json, read_rows, write_json
from rlsp_jax.report.compare import write_comparison
from rlsp_jax.report.load import Stage, load_run
from rlsp_jax.report.page import write_report
from rlsp_jax.report.seeds import by_samples, group_by_config, mean_line
from rlsp_jax.report.story import learning_stages, points, samples_at, samples_drawn, seconds_of, tokens_at
from tests.report.test_compare import plain, rewritten

BATCH, ROUND, STEPS_OF_ROUND, ROUNDS, JUDGED = 256, 300, 10, 4, 500


def expert_iteration(workdir):
    """The made-up run, with a last stage that draws in rounds and imitates between them."""
    drawn = itertools.count()

    def change(row):
        if row["stage"] != "ppo":
            return row
        place = {name: row[name] for name in ("step", "seconds", "tokens_generated")}
        row = {"stage": "expert_iteration", "stage_index": 1, **place, "sft/loss": 0.3}
        if row["step"] % STEPS_OF_ROUND == 0:
            row |= {"draws/samples": ROUND * (next(drawn) + 1), "draws/length": 40.0, "draws/accuracy": 0.3}
        return row

    rewritten(workdir / "metrics.jsonl", change)
    for path in workdir.glob("evals/*.jsonl"):
        rewritten(path, lambda row: row | {"stage": row["stage"].replace("ppo", "expert_iteration")})
    rows = [r for r in read_rows(workdir / "evals/progress.jsonl") if r["step"] % STEPS_OF_ROUND == 0]
    (workdir / "evals/progress.jsonl").unlink()
    append_rows(workdir / "evals/progress.jsonl", rows)
    summary = read_json(workdir / "summary.json")
    write_json(workdir / "summary.json", summary | {"seconds": {"sft": 214.2, "expert_iteration": 99.0}})
    return workdir


def with_outcome_model(workdir):
    """The made-up run, with an outcome model between its two stages."""
    rewritten(workdir / "metrics.jsonl", lambda row: _after_outcome_model(row) if row["stage"] == "ppo" else row)
    place = {"stage": "outcome_model", "stage_index": 1, "seconds": 214.0, "tokens_generated": JUDGED * 20}
    first = {"step": 0, "outcome_model/loss": 0.7, "rollout/tokens": JUDGED * 20.0, "draws/length": 20.0}
    append_rows(workdir / "metrics.jsonl", [place | first, place | {"step": 1, "outcome_model/loss": 0.6}])
    summary = read_json(workdir / "summary.json")
    write_json(workdir / "summary.json", summary | {"seconds": {**summary["seconds"], "outcome_model": 40.0}})
    return workdir


def _after_outcome_model(row):
    return row | {"stage_index": 2, "tokens_generated": row["tokens_generated"] + JUDGED * 20}


def stage(name="ppo", **columns):
    steps = tuple(range(len(next(iter(columns.values())))))
    nothing = (math.nan,) * len(steps)
    return Stage(name, 0, steps, nothing, nothing, {key.replace("_", "/", 1): value for key, value in columns.items()})


def test_a_steps_samples_are_its_tokens_over_their_mean_length():
    lengths = (12.25, 40.00390625, 79.5)
    told = stage(rollout_tokens=tuple(BATCH * x for x in lengths), rollout_length=lengths)
    assert samples_drawn(told) == (256, 512, 768)


def test_samples_that_found_no_place_in_the_batch_and_those_that_chose_problems_count():
    told = stage(
        rollout_tokens=(2000.0, 3000.0),
        rollout_wasted_tokens=(1360.0, 1720.0),
        rollout_length=(10.0, 20.0),
        rollout_draws=(3.0, 2.5),
        select_samples=(1600.0, math.nan),
    )
    assert samples_drawn(told) == (1600 + 64 * 3, 1600 + 64 * 3 + 64 * 2.5)


def test_a_stage_that_imitates_itself_says_how_many_it_drew():
    told = stage(draws_samples=(math.nan, 30.0, math.nan, 60.0, 75.0), sft_loss=(1.0,) * 5)
    np.testing.assert_equal(samples_drawn(told), (math.nan, 30.0, 30.0, 60.0, 75.0))


def test_metrics_that_do_not_say_give_no_number():
    assert all(math.isnan(count) for count in samples_drawn(stage(rollout_length=(9.0, 9.0))))


def test_an_evaluation_stands_where_the_rounds_before_it_were_drawn(tmp_path, fake_run):
    run = load_run(expert_iteration(fake_run(tmp_path / "run")))
    (last,) = learning_stages(run)
    assert last.name == "expert_iteration"
    assert [p.samples for p in points(run, last)] == [ROUND * i for i in range(ROUNDS + 1)]
    assert [p.step for p in points(run, last)] == [STEPS_OF_ROUND * i for i in range(ROUNDS + 1)]


def test_what_an_outcome_model_learned_from_counts_for_the_stage_that_it_pays(tmp_path, fake_run):
    plain_run = load_run(fake_run(tmp_path / "plain"))
    run = load_run(with_outcome_model(fake_run(tmp_path / "run")))
    (before,), (after,) = learning_stages(plain_run), learning_stages(run)
    for step in (0, 1, 7, 40):
        assert samples_at(run, after, step) == samples_at(plain_run, before, step) + JUDGED == BATCH * step + JUDGED
        assert tokens_at(run, after, step) == tokens_at(plain_run, before, step) + JUDGED * 20
    assert seconds_of(run, after) == seconds_of(plain_run, before) + 40.0 == pytest.approx(345.9)


def test_an_outcome_model_that_paid_an_earlier_stage_is_not_charged_again(tmp_path, fake_run):
    run = load_run(with_outcome_model(fake_run(tmp_path / "run")))
    (ppo,) = learning_stages(run)
    later = dataclasses.replace(ppo, name="ppo_2", index=3, tokens=tuple(t + ppo.tokens[-1] for t in ppo.tokens))
    run = dataclasses.replace(run, stages=(*run.stages, later))
    assert samples_at(run, later, 0) == 0 and samples_at(run, later, 2) == 2 * BATCH
    assert tokens_at(run, later, 0) == 0 and tokens_at(run, later, 40) == ppo.tokens[-1]


def test_all_algorithms_stand_on_one_axis_of_samples_and_not_of_steps_that_are_different_things(tmp_path, fake_run):
    paths = [fake_run(tmp_path / "ppo"), expert_iteration(fake_run(tmp_path / "ei", name="countdown_ei"))]
    page = write_comparison(paths, tmp_path / "page.html", tmp_path / "files")
    text = plain(page.read_text())
    assert "At step" not in text and "generated tokens Seeds" in text
    assert f"At {ROUND * ROUNDS:,} samples drawn Seeds Greedy accuracy" in text
    drawing = (tmp_path / "files/samples.svg").read_text()
    assert "samples drawn" in drawing and ">rlsp" in drawing and ">ei" in drawing
    assert " step" not in (tmp_path / "files/greedy.svg").read_text()
    rlsp, ei = group_by_config([load_run(path) for path in paths])
    assert mean_line(ei, by_samples, lambda r: r.greedy).x == [float(ROUND * i) for i in range(ROUNDS + 1)]
    assert mean_line(rlsp, by_samples, lambda r: r.greedy).x == [float(BATCH * i) for i in range(0, 41, 5)]


def test_the_table_says_what_the_last_stage_took(tmp_path, fake_run):
    paths = [fake_run(tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    paths.append(expert_iteration(fake_run(tmp_path / "ei", name="countdown_ei")))
    paths.append(fake_run(tmp_path / "old", name="countdown_old"))
    rewritten(paths[-1] / "metrics.jsonl", lambda row: {k: v for k, v in row.items() if k != "rollout/tokens"})
    (paths[-1] / "summary.json").unlink()
    text = plain(write_comparison(paths, tmp_path / "page.html", tmp_path / "files").read_text())
    tokens = [tokens_at(run, run.stages[-1], 40) for run in map(load_run, paths)]
    mean, error = np.mean(tokens[:2]), abs(tokens[0] - tokens[1]) / 2
    assert f"countdown_rlsp 2 40 ± 0 {mean:,.0f} ± {error:,.0f} 10,240 ± 0 306 ± 0 countdown_ei 1 40" in text
    assert re.search(rf"countdown_ei 1 40 {tokens[2]:,.0f} {ROUND * ROUNDS:,} 99 ", text)
    assert re.search(rf"countdown_old 1 40 {tokens[3]:,.0f} – – ", text)
    rows = [line.split(" | ") for line in (tmp_path / "files/table.md").read_text().split("\n") if "| " in line]
    heading, end = rows[0], next(row for row in rows if row[:2] == ["| countdown_ei", "Expert iteration"])
    found = dict(zip(heading, end, strict=True))
    assert (found["Samples drawn"], found["Seconds |"]) == (f"{ROUND * ROUNDS:,}", "99 |")


def test_reranking_stands_beside_the_others_where_there_is_an_outcome_model(tmp_path, fake_run):
    paths = [fake_run(tmp_path / "plain"), fake_run(tmp_path / "orm", name="countdown_orm")]
    rewritten(paths[1] / "evals/heldout.jsonl", lambda row: row | {"rerank_at": {"8": 0.4321}})
    write_comparison(paths, tmp_path / "page.html", tmp_path / "files")
    rows = [line.split(" | ") for line in (tmp_path / "files/table.md").read_text().split("\n") if "PPO" in line]
    heading = (tmp_path / "files/table.md").read_text().split("\n")[2].split(" | ")
    assert [row[heading.index("rerank@8")] for row in rows] == ["–", "43.2%"]


def test_a_report_of_responses_imitated_does_not_call_them_demonstrations(tmp_path, fake_run):
    html = write_report(expert_iteration(fake_run(tmp_path / "run"))).read_text()
    text = plain(html)
    assert "SFT imitates demonstrations." in text
    assert "Expert iteration imitates responses of its own" in text and "Expert iteration imitates dem" not in text
    assert "Accuracy of the responses drawn" in html and "Accuracy of training rollouts" not in html
