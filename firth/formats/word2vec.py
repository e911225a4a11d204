"""word2vec's text and binary files, which gensim and fastText write too, and GloVe's text, which has no header.

Text is a line a row: the label, then d numbers, separated by spaces or tabs. The numbers are the last d fields, so that
labels with spaces, such as GloVe 840B has, are read. Each line must end in a line break: that is how a file cut short in
its last number is told from a whole one.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from firth._check import ArgumentError, FileFormatError
from firth.atomic import atomic_write
from firth.formats.blocks import Blocks, Table
from firth.formats.checks import check_labels, lost
from firth.formats.parts import Parts

HEADER = re.compile(rb"[ \t]*(\d{1,18})[ \t]+(\d{1,18})[ \t]*\r?\n")
SPACES = re.compile(r"[ \t\n\v\f\r]")
WIDEST = 1 << 20  # numbers a row
PRINT_NUMBERS = 1 << 20  # numbers printed in one step


def read_word2vec(path: str | Path, *, errors: str = "strict") -> Parts:
    """Read word2vec text: a header of n and d, then n lines."""
    with Blocks(path) as blocks:
        blocks.more()
        n, d = _header(blocks)
        return _read_text(blocks, d, n, 2, errors == "strict")


def read_glove(path: str | Path, *, errors: str = "strict") -> Parts:
    """Read GloVe text: lines without a header. A file cut short at the end of a line cannot be told from a whole one."""
    with Blocks(path) as blocks:
        blocks.more()
        while (line := first_line(blocks.data))[-1:] != b"\n" and not blocks.last:
            blocks.more()
        if not line.strip():
            raise FileFormatError(f"{path}, line 1: a label and numbers expected, found an empty line")
        d = trailing_numbers(line)
        if d == 0:
            raise FileFormatError(f"{path}, line 1: a label and numbers expected, found {shown(line)}")
        return _read_text(blocks, d, None, 1, errors == "strict")


def _read_text(blocks: Blocks, d: int, n: int | None, line: int, strict: bool) -> Parts:
    """Read lines of d numbers, n of them if that is known; the first is number `line` of the file."""
    from firth import _core

    path, labels, table = blocks.path, [], Table(_first_rows(blocks, n, d), d)
    whole = True
    while True:
        used, rows = _core.whole_lines(blocks.data, blocks.last)
        found, fault = _core.parse_text(blocks.data[:used], strict, table.room(rows))
        if fault is not None:
            row, message = fault
            raise FileFormatError(f"{path}, line {line + table.rows + row}: {message}")
        labels += found
        table.rows += rows
        if n is not None and table.rows > n:
            raise FileFormatError(
                f"{path}, line {line + n}: the header promises {n:,} rows, but the file goes on; correct the header,"
                " or pass format='glove' if the first line is a row"
            )
        whole = not used or blocks.data[used - 1] == ord("\n")
        blocks.skip(used)
        if blocks.last:
            break
        blocks.more()
    if n is not None and table.rows < n:
        raise FileFormatError(
            f"{path}: the header promises {n:,} rows, found {table.rows:,}: the file is cut short or its header is wrong"
        )
    if not whole:
        raise FileFormatError(
            f"{path}, line {line + table.rows - 1}: a line break expected, found the end of the file: its last number may"
            " be cut short; if it is whole, add a line break at the end"
        )
    if not labels:
        raise FileFormatError(f"{path}: no rows")
    check_labels(path, labels, place="line", first=line)
    return Parts(labels, table.done(), {}, {})


def read_word2vec_binary(path: str | Path, *, errors: str = "strict") -> Parts:
    """Read word2vec binary: a header of n and d, then n times a label, a space and d little-endian float32."""
    from firth import _core

    with Blocks(path) as blocks:
        blocks.more()
        n, d = _header(blocks)
        least = n * (4 * d + 2)  # with labels of one byte
        if blocks.size is not None and least > blocks.size:
            raise FileFormatError(
                f"{path}: the header promises {n:,} rows of {d:,} numbers, at least {least:,} bytes; found"
                f" {blocks.size:,} bytes in all: the file is cut short or its header is wrong"
            )
        labels: list[str] = []
        table = Table(_first_rows(blocks, n, d), d)
        while table.rows < n:
            room = table.room(min(n - table.rows, len(blocks.data) // (4 * d + 2) + 1))
            used, found, fault = _core.parse_binary(blocks.data, errors == "strict", room)
            if fault is not None:
                row, message = fault
                raise FileFormatError(f"{path}, row {table.rows + row}: {message}")
            labels += found
            table.rows += len(found)
            blocks.skip(used)
            if blocks.last and not found and table.rows < n:
                raise FileFormatError(
                    f"{path}: cut short in row {table.rows} of {n:,}: a label and {4 * d:,} bytes expected, found"
                    f" {len(blocks.data):,} bytes"
                )
            blocks.more()
        if not blocks.last:
            blocks.more()
        if blocks.data.tobytes() not in (b"", b"\n"):
            raise FileFormatError(f"{path}: the header promises {n:,} rows, but the file goes on after them")
        check_labels(path, labels)
        return Parts(labels, table.done(), {}, {})


def _header(blocks: Blocks) -> tuple[int, int]:
    """Read n and d."""
    found = HEADER.match(first_line(blocks.data))
    if not found:
        raise FileFormatError(
            f"{blocks.path}, line 1: two whole numbers expected (rows and width), found {shown(first_line(blocks.data))};"
            " pass format='glove' if the file has no header"
        )
    n, d = int(found[1]), int(found[2])
    if not n or not 1 <= d <= WIDEST:
        raise FileFormatError(
            f"{blocks.path}, line 1: at least 1 row of 1..{WIDEST:,} numbers expected, found {n} x {d}"
        )
    blocks.skip(found.end())
    return n, d


def _first_rows(blocks: Blocks, n: int | None, d: int) -> int:
    """How many rows to make room for before they are read; a header is trusted no further than the file is long."""
    if blocks.size is None:
        return min(n or 0, (1 << 22) // d + 1)
    if n is not None:
        return min(n, blocks.size // (2 * d + 2) + 1)
    return blocks.size // len(first_line(blocks.data)) * 9 // 8 + 1  # labels differ in length


def first_line(data: np.ndarray) -> bytes:
    """Return the first line of some bytes with its line break, or all of them if they have none."""
    head = data[: 1 << 16].tobytes()
    end = head.find(b"\n")
    if end < 0 and len(data) > len(head):
        head = data.tobytes()
        end = head.find(b"\n")
    return head if end < 0 else head[: end + 1]


def trailing_numbers(line: bytes) -> int:
    """How many of a line's last fields are numbers; its first field counts as a label."""
    from firth import _core

    return _core.trailing_numbers(line.rstrip(b"\r\n"))


