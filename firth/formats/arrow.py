"""The .space file: one Arrow IPC file, opened by memory map.

A string column `label`, a fixed-size list of float32 `vector`, other columns beside them (those with a width as fixed-size
lists too), the recipe as JSON in the schema metadata. pyarrow, polars, DuckDB and pandas read it.

A digest of the whole file stands in its schema metadata, once at the head and once in the footer, as
`firth-digest:` and 32 hexadecimal digits; it is computed with those digits set to zeros. It is checked before anything is
parsed, so that a damaged file is refused, never misread.
"""

from __future__ import annotations

import itertools
import json
import mmap
from pathlib import Path
from typing import Any

import numpy as np

from firth._check import FileFormatError
from firth.atomic import atomic_write
from firth.formats.parts import Parts
from firth.views import number_view

MAGIC = b"ARROW1"
MARK = b"firth-digest:"
ZEROS = b"0" * 32
HEAD_BYTES = 1 << 20  # the schema, and so the first mark, stands within this


def write_arrow(parts: Parts, path: str | Path) -> None:
    """Write the parts of a space, whole or not at all. Labels must be distinct, and vectors finite (Space sees to it)."""
    import pyarrow as pa

    columns: dict[str, Any] = {"label": _labels(parts.labels), "vector": as_arrow(parts.vectors)}
    columns |= {name: as_arrow(column) for name, column in parts.columns.items()}
    # The digest first: the metadata may be longer than HEAD_BYTES, this entry's place in it is near the head.
    metadata = {b"firth.digest": MARK + ZEROS, b"firth.recipe": json.dumps(parts.recipe, ensure_ascii=False).encode()}
    schema = pa.schema([pa.field(name, array.type) for name, array in columns.items()], metadata=metadata)
    batch = pa.record_batch(list(columns.values()), schema=schema)
    with atomic_write(path) as temporary:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write_batch(batch)
        with open(temporary, "rb+") as file, mmap.mmap(file.fileno(), 0) as data:
            places = _marks(data)
            if places is None:
                raise FileFormatError(
                    f"{path}: the recipe is too long to be kept ({len(metadata[b'firth.recipe']):,} bytes)"
                )
            digest = _digest(data, places).encode()
            for place in places:
                data[place : place + len(digest)] = digest


