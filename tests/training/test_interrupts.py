"""Ctrl-C and SIGTERM wait for a good place, and an impatient second one does not."""

import signal

import pytest

from rlsp_jax.training.interrupts import Interrupts


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def interrupts(said):
    watching = Interrupts(said.append)
    with watching.caught():
        yield watching


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_waits_for_the_next_check(interrupts, said, number):
    interrupts.check()
    signal.raise_signal(number)
    assert len(said) == 1 and not interrupts.impatient
    with pytest.raises(KeyboardInterrupt):
        interrupts.check()


def test_the_second_signal_is_raised_at_once(interrupts, said):
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert interrupts.impatient and len(said) == 1


def test_in_an_abortable_block_the_first_signal_is_raised_at_once(interrupts, said):
    reached = []
    with pytest.raises(KeyboardInterrupt), interrupts.abortable():
        signal.raise_signal(signal.SIGINT)
        reached.append("the end of the block")
    assert reached == [] and said == [] and not interrupts.impatient


def test_a_signal_that_came_before_an_abortable_block_keeps_it_from_beginning(interrupts):
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interrupts.abortable():
        pytest.fail("the block began")


def test_an_interrupt_swallowed_inside_an_abortable_block_is_raised_at_its_end(interrupts):
    ended = []
    with pytest.raises(KeyboardInterrupt), interrupts.abortable():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            ended.append("swallowed, as a callback from C does")
    assert ended


def test_after_an_abortable_block_signals_wait_again(interrupts, said):
    with interrupts.abortable():
        pass
    signal.raise_signal(signal.SIGINT)
    assert len(said) == 1


def test_the_handlers_of_before_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupts(print).caught():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
