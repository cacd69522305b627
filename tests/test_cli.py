"""The command line as a person meets it: what it prints, and how it ends."""

import errno
import fcntl
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rlsp_jax import cli
from rlsp_jax.common.errors import Interrupted
from rlsp_jax.verifiers import Countdown

ROOT = Path(__file__).parent.parent
DEBUG = str(ROOT / "experiments" / "debug.py")
TINY = ("stages.0.num_steps=2", "stages.1.num_steps=2", "evals.0.problems=16")
COMMANDS = ("train", "evaluate", "sample", "verify", "demonstrations", "report", "compare", "convert", "plan", "config")


@pytest.fixture(autouse=True, scope="module")
def environment():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        patch.delenv("RLSP_TRACEBACK", raising=False)
        yield


class Ended:
    """How a command ended: its exit code and what it printed."""

    def __init__(self, code: int, out: str, err: str):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def rlsp(capfd, monkeypatch):
    """Run a command in this process."""

    def run(*words: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["rlsp", *map(str, words)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        return Ended(code, *capfd.readouterr())

    return run


def sets(*overrides: str) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The workdir of a finished run, made by the command itself."""
    workdir = tmp_path_factory.mktemp("cli") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rlsp", "train", DEBUG, "--workdir", str(workdir), *sets(*TINY)])
        patch.setattr(sys, "stdout", out := io.StringIO())
        cli.main()
    (workdir / "said").write_text(out.getvalue())
    return workdir


# ---- mistakes -----------------------------------------------------------------------------------


def assert_one_sentence(ended: Ended, message: str) -> None:
    assert ended.code == 2 and ended.out == ""
    assert re.fullmatch(r"rlsp: [^\n]*[.?]\n", ended.err) and re.search(message, ended.err), ended.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("train", DEBUG, *sets("stages.1.clp=0.1")),
            r"stages.1 \(ppo.Config\) has no field 'clp'; did you mean 'clip'\?",
        ),
        (("train", DEBUG, *sets("stages.1.clip=2")), r"stages.1 \(ppo.Config\): clip is 2.0; it must lie in \(0, 1\)"),
        (("train", DEBUG, *sets("stages.1.clip")), "'stages.1.clip' is no override: write PATH=VALUE"),
        (("train", DEBUG, *sets("mesh.data=3")), "data=3 × fsdp=1 × tensor=1 needs 3 devices, but 8 are here"),
        (("train", DEBUG, *sets("evals.0.batch_size=12")), "batch_size of eval 'heldout' is 12; it must be a multiple"),
        (
            ("train", DEBUG, *sets("stages.0.batch_size=4")),
            "batch_size / micro_batches of stage 'sft' is 4; it must be",
        ),
        (("train", DEBUG, *sets("stages.1.minibatch_size=4")), "minibatch_size / micro_batches of stage 'ppo' is 4"),
        (
            ("train", DEBUG, *sets("max_prompt=5")),
            r"The prompt of problem '.*' has \d+ tokens, more than max_prompt = 5",
        ),
        (("train", DEBUG, *sets("max_prompt=150")), "more than the model's context of model.max_length = 160"),
        (("train", DEBUG, *sets("evals.0.problems=0")), "the problem set is empty"),
        (("train", DEBUG, *sets("evals.0.problems=9999")), "9999 held-out problems were asked for, but only"),
        (("train", DEBUG, *sets("problems.heldout_share=0")), "No heldout problem turned up"),
        (("train", "nowhere/debug.py"), "There is no experiment file nowhere/debug.py"),
        (("train", DEBUG, "--no-resume", "--workdir", ROOT), "exists and is not the workdir of a run"),
        (("train", DEBUG, *sets("model.dtype=foo")), "model.dtype wants one of 'float32', 'bfloat16', .*, not 'foo'"),
        (("train", DEBUG, *sets("model.vocab_size=300")), "model.vocab_size is 300, but the tokenizer has 320 tokens"),
        (("train", DEBUG, *sets("model.vocab_size=384")), "model.vocab_size is 384, but the tokenizer has 320 tokens"),
        (("evaluate", ROOT), "is not the workdir of a run: there is no run.json in it"),
        (("sample", ROOT, "1 2 3 = 4"), "is not the workdir of a run"),
        (("sample", ROOT, "1 2 3 = 4", "--samples", "0"), "--samples is 0; it must be at least 1"),
        (("sample", ROOT, "1 2 3 = 4", "--seed", "-1"), "--seed is -1; it must be 0 or more"),
        (("report", ROOT), "is not the workdir of a run"),
        (("compare", ROOT, ROOT), "is not the workdir of a run"),
        (
            ("convert", "export", ROOT, "--out", "new"),
            "is neither a run's workdir nor a folder that rlsp convert import",
        ),
        (("convert", "import", ROOT, "--out", ROOT), "exists already; give --out a new or an empty folder"),
        (("convert", "import", ROOT, "--out", "new"), "has no config.json; name the folder of a published checkpoint"),
        (("convert", "import", "./gone", "--out", "new"), "There is no folder ./gone; put the checkpoint there"),
        (("convert", "import", ROOT, "--out", "new", "--dtype", "float32"), "An import keeps the type of the weights"),
        (("convert", "export", ROOT, "--out", "new", "--revision", "main"), "has no revision; leave --revision out"),
        (("plan", DEBUG, "--memory", "plenty"), "--memory is 'plenty'; it is that of one device, such as 80GB"),
        (("plan", DEBUG, "--devices", "3", *sets("mesh.fsdp=2")), "needs 2 devices, not 3"),
        (("config", DEBUG, "--explain", "stages.1.clap"), "has no field 'clap'; did you mean 'clip'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(words, message, rlsp, tmp_path):
    if words[0] == "train" and "--workdir" not in words:
        words = (*words, "--workdir", tmp_path / "run")
    assert_one_sentence(rlsp(*words), message)


def test_a_demonstration_longer_than_a_row_is_one_sentence(rlsp, tmp_path):
    ended = rlsp("train", DEBUG, "--workdir", tmp_path / "run", *sets("stages.0.row_length=20"))
    assert ended.code == 2 and ended.out == "Writing 500 demonstrations.\n"
    assert re.fullmatch(
        r"rlsp: The demonstration of '.*' has \d+ tokens .*, more than row_length = 20; .*\n", ended.err
    )


def test_after_a_mistake_the_corrected_command_may_use_the_same_workdir(rlsp, tmp_path):
    workdir = tmp_path / "run"
    assert rlsp("train", DEBUG, "--workdir", workdir, *sets("max_prompt=5")).code == 2
    assert "row_length" in rlsp("train", DEBUG, "--workdir", workdir, *sets("stages.0.row_length=20")).err


def test_a_workdir_that_cannot_be_written_is_one_sentence(rlsp, tmp_path):
    (tmp_path / "file").touch()
    assert_one_sentence(rlsp("train", DEBUG, "--workdir", tmp_path / "file" / "run"), "Not a directory: .*/file/run")


def test_a_workdir_that_another_process_trains_in_is_refused(rlsp, tmp_path):
    with open(tmp_path / "run.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for flags in ((), ("--overwrite",)):
            ended = rlsp("train", DEBUG, "--workdir", tmp_path, *flags)
            assert_one_sentence(ended, "Another process trains in .*; let it end or stop it first")
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]


def test_a_full_disk_is_one_sentence(rlsp, trained, monkeypatch):
    def full(workdir: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(workdir / "report.html"))

    monkeypatch.setattr("rlsp_jax.report.page.write_report", full)
    assert_one_sentence(rlsp("report", trained), "No space left on device: .*/report.html")


def test_a_fault_of_ours_keeps_its_traceback_and_a_mistake_shows_it_on_request(rlsp, monkeypatch):
    monkeypatch.setenv("RLSP_TRACEBACK", "1")
    with pytest.raises(ValueError, match="is not the workdir of a run"):
        rlsp("report", ROOT)
    monkeypatch.delenv("RLSP_TRACEBACK")
    monkeypatch.setattr(cli, "check_run", lambda workdir: int("no number"))
    with pytest.raises(ValueError, match="invalid literal"):
        rlsp("report", ROOT)


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(rlsp, monkeypatch):
    def stop(error: BaseException):
        def check(workdir: Path) -> None:
            raise error

        return check

    monkeypatch.setattr(cli, "check_run", stop(Interrupted("Stopped after step 3.")))
    ended = rlsp("report", ROOT)
    assert (ended.code, ended.err) == (130, "Stopped after step 3. The same command goes on from there.\n")
    monkeypatch.setattr(cli, "check_run", stop(KeyboardInterrupt()))
    assert rlsp("report", ROOT).code == 130


def test_an_unknown_command_or_flag_is_exit_code_2(rlsp):
    assert rlsp("trian").code == 2 and rlsp("report", "x", "--fast").code == 2


# ---- commands -----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), *((command,) for command in COMMANDS)])
def test_help_describes_every_command_and_argument(words, rlsp):
    ended = rlsp(*words, "--help")
    assert ended.code == 0 and ended.err == "" and "\x1b" not in ended.out
    assert all(command in ended.out for command in COMMANDS) if not words else "show this help" in ended.out


@pytest.mark.slow
@pytest.mark.parametrize("words", [("--help",), ("train", "--help"), ("report", ".")])
def test_what_needs_no_jax_starts_without_it(words):
    script = f"""
import sys
from rlsp_jax import cli
sys.argv = ["rlsp", *{words!r}]
try:
    cli.main()
except SystemExit:
    sys.exit("jax" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True).returncode == 0


def test_training_prints_plain_lines_a_table_and_where_the_report_is(trained):
    said = (trained / "said").read_text()
    lines = said.splitlines()
    assert lines[0] == "Writing 500 demonstrations." and lines[-1] == f"Report: {trained / 'report.html'}"
    assert any(re.fullmatch(r"sft 2/2  loss [\d.]+  tokens/s [\d,.]+  0 s left", line) for line in lines)
    assert any(
        re.match(r"ppo 2/2  loss \S+  accuracy \S+  length \S+  tokens/s \S+  correctness \S+", line) for line in lines
    )
    assert any(re.match(r"ppo 2  heldout: greedy [\d.]+, pass@1 [\d.]+, backtracks", line) for line in lines)
    assert "\x1b" not in said and "\r" not in said
    assert (trained / "report.html").is_file()


def test_a_finished_run_is_reported_and_not_trained_again(rlsp, trained):
    before = (trained / "metrics.jsonl").read_bytes(), (trained / "summary.json").read_bytes()
    (trained / "report.html").unlink()
    ended = rlsp("train", DEBUG, "--workdir", trained, *sets(*TINY))
    assert (
        ended.code == 0 and "is finished; nothing is trained again" in ended.out and "demonstrations" not in ended.out
    )
    assert ((trained / "metrics.jsonl").read_bytes(), (trained / "summary.json").read_bytes()) == before
    assert (trained / "report.html").is_file()


def test_without_the_report_extra_runs_go_on_and_reports_say_what_to_install(rlsp, trained, tmp_path, monkeypatch):
    workdir = shutil.copytree(trained, tmp_path / "run")
    (workdir / "report.html").unlink()
    monkeypatch.setitem(sys.modules, "jinja2", None)  # as if it were not installed
    ended = rlsp("train", DEBUG, "--workdir", workdir, *sets(*TINY))
    assert ended.code == 0 and not (workdir / "report.html").exists()
    assert ended.out.endswith(f"No report: pip install 'rlsp_jax[report]', then rlsp report {workdir}\n")
    for words in (("report", workdir), ("compare", workdir, workdir)):
        assert_one_sentence(rlsp(*words), r"No report: pip install 'rlsp_jax\[report\]'")


@pytest.mark.slow
def test_training_needs_nothing_of_the_report_extra(tmp_path):
    script = f"""
import sys
sys.modules |= dict.fromkeys(["jinja2", "matplotlib"])
from rlsp_jax import cli
sys.argv = ["rlsp", "train", {DEBUG!r}, "--workdir", {str(tmp_path)!r}, *{sets(*TINY)!r}]
cli.main()
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0 and "No report: pip install" in ended.stdout, ended.stderr
    assert (tmp_path / "summary.json").is_file() and not (tmp_path / "report.html").exists()


def test_another_config_and_no_resume_are_refused_and_lose_nothing(rlsp, trained):
    before = sorted(path.name for path in trained.rglob("*"))
    assert_one_sentence(rlsp("train", DEBUG, "--workdir", trained), "stages.0.num_steps was 2 and is 40")
    assert_one_sentence(rlsp("train", DEBUG, "--workdir", trained, "--no-resume"), "already holds a run")
    assert sorted(path.name for path in trained.rglob("*")) == before


def shape(value):
    """A JSON value with its numbers and texts left out."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else None


def test_evaluate_prints_the_shape_of_the_summary_and_nothing_else(rlsp, trained):
    ended = rlsp("evaluate", trained, "--json")
    summary = json.loads((trained / "summary.json").read_text())
    evaluated = json.loads(ended.out, parse_constant=pytest.fail)
    assert ended.code == 0 and ended.err == "" and shape(evaluated) == shape(summary)
    times = {"seconds"}
    again, first = evaluated["final"], summary["final"]
    assert {k: v for k, v in again.items() if k not in times} == {k: v for k, v in first.items() if k not in times}


def test_evaluate_shows_a_table_by_level(rlsp, trained):
    ended = rlsp("evaluate", trained, "--problems", "24", "--samples", "1")
    assert ended.code == 0 and "debug: ppo, step 2" in ended.out and "│ all" in ended.out and "│ 24" in ended.out


def test_an_unfinished_run_is_reported_and_evaluated_as_far_as_it_is(rlsp, trained, tmp_path):
    workdir = shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(workdir / "checkpoints" / "1_ppo")
    for name in ("summary.json", "report.html"):
        (workdir / name).unlink()
    assert rlsp("report", workdir).code == 0 and (workdir / "report.html").is_file()
    evaluated = json.loads(rlsp("evaluate", workdir, "--json").out)
    assert [(stage["stage"], stage["steps"]) for stage in evaluated["stages"]] == [("sft", 2)]
    shutil.rmtree(workdir / "checkpoints" / "0_sft")
    assert_one_sentence(rlsp("evaluate", workdir), "has no checkpoint yet")


def test_sample_writes_a_response_and_its_verdict(rlsp, trained):
    ended = rlsp("sample", trained, "7 3 12 = 33", "--samples", "2")
    assert ended.code == 0 and ended.err == "" and not re.search("[\x00-\x09\x0b-\x1f]", ended.out)
    assert len(re.findall(r"^(correct|wrong|unknown): ", ended.out, re.MULTILINE)) == 2
    greedy = [rlsp("sample", trained, "7 3 12 = 33", "--temperature", "0").out for _ in range(2)]
    assert greedy[0] == greedy[1] != ended.out


def test_sample_draws_the_same_with_the_same_seed_and_other_responses_with_another(rlsp, trained):
    drawn = [rlsp("sample", trained, "7 3 12 = 33", "--seed", seed).out for seed in ("0", "5", "5", str(2**32 - 1))]
    assert drawn[1] == drawn[2] and len(set(drawn)) == 3
    assert rlsp("sample", trained, "7 3 12 = 33").out == drawn[0]


def test_sample_judges_in_a_worker_that_no_response_can_hang(rlsp, trained, monkeypatch):
    monkeypatch.setattr(Countdown, "verify", lambda *_: pytest.fail("judged in this process"))
    assert re.search("^(correct|wrong|unknown): ", rlsp("sample", trained, "7 3 12 = 33").out, re.MULTILINE)


def test_sample_asks_until_there_is_nothing_more(rlsp, trained, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("3 7 12 33\n3 7 12 = 33\n\n1 2 3 = 4\n"))
    ended = rlsp("sample", trained)
    assert ended.code == 0 and "'3 7 12 33' needs exactly one '='" in ended.out
    assert len(re.findall(r"^(correct|wrong|unknown): ", ended.out, re.MULTILINE)) == 1


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        ("3 x = 4", "'x' is not a whole number"),
        ("1 2 3 4 5 = 6", "has 5 numbers, but the checker takes 1 to 3"),
        ("10000000 20000000 30000000 = 4", "has .* tokens, more than max_prompt = 16"),
    ],
)
def test_a_problem_that_is_none_is_one_sentence(problem, message, rlsp, trained):
    assert_one_sentence(rlsp("sample", trained, problem), message)


