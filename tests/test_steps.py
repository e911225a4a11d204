"""firth.steps: what waits for Ctrl-C, and for what Ctrl-C waits."""

from __future__ import annotations

import signal
import threading

import pytest

from firth.steps import interrupts_held


def test_an_interrupt_waits_for_the_end_of_the_block():
    done = []

    @interrupts_held()
    def work():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        done.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1]
    with pytest.raises(KeyboardInterrupt):  # from here on as before
        signal.raise_signal(signal.SIGINT)


def test_without_an_interrupt_nothing_changes():
    before = signal.getsignal(signal.SIGINT)

    @interrupts_held()
    def double(number):
        assert signal.getsignal(signal.SIGINT) is not before
        return 2 * number

    assert [double(2), double(3)] == [4, 6]
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(ZeroDivisionError), interrupts_held():
        _ = 1 / 0
    assert signal.getsignal(signal.SIGINT) is before


def test_whoever_listens_for_interrupts_hears_them():
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            assert not heard
        assert heard == [signal.SIGINT]
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with interrupts_held():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_threads_that_hear_no_signals_are_left_alone():
    done = []

    @interrupts_held()
    def work():
        done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
