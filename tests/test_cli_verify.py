"""`rlsp verify` as a person meets it: verdicts row by row, whatever the rows are and whatever stops it."""

import dataclasses
import importlib
import inspect
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from rich.console import Console

from rlsp_jax import cli
from rlsp_jax.common.errors import Interrupted
from rlsp_jax.verifiers import Math, VerifierPool
from rlsp_jax.verifiers import files as verify_files
from rlsp_jax.verifiers.bare import BareAnswers
from rlsp_jax.verifiers.files import verify_file
from rlsp_jax.verifiers.progress import Progress

ROOT = Path(__file__).parent.parent
COMMAND = """
import resource, signal, sys
from rlsp_jax import cli

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
sys.argv = ["rlsp", "verify", *sys.argv[1:]]
cli.main()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.fixture
def rlsp(capfd, monkeypatch):
    """Run `rlsp verify` in this process; its exit code, what it printed, and on standard error."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rlsp", "verify", "--workers", "2", *map(str, words)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    return tmp_path / "responses.jsonl", tmp_path / "verdicts.jsonl"


@pytest.fixture
def obedient(monkeypatch):
    """A pool whose verifier does what a response says."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "tests" / "verifiers"), *sys.path])
    verifier = importlib.import_module("misbehaving").Obedient()
    with VerifierPool(BareAnswers(verifier), num_workers=2, deadline=1.0) as pool:
        yield pool


def write(path: Path, *rows) -> None:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def start(source: Path, target: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-c", COMMAND, "--input", str(source), "--output", str(target), *words]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes)


def write_many(path: Path, num_rows: int) -> None:
    """Rows of which each takes a while, every third wrong."""
    rows = (
        {"id": f"row {i}", "answer": f"{i}\\sqrt{{2}}", "prediction": f"\\sqrt{{{2 * i * i + (i % 3 == 0)}}}"}
        for i in range(1, num_rows + 1)
    )
    write(path, *rows)


def wait_for_rows(path: Path, process: subprocess.Popen) -> None:
    while not path.exists() or not path.stat().st_size:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


# ---- rows ---------------------------------------------------------------------------------------


def test_predictions_and_responses_are_judged_in_order(rlsp, files):
    source, target = files
    write(
        source,
        {"id": "a", "answer": "1/2", "prediction": "0.5"},
        {"id": "b", "answer": "1/2", "response": r"It is \boxed{\frac{1}{2}}, so we are done."},
        {"id": "c", "answer": "7", "response": ""},
        {"id": "d", "answer": "7", "prediction": "the answer is 8"},
    )
    code, out, err = rlsp("--input", source, "--output", target)
    rows = read(target)
    assert (code, err) == (0, "")
    assert [row["id"] for row in rows] == ["a", "b", "c", "d"]
    assert [row["verdict"] for row in rows] == ["correct", "correct", "wrong", "wrong"]
    assert rows[1]["extracted"] == r"\frac{1}{2}" and rows[2]["extracted"] is None
    assert all(list(row) == ["id", "verdict", "extracted", "reason"] and row["reason"] for row in rows)
    assert re.fullmatch(r"4 rows: 2 correct, 2 wrong, 0 unknown, 0 bad \(4 judged now, [\d,]+ rows/s\)\n", out)


def test_an_id_is_any_json_value_and_the_line_number_if_there_is_none(rlsp, files):
    source, target = files
    ids = [7, None, [1, {"a": 2.5}], "é", "\ud800"]
    rows = [{"id": i, "answer": "1", "prediction": "1"} for i in ids]
    write(source, *rows, "", "   ", {"answer": "1", "prediction": "2"})
    assert rlsp("--input", source, "--output", target)[0] == 0
    assert [row["id"] for row in read(target)] == [*ids, 8]


def test_numbers_are_taken_as_their_text_and_a_null_prediction_as_no_answer(rlsp, files):
    source, target = files
    pairs = [(7, "7"), ("7", 7), (0.5, "1/2"), (7, None), ("7", "")]
    write(source, *({"answer": answer, "prediction": prediction} for answer, prediction in pairs))
    assert rlsp("--input", source, "--output", target)[0] == 0
    assert [row["verdict"] for row in read(target)] == ["correct", "correct", "correct", "wrong", "wrong"]


BAD = {
    "{not json": "not JSON",
    '"text"': "not a JSON object",
    '{"answer": "1"}': "neither 'prediction' nor 'response'",
    '{"answer": "1", "prediction": "1", "response": "1"}': "both 'prediction' and 'response'",
    '{"prediction": "1"}': "no 'answer'",
    '{"answer": null, "prediction": "1"}': "no 'answer'",
    '{"answer": ["1"], "prediction": "1"}': "'answer' is neither text nor a number",
    '{"answer": "1", "prediction": {}}': "'prediction' is neither text nor a number",
    "[" * 100_000: "not JSON",
    '{"answer": ' + "9" * 5000 + ', "prediction": "1"}': "not JSON",
}


def test_bad_rows_are_unknown_counted_and_named_by_their_lines(rlsp, files):
    source, target = files
    good = {"id": "good", "answer": "1", "prediction": "1"}
    write(source, good, *BAD, good)
    code, out, err = rlsp("--input", source, "--output", target)
    rows = read(target)
    assert code == 1 and f"2 correct, 0 wrong, 0 unknown, {len(BAD)} bad" in out
    assert [row["verdict"] for row in rows] == ["correct", *["unknown"] * len(BAD), "correct"]
    assert [row["reason"] for row in rows[1:-1]] == [f"bad row, line {i}: {f}" for i, f in enumerate(BAD.values(), 2)]
    assert [row["id"] for row in rows[1:-1]] == [None] * len(BAD)
    lines = err.splitlines()
    assert lines[0] == "line 2: not JSON" and lines[3] == "line 5: both 'prediction' and 'response'"
    assert lines[5:] == ["There are more bad rows; the output says of each what is bad."]


def test_a_bad_row_keeps_its_id_and_takes_no_other_rows_one(rlsp, files):
    source, target = files
    write(source, {"id": 2, "answer": "1", "prediction": "1"}, "{bad", {"id": "c", "answer": "1"}, {"answer": "1"})
    assert rlsp("--input", source, "--output", target)[0] == 1
    assert [row["id"] for row in read(target)] == [2, None, "c", None]
    assert "(0 judged now" in rlsp("--input", source, "--output", target)[1]


def test_bytes_that_are_no_text_are_a_bad_row(rlsp, files):
    source, target = files
    source.write_bytes(b'\xef\xbb\xbf{"answer": "1", "prediction": "1"}\n\xff\xfe\x00\n\x00\n')
    assert rlsp("--input", source, "--output", target)[0] == 1
    assert [row["verdict"] for row in read(target)] == ["correct", "unknown", "unknown"]


def test_an_empty_file_has_no_verdicts(rlsp, files):
    source, target = files
    write(source)
    code, out, _ = rlsp("--input", source, "--output", target)
    assert code == 0 and target.read_bytes() == b"" and out.startswith("0 rows")


def test_a_row_that_hangs_or_kills_its_worker_stops_no_other(obedient, files):
    source, target = files
    responses = ["a", "spin", "b", "exit", "raise", "c"]
    write(source, *({"id": text, "answer": "", "response": text} for text in responses))
    tally = verify_file(source, target, obedient)
    reasons = ["a", "timeout", "b", "worker died", "error: ValueError: this answer is odd", "c"]
    assert [(row["id"], row["reason"]) for row in read(target)] == list(zip(responses, reasons, strict=True))
    assert (tally.correct, tally.unknown) == (3, 3)


# ---- settings -----------------------------------------------------------------------------------

SETTINGS = {  # flags → the setting, an answer, a response that it decides, and the verdict with it
    "--no-fallback": ({"fallback": False}, "7", {"response": "so it is 7"}, "wrong"),
    "--no-forgive-percent": ({"forgive_percent": False}, "12", {"prediction": r"12\%"}, "wrong"),
    "--unevaluated": ({"unevaluated": True}, "1024", {"prediction": "2^{10}"}, "correct"),
    "--decimal-comma": ({"decimal_comma": True}, "1.5", {"prediction": "1,5"}, "correct"),
    "--tolerance 0.01": ({"tolerance": 0.01}, "0.3333", {"prediction": "1/3"}, "correct"),
}


def test_the_flags_are_the_settings_of_the_verifier():
    flags = inspect.signature(cli.verify).parameters
    for field in dataclasses.fields(Math):
        assert flags[field.name].default == field.default


@pytest.mark.parametrize("words", SETTINGS)
def test_a_setting_decides_and_is_told_in_each_row(words, rlsp, files):
    source, target = files
    setting, answer, given, verdict = SETTINGS[words]
    write(source, {"answer": answer, **given}, "{bad")
    rlsp("--input", source, "--output", target)
    default = read(target)
    rlsp("--input", source, "--output", target, "--overwrite", *words.split())
    rows = read(target)
    assert rows[0]["verdict"] == verdict and {rows[0]["verdict"], default[0]["verdict"]} == {"correct", "wrong"}
    assert [row.pop("settings") for row in rows] == [setting] * 2
    assert [list(row) for row in rows] == [list(row) for row in default]


def test_verdicts_by_other_settings_are_kept_and_refused(rlsp, files):
    source, target = files
    write(source, *({"answer": "1", "prediction": "1"} for _ in range(3)))  # the same by all settings
    command = ("--input", source, "--output", target)
    for made_by, given in [((), ("--unevaluated",)), (("--no-fallback", "--tolerance", "0.1"), ())]:
        assert rlsp(*command, "--overwrite", *made_by)[0] == 0
        before = target.read_bytes()
        code, _, err = rlsp(*command, *given)
        names = [" ".join(flags) or "the default settings" for flags in (made_by, given)]
        assert code == 2 and target.read_bytes() == before
        assert f"Line 1 of {target} was judged with {names[0]} and not with {names[1]}; give the same settings" in err
        assert "(0 judged now" in rlsp(*command, *made_by)[1]


# ---- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--input", "nowhere.jsonl", "--output", "x.jsonl"), "No such file or directory: nowhere.jsonl"),
        (("--input", "answers.jsonl", "--output", "answers.jsonl", "--overwrite"), "answers.jsonl is the input"),
        (("--input", "answers.jsonl", "--output", "x.jsonl", "--workers", "0"), "num_workers is 0"),
        (("--input", "answers.jsonl", "--output", "x.jsonl", "--deadline", "0"), "deadline is 0"),
        (("--input", "answers.jsonl", "--output", "x.jsonl", "--tolerance", "1"), "tolerance is 1.0"),
        (("--input", "answers.jsonl", "--output", "x.jsonl", "--overwrite", "--retry-unknown"), "one of the two"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(words, message, rlsp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "answers.jsonl", {"answer": "1", "prediction": "1"})
    code, out, err = rlsp(*words)
    assert (code, out) == (2, "") and re.fullmatch(r"rlsp: [^\n]*\.\n", err) and message in err, err
    assert read(tmp_path / "answers.jsonl") == [{"answer": "1", "prediction": "1"}]
    assert not (tmp_path / "x.jsonl").exists()


def test_the_verdicts_of_another_input_are_kept_and_refused(rlsp, files):
    source, target = files
    write(source, *({"id": i, "answer": "1", "prediction": "1"} for i in range(3)))
    others = [
        [{"id": 0, "verdict": "wrong"}, {"id": 9, "verdict": "wrong"}],
        [{"id": i, "verdict": "wrong"} for i in range(4)],
        [{"id": 0, "answer": "1", "prediction": "1"}],
        ["no verdict"],
        ["[]"],
        [{"id": 0, "verdict": "wrong", "settings": 1}],
    ]
    for line, rows in zip((2, 4, 1, 1, 1, 1), others, strict=True):
        write(target, *rows)
        before = target.read_bytes()
        code, _, err = rlsp("--input", source, "--output", target)
        assert code == 2 and re.fullmatch(rf"rlsp: Line {line} of .* is no verdict on this input; --over.*\n", err)
        assert target.read_bytes() == before
    assert rlsp("--input", source, "--output", target, "--overwrite")[0] == 0
    assert [row["verdict"] for row in read(target)] == ["correct"] * 3


def test_the_same_ids_with_other_answers_are_another_input(rlsp, files):
    source, target = files
    write(source, *({"id": i, "answer": "1", "prediction": "1"} for i in range(3)))
    assert rlsp("--input", source, "--output", target)[0] == 0
    write(source, *({"id": i, "answer": "1", "prediction": "2"} for i in range(3)))
    code, _, err = rlsp("--input", source, "--output", target)
    assert code == 2 and "says correct, but this input's row is wrong; --overwrite starts anew." in err


# ---- going on -----------------------------------------------------------------------------------


def test_a_half_written_row_is_repaired_and_only_what_is_missing_is_judged(rlsp, files):
    source, target = files
    write(source, *({"id": i, "answer": "1", "prediction": str(i)} for i in range(3)), "{bad")
    assert rlsp("--input", source, "--output", target)[0] == 1
    whole = target.read_bytes()
    for cut in (len(whole) - 1, len(whole) - 10, len(whole) // 2, 3, 0):
        target.write_bytes(whole[:cut])
        code, out, _ = rlsp("--input", source, "--output", target)
        assert code == 1 and target.read_bytes() == whole
        missing = 4 - whole[:cut].count(b"\n")
        assert f"1 correct, 2 wrong, 0 unknown, 1 bad ({missing} judged now" in out
    assert "(0 judged now" in rlsp("--input", source, "--output", target)[1]


def test_a_killed_run_goes_on_where_it_was(rlsp, files):
    source, target = files
    write_many(source, 20_000)
    process = start(source, target)
    wait_for_rows(target, process)
    process.kill()
    process.communicate(timeout=30)  # ends when its workers do, too: they share the pipe
    before = target.read_bytes()
    assert 0 < before.count(b"\n") < 20_000
    write_many(source, before.count(b"\n") + 50)
    code, out, _ = rlsp("--input", source, "--output", target)
    assert code == 0 and "(50 judged now" in out or "(51 judged now" in out
    assert target.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    rows = read(target)
    assert [row["id"] for row in rows] == [f"row {i}" for i in range(1, len(rows) + 1)]
    assert [row["verdict"] for row in rows] == ["correct" if i % 3 else "wrong" for i in range(1, len(rows) + 1)]


def test_ctrl_c_keeps_whole_rows_ends_with_130_and_leaves_no_worker(files):
    source, target = files
    write_many(source, 20_000)
    process = start(source, target)
    wait_for_rows(target, process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    rows = read(target)
    assert process.returncode == 130 and target.read_bytes().endswith(b"\n") and 0 < len(rows) < 20_000
    assert err == f"Stopped after {len(rows):,} rows. The same command goes on from there.\n"


def test_rows_known_at_ctrl_c_are_written(obedient, files):
    source, target = files
    write(source, *({"answer": "", "response": f"nap {i}"} for i in range(50)))

    def stop_at_20(row, tally):
        if tally.judged == 20:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="Stopped after 20 rows"):
        verify_file(source, target, obedient, show=stop_at_20)
    assert [row["reason"] for row in read(target)] == [f"nap {i}" for i in range(20)]
    assert verify_file(source, target, obedient).judged == 30


# ---- trying again -------------------------------------------------------------------------------


def forget(path: Path, reasons: dict[int, str]) -> None:
    """Have an output's rows be unknown, for these reasons."""
    rows = read(path)
    for place, reason in reasons.items():
        rows[place] |= {"verdict": "unknown", "extracted": None, "reason": reason}
    path.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


