"""The page of one run."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from rlsp_jax.records import append_rows, read_rows, write_json
from rlsp_jax.report.browser import MAX_PROBLEMS, MAX_SAMPLES, browser_data, opening_pair
from rlsp_jax.report.figures import health_figure
from rlsp_jax.report.load import load_run
from rlsp_jax.report.page import write_report
from rlsp_jax.report.story import samples_by_stage
from rlsp_jax.report.tables import duration, mean, percent

SECTIONS = (
    "headline", "pair", "learning", "accuracy", "streams", "length", "behaviors", "levels", "scaling", "health",
    "samples", "run",
)  # fmt: skip


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, ids, text, and the contents of scripts."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.scripts: list[tuple[dict, str]] = []
        self.text = ""
        self._raw: str | None = None
        self.feed(text)

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._raw = tag if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self._raw = None

    def handle_data(self, data):
        if self._raw == "script":
            self.scripts.append((self.elements[-1][1], data))
        elif self._raw is None:
            self.text += data


@pytest.fixture(scope="module")
def html(tmp_path_factory, fake_run):
    return write_report(fake_run(tmp_path_factory.mktemp("report") / "run")).read_text()


def test_the_page_asks_nothing_of_the_network(html):
    for tag, attributes in Page(html).elements:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    assert not re.findall(r"url\((?!#)|@import|https?:", html)


def test_every_section_appears_once_and_no_id_twice(html):
    ids = Page(html).ids
    assert set(SECTIONS) <= set(ids)
    assert len(ids) == len(set(ids))


def test_headline_figures_are_those_of_the_records(html, tmp_path, fake_run):
    run = load_run(fake_run(tmp_path / "run"))
    before, after = (next(r for r in run.evals["heldout"] if (r.stage, r.level) == (s, "all")) for s in ("sft", "ppo"))
    text = " ".join(Page(html).text.split())
    for value in (after.greedy, after.pass_at["1"], after.pass_at["8"], after.maj_at["8"], after.truncated):
        assert f" {value:.1%} from" in text
    assert f"from {before.greedy:.1%} +{(after.greedy - before.greedy) * 100:.1f} points" in text
    assert f"95%: {after.maj_interval[0] * 100:.1f} to {after.maj_interval[1] * 100:.1f}" in text
    assert f"Response length {mean(after.length)} from {mean(before.length)}" in text
    assert f"Backtracks {mean(after.behaviors.backtracks)} from" in text


def test_every_reward_stream_and_health_metric_has_its_chart(html):
    titles = [attributes["aria-label"] for tag, attributes in Page(html).elements if tag == "svg"]
    assert {"Stream: correctness", "Stream: exploration", "Response length (tokens)", "Truncated responses"} <= set(
        titles
    )
    assert {"Policy entropy (nats per token)", "Value: variance explained, exploration"} <= set(titles)
    assert len(titles) >= 20


def test_no_nan_is_printed(html):
    page = Page(html)
    assert not re.search(r"\b(nan|inf|None|null)\b", page.text, re.IGNORECASE)
    svgs = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert not re.search(r"\bnan\b|\binf\b", svgs, re.IGNORECASE)


def test_equal_records_give_equal_pages(html, tmp_path, fake_run):
    assert write_report(fake_run(tmp_path / "run")).read_text() == html


def test_hostile_text_cannot_break_out(tmp_path, fake_run):
    hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;</pre> {{ 7 * 7 }} \u2028"
    workdir = fake_run(tmp_path / "run", name=f"name{hostile}")
    rows = list(read_rows(workdir / "samples/heldout.jsonl"))
    (workdir / "samples/heldout.jsonl").unlink()
    changed = [{**row, "response": hostile + row["response"], "question": hostile, "level": hostile} for row in rows]
    append_rows(workdir / "samples/heldout.jsonl", changed)
    metrics = [{"stage": "ppo", "stage_index": 1, "step": i, f"reward/{hostile}": 0.5 * i} for i in range(60, 70)]
    append_rows(workdir / "metrics.jsonl", metrics)
    page = Page(write_report(workdir).read_text())
    assert [attributes.get("type") for attributes, _ in page.scripts] == ["application/json", None]
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert not [attributes for _, attributes in page.elements if "onerror" in attributes]
    assert hostile in page.text  # shown as what it is
    responses = json.loads(page.scripts[0][1])["stages"][0]["responses"]
    assert "".join(text for _, text in responses[0]["moves"]) == changed[0]["response"]


def test_an_unfinished_run_renders_what_there_is(tmp_path, fake_run):
    page = Page(write_report(fake_run(tmp_path / "run", finished=False)).read_text())
    assert "in progress" in page.text and "after step 20 of PPO" in page.text
    assert set(SECTIONS) <= set(page.ids)


@pytest.mark.parametrize("missing", ["run.json", "metrics.jsonl", "evals/heldout.jsonl", "evals", "samples", "."])
def test_a_run_without_some_of_its_files_renders(tmp_path, fake_run, missing):
    workdir = fake_run(tmp_path / "run")
    target = workdir / missing
    for path in sorted(target.rglob("*"), reverse=True) if target.is_dir() else [target]:
        path.unlink() if path.is_file() else path.rmdir()
    page = Page(write_report(workdir).read_text())
    assert {"headline", "samples", "run"} <= set(page.ids)
    assert ("No samples have been written yet." in page.text) == (missing in ("samples", "."))
    assert ("No evaluation has been written yet." in page.text) == (missing in ("evals", "."))


def test_a_single_stage_with_one_evaluation_renders(tmp_path, fake_run):
    workdir = fake_run(tmp_path / "run")
    for name in ("metrics.jsonl", "evals/heldout.jsonl", "samples/heldout.jsonl"):
        rows = [row for row in read_rows(workdir / name) if row["stage"] == "sft"]
        (workdir / name).unlink()
        append_rows(workdir / name, rows)
    (workdir / "evals/progress.jsonl").unlink()
    page = Page(write_report(workdir).read_text())
    assert "So far there is one full evaluation: SFT, step 600." in page.text
    assert {"learning", "levels"} <= set(page.ids) and not {"streams", "pair"} & set(page.ids)


def test_unknown_verdicts_are_a_listed_warning(html, tmp_path, fake_run):
    assert "unknown" not in Page(html).ids
    workdir = fake_run(tmp_path / "run")
    rows = [
        {**row, "unknown": 7} if row["level"] == "all" else row for row in read_rows(workdir / "evals/heldout.jsonl")
    ]
    append_rows(workdir / "evals/heldout.jsonl", rows)
    append_rows(
        workdir / "metrics.jsonl",
        [{"stage": "ppo", "stage_index": 1, "step": i, "rollout/unknown": 2} for i in (41, 42)],
    )
    page = Page(write_report(workdir).read_text())
    assert "unknown" in page.ids
    assert "7 in the evaluation “heldout” at SFT step 600" in page.text
    assert "among the training rollouts of 2 PPO steps" in page.text


def test_the_browser_carries_a_bounded_choice_of_the_same_problems(tmp_path, fake_run):
    by_stage = samples_by_stage(load_run(fake_run(tmp_path / "run")))
    many = {
        label: [
            dataclasses.replace(sample, problem=sample.problem + 100 * copy, sample=sample.sample + 10 * more)
            for sample in samples
            for copy in range(3)
            for more in range(2)
        ]
        for label, samples in by_stage.items()
    }
    stages = browser_data(many)["stages"]
    problems = [{response["problem"] for response in stage["responses"]} for stage in stages]
    assert problems[0] == problems[1] and len(problems[0]) == MAX_PROBLEMS
    assert all(len(stage["responses"]) == MAX_PROBLEMS * MAX_SAMPLES for stage in stages)
    by_level = [r["level"] for r in stages[0]["responses"]]
    assert max(map(by_level.count, by_level)) - min(map(by_level.count, by_level)) <= MAX_SAMPLES
    assert stages[0]["responses"][0]["sample"] == "greedy"


def test_the_opening_pair_is_one_problem_wrong_before_and_right_after(tmp_path, fake_run):
    pair = opening_pair(samples_by_stage(load_run(fake_run(tmp_path / "run"))))
    before, after = pair.told
    assert before.sample.problem == after.sample.problem
    assert (before.sample.verdict, after.sample.verdict) == ("wrong", "correct")
    assert "".join(move.text for move in after.moves) == after.sample.response
    assert opening_pair({}) is None


def test_a_crash_while_writing_leaves_the_old_page(tmp_path, fake_run, monkeypatch):
    workdir = fake_run(tmp_path / "run")
    path = write_report(workdir)
    old = path.read_text()
    assert path == workdir / "report.html" and old.endswith("</html>\n") and not list(workdir.glob("*.draft"))
    write_json(workdir / "run.json", {"name": "another name"})

    def crash(*paths):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="no space"):
        write_report(workdir)
    assert path.read_text() == old


def test_numbers_as_text():
    assert [percent(0.1234), percent(float("nan"))] == ["12.3%", "–"]
    assert [mean(v) for v in (0.123, 12.34, 123.4, 12345.0, float("inf"))] == ["0.12", "12.3", "123", "12,345", "–"]
    assert [duration(v) for v in (1.42, 42, 200.4, 7500)] == ["1.4 s", "42 s", "3 min 20 s", "2 h 5 min"]


def test_the_report_never_imports_jax():
    code = "import sys, rlsp_jax.report.compare as _; assert not {'jax', 'flax', 'optax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_variance_that_is_not_explained_at_all_does_not_hide_the_rest(tmp_path, fake_run):
    stage = load_run(fake_run(tmp_path / "run")).stages[-1]
    name = "value/explained_variance/exploration"
    spoilt = (-80_000.0, -1.0, *stage.columns[name][2:])
    drawn = [
        health_figure(dataclasses.replace(stage, columns={**stage.columns, name: way}))
        for way in (spoilt, (-1.0, *spoilt[1:]))
    ]
    assert drawn[0] == drawn[1] and "drawn at −1" in drawn[0].caption
