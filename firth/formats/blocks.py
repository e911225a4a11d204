"""A file read in blocks, unpacked on the way if it is gzipped; and a table that grows by rows."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from firth._check import FileFormatError
from firth.formats.checks import one_line

GZIP = b"\x1f\x8b"
BLOCK = 1 << 24  # bytes: a tenth of a second's work at most
LONGEST = 1 << 28  # bytes a single line or row may take


class Blocks:
    """The bytes of a file from `start` on: `data` is a window on them that `skip` and `more` move."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        with open(path, "rb") as file:
            gzipped = file.read(2) == GZIP
            size = os.fstat(file.fileno()).st_size
        self.size = None if gzipped else size  # bytes in all, where that is known
        self._file: Any = gzip.open(path) if gzipped else open(path, "rb", buffering=0)  # noqa: SIM115 (see __exit__)
        self._buffer = np.empty(1 << 16 if self.size is not None and self.size < 1 << 16 else BLOCK, dtype=np.uint8)
        self._start = self._end = 0
        self.last = False  # the window reaches the end of the file

    def __enter__(self) -> Blocks:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def data(self) -> np.ndarray:
        """The bytes read and not yet skipped."""
        return self._buffer[self._start : self._end]

    def skip(self, count: int) -> None:
        """Move the start of the window on."""
        self._start += count

    def more(self) -> None:
        """Drop what was skipped, and read on until the window is full or the file ends."""
        rest = self._end - self._start
        if rest == len(self._buffer):
            if rest >= LONGEST:
                raise FileFormatError(f"{self.path}: a line or row longer than {LONGEST:,} bytes; is it a vector file?")
            self._buffer = np.concatenate([self._buffer, np.empty_like(self._buffer)])
        elif self._start:
            self._buffer[:rest] = self.data  # numpy copies as if through a buffer when the two overlap
        self._start, self._end = 0, rest
        view = self._buffer.data
        while self._end < len(self._buffer) and not self.last:
            got = self._read(view[self._end :])
            self.last = got == 0
            self._end += got

    def _read(self, view: memoryview) -> int:
        try:
            return self._file.readinto(view)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FileFormatError(f"{self.path}: damaged or cut short gzip file ({one_line(error)})") from None


class Table:
    """Rows of float32 numbers, as many as come."""

    def __init__(self, rows: int, width: int) -> None:
        self._array = np.empty((rows, width), dtype=np.float32)
        self.rows = 0

    def room(self, rows: int) -> np.ndarray:
        """Return a view of the next rows; `self.rows` is to be raised by those that were filled."""
        need = self.rows + rows
        if need > len(self._array):
            self._resize(max(need, len(self._array) * 3 // 2))
        return self._array[self.rows : need]

    def done(self) -> np.ndarray:
        """Return the rows that were filled."""
        self._resize(self.rows)
        return self._array

    def _resize(self, rows: int) -> None:
        # In place (the system moves pages, not bytes). Views from room() are dead by now: none outlives its block.
        self._array.resize((rows, self._array.shape[1]), refcheck=False)