def test_rows_that_timed_out_or_crashed_are_judged_again_in_their_places_if_asked(rlsp, files):
    source, target = files
    rows = [{"id": i, "answer": "1", "prediction": str(i % 2)} for i in range(8)]
    write(source, *rows[:6], "{bad", {"id": 7, "answer": "{", "prediction": "1"}, *rows)
    command = ("--input", source, "--output", target, "--unevaluated")
    assert rlsp(*command)[0] == 1
    whole = target.read_bytes()
    forget(target, {0: "timeout", 3: "worker died", 5: "error: ValueError: odd"})
    target.write_bytes(target.read_bytes()[:-10])  # and the last row is half written
    code, out, _ = rlsp(*command)
    assert code == 1 and "(1 judged now" in out
    assert out.endswith("\n3 rows timed out or crashed; --retry-unknown --deadline 10 judges them again.\n")
    code, out, _ = rlsp(*command, "--retry-unknown")
    assert code == 1 and "(3 judged now" in out and "crashed" not in out
    assert out.startswith("16 rows: 7 correct, 7 wrong, 1 unknown, 1 bad")
    assert target.read_bytes() == whole and sorted(target.parent.iterdir()) == sorted(files)
    assert "(0 judged now" in rlsp(*command, "--retry-unknown")[1]


