"""T1's recipe for demonstrations, with a scripted language model behind a real server on this machine."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rlsp_jax import cli
from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import Interrupted, UserError
from rlsp_jax.common.locks import locked_file
from rlsp_jax.data import Countdown, JSONLDemonstrations
from rlsp_jax.data.trace_files import CHUNK, read_tasks, tasks_of, write_traces
from rlsp_jax.data.trace_prompts import Prompts
from rlsp_jax.data.trial_and_error import Author, Authors, Draft, Recipe, Task, write_drafts
from rlsp_jax.records import read_rows
from rlsp_jax.verifiers import ChatGenerator, Endpoint, Math
from tests.verifiers.chat_server import reachable, said, serving

ROOT = Path(__file__).parent.parent.parent
OK, BAD, NONE = Verdict.CORRECT, Verdict.WRONG, Verdict.UNKNOWN


def verify(items):
    return [Math().verify(truth, text).verdict for truth, text in items]


class Model:
    """A model that adds: what it is asked for shows in the prompt, what it says depends on nothing else.

    Its attempts are right or wrong in turn, sample by sample; `broken` names the sums for which it writes traces with
    a wrong answer, `mute` the kinds of request that it does not answer.
    """

    def __init__(self):
        self.broken, self.mute, self.asked = set(), {}, []
        self.lock = threading.Lock()

    def __call__(self, request, number):
        prompt = request["messages"][-1]["content"]
        a, b = map(int, re.search(r"What is (\d+) \+ (\d+)\?", prompt).groups())
        kind = kind_of(prompt)
        with self.lock:
            nth = self.asked.count((a, b, kind, request["model"]))
            self.asked.append((a, b, kind, request["model"]))
        if kind in self.mute.get((a, b), ()):
            return 400, {}, b""
        total, told = a + b, a + b + ((a, b) in self.broken)
        return said(
            {
                "attempt": f"try {nth} of {request['model']}: \\boxed{{{total + 1 - nth % 2}}}",
                "criticize": f"the carry of {a} + {b} was overlooked",
                "verify": f"{total} - {b} is {a}, as it should be",
                "merge": f"<think>let me merge</think>merged: first {total + 1}, no, the carry; \\boxed{{{total}}}",
                "rewrite": f"rewritten: first {total + 1}. Wait, the carry. So \\boxed{{{told}}}",
            }[kind]
        )


def kind_of(prompt):
    marks = {
        "Find the first step that is wrong": "criticize",
        "Verify the conclusion": "verify",
        "Write one train of thought": "merge",
        "The draft may read": "rewrite",
    }
    return next((kind for mark, kind in marks.items() if mark in prompt), "attempt")


@pytest.fixture
def server():
    with reachable(), serving() as server:
        server.answer = Model()
        yield server


@pytest.fixture
def authors(server):
    return authors_of(server)


def authors_of(server, models=("ann", "bob"), **knobs):
    quick = dict(backoff=0.01, max_tries=2, timeout=5.0, deadline=20.0, max_in_flight=1, temperature=1.0)
    chat = functools.partial(Endpoint, base_url=server.url, api_key_variable="JUDGE_KEY", **(quick | knobs))
    pen = Author("pen", ChatGenerator(chat("pen")))
    return Authors(tuple(Author(name, ChatGenerator(chat(name))) for name in models), pen, pen, pen)


def tasks(count, first=1):
    return [Task(i, f"What is {i} + 10?", {"answer": str(i + 10)}) for i in range(first, first + count)]


def write(path, authors, todo, recipe=Recipe(samples=2), **options):
    return write_traces(todo, path, recipe, authors, verify, **options)


def test_a_file_is_written_by_one_process_at_a_time(authors, tmp_path):
    path = tmp_path / "traces" / "out.jsonl"
    write(path, authors, tasks(1))
    written = path.read_bytes()
    refused = pytest.raises(UserError, match=r"^Another process writes .*/out\.jsonl; let it end or stop it first\.$")
    with locked_file(path.with_name("out.jsonl.lock"), ""), refused:
        write(path, authors, tasks(2), overwrite=True)
    assert path.read_bytes() == written
    assert write(path, authors, tasks(2)).there == 1  # let go, it can be held again


# ---- the stages ----


def test_a_trace_goes_from_wrong_attempts_over_their_critiques_to_the_right_one(server, authors):
    (draft,) = write_drafts(tasks(1), Recipe(samples=2), authors, verify)
    assert (draft.end, draft.trace) == ("kept", "rewritten: first 12. Wait, the carry. So \\boxed{11}")
    made = [(attempt.by, attempt.sample, attempt.verdict) for attempt in draft.attempts]
    assert made == [("ann", 0, BAD), ("ann", 1, OK), ("bob", 0, BAD), ("bob", 1, OK)]
    assert [(a.by, a.verdict) for a in draft.shown] == [("ann", BAD), ("bob", BAD), ("ann", OK)]
    critiques = [
        "the carry of 1 + 10 was overlooked",
        "the carry of 1 + 10 was overlooked",
        "11 - 10 is 1, as it should be",
    ]
    assert [attempt.critique for attempt in draft.shown] == critiques
    asked = {kind_of(r["messages"][-1]["content"]): r["messages"][-1]["content"] for r in server.requests}
    for i, attempt in enumerate(draft.shown, start=1):
        mark = "right" if attempt.verdict == OK else "wrong"
        assert (
            f"Attempt {i} ({mark}):\n{attempt.text}\n\nThe critic on attempt {i}:\n{attempt.critique}" in asked["merge"]
        )
    assert draft.merged == "merged: first 12, no, the carry; \\boxed{11}" and draft.merged in asked["rewrite"]
    for kind in ("attempt", "merge", "rewrite"):
        assert "\\boxed{}" in asked[kind]


def test_each_stage_is_asked_of_its_own_author_and_of_no_more_problems_than_are_left(server):
    server.answer.mute[2, 10] = {"merge"}
    authors = authors_of(server, models=("ann",))
    drafts = write_drafts(tasks(3), Recipe(samples=2), authors, verify)
    assert [draft.end for draft in drafts] == ["kept", "failed", "kept"]
    asked = [(a, kind, model) for a, _, kind, model in server.answer.asked]
    assert {(kind, model) for _, kind, model in asked} == {
        ("attempt", "ann"), ("criticize", "pen"), ("verify", "pen"), ("merge", "pen"), ("rewrite", "pen"),
    }  # fmt: skip
    assert {a for a, kind, _ in asked if kind == "rewrite"} == {1, 3}


class Script:
    """A generator without a network: these attempts for every prompt, or this text."""

    def __init__(self, *texts):
        self.texts = texts

    def generate(self, prompts, samples):
        return [list(self.texts[:samples]) for _ in prompts]


def scripted(*attempts, trace="\\boxed{11}"):
    pen = Author("pen", Script(trace))
    return Authors((Author("one", Script(*attempts)),), pen, pen, pen)


@pytest.mark.parametrize(
    ("attempts", "recipe", "end", "reason"),
    [
        (["\\boxed{11}"], Recipe(), "kept", ""),
        (["\\boxed{11}"], Recipe(needs_wrong=True), "dropped", "no attempt is wrong"),
        (["\\boxed{12}", "\\boxed{13}"], Recipe(), "dropped", "no attempt is right"),
        (["\\boxed{11}", "\\boxed{12}"], Recipe(needs_wrong=True), "kept", ""),
        ([], Recipe(), "failed", "no author made an attempt"),
    ],
)
def test_what_there_is_to_show_decides_whether_there_is_a_trace(attempts, recipe, end, reason):
    (draft,) = write_drafts(tasks(1), recipe, scripted(*attempts), verify)
    assert (draft.end, draft.reason) == (end, reason)


def test_equal_attempts_are_one_and_no_more_wrong_ones_are_shown_than_asked_for():
    attempts = ["\\boxed{12}", "\\boxed{12}", "\\boxed{13}", "\\boxed{14}", "\\boxed{11}", "so \\boxed{11}"]
    (draft,) = write_drafts(tasks(1), Recipe(samples=6), scripted(*attempts), verify)
    assert [attempt.text for attempt in draft.attempts] == list(dict.fromkeys(attempts))
    assert [attempt.text for attempt in draft.shown] == ["\\boxed{12}", "\\boxed{13}", "\\boxed{11}"]


def test_an_attempt_that_nobody_could_judge_is_not_shown():
    def half(items):
        return [NONE if "?" in text else verdict for (_, text), verdict in zip(items, verify(items), strict=True)]

    authors = scripted("\\boxed{12}?", "\\boxed{11}")
    (draft,) = write_drafts(tasks(1), Recipe(), authors, half)
    assert [attempt.text for attempt in draft.shown] == ["\\boxed{11}"] and draft.end == "kept"


@pytest.mark.parametrize(("trace", "reason"), [("\\boxed{12}", "wrong"), ("no \\answer{11}?", "unknown")])
def test_only_a_trace_that_is_judged_correct_is_kept(trace, reason, tmp_path):
    def unsure(items):
        return [NONE if "answer" in text else verdict for (_, text), verdict in zip(items, verify(items), strict=True)]

    path = tmp_path / "traces.jsonl"
    tally = write_traces(tasks(1), path, Recipe(), scripted("\\boxed{11}", trace=trace), unsure)
    assert (tally.kept, tally.dropped) == (0, 1) and list(read_rows(path)) == []
    (row,) = read_rows(tmp_path / "traces.jsonl.dropped")
    assert (row["reason"], row["response"]) == (f"the trace is {reason}", trace)


# ---- the files ----


def test_every_row_tells_where_it_came_from(server, authors, tmp_path):
    server.answer.broken = {(2, 10)}
    path = tmp_path / "deep" / "traces.jsonl"
    tally = write(path, authors, tasks(3))
    assert (tally.kept, tally.dropped, tally.failed) == (2, 1, 0)
    rows = list(read_rows(path))
    assert [row["id"] for row in rows] == [1, 3]
    for row in rows:
        assert verify([(row["truth"], row["response"])]) == [OK]
        assert {(a["by"], a["sample"], a["verdict"]) for a in row["attempts"]} == {
            ("ann", 0, "wrong"), ("ann", 1, "correct"), ("bob", 0, "wrong"), ("bob", 1, "correct"),
        }  # fmt: skip
        assert [bool(a["critique"]) for a in row["attempts"]] == [True, True, True, False]
        assert row["merged"].startswith("merged") and row["by"] == dict.fromkeys(
            ("critique", "merge", "rewrite"), "pen"
        )
    (dropped,) = read_rows(tmp_path / "deep" / "traces.jsonl.dropped")
    assert (dropped["id"], dropped["reason"]) == (2, "the trace is wrong")


def test_what_is_written_is_not_asked_for_again_and_what_failed_is(server, authors, tmp_path):
    server.answer.mute[2, 10] = {"rewrite"}
    server.answer.broken = {(3, 10)}
    path = tmp_path / "traces.jsonl"
    tally = write(path, authors, tasks(3))
    assert (tally.kept, tally.dropped, tally.failed) == (1, 1, 1)
    server.answer.mute.clear()
    server.answer.asked.clear()
    tally = write(path, authors, tasks(4))
    assert (tally.kept, tally.dropped, tally.failed, tally.there) == (2, 0, 0, 2)
    assert {a for a, *_ in server.answer.asked} == {2, 4}
    assert sorted(row["id"] for row in read_rows(path)) == [1, 2, 4]
    server.answer.asked.clear()
    write(path, authors, tasks(2), overwrite=True)
    assert [row["id"] for row in read_rows(path)] == [1, 2] and len(server.answer.asked) > 0


def test_half_a_row_of_a_killed_writer_is_cut_off_and_written_anew(server, authors, tmp_path):
    path = tmp_path / "traces.jsonl"
    write(path, authors, tasks(2))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    tally = write(path, authors, tasks(2))
    assert (tally.there, tally.kept) == (1, 1)
    assert [row["id"] for row in map(json.loads, path.read_text().splitlines())] == [1, 2]


def test_a_file_of_other_problems_recipes_or_models_is_refused(server, authors, tmp_path):
    path = tmp_path / "traces.jsonl"
    write(path, authors, tasks(2))
    with pytest.raises(UserError, match=r"The row 1 of .* is about another question than here"):
        write(path, authors, [Task(1, "What is 7 + 10?", {"answer": "17"})])
    for other in (dict(recipe=Recipe(samples=3)), dict(recipe=Recipe(samples=2, prompts=Prompts(final="Box it.")))):
        with pytest.raises(UserError, match=r"^Line 1 of .* was made by other models or another recipe"):
            write(path, authors, tasks(2), **other)
    with pytest.raises(UserError, match="was made by other models"):
        write(path, authors_of(server, models=("ann",)), tasks(2))
    path.write_text('{"id": 1}\n')
    with pytest.raises(UserError, match=r"^Line 1 of .* is no trace"):
        write(path, authors, tasks(2))


def test_an_endpoint_that_is_down_is_not_asked_for_thousands_of_problems(server, tmp_path):
    server.answer = lambda request, number: (401, {}, b'{"error": "who are you?"}')
    authors = authors_of(server, models=("ann",))
    with pytest.raises(UserError, match=rf"gave nothing for {CHUNK} problems in a row \(no author made an attempt\)"):
        write(tmp_path / "traces.jsonl", authors, tasks(1000))
    assert len(server.requests) == 2 * CHUNK
    assert authors.attempts[0].generator.failures == {"HTTP 401": 2 * CHUNK}


def test_ctrl_c_keeps_what_is_written(authors, tmp_path):
    def stop(item, tally):
        if tally.kept == CHUNK:
            raise KeyboardInterrupt

    path = tmp_path / "traces.jsonl"
    with pytest.raises(Interrupted, match=f"Stopped; {CHUNK} traces kept"):
        write(path, authors, tasks(2 * CHUNK), show=stop)
    tally = write(path, authors, tasks(2 * CHUNK))
    assert (tally.there, tally.kept) == (CHUNK, CHUNK)


def test_problems_of_any_source_are_tasks():
    problems = Countdown(numbers=3, max_number=9).problems("train", 0, 3)
    assert [(t.id, t.question, t.truth) for t in tasks_of(problems)] == [
        (p.number, p.question, p.truth) for p in problems
    ]


def test_bad_rows_are_named_by_their_line_and_the_others_are_read(tmp_path):
    path = tmp_path / "problems.jsonl"
    lines = ['{"id": "a", "problem": "What is 1 + 1?", "answer": "2"}', "{", "", '{"problem": "q"}', "[]",
             '{"question": "What is 1 + 2?", "answer": 3}', '{"id": "a", "question": "q", "answer": "1"}']  # fmt: skip
    path.write_text("\n".join(lines))
    read = list(read_tasks(path))
    assert [(t.id, t.question, t.truth) for t in read if not t.fault] == [
        ("a", "What is 1 + 1?", {"answer": "2"}),
        (6, "What is 1 + 2?", {"answer": "3"}),
    ]
    faults = [t.fault for t in read if t.fault]
    assert [fault.split(" ")[1] for fault in faults] == ["2", "4", "5", "7"]
    assert "is not a JSON object" in faults[0] and "has no answer" in faults[1] and "earlier line" in faults[3]
    shown = []
    tally = write_traces(read_tasks(path), tmp_path / "out.jsonl", Recipe(), scripted("\\boxed{11}"), verify,
                         show=lambda item, tally: shown.append(item))  # fmt: skip
    assert tally.bad == 4 and [item for item in shown if isinstance(item, Task)] == [t for t in read if t.fault]
    assert sum(isinstance(item, Draft) for item in shown) == 2


def test_the_command_names_what_went_wrong_and_ends_with_1(server, tmp_path, monkeypatch, capsys):
    server.answer.mute[2, 10] = {"attempt"}
    with problems_file(tmp_path, 2).open("a") as file:
        file.write("{\n")
    monkeypatch.setattr(sys, "argv", ["rlsp", *map(str, command(server, tmp_path)[3:])])
    monkeypatch.setattr(cli, "_num_cores", lambda: 1)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    assert ended.value.code == 1
    assert "1 traces kept, 0 problems dropped, 1 without a reply, 1 bad rows" in printed.out
    for line in ("1: kept", "2: failed: no author made an attempt", "3: bad row: line 3 is not a JSON object"):
        assert line in printed.err
    assert "2 × no reply from ann: HTTP 400" in printed.err


@pytest.mark.parametrize(
    ("authors", "sentence"),
    [
        ([], "Nobody attempts the problems; name a model with --model, or a run with --policy."),
        (["--policy", "run"], "Nobody writes the traces; name a model with --writer."),
        (["--policy", "run", "--writer", "bob"], "run is not the workdir of a run"),
    ],
)
def test_the_command_says_who_is_missing(authors, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setattr(cli, "_num_cores", lambda: 1)
    monkeypatch.setattr(sys, "argv", ["rlsp", "demonstrations", "--input", "a", "--output", "b", *authors])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2 and sentence in " ".join(capsys.readouterr().err.split())


# ---- what the authors are told ----


def test_a_text_that_looks_like_a_placeholder_is_left_as_it_is():
    assert Prompts().fill("$question and $$5: $final", question="$trace {0} %s").startswith("$trace {0} %s and $5: Put")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(merge="Merge $question."), r"^The prompt 'merge' does not mention \$attempts\.$"),
        (dict(rewrite="$question $trace $attempt"), r"mentions \$attempt, which stands for nothing"),
        (dict(attempt="$question costs $5"), r"^The prompt 'attempt' has a \$ that begins no placeholder"),
    ],
)
def test_a_prompt_that_cannot_be_filled_is_one_sentence(changes, message):
    with pytest.raises(UserError, match=message):
        Prompts(**changes)


@pytest.mark.parametrize(
    ("make", "message"), [(lambda: Recipe(samples=0), "samples is 0"), (lambda: Recipe(wrong=0), "wrong is 0")]
)
def test_an_impossible_recipe_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_authors_who_cannot_attempt_anything_are_refused(tmp_path):
    pen = Author("pen", Script("x"))
    with pytest.raises(UserError, match="nobody to attempt"):
        write(tmp_path / "t.jsonl", Authors((), pen, pen, pen), tasks(1))
    with pytest.raises(UserError, match=r"The template of 'pen' does not mention \$question"):
        write(tmp_path / "t.jsonl", Authors((Author("pen", Script("x"), "Solve."),), pen, pen, pen), tasks(1))


# ---- the endpoint as a generator ----


def test_a_generator_gives_samples_of_each_prompt_in_order_and_leaves_failures_out(server):
    def answer(request, number):
        prompt = request["messages"][-1]["content"]
        if prompt == "none":
            return 400, {}, b""
        return said(f"{prompt}!") if prompt != "long" else (200, {}, cut_off())

    def cut_off():
        return json.dumps({"choices": [{"message": {"content": "and so on"}, "finish_reason": "length"}]}).encode()

    server.answer = answer
    generator = authors_of(server).merge.generator
    assert generator.generate(["a", "none", "long", "b"], 2) == [["a!"] * 2, [], [], ["b!"] * 2]
    assert generator.failures == {"HTTP 400": 2, "cut off": 2}
    assert generator.spent.requests == 8
    assert generator.generate([], 2) == []


def test_samples_that_would_all_be_the_same_are_refused(server):
    with pytest.raises(UserError, match="4 samples at temperature 0 are all the same"):
        authors_of(server, temperature=0.0).merge.generator.generate(["a"], 4)


# ---- the command, and what SFT makes of its file ----


def problems_file(tmp_path, count):
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps({"problem": t.question, **t.truth}) + "\n" for t in tasks(count)))
    return path


def command(server, tmp_path, *more):
    words = ["--input", tmp_path / "problems.jsonl", "--output", tmp_path / "traces.jsonl", "--endpoint", server.url]
    return [sys.executable, "-m", "rlsp_jax", "demonstrations", *words, "--model", "ann", "--model", "bob",
            "--key-variable", "JUDGE_KEY", "--samples", "2", *more]  # fmt: skip


@pytest.mark.slow
def test_the_command_killed_at_its_work_goes_on_and_ends_with_every_trace_once(server, tmp_path):
    model = server.answer
    problems_file(tmp_path, CHUNK + 3)
    traces = tmp_path / "traces.jsonl"

    def slow(request, number):
        time.sleep(0.005)
        return model(request, number)

    server.answer = slow
    model.broken = {(5, 10)}
    process = subprocess.Popen(command(server, tmp_path), cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    wait_until(lambda: traces.exists() and traces.stat().st_size, process)  # the second chunk is being asked for
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    ended = subprocess.run(command(server, tmp_path), cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "written before" in ended.stdout
    rows = [json.loads(line) for line in traces.read_text().splitlines()]
    assert sorted(row["id"] for row in rows) == [i for i in range(1, CHUNK + 4) if i != 5]
    assert all(verify([(row["truth"], row["response"])]) == [OK] for row in rows)


def wait_until(done, process, seconds=60):
    due = time.monotonic() + seconds
    while not done():
        assert process.poll() is None and time.monotonic() < due, "the command ended early, or never wrote"
        time.sleep(0.01)


def test_a_file_of_traces_is_demonstrations_with_problems_of_their_own(server, authors, tmp_path):
    path = tmp_path / "traces.jsonl"
    write(path, authors, tasks(3))
    demonstrations = JSONLDemonstrations(path)
    problems = demonstrations.problems(1, 4)
    rows = list(read_rows(path))
    assert [(p.number, p.question) for p in problems] == [(n, rows[n % 3]["question"]) for n in range(1, 5)]
    assert [demonstrations.trace(p, p.number) for p in problems] == [rows[n % 3]["response"] for n in range(1, 5)]
    with pytest.raises(UserError, match="is about another problem"):
        demonstrations.trace(problems[0], 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; there is nothing to imitate"),
        ('{"question": "q", "response": "r"}\n{"question": "q"}\n', "line 2 has no 'response' that is text"),
        ('{"question": "q", "response": "r"}\n{"questi', "line 2 is not a JSON object"),
    ],
)
def test_a_file_that_is_no_demonstrations_is_one_sentence_that_names_the_line(text, message, tmp_path):
    path = tmp_path / "traces.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        JSONLDemonstrations(path).problems(0, 1)
