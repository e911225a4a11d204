"""Tables into spaces: rows of a frame or a file, a vector each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from firth._check import ArgumentError, FileFormatError, available_threads
from firth.space import Space
from firth.steps import Progress, drain
from firth.table import BATCH_ROWS, Encoder, as_batches

Batches = Callable[[], Iterator[pa.RecordBatch]]
BLOCK_BYTES = 1 << 23  # of a CSV file, by which its columns get their kinds
PIECE_BYTES = 1 << 25  # of it that all cores read at a time


def encode(table: Any, encoder: Encoder | None = None, *, label: str | None = None) -> Space:
    """Make a space of a table: a row is a label, its columns are named dimensions.

    Parameters
    ----------
    table
        A frame of pandas, polars or pyarrow; or the path of a .csv, .tsv or .parquet file, which may be larger than memory.
    encoder
        What has learned from other rows is applied to these; what has not, learns from them. By default a new one.
    label
        The column of labels, all different; by default rows are counted.

    Raises
    ------
    ArgumentError
        If an option does not fit the table.
    FileFormatError
        If the file cannot be read.

    Examples
    --------
    >>> table = pa.table({"name": ["a", "b", "c"], "rooms": [2, 2, 6], "kind": ["flat", "flat", "house"]})
    >>> space = encode(table, label="name")
    >>> space.ask("a", k=1).labels[0]
    'b'
    """
    return drain(encode_steps(table, encoder, label=label))


def encode_steps(
    table: Any, encoder: Encoder | None = None, *, label: str | None = None
) -> Generator[Progress, None, Space]:
    """The same step by step. A file is read twice; vectors of a file lie in a temporary one until the space is saved."""
    with tempfile.TemporaryFile() as spare:
        is_file = isinstance(table, (str, Path))
        encoder = Encoder() if encoder is None else encoder
        learned = [column.name for column in getattr(encoder, "columns_", ()) if column.kind in ("category", "text")]
        as_text = {label, *encoder.categories, *encoder.text, *encoder.ignore, *learned}
        batches = _file_batches(Path(table), spare, as_text) if is_file else lambda: as_batches(table)
        space = yield from _encode_steps(batches, encoder, label, is_file)
    return space


def _encode_steps(
    batches: Batches, encoder: Encoder, label: str | None, is_file: bool
) -> Generator[Progress, None, Space]:
    n = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal n
        for batch in batches():
            n += batch.num_rows
            if label is not None and label not in batch.schema.names:
                raise ArgumentError(f"label: there is no column {label!r}; there are {', '.join(batch.schema.names)}")
            yield batch if label is None else batch.drop_columns([label])

    if hasattr(encoder, "columns_"):
        n = sum(batch.num_rows for batch in batches())
    else:
        yield Progress("learning columns", 0, 0)
        for seen in encoder.fit_steps(counted()):
            yield Progress("learning columns", seen, 0)
    if not n:
        raise ArgumentError("the table must have at least one row; got none")
    width = len(encoder.dimensions)
    vectors = _room(n, width) if is_file else np.zeros((n, width), np.float32)
    labels: list[str] = []
    row = 0
    for batch in batches():
        if row + batch.num_rows > n:
            raise FileFormatError("the table grew while it was read")
        encoder.transform_batch(batch, vectors[row : row + batch.num_rows])
        row += batch.num_rows
        if label is not None:
            labels += [str(value) for value in batch.column(label).to_pylist()]
        yield Progress("encoding", row, n)
    if label is None:
        labels = [str(row) for row in range(n)]
    recipe = {"method": "table", "dimensions": encoder.dimensions, "encoder": encoder.as_dict()}
    return Space(labels, vectors, recipe=recipe)


def _room(n: int, d: int) -> np.ndarray:
    """An array in a file that has no name any more: memory may write it out."""
    with tempfile.TemporaryFile() as file:
        file.truncate(max(1, n * d * 4))
        return np.memmap(file, np.float32, "r+", shape=(n, d))


def _file_batches(path: Path, spare: IO[bytes], as_text: set[str | None]) -> Batches:
    """Batches of a file. Reading CSV, some columns as text, takes longer than all else: `spare` keeps it for the second time."""
    kind = path.suffix.lower()
    if kind not in (".csv", ".tsv", ".parquet", ".pq"):
        raise ArgumentError(f"{path}: a table is read from .csv, .tsv or .parquet")

    kept = False

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal kept
        try:
            if kind in (".parquet", ".pq"):
                import pyarrow.parquet as pq

                texts = [field.name for field in pq.read_schema(path) if pa.types.is_string(field.type)]
                with pq.ParquetFile(path, read_dictionary=texts) as file:
                    yield from file.iter_batches(BATCH_ROWS)
                return
            if not kept:
                writer = None
                for batch in _csv_batches(path, "\t" if kind == ".tsv" else ",", as_text):
                    writer = writer or pa.ipc.new_stream(spare, batch.schema)
                    writer.write_batch(batch)
                    yield batch
                if writer is not None:
                    writer.close()
                kept = True
                return
            spare.seek(0)
            yield from pa.ipc.open_stream(spare)
        except pa.ArrowInvalid as error:
            text = str(error).splitlines()[0]
            if "conversion error" in text:  # the kinds of columns were told by the first block
                text += "; the column looked like numbers before: make it one of categories or text, or leave it out"
                text += " (--category, --text or --ignore NAME)"
            raise FileFormatError(f"{path}: {text}") from None

    return batches


def _csv_batches(path: Path, delimiter: str, as_text: set[str | None]) -> Iterator[pa.RecordBatch]:
    """What looks like whole numbers at first is read as any number; what is empty at first, or is asked for so, as text.

    Texts come as rows of a dictionary: a category is compared once, not once a row.
    """
    from pyarrow import csv

    parsing, text = csv.ParseOptions(delimiter=delimiter), pa.dictionary(pa.int32(), pa.string())
    with csv.open_csv(path, csv.ReadOptions(block_size=BLOCK_BYTES), parsing, csv.ConvertOptions()) as first:
        names, types = first.schema.names, {}
        for part in first.schema:
            asked = part.name in as_text and not pa.types.is_boolean(part.type)
            if asked or pa.types.is_null(part.type) or pa.types.is_string(part.type):
                types[part.name] = text
            elif pa.types.is_integer(part.type):
                types[part.name] = pa.float64()
            else:
                types[part.name] = part.type
    converting = csv.ConvertOptions(column_types=types, strings_can_be_null=True)
    reading = csv.ReadOptions(block_size=PIECE_BYTES // available_threads(), column_names=names)
    with open(path, "rb") as file:
        while file.readline().isspace():  # up to the names
            pass
        while piece := file.read(PIECE_BYTES) + file.readline():
            yield from csv.read_csv(pa.BufferReader(piece), reading, parsing, converting).to_batches(BATCH_ROWS)