def test_failed_rows_are_kept_in_memory_only_to_be_tried_again(obedient, files, monkeypatch):
    source, target = files
    write(source, *({"answer": "", "response": text} for text in ("a", "raise")))
    kept = []
    pass_over = verify_files._pass_over
    monkeypatch.setattr(
        verify_files, "_pass_over", lambda *rows, **how: kept.append(pass_over(*rows, **how)) or kept[-1]
    )
    for retry in (False, False, True):
        verify_file(source, target, obedient, retry=retry)
    assert [len(failed) for _, _, failed in kept] == [0, 0, 1]


def test_rows_that_fail_again_stay_unknown_and_what_is_missing_is_judged(obedient, files):
    source, target = files
    responses = ["a", "spin", "b", "raise"]
    write(source, *({"answer": "", "response": text} for text in responses[:3]))
    assert verify_file(source, target, obedient).failed == 1
    forget(target, {0: "timeout"})
    write(source, *({"answer": "", "response": text} for text in responses))
    tally = verify_file(source, target, obedient, retry=True)
    assert [row["reason"] for row in read(target)] == ["a", "timeout", "b", "error: ValueError: this answer is odd"]
    assert (tally.correct, tally.unknown, tally.failed, tally.judged, tally.rows) == (2, 2, 2, 3, 4)


