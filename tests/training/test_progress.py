"""What the person at the terminal sees, in a terminal and elsewhere."""

import io
import re

import pytest
from rich.console import Console

from rlsp_jax.training import progress as module
from rlsp_jax.training.progress import Display, format_figures

METRICS = {"rollout/accuracy": 0.25, "reward/exploration": 0.5, "speed/tokens": 12345.6, "policy/ratio": 1.0}


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_there_are_plain_lines_now_and_then_and_at_the_end(clock):
    out = io.StringIO()
    display = Display(Console(file=out, width=40))
    display.begin("ppo", 10, 100)
    for done in range(11, 101):
        clock[0] += 1
        display.update(done, METRICS)
    display.note("evaluating")
    display.end()
    lines = out.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == [
        "11/100",
        "26/100",
        "41/100",
        "56/100",
        "71/100",
        "86/100",
        "100/100",
    ]
    assert lines[1] == "ppo 26/100  accuracy 0.25  tokens/s 12,346  exploration 0.5  74 s left"
    assert not re.search("\x1b|\r", out.getvalue())


def test_a_long_line_is_neither_wrapped_nor_read_as_markup():
    out = io.StringIO()
    message = "[bold]" + "word " * 40 + "/a/path/1.5"
    Display(Console(file=out, width=80)).say(message)
    assert out.getvalue() == message + "\n"


def test_in_a_terminal_a_live_display_shows_the_figures_below_what_was_said():
    out = io.StringIO()
    display = Display(Console(file=out, width=80, height=10, force_terminal=True))
    display.begin("sft", 0, 40)
    display.update(20, {"sft/loss": 1.2345, "speed/tokens": 50_000.0})
    display.note("evaluating")
    display.say("a line that stays")
    display.end()
    text = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    last = text[text.rindex("a line that stays") :]
    assert "20/40" in last and "loss 1.23  tokens/s 50,000" in last


def test_a_silent_display_writes_nothing_at_all():
    out = io.StringIO()
    display = Display(Console(file=out, force_terminal=True), enabled=False)
    display.begin("sft", 0, 2)
    display.update(2, METRICS)
    display.say("something")
    display.note("something")
    display.end()
    assert out.getvalue() == ""


def test_figures_are_those_worth_a_glance_and_every_reward():
    assert format_figures({"sft/loss": 0.5, "sft/grad_norm": 3.0}) == "loss 0.5"
    assert format_figures({"reward/a": 1.0, "reward/b": -0.25}) == "a 1  b -0.25"