def as_arrow(column: np.ndarray) -> Any:
    """An Arrow array of a column: values, or fixed-size lists of float32 if it has a width."""
    import pyarrow as pa

    if column.ndim == 1:
        return pa.array(column)
    values = pa.array(np.ascontiguousarray(column, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, column.shape[1])


def read_arrow(path: str | Path) -> tuple[Parts, bool]:
    """Open the parts of a space by memory map; and whether they are as firth wrote them (otherwise they need checking).

    Raises
    ------
    FileFormatError
        If the file is foreign, cut short or damaged.
    """
    import pyarrow as pa

    path = str(path)
    with open(path, "rb") as file:
        if not file.read(1):
            raise FileFormatError(f"{path}: the file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            ours = verify(path, data)
    try:
        table = pa.ipc.open_file(pa.memory_map(path)).read_all()
        if not ours:
            table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise FileFormatError(f"{path}: not a readable Arrow file ({_first_line(error)}); write it again") from None
    metadata = table.schema.metadata or {}
    if b"firth.recipe" in metadata and not ours:
        raise FileFormatError(f"{path}: damaged: its digest is missing; learn, convert or copy it again")
    for name in ("label", "vector"):
        if name not in table.column_names:
            raise FileFormatError(
                f"{path}: an Arrow file, but not of a space: no column {name!r}; its columns are"
                f" {', '.join(table.column_names) or 'none'}"
            )
    if table.num_rows == 0:
        raise FileFormatError(f"{path}: no rows")
    try:
        return (
            Parts(
                labels=_label_list(path, table.column("label")),
                vectors=_vectors(path, table.column("vector")),
                columns={
                    name: from_arrow(table.column(name), trusted=ours)
                    for name in table.column_names
                    if name not in ("label", "vector")
                },
                recipe=json.loads(metadata.get(b"firth.recipe", b"{}")),
            ),
            ours,
        )
    except (pa.ArrowException, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FileFormatError(f"{path}: damaged ({_first_line(error)}); write it again") from None


def verify(path: str, data: mmap.mmap) -> bool:
    """Check the frame of an Arrow file and firth's digest; whether there is one."""
    if data[:6] != MAGIC:
        raise FileFormatError(
            f"{path}: not a .space file (an Arrow IPC file); convert other formats with `firth convert`"
        )
    if len(data) < 20 or data[-6:] != MAGIC:
        raise FileFormatError(
            f"{path}: cut short at {len(data):,} bytes: the end of the Arrow file is missing; copy it again"
        )
    places = _marks(data)
    if places is None:
        return False
    found = [bytes(data[place : place + len(ZEROS)]).decode("ascii", "replace") for place in places]
    if found != [_digest(data, places)] * 2:
        raise FileFormatError(
            f"{path}: damaged: its content does not match its digest; learn, convert or copy it again"
        )
    return True


def _marks(data: mmap.mmap) -> tuple[int, int] | None:
    """Where the digits of the digest stand: at the head and in the footer."""
    head, foot = data.find(MARK, 0, HEAD_BYTES), data.rfind(MARK)
    return (head + len(MARK), foot + len(MARK)) if 0 <= head < foot else None


def _digest(data: mmap.mmap, places: tuple[int, int]) -> str:
    from firth import _core

    with memoryview(data) as view:
        cuts = [0, places[0], places[0] + len(ZEROS), places[1], places[1] + len(ZEROS), len(view)]
        parts = [view[a:b] for a, b in itertools.pairwise(cuts)]
        try:
            return _core.digest([parts[0], ZEROS, parts[2], ZEROS, parts[4]])
        finally:
            for part in parts:
                part.release()


def _labels(labels: list[str]) -> Any:
    import pyarrow as pa

    wide = sum(map(len, labels)) > 2**29  # 32-bit offsets may not do: a character has up to four bytes
    return pa.array(labels, pa.large_string() if wide else pa.string())


def _label_list(path: str, column: Any) -> list[str]:
    if str(column.type) not in ("string", "large_string", "string_view"):
        raise FileFormatError(f"{path}: column 'label' must hold strings; it holds {column.type}")
    labels = column.to_pylist()
    if column.null_count:
        raise FileFormatError(f"{path}, row {labels.index(None)}: the label is missing")
    return labels


def _vectors(path: str, column: Any) -> np.ndarray:
    """(n, d) float32: a view of the file where it is laid out so."""
    import pyarrow as pa

    kind = column.type
    lists = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not lists or not pa.types.is_floating(kind.value_type):
        raise FileFormatError(f"{path}: column 'vector' must hold lists of floats; it holds {kind}")
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    values = _flat(array)
    if array.null_count or values.null_count:
        raise FileFormatError(f"{path}: column 'vector' has missing values; remove those rows")
    d, rest = divmod(len(values), len(array))
    if rest == 0 and not pa.types.is_fixed_size_list(kind):
        rest = int(np.any(np.diff(number_view(array.offsets)) != d))
    if rest or d == 0:
        raise FileFormatError(f"{path}: column 'vector' must hold lists of one length, at least 1")
    return number_view(values).astype(np.float32, copy=False).reshape(len(array), d)


def _flat(array: Any) -> Any:
    """The numbers of an array of lists. `flatten` does it too, but imports pyarrow.compute first, which takes long."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        return array.values.slice(array.offset * size, len(array) * size)
    first, last = array.offsets[0].as_py(), array.offsets[len(array)].as_py()
    return array.values.slice(first, last - first)


def from_arrow(column: Any, *, trusted: bool = False) -> np.ndarray:
    """A column of a table: (n,), or (n, m) float32 if it holds fixed-size lists of floats, all finite (`trusted`: they are)."""
    import pyarrow as pa

    kind = column.type
    if (pa.types.is_integer(kind) or pa.types.is_floating(kind)) and not column.null_count:
        return number_view(column.chunk(0) if column.num_chunks == 1 else column.combine_chunks())
    if pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type) and kind.list_size:
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        values = _flat(array)
        if not array.null_count and not values.null_count:
            with np.errstate(over="ignore"):
                numbers = number_view(values).astype(np.float32, copy=False).reshape(len(array), -1)
            if trusted or np.isfinite(numbers).all():
                return numbers
    if pa.types.is_boolean(kind) or str(kind) in ("string", "large_string", "string_view"):
        return np.array(column.to_pylist())
    return column.to_numpy()


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
