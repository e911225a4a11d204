"""Read and write vector files: one function each way, and what tells the formats apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from firth._check import ArgumentError, FileFormatError, check_choice
from firth.formats.parts import Parts

__all__ = ["FORMATS", "Format", "Parts", "detect", "read", "write"]

HEAD = 1 << 20  # bytes of a file that are looked at to tell its format


class Format(NamedTuple):
    """What a format is, and where its reader and writer live.

    Attributes
    ----------
    description
        In a few words.
    suffixes
        File names end in one of these; the first is the usual one.
    options
        Of `read`, those that this format takes.
    """

    description: str
    suffixes: tuple[str, ...]
    module: str
    name: str
    options: tuple[str, ...] = ()


FORMATS = {
    "space": Format("firth's own: one Arrow file, keeps everything", (".space", ".arrow"), "arrow", "arrow"),
    "word2vec": Format("word2vec text, with a header", (".txt", ".vec"), "word2vec", "word2vec", ("errors",)),
    "word2vec-binary": Format("word2vec binary", (".bin",), "word2vec", "word2vec_binary", ("errors",)),
    "glove": Format("GloVe text, no header", (".glove",), "word2vec", "glove", ("errors",)),
    "npy": Format("NumPy array, labels in x.labels.txt beside x.npy", (".npy",), "npy", "npy", ("labels",)),
    "parquet": Format("Parquet table", (".parquet", ".pq"), "tables", "parquet", ("label_column", "vector_columns")),
    "safetensors": Format("safetensors", (".safetensors",), "tensors", "safetensors", ("labels", "tensor")),
    "csv": Format("comma-separated table", (".csv",), "tables", "csv", ("label_column", "vector_columns")),
    "tsv": Format("tab-separated table", (".tsv", ".tab"), "tables", "tsv", ("label_column", "vector_columns")),
}
FOREIGN = {  # content -> what it is, and what to do
    b"\x80\x02": "pickle",
    b"\x80\x03": "pickle",
    b"\x80\x04": "pickle",
    b"\x80\x05": "pickle",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
}


def read(
    path: str | Path,
    *,
    format: str | None = None,
    labels: str | Path | Sequence[str] | None = None,
    label_column: str | None = None,
    vector_columns: str | Sequence[str] | None = None,
    tensor: str | None = None,
    errors: str | None = None,
) -> Parts:
    r"""Read a vector file: labels, vectors, and what else it holds.

    Text and word2vec binary may be gzipped. Nothing is ever unpickled. Text is read at about 50 million numbers a second
    and core. A GloVe or CSV file that was cut short exactly at the end of a line cannot be told from a whole one.

    Parameters
    ----------
    path
        The file.
    format
        One of `FORMATS`; by default told by content, then by suffix (see `detect`).
    labels
        npy, safetensors: a list, or the path of a text file with a label a line; by default x.labels.txt beside x.npy.
    label_column
        parquet, csv, tsv: the column of labels; by default `label`, or the first column of strings.
    vector_columns
        parquet, csv, tsv: the column of lists or the numeric columns; by default `vector`, else columns with numbered
        names such as x1, x2, ..., else all numeric columns.
    tensor
        safetensors: the name of the 2-d tensor; needed if there are several.
    errors
        word2vec, glove: "replace" reads labels that are not UTF-8, with U+FFFD for what is wrong; by default "strict".

    Returns
    -------
    Parts
        Labels are distinct, vectors (n, d) float32 and finite.

    Raises
    ------
    FileFormatError
        If the file is malformed, with file, place, what was expected and found.
    ArgumentError
        If an option does not fit the format.
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "small.txt"
    >>> _ = path.write_text("2 3\ntea 1 0 0.5\nmilk 0 1 0.5\n")
    >>> parts = read(path)
    >>> parts.labels, parts.vectors.shape
    (['tea', 'milk'], (2, 3))
    """
    kind = _chosen(path, format)
    given = {
        "labels": labels,
        "label_column": label_column,
        "vector_columns": vector_columns,
        "tensor": tensor,
        "errors": errors,
    }
    options = {name: value for name, value in given.items() if value is not None}
    for name in options:
        if name not in FORMATS[kind].options:
            takes = ", ".join(f"{option}=" for option in FORMATS[kind].options) or "no options"
            raise ArgumentError(f"{name}= does not apply to {kind} ({path}), which takes {takes}")
    if errors is not None:
        check_choice("errors", errors, ("strict", "replace"))
    if kind == "space":
        return _read_space(path)
    return _function("read", kind)(path, **options)


def write(parts: Parts, path: str | Path, *, format: str | None = None) -> list[str]:
    """Write a vector file whole or not at all: an older one stays as it was until the new one is complete.

    Parameters
    ----------
    parts
        As read, or `space.parts`.
    path
        Where to.
    format
        One of `FORMATS`; by default by suffix.

    Returns
    -------
    list of str
        What the format cannot keep, in words: columns, the recipe. Empty if it keeps everything.

    Raises
    ------
    ArgumentError
        If the suffix is not known, or the format cannot hold a label.
    OSError
        If the folder is missing, full or may not be written to.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> parts = Parts(["tea", "milk"], np.eye(2, dtype=np.float32), {"count": np.array([5, 3])}, {})
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "small.glove"
    >>> write(parts, path)
    ["column 'count'"]
    >>> print(path.read_text(), end="")
    tea 1.0 0.0
    milk 0.0 1.0
    """
    if str(path).lower().endswith(".gz"):
        raise ArgumentError(f"{path}: files are not written gzipped; write {str(path)[:-3]} and run gzip on it")
    kind = check_choice("format", format, tuple(FORMATS)) if format is not None else _by_suffix(path)
    if kind is None:
        raise ArgumentError(f"{path}: no format has this suffix; use {_listed()}, or pass format=")
    return _function("write", kind)(parts, path) or []


def detect(path: str | Path) -> str:
    r"""Tell the format of a file by its content, and where content leaves it open by its suffix.

    Binary formats begin with their mark. A first line of two whole numbers is word2vec's header if the second line fits it
    (text or binary); other lines of a label and numbers are GloVe's, or a table's if the suffix says so.

    Raises
    ------
    FileFormatError
        If it is none of `FORMATS`; says what to do about pickles and archives.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "vectors"
    >>> _ = path.write_text("tea 1 0 0.5\nmilk 0 1 0.5\n")
    >>> detect(path)
    'glove'
    """
    from firth.formats.blocks import Blocks

    with open(path, "rb") as file:
        raw = file.read(64)
    if not raw:
        raise FileFormatError(f"{path}: the file is empty")
    _refuse_foreign(path, raw)
    kind = _by_mark(raw)
    if kind is not None:
        return kind
    with Blocks(path) as blocks:
        blocks.more()
        head = blocks.data[:HEAD].tobytes()
        complete = blocks.last and len(blocks.data) <= HEAD
    gzipped = raw[:2] == b"\x1f\x8b"
    if gzipped and (_by_mark(head) or not head):
        raise FileFormatError(f"{path}: only text and word2vec binary are read gzipped; unpack it first (gunzip)")
    _refuse_foreign(path, head)
    kind = _by_text(path, head, complete)
    if kind is None:
        raise FileFormatError(
            f"{path}: the format is not known; firth reads {_listed()}; pass format= if it is one of them"
        )
    return kind


def _chosen(path: str | Path, format: str | None) -> str:
    return detect(path) if format is None else check_choice("format", format, tuple(FORMATS))


def _function(verb: str, kind: str) -> Callable[..., Any]:
    import importlib

    module = importlib.import_module(f"firth.formats.{FORMATS[kind].module}")
    return getattr(module, f"{verb}_{FORMATS[kind].name}")


def _read_space(path: str | Path) -> Parts:
    from firth.formats.arrow import read_arrow
    from firth.formats.checks import as_vectors, check_labels

    parts, checked = read_arrow(path)
    if not checked:
        check_labels(path, parts.labels)
        parts = parts._replace(vectors=as_vectors(path, parts.vectors, "column 'vector'"))
    return parts


def _by_mark(head: bytes) -> str | None:
    if head.startswith(b"ARROW1\0\0"):
        return "space"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PAR1") and not head[4:5].isspace():
        return "parquet"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "safetensors"
    return None


def _by_text(path: str | Path, head: bytes, complete: bool) -> str | None:
    """Tell the formats that have no mark: first by the lines, then by the suffix, and by the lines again."""
    import numpy as np

    from firth.formats.word2vec import first_line, header_kind, trailing_numbers

    kind = header_kind(head)
    if kind is not None:
        return kind
    line = first_line(np.frombuffer(head, dtype=np.uint8))
    suffix = _by_suffix(path)
    if suffix in ("csv", "tsv"):
        return suffix
    if b"\0" in line:
        return None
    if trailing_numbers(line):
        return "glove"
    rows = [row.decode("utf-8", "replace") for row in head.split(b"\n", 2)[:2]]
    for kind, mark in (("csv", ","), ("tsv", "\t")):
        if len(rows) == 2 and 0 < rows[0].count(mark) == rows[1].count(mark):
            return kind
    # A malformed file: its own reader tells best what is wrong.
    return suffix


def _by_suffix(path: str | Path) -> str | None:
    name = str(path).lower().removesuffix(".gz")
    return next((kind for kind, known in FORMATS.items() if name.endswith(known.suffixes)), None)


def _listed() -> str:
    return ", ".join(f"{kind} ({' '.join(known.suffixes)})" for kind, known in FORMATS.items())


def _refuse_foreign(path: str | Path, head: bytes) -> None:
    kind = next((kind for mark, kind in FOREIGN.items() if head.startswith(mark)), None)
    if kind == "pickle":
        raise FileFormatError(
            f"{path}: a Python pickle (such as gensim's .kv and .model), which firth never opens, since a pickle can run"
            " any code; in gensim: KeyedVectors.load(path).save_word2vec_format('vectors.txt'), and read that"
        )
    if kind == "zip":
        raise FileFormatError(f"{path}: a zip archive (.zip, .npz, PyTorch's .pt); unpack it and read the file inside")
    if kind is not None:
        raise FileFormatError(f"{path}: compressed with {kind}; unpack it first (gzip is read as it is)")
