"""Long work is a generator of steps; the plain function drains it (conventions, rule 7)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


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
