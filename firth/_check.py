"""Error types, argument checks and their defaults, shared by every module.

Each error says which argument, what was allowed and what came, then what to do. All of them are `FirthError`, and each
is also the built-in type that a caller would expect (`ValueError`, `KeyError`).
"""

from __future__ import annotations

import os


class FirthError(Exception):
    """Base of every error that firth raises on purpose."""


class ArgumentError(FirthError, ValueError):
    """An argument lies outside what is allowed."""


class ShapeError(ArgumentError):
    """Arrays disagree on a dimension, or have the wrong number of them."""


class LabelError(FirthError, KeyError):
    """A label is not in the space."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class ExpressionError(FirthError, ValueError):
    """An expression such as 'king - man + woman' cannot be read or evaluated."""


class FileFormatError(FirthError, ValueError):
    """A file is not what its reader expects: foreign, truncated, changed or malformed."""


class CorpusError(FirthError, ValueError):
    """A corpus cannot be read, or nothing is left of it."""


class TrainingError(FirthError, ArithmeticError):
    """Training diverged."""


class MissingExtraError(FirthError, ImportError):
    """An optional dependency is needed and is not installed."""


def check_int(name: str, value: int, low: int, high: int | None = None, *, meaning: str = "") -> int:
    """Return `value` as an int within low..high, or raise ArgumentError naming the argument."""
    allowed = f"in {low}..{high}" if high is not None else f"at least {low}"
    if meaning:
        allowed += f" ({meaning})"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ArgumentError(f"{name} must be a whole number {allowed}; got {value!r}")
    number = value.__index__()
    if high is not None and high < low:
        raise ArgumentError(f"{name} must be at least {low}, and {meaning or 'its limit'} is {max(high, 0)}")
    if number < low or (high is not None and number > high):
        raise ArgumentError(f"{name} must be {allowed}; got {number}")
    return number


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return `value` if it is one of `choices`, or raise ArgumentError listing them."""
    if value not in choices:
        raise ArgumentError(f"{name} must be one of {', '.join(choices)}; got {value!r}")
    return value


def check_number(name: str, value: float, low: float, high: float, *, above: bool = False) -> float:
    """Return `value` as a float within low..high (or above `low`), or raise ArgumentError naming the argument."""
    allowed = "" if low == float("-inf") else f" above {low:g}" if above else f" at least {low:g}"
    if high != float("inf"):
        allowed += f" and at most {high:g}"
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} must be a number{allowed}; got {value!r}") from None
    if not (low < number <= high or (number == low and not above)):
        raise ArgumentError(f"{name} must be{allowed or ' a number'}; got {value!r}")
    return number


def available_threads() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
