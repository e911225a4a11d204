"""Files that may be larger than memory: vectors read batch by batch, tables written batch by batch."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from firth._check import ArgumentError, FileFormatError
from firth.atomic import atomic_write
from firth.formats import detect, read
from firth.formats.arrow import verify
from firth.formats.checks import as_vectors, labels_beside, one_line, read_labels
from firth.formats.npy import open_npy
from firth.formats.tables import label_name, table_vectors

ROWS = 4096  # vectors in a batch: enough to share the cost of a search, few enough to be told of twice a second
TABLES = (".parquet", ".arrow", ".csv")


class Batch(NamedTuple):
    """Some vectors of a file, (q, d) float32, and their labels if it has any."""

    labels: list[str] | None
    vectors: np.ndarray


class Stream(NamedTuple):
    """How many vectors there are in all, whether they have labels, and the batches, each read when it is asked for."""

    rows: int
    labelled: bool
    batches: Iterator[Batch]


def read_batches(path: str | Path) -> Stream:
    """Read the vectors of a file of any format that `firth.formats.read` knows, batch by batch.

    Arrow files and .npy are mapped into memory, and Parquet is read page by page, so that they may be larger than memory; other
    formats are read whole. Labels need not be distinct. Arrow, Parquet and .npy may be without them.

    Raises
    ------
    FileFormatError
        If the file is malformed; of what comes later when its batch is read.
    OSError
        If the file cannot be opened.
    """
    kind = detect(path)
    if kind == "npy":
        return _npy_batches(path)
    if kind == "space":
        return _arrow_batches(path)
    if kind == "parquet":
        return _parquet_batches(path)
    parts = read(path)
    return sliced(parts.labels, parts.vectors)


def sliced(labels: list[str], vectors: np.ndarray) -> Stream:
    """Give out vectors that are in memory, batch by batch."""
    starts = range(0, len(labels), ROWS)
    batches = (Batch(labels[first : first + ROWS], vectors[first : first + ROWS]) for first in starts)
    return Stream(len(labels), True, batches)


def _npy_batches(path: str | Path) -> Stream:
    array = open_npy(path)
    as_vectors(path, array[:1] if array.ndim == 2 else array)  # refuses a wrong shape or type before the work
    labels = read_labels(path, None, len(array)) if labels_beside(path).exists() else None

    def batches() -> Iterator[Batch]:
        for first in range(0, len(array), ROWS):
            part = slice(first, first + ROWS)
            yield Batch(labels[part] if labels else None, as_vectors(path, array[part], first=first))

    return Stream(len(array), labels is not None, batches())


def _arrow_batches(path: str | Path) -> Stream:
    import pyarrow as pa

    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        verify(str(path), data)
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        n = sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FileFormatError(f"{path}: not a readable Arrow file ({one_line(error)}); write it again") from None
    large = (reader.get_batch(i) for i in range(reader.num_record_batches))
    small = (batch.slice(first, ROWS) for batch in large for first in range(0, batch.num_rows, ROWS))
    return _table_batches(path, reader.schema, n, small)


def _parquet_batches(path: str | Path) -> Stream:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # By pages: a row group, which may be the whole file, is not read ahead.
        file = pq.ParquetFile(str(path), page_checksum_verification=True, pre_buffer=False, buffer_size=1 << 20)
    except (pa.ArrowException, OSError) as error:
        raise FileFormatError(f"{path}: not a readable Parquet file ({one_line(error)})") from None
    return _table_batches(path, file.schema_arrow, file.metadata.num_rows, file.iter_batches(ROWS))


def _table_batches(path: str | Path, schema: Any, n: int, batches: Iterator[Any]) -> Stream:
    """Of record batches: vectors and labels from the columns that `read` takes them from."""
    import pyarrow as pa

    label = label_name(schema)

    def converted() -> Iterator[Batch]:
        first = 0
        try:
            for batch in batches:
                batch.validate(full=True)
                table = pa.Table.from_batches([batch])
                labels = None if label is None else table.column(label).cast(pa.string()).to_pylist()
                if labels and None in labels:
                    raise FileFormatError(f"{path}, row {first + labels.index(None)}: the label is missing")
                yield Batch(labels, table_vectors(path, table, label, first=first)[0])
                first += len(table)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise FileFormatError(f"{path}, after row {first}: damaged ({one_line(error)})") from None

    return Stream(n, label is not None, converted())


@contextmanager
def table_writer(path: str | Path, schema: Any) -> Iterator[Callable[[Any], None]]:
    """Yield a function that appends an Arrow table to a .parquet, .arrow or .csv file, written whole or not at all.

    Examples
    --------
    >>> import tempfile, pyarrow as pa
    >>> table = pa.table({"label": ["tea", "milk"], "score": [0.9, 0.5]})
    >>> path = Path(tempfile.mkdtemp()) / "found.csv"
    >>> with table_writer(path, table.schema) as write:
    ...     write(table)
    ...     write(table)
    >>> path.read_text().split()
    ['"label","score"', '"tea",0.9', '"milk",0.5', '"tea",0.9', '"milk",0.5']
    """
    import pyarrow as pa

    suffix = Path(path).suffix.lower()
    if suffix not in TABLES:
        raise ArgumentError(f"cannot write {path}: a table is written as {', '.join(TABLES)}")
    with atomic_write(path) as temporary, pa.OSFile(str(temporary), "wb") as sink:
        if suffix == ".parquet":
            from pyarrow.parquet import ParquetWriter

            writer = ParquetWriter(sink, schema, compression="zstd")
        elif suffix == ".arrow":
            writer = pa.ipc.new_file(sink, schema)
        else:
            from pyarrow.csv import CSVWriter

            writer = CSVWriter(sink, schema)
        with writer:
            yield writer.write_table