def test_compare_lays_runs_side_by_side(rlsp, trained, tmp_path):
    again = shutil.copytree(trained, tmp_path / "the same run again in a folder of a very long name")
    ended = rlsp("compare", trained, again, "--output", tmp_path / "page.html")
    assert (ended.code, ended.out) == (0, f"Comparison: {tmp_path / 'page.html'}\n")


def test_a_run_is_not_compared_with_itself(rlsp, trained):
    assert_one_sentence(rlsp("compare", trained, trained / "."), "give at least two different workdirs")
    assert_one_sentence(rlsp("compare", trained), "give at least two different workdirs")


def test_a_plan_shows_parts_says_whether_they_fit_and_refuses_what_does_not(rlsp):
    unknown = rlsp("plan", DEBUG)
    assert unknown.code == 0 and "activations" in unknown.out and "give --memory, such as 80GB" in unknown.out
    assert "MiB of 0.86 GiB that can be used of a device." in rlsp("plan", DEBUG, "--memory", "1GB").out
    refused = rlsp("plan", DEBUG, "--memory", "0.01MB")
    assert refused.code == 1 and refused.err.count("\n") == 1 and "of which 0.01 MiB can be used; " in refused.err


def test_what_cannot_fit_is_not_begun(rlsp, tmp_path, monkeypatch):
    monkeypatch.setattr("rlsp_jax.training.fit.device_room", lambda: 10**4)
    ended = rlsp("train", DEBUG, "--workdir", tmp_path / "run")
    assert_one_sentence(ended, "of each device, of which 0.01 MiB can be used; ")
    assert not (tmp_path / "run").exists()


def test_config_shows_explains_and_compares(rlsp, tmp_path):
    shown = rlsp("config", DEBUG, "--set", "seed=7")
    assert shown.code == 0 and "seed = 7\n" in shown.out and "stages.1.clip = 0.2\n" in shown.out
    explained = rlsp("config", DEBUG, "--explain", "stages.1.target_kl")
    assert explained.out.startswith("stages.1.target_kl: float | None = 0.5\ndefault: None\n")
    other = tmp_path / "other.py"
    other.write_text(Path(DEBUG).read_text().replace("seed=0", "seed=9"))
    assert rlsp("config", DEBUG, other).out == "seed: 0 → 9\n"
    assert rlsp("config", DEBUG, other, "--set", "seed=9").out == ""
