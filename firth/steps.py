"""Long work is a generator of steps; the plain function drains it (conventions, rule 7)."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple, TypeVar

Result = TypeVar("Result")


class Progress(NamedTuple):
    """What is being done, and how far it is; total 0 where nobody can tell.

    Where points of a map move: their loss, and where they are, (n, dims).
    """

    stage: str
    done: int
    total: int
    loss: float | None = None
    points: Any = None


def drain(steps: Generator[Any, None, Result]) -> Result:
    """Run a generator of steps to its end and return what it returns.

    >>> def count():
    ...     yield 1
    ...     return "done"
    >>> drain(count())
    'done'
    """
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Ctrl-C waits for the end of the block: around what crashes if it is left early, as JAX does while it compiles.

    In a thread other than the main one, which hears no signals, and where nobody listens for Ctrl-C, it changes nothing.
    """
    listener = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(listener):
        yield
        return
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, listener)
        if heard:
            listener(heard[0], None)


def staged(steps: Generator[int, None, Result], stage: str, total: int) -> Generator[Progress, None, Result]:
    """Tell the bare numbers of a generator of steps as `Progress`."""
    while True:
        try:
            done = next(steps)
        except StopIteration as end:
            return end.value
        yield Progress(stage, done, total)