def test_ctrl_c_amid_a_second_try_keeps_what_is_known(obedient, files, tmp_path):
    source, target = files
    write(source, *({"answer": "", "response": f"nap {i}"} for i in range(50)))
    verify_file(source, target, obedient)
    whole = target.read_bytes()
    forget(target, dict.fromkeys(range(10, 50), "timeout"))
    link = tmp_path / "link.jsonl"
    link.symlink_to(target)

    def stop_at_20(row, tally):
        if tally.judged == 20:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="Stopped after 50 rows"):
        verify_file(source, link, obedient, retry=True, show=stop_at_20)
    assert link.is_symlink() and [row["verdict"] for row in read(target)] == ["correct"] * 30 + ["unknown"] * 20
    assert verify_file(source, link, obedient, retry=True).judged == 20
    assert target.read_bytes() == whole


def test_a_second_try_that_is_cut_off_amid_its_write_leaves_the_output_whole(obedient, files, monkeypatch):
    source, target = files
    write(source, *({"answer": "", "response": text} for text in "abc"))
    verify_file(source, target, obedient)
    whole = target.read_bytes()
    forget(target, {1: "timeout"})
    before = target.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("rlsp_jax.verifiers.files.os.replace", Mock(side_effect=OSError("cut off")))
        with pytest.raises(OSError, match="cut off"):
            verify_file(source, target, obedient, retry=True)
    assert target.read_bytes() == before
    assert verify_file(source, target, obedient, retry=True).judged == 1
    assert target.read_bytes() == whole


