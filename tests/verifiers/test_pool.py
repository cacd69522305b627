import importlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rlsp_jax.common.codes import Verdict
from rlsp_jax.verifiers import Countdown, Outcome, VerifierPool
from rlsp_jax.verifiers.bare import BareAnswer, BareAnswers
from rlsp_jax.verifiers.pool import MAX_DEAD_STARTS, WINDOW, WORKER_DIED

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
    with VerifierPool(misbehaving.Obedient(), num_workers=2, deadline=1.0, cache_size=0) as pool:
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
    with VerifierPool(misbehaving.Obedient(), num_workers=2, deadline=0.2, cache_size=0) as pool:
        outcomes = judge(pool, *["sleep"] * 5, "a")
    assert [outcome.reason for outcome in outcomes] == ["timeout"] * 5 + ["a"]


def test_a_hang_costs_the_items_of_its_message_nothing_but_the_wait(misbehaving):
    responses = [f"response {index}" for index in range(300)]
    for place in (0, 7, 150, 299):
        responses[place] = "sleep"
    with VerifierPool(misbehaving.Obedient(), num_workers=2, deadline=0.5, cache_size=0) as pool:
        outcomes = judge(pool, *responses)
    assert [outcome.reason for outcome in outcomes] == [r if r != "sleep" else "timeout" for r in responses]


@pytest.mark.parametrize("death", ["exit", "segfault"])
def test_a_dead_worker_is_replaced_and_its_item_is_unknown(pool, death):
    outcomes = judge(pool, "a", death, "b", "c")
    assert outcomes[1] == Outcome(Verdict.UNKNOWN, None, "worker died")
    assert [outcome.extracted for outcome in outcomes] == ["a", None, "b", "c"]


def test_an_item_whose_worker_is_killed_from_outside_is_tried_once_more(misbehaving, tmp_path):
    chance = random.Random(0)
    unlucky = set(chance.sample(range(2000), 15))
    responses = [f"die at first {tmp_path / str(index)}" if index in unlucky else str(index) for index in range(2000)]
    with VerifierPool(misbehaving.Obedient(), num_workers=2, deadline=10.0) as pool:
        assert [outcome.reason for outcome in judge(pool, *responses)] == responses
    assert len(list(tmp_path.iterdir())) == len(unlucky)


@pytest.mark.slow
def test_workers_killed_at_random_cost_no_row_and_no_order(misbehaving):
    responses = [f"nap {index}" for index in range(2000)]
    done, chance = threading.Event(), random.Random(0)

    def kill_now_and_then():
        while not done.wait(chance.uniform(0.2, 0.6)):
            if ready := [worker for worker in pool._workers if worker.ready]:
                chance.choice(ready).process.kill()

    with VerifierPool(misbehaving.Obedient(), num_workers=2, deadline=10.0) as pool:
        pool.start()
        killer = threading.Thread(target=kill_now_and_then)
        killer.start()
        try:
            outcomes = judge(pool, *responses)
        finally:
            done.set()
            killer.join()
    unlucky = [outcome for outcome, r in zip(outcomes, responses, strict=True) if outcome.reason != r]
    assert len(unlucky) <= 3 and all(outcome == WORKER_DIED for outcome in unlucky)  # the rare one that met two kills


def test_a_worker_killed_between_two_batches_costs_no_item(misbehaving):
    with VerifierPool(misbehaving.Obedient(), deadline=10.0) as pool:
        pid = int(judge(pool, "pid")[0].reason)
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert [outcome.reason for outcome in judge(pool, "a", "b")] == ["a", "b"]


def test_an_exception_is_unknown_and_keeps_its_worker(misbehaving):
    with VerifierPool(misbehaving.Obedient(), cache_size=0) as pool:
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


def test_started_workers_are_ready_and_judge_the_first_batch(misbehaving):
    with VerifierPool(misbehaving.Obedient(), num_workers=3, cache_size=0) as pool:
        assert pool.num_ready == 0
        pool.start()
        assert pool.num_ready == 3
        pids = {str(worker.process.pid) for worker in pool._workers}
        assert {outcome.reason for outcome in judge(pool, *["pid"] * 20)} <= pids
        assert pool.num_ready == 3


def test_a_worker_is_ready_only_when_its_verifier_is_loaded_and_only_then_the_deadline_runs(misbehaving, tmp_path):
    with VerifierPool(misbehaving.Patient(tmp_path / "mark"), deadline=0.2) as pool:
        first = threading.Thread(target=pool.start)
        first.start()
        time.sleep(0.6)
        assert pool.num_ready == 0 and first.is_alive()
        (tmp_path / "mark").touch()
        first.join()
        assert pool.num_ready == 1
    (tmp_path / "mark").unlink()
    with VerifierPool(misbehaving.Patient(tmp_path / "mark"), deadline=0.2) as pool:
        later = threading.Timer(0.6, (tmp_path / "mark").touch)
        later.start()
        assert judge(pool, "a")[0].reason == "a"
        later.join()


