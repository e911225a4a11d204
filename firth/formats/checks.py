"""What readers and writers of vector files check, and how they say it: file, place, what was expected and found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from firth._check import ArgumentError, FileFormatError

BLOCK = 1 << 22  # numbers looked at in one step: an interrupt is heard between steps


def one_line(error: BaseException) -> str:
    """Return the first line of a foreign library's message, to be quoted in ours."""
    return (str(error).strip() or type(error).__name__).split("\n")[0]


def check_labels(path: str | Path, labels: Sequence[str], *, place: str = "row", first: int = 0) -> None:
    """Refuse a label that comes twice, naming both places. `first` is the number of the place of row 0."""
    if len(set(labels)) == len(labels):
        return
    seen: dict[str, int] = {}
    for number, label in enumerate(labels, first):
        if label in seen:
            raise FileFormatError(
                f"{path}, {place} {number}: labels must be distinct; {label!r} stands in {place} {seen[label]} too"
            )
        seen[label] = number


def as_vectors(path: str | Path, values: Any, what: str = "the array", *, first: int = 0) -> np.ndarray:
    """Return an array from a file as (n, d) float32, or refuse its shape, type or a number that is not finite.

    `first` is the number of its first row in the file.
    """
    array = np.asanyarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise FileFormatError(f"{path}: {what} must have rows and columns, (n, d); it is {array.shape}")
    if array.dtype.kind not in "fiu":
        raise FileFormatError(f"{path}: {what} must hold real numbers; it holds {array.dtype}")
    vectors = np.empty(array.shape, dtype=np.float32)
    step = max(1, BLOCK // array.shape[1])
    for row in range(0, len(array), step):
        block = vectors[row : row + step]
        with np.errstate(over="ignore", invalid="ignore"):  # what does not fit float32 is told below
            block[...] = array[row : row + step]
        if not np.isfinite(block).all():
            r, column = np.argwhere(~np.isfinite(block))[0]
            raise FileFormatError(
                f"{path}, row {first + row + r}: finite float32 numbers expected, found {array[row + r, column]}"
                f" in column {column}"
            )
    return vectors


def read_lines(path: str | Path) -> list[str]:
    """Lines of a UTF-8 text file, without their line breaks (LF or CR LF, nothing else)."""
    data = Path(path).read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileFormatError(f"{path}, line {line}: UTF-8 expected, found byte 0x{data[error.start]:02x}") from None
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def labels_beside(path: str | Path) -> Path:
    """Return where the labels of a file without its own stand: x.labels.txt beside x.npy."""
    return Path(path).with_suffix(".labels.txt")


def read_labels(path: str | Path, labels: str | Path | Sequence[str] | None, n: int) -> list[str]:
    """Labels for the n rows of a file that holds none: given, or from a text file of one label a line."""
    if labels is not None and not isinstance(labels, str | Path):
        names = list(labels)
        wrong = next((label for label in names if not isinstance(label, str)), None)
        if wrong is not None:
            raise ArgumentError(f"labels must be strings or a path; got {wrong!r}")
        if len(names) != n:
            raise ArgumentError(f"labels must be one for each of the {n} rows of {path}; got {len(names)}")
        check_labels("labels", names)
        return names
    source = Path(labels) if labels is not None else labels_beside(path)
    if labels is None and not source.exists():
        raise FileFormatError(
            f"{path}: the file holds no labels, and there is no {source.name} beside it: write one with a label a line,"
            " or pass labels= (a path to such a file, or a list)"
        )
    names = read_lines(source)
    if len(names) != n:
        raise FileFormatError(f"{source}: {n} labels expected, one a line for each row of {path}; found {len(names)}")
    check_labels(source, names, place="line", first=1)
    return names


def write_labels(labels: Sequence[str], path: Path) -> None:
    """Write one label a line, refusing those that this cannot hold."""
    for label in labels:
        if "\n" in label or label.endswith("\r"):
            raise ArgumentError(
                f"{path}: one label a line cannot hold the line break in {label!r}; write .space instead"
            )
    path.write_bytes("".join(label + "\n" for label in labels).encode())


def read_recipe(path: str | Path, text: str | bytes | None) -> dict[str, Any]:
    """Return the recipe kept as JSON in a file's metadata; {} if there is none."""
    if text is None:
        return {}
    try:
        recipe = json.loads(text)
    except ValueError as error:
        raise FileFormatError(f"{path}: the recipe must be JSON; {one_line(error)}") from None
    if not isinstance(recipe, dict):
        raise FileFormatError(f"{path}: the recipe must be a JSON object; found {type(recipe).__name__}")
    return recipe


def lost(parts: Any, *, columns: bool = True, recipe: bool = True) -> list[str]:
    """Return what a format that keeps labels and vectors only leaves out of these parts, in words."""
    names = [f"column {name!r}" for name in parts.columns] if columns else []
    return names + (["the recipe"] if recipe and parts.recipe else [])