# ---- what is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_a_bar_in_a_terminal_and_plain_lines_elsewhere(is_terminal, obedient, files, monkeypatch):
    monkeypatch.setattr("rlsp_jax.verifiers.progress.PLAIN_SECONDS", 0.0)
    source, target = files
    write(source, *({"answer": "", "response": f"nap {i}"} for i in range(200)), "bad [/row]")
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=160)
    with Progress(console, source) as progress:
        verify_file(source, target, obedient, show=progress.show)
    shown = console.file.getvalue()
    assert ("\x1b[" in shown) == is_terminal and "line 201: not JSON" in shown
    line = r"^100 rows: 100 correct, 0 wrong, 0 unknown, 0 bad \(\d+%\), [\d,]+ rows/s$"
    plain = re.search(line, shown, re.MULTILINE)
    assert (plain is None) == is_terminal


# ---- cost ---------------------------------------------------------------------------------------


def test_the_command_starts_without_jax(files):
    source, target = files
    write(source, {"answer": "1", "prediction": "1"})
    script = COMMAND + "sys.exit('jax' in sys.modules or 'numpy' in sys.modules)"
    command = [sys.executable, "-c", script, "--input", str(source), "--output", str(target)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(files):
    source, target = files
    peaks = []
    for num_rows in (2_000, 100_000):
        text = "We think about it. " * 100
        rows = ({"answer": str(i), "response": f"{text}It is {i}."} for i in range(num_rows))
        with open(source, "w") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        process = start(source, target, "--overwrite")
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0 and f"{num_rows:,} correct" in out, err
        peaks.append(int(out.splitlines()[-1]))
    megabyte = 2**20 if sys.platform == "darwin" else 2**10
    assert peaks[1] - peaks[0] < 32 * megabyte
    assert source.stat().st_size > 150 * 2**20
