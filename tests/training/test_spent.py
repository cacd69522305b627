"""What a run has spent, over all its sessions."""

import math

import pytest

from rlsp_jax.training import spent as module
from rlsp_jax.training.spent import Spent


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_phases_add_up_also_when_they_are_broken_off(clock):
    spent = Spent()
    with spent.phase("sft"):
        clock[0] += 2
    clock[0] += 50  # in no phase
    with pytest.raises(KeyboardInterrupt), spent.phase("sft"):
        clock[0] += 3
        raise KeyboardInterrupt
    with spent.phase("evaluate"):
        clock[0] += 0.5
    assert spent.seconds == {"sft": 5.0, "evaluate": 0.5} and math.isclose(spent.total_seconds, 5.5)


def test_a_resumed_run_adds_what_was_spent_before_to_what_it_has_spent_itself(clock):
    first = Spent()
    with first.phase("sft"):
        clock[0] += 7
    first.tokens_generated, first.judge_requests, first.judge_tokens = 11, 5, 900
    saved = first.dump()
    with first.phase("sft"):
        clock[0] += 1000  # lost with the crash: it came after the checkpoint
    second = Spent()
    with second.phase("setup"):
        clock[0] += 1
    second.judge_requests = 1
    second.add(saved)
    with second.phase("sft"):
        clock[0] += 2
    assert second.seconds == {"setup": 1.0, "sft": 9.0} and second.tokens_generated == 11
    assert (second.judge_requests, second.judge_tokens) == (6, 900)


def test_a_checkpoint_from_before_judges_were_counted_is_understood():
    spent = Spent()
    spent.add({"tokens_generated": 11, "seconds": {}})
    assert spent.dump() == {"tokens_generated": 11, "judge_requests": 0, "judge_tokens": 0, "seconds": {}}