def shown(line: bytes) -> str:
    """Return the start of a line as an error shows it."""
    text = line[:40].decode("utf-8", "replace").rstrip("\r\n")
    return repr(text + "..." if len(line) > 40 else text)


def header_kind(head: bytes) -> str | None:
    """Tell word2vec text from binary, and both from GloVe (None), by the first two lines of a file.

    A first line of two whole numbers may also be a GloVe row (a label that is a number, d = 1): the second line decides.
    """
    found = HEADER.match(head)
    if not found:
        return None
    d, rest = int(found[2]), head[found.end() :]
    line = rest.split(b"\n", 1)[0]
    numbers = trailing_numbers(line)
    if numbers == d:
        return "word2vec"
    if numbers == 1 and len(line.split()) == 2:
        return None
    values = rest.partition(b" ")[2][: 4 * d]
    return (
        "word2vec-binary" if any(byte > 126 or (byte < 32 and byte not in b"\t\r\n") for byte in values) else "word2vec"
    )


def write_word2vec(parts: Parts, path: str | Path) -> list[str]:
    """Write word2vec text; each number in the fewest digits that read back to the same float32."""
    return _write_text(parts, path, f"{len(parts.labels)} {parts.vectors.shape[1]}\n".encode())


def write_glove(parts: Parts, path: str | Path) -> list[str]:
    """Write GloVe text: word2vec's without the header."""
    return _write_text(parts, path, b"")


def _write_text(parts: Parts, path: str | Path, header: bytes) -> list[str]:
    from firth import _core

    _check_words(parts.labels, path)
    step = max(1, PRINT_NUMBERS // parts.vectors.shape[1])
    with atomic_write(path) as temporary, open(temporary, "wb", buffering=0) as file:
        file.write(header)
        for row in range(0, len(parts.labels), step):
            rows = np.ascontiguousarray(parts.vectors[row : row + step], dtype=np.float32)
            text = memoryview(_core.format_text(parts.labels[row : row + step], rows))
            while text:  # a raw file may take a part
                text = text[file.write(text) :]
    return lost(parts)


def write_word2vec_binary(parts: Parts, path: str | Path) -> list[str]:
    """Write word2vec binary as gensim does: no line breaks between rows."""
    _check_words(parts.labels, path)
    with atomic_write(path) as temporary, open(temporary, "wb", buffering=1 << 20) as file:
        file.write(f"{len(parts.labels)} {parts.vectors.shape[1]}\n".encode())
        for label, row in zip(parts.labels, parts.vectors.astype("<f4", copy=False), strict=True):
            file.write(label.encode() + b" " + row.tobytes())
    return lost(parts)


def _check_words(labels: list[str], path: str | Path) -> None:
    for label in labels:
        if not label or SPACES.search(label):
            raise ArgumentError(
                f"{path}: labels of word2vec and GloVe files cannot be empty or hold spaces; got {label!r}; rename it, or"
                " write .space, .parquet or .csv"
            )