def test_a_worker_that_dies_while_it_starts_is_replaced_but_not_for_ever(misbehaving, tmp_path):
    with VerifierPool(misbehaving.ShortLived(tmp_path, times=2)) as pool:
        assert judge(pool, "a")[0].reason == "a"
    with (
        VerifierPool(misbehaving.ShortLived(tmp_path, times=99)) as pool,
        pytest.raises(RuntimeError, match="die before"),
    ):
        judge(pool, "a")
    assert len(list(tmp_path.iterdir())) == 2 + MAX_DEAD_STARTS


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


def test_math_workers_never_import_jax():
    script = """
import sys
from rlsp_jax.verifiers.bare import BareAnswers
from rlsp_jax.verifiers.math import Math
sys.exit(", ".join({"jax", "jaxlib", "flax", "optax", "numpy"} & set(sys.modules)) or 0)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_what_is_known_is_not_judged_again_and_what_is_unknown_is(misbehaving, tmp_path):
    with VerifierPool(misbehaving.Obedient(), num_workers=2, deadline=1.0) as pool:
        assert len({outcome.reason for outcome in judge(pool, *["pid"] * 100)}) == 1
        assert judge(pool, "raise", "pid")[1] == judge(pool, "pid", "exit")[0]
        mark = tmp_path / "mark"
        pid = judge(pool, "pid")[0].reason
        first = judge(pool, f"sleep until {mark}")[0]
        mark.touch()
        again = judge(pool, f"sleep until {mark}")[0]
        assert (first.reason, again.reason) == ("timeout", f"sleep until {mark}")
        assert judge(pool, "pid")[0].reason == pid
        assert pool.verify([({"other": "truth"}, "pid")])[0].reason != pid


def test_the_cache_forgets_what_was_used_longest_ago(misbehaving):
    with VerifierPool(misbehaving.Obedient(), cache_size=2) as pool:
        judge(pool, "a", "b", "a", "c")
        assert [job.outcome.reason for job in pool._cache._jobs.values()] == ["a", "c"]
        assert all(job.message == b"" for job in pool._cache._jobs.values())


def test_a_stream_reads_only_so_far_ahead_and_answers_in_order(misbehaving):
    read = []

    def items():
        for index in range(5000):
            read.append(index)
            yield {}, str(index)

    with VerifierPool(misbehaving.Obedient(), num_workers=2) as pool:
        for index, outcome in enumerate(pool.stream(items())):
            assert outcome.reason == str(index) and len(read) <= index + WINDOW
    assert len(read) == 5000


def test_a_window_of_which_all_is_known_is_not_the_end(misbehaving):
    responses = [str(index) for index in range(3 * WINDOW)]
    with VerifierPool(misbehaving.Obedient(), num_workers=2) as pool:
        for _ in range(2):  # the second time, from the cache
            assert [outcome.reason for outcome in judge(pool, *responses)] == responses
        assert [outcome.reason for outcome in judge(pool, *["0"] * 3 * WINDOW, "new")] == ["0"] * 3 * WINDOW + ["new"]
    with VerifierPool(misbehaving.Obedient(), deadline=0.5, cache_size=0) as pool:
        responses[WINDOW - 1] = "sleep"  # all before it is known, and nothing behind it is read yet
        assert [outcome.reason for outcome in judge(pool, *responses)] == [
            response if response != "sleep" else "timeout" for response in responses
        ]


def test_a_stream_that_is_left_early_leaves_nothing_behind(misbehaving):
    with VerifierPool(misbehaving.Obedient(), num_workers=2) as pool:
        stream = pool.stream(({}, f"nap {index}") for index in range(500))
        assert next(stream).reason == "nap 0"
        stream.close()
        assert [outcome.reason for outcome in judge(pool, "nap 400", "nap 3")] == ["nap 400", "nap 3"]


def test_bare_answers_and_responses_go_through_one_pool(misbehaving):
    with VerifierPool(BareAnswers(misbehaving.Obedient())) as pool:
        bare, response = judge(pool, BareAnswer("a"), "a")
    assert (bare.reason, response.reason) == ("compared", "a")


def test_what_a_verifier_prints_neither_breaks_the_protocol_nor_reaches_the_output(pool, capfd):
    assert judge(pool, "print")[0].reason == "print"
    assert capfd.readouterr().out == ""


def test_workers_are_gone_after_close_and_new_ones_start_on_demand(misbehaving):
    with VerifierPool(misbehaving.Obedient(), cache_size=0) as pool:
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


@pytest.mark.parametrize(
    "knobs", [{"num_workers": 0}, {"deadline": 0.0}, {"deadline": float("inf")}, {"cache_size": -1}]
)
def test_impossible_knobs_are_refused(knobs):
    with pytest.raises(ValueError, match=next(iter(knobs))):
        VerifierPool(Countdown(), **knobs)


def test_a_stopped_worker_that_reads_nothing_does_not_hold_up_the_batch(misbehaving):
    with VerifierPool(misbehaving.Obedient(), deadline=0.5) as pool:
        pool.start()
        os.kill(pool._workers[0].process.pid, signal.SIGSTOP)
        large = "x" * 4_000_000  # more than a socket holds
        assert [outcome.extracted for outcome in pool.verify([({}, large)])] == [large]
