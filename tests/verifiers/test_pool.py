import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlsp_jax.common.codes import Verdict
from rlsp_jax.verifiers import Countdown, Outcome, VerifierPool

HERE = Path(__file__).parent
SCRIPT = """
import signal

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
from misbehaving import Obedient
from rlsp_jax.verifiers import VerifierPool

with VerifierPool(Obedient(), deadline={deadline}) as pool:
    pool.verify([({{}}, "{response}")])
"""


@pytest.fixture
def misbehaving(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])
    return importlib.import_module("misbehaving")


@pytest.fixture
def pool(misbehaving):
    with VerifierPool(misbehaving.Obedient(), num_workers=2, deadline=1.0) as pool:
        yield pool


def judge(pool, *responses):
    return pool.verify([({}, response) for response in responses])


def start_script(response, deadline):
    """A script without a main guard whose only worker is busy with `response`."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(response=response, deadline=deadline)],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *map(os.path.abspath, sys.path)])},
        start_new_session=True,
    )
    assert process.stderr.readline() == b"busy\n"
    return process


def test_outcomes_come_in_the_order_of_the_items(pool):
    responses = [f"response {index}" for index in range(50)]
    assert [outcome.extracted for outcome in judge(pool, *responses)] == responses
    assert judge(pool) == []


def test_the_pool_says_what_the_verifier_says():
    items = [({"numbers": [2, 3], "target": 6}, text) for text in ("answer: 2*3", "answer: 2+3", "2*3")]
    with VerifierPool(Countdown()) as pool:
        assert pool.verify(items) == [Countdown().verify(*item) for item in items]


@pytest.mark.parametrize("hang", ["sleep", "spin"])
def test_a_hanging_item_is_unknown_within_its_deadline_and_the_others_are_answered(pool, hang):
    started = time.monotonic()
    outcomes = judge(pool, "a", hang, "b", "c")
    assert time.monotonic() - started < 10
    assert outcomes[1] == Outcome(Verdict.UNKNOWN, None, "timeout")
    assert [outcome.extracted for outcome in outcomes] == ["a", None, "b", "c"]


def test_more_hanging_items_than_workers_do_not_use_the_pool_up(misbehaving):
    with VerifierPool(misbehaving.Obedient(), num_workers=2, deadline=0.2) as pool:
        outcomes = judge(pool, *["sleep"] * 5, "a")
    assert [outcome.reason for outcome in outcomes] == ["timeout"] * 5 + ["a"]


@pytest.mark.parametrize("death", ["exit", "segfault"])
def test_a_dead_worker_is_replaced_and_its_item_is_unknown(pool, death):
    outcomes = judge(pool, "a", death, "b", "c")
    assert outcomes[1] == Outcome(Verdict.UNKNOWN, None, "worker died")
    assert [outcome.extracted for outcome in outcomes] == ["a", None, "b", "c"]


def test_a_worker_killed_between_two_batches_costs_no_item(misbehaving):
    with VerifierPool(misbehaving.Obedient(), deadline=10.0) as pool:
        pid = int(judge(pool, "pid")[0].reason)
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert [outcome.reason for outcome in judge(pool, "a", "b")] == ["a", "b"]


def test_an_exception_is_unknown_and_keeps_its_worker(misbehaving):
    with VerifierPool(misbehaving.Obedient()) as pool:
        before, odd, after = judge(pool, "pid", "raise", "pid")
    assert odd == Outcome(Verdict.UNKNOWN, None, "error: ValueError: this answer is odd")
    assert before == after


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address space is limited on Linux only")
def test_a_memory_hog_is_stopped_and_the_others_are_answered(misbehaving):
    with VerifierPool(misbehaving.Obedient(), memory_limit_mb=1024) as pool:
        outcomes = judge(pool, "a", "hog", "b")
    assert outcomes[1].verdict == Verdict.UNKNOWN
    assert outcomes[1].reason.startswith("error: MemoryError")
    assert [outcome.extracted for outcome in outcomes] == ["a", None, "b"]


def test_a_worker_starts_within_a_second(misbehaving):
    seconds = []
    for _ in range(3):
        with VerifierPool(misbehaving.Obedient()) as pool:
            started = time.monotonic()
            judge(pool, "a")
            seconds.append(time.monotonic() - started)
    assert min(seconds) < 1


def test_workers_never_import_jax(pool):
    modules = judge(pool, "modules")[0].reason.split()
    assert "rlsp_jax.verifiers.countdown" in modules
    assert not {"jax", "jaxlib", "flax", "optax", "numpy"} & set(modules)


def test_what_a_verifier_prints_neither_breaks_the_protocol_nor_reaches_the_output(pool, capfd):
    assert judge(pool, "print")[0].reason == "print"
    assert capfd.readouterr().out == ""


def test_workers_are_gone_after_close_and_new_ones_start_on_demand(misbehaving):
    with VerifierPool(misbehaving.Obedient()) as pool:
        pid = int(judge(pool, "pid")[0].reason)
        os.kill(pid, 0)
        pool.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert int(judge(pool, "pid")[0].reason) != pid


# The worker shares its parent's standard error, so that the pipe ends only when both are gone.


@pytest.mark.parametrize("hang", ["sleep", "spin"])
def test_a_busy_worker_ends_when_its_parent_is_killed(hang):
    process = start_script(f"warn and {hang}", deadline=1.0 if hang == "spin" else 50.0)
    process.kill()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL


def test_ctrl_c_ends_a_busy_worker_with_its_parent_and_without_a_second_traceback():
    process = start_script("warn and sleep", deadline=50.0)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert errors.count(b"Traceback") == 1


def test_an_interrupted_batch_leaves_no_answer_behind_for_the_next(pool, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        judge(pool, "warm")
        patch.setattr(pool, "_collect", interrupt)
        judge(pool, "old", "old")
    assert [outcome.reason for outcome in judge(pool, "a", "b")] == ["a", "b"]


def test_a_verifier_that_workers_cannot_load_is_an_error_and_not_a_batch_of_unknowns(misbehaving):
    with VerifierPool(misbehaving.Unloadable()) as pool, pytest.raises(RuntimeError, match="ValueError: no such model"):
        judge(pool, "a")


def test_a_verifier_of_the_running_script_is_refused(monkeypatch):
    class Local(Countdown):
        pass

    monkeypatch.setattr(Local, "__module__", "__main__")
    with pytest.raises(ValueError, match="Local is defined in the script that runs"):
        VerifierPool(Local())


@pytest.mark.parametrize("knobs", [{"num_workers": 0}, {"deadline": 0.0}, {"deadline": float("inf")}])
def test_impossible_knobs_are_refused(knobs):
    with pytest.raises(ValueError, match=next(iter(knobs))):
        VerifierPool(Countdown(), **knobs)
