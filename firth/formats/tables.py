"""Tables: Parquet, CSV and TSV. One column of labels, the vectors in a list column or in numeric columns, others kept."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from firth._check import ArgumentError, FileFormatError
from firth.atomic import atomic_write
from firth.formats.arrow import as_arrow, from_arrow
from firth.formats.blocks import BLOCK, GZIP
from firth.formats.checks import as_vectors, check_labels, lost, one_line, read_recipe
from firth.formats.parts import Parts
from firth.views import number_view

LABEL, VECTOR = "label", "vector"
RECIPE = b"firth.recipe"  # as in .space
NUMBERED = re.compile(r"(.*?)(0|[1-9]\d*)")


# Parquet


def read_parquet(
    path: str | Path, *, label_column: str | None = None, vector_columns: str | Sequence[str] | None = None
) -> Parts:
    """Read labels from a column of strings and vectors from a column of lists, or from numeric columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open(path, "rb") as file:  # by our own hand: what the system refuses is told in its words
        try:
            table = pq.ParquetFile(file, page_checksum_verification=True).read()
            table.validate(full=True)
            return _parts(path, table, label_column, vector_columns)
        except (pa.ArrowException, OSError, UnicodeDecodeError, KeyError) as error:
            raise FileFormatError(f"{path}: not a readable Parquet file ({one_line(error)})") from None


def write_parquet(parts: Parts, path: str | Path) -> list[str]:
    """Write columns `label`, `vector` and the others, with a checksum on each page."""
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    columns, left_out = _other_columns(parts, (LABEL, VECTOR))
    columns = {LABEL: pa.array(parts.labels, pa.string()), VECTOR: as_arrow(parts.vectors), **columns}
    table = pa.table(columns).replace_schema_metadata({RECIPE: json.dumps(parts.recipe, ensure_ascii=False)})
    with atomic_write(path) as temporary:
        pq.write_table(table, str(temporary), use_dictionary=False, compression="zstd", write_page_checksum=True)
    return left_out


def _parts(path: str | Path, table: Any, label_column: str | None, vector_columns: str | Sequence[str] | None) -> Parts:
    import pyarrow as pa

    names = table.column_names
    if len(set(names)) < len(names):
        raise FileFormatError(f"{path}: columns must have distinct names; found {', '.join(names)}")
    label = label_column or label_name(table.schema)
    if label is None:
        raise FileFormatError(f"{path}: no column of strings to be the labels; name one with label_column=")
    _known(path, names, [label])
    labels = table.column(label).cast(pa.string()).to_pylist()
    if None in labels:
        raise FileFormatError(f"{path}, row {labels.index(None)}: the label is missing")
    if not labels:
        raise FileFormatError(f"{path}: no rows")
    vectors, used = table_vectors(path, table, label, vector_columns)
    check_labels(path, labels)
    others = {}
    for name in names:
        if name != label and name not in used:
            column = table.column(name)
            others[name] = from_arrow(column) if pa.types.is_fixed_size_list(column.type) else column.to_numpy()
    return Parts(labels, vectors, others, read_recipe(path, (table.schema.metadata or {}).get(RECIPE)))


def label_name(schema: Any) -> str | None:
    """Choose the column of labels: `label`, pandas' index, or the first of strings."""
    strings = [field.name for field in schema if _is_text(field.type)]
    return next((name for name in (LABEL, "__index_level_0__", *strings) if name in schema.names), None)


def table_vectors(
    path: str | Path, table: Any, label: str | None, wanted: str | Sequence[str] | None = None, *, first: int = 0
) -> tuple[np.ndarray, list[str]]:
    """Vectors from a column of lists or from numeric columns, and the names of these. `first` is the number of row 0."""
    import pyarrow as pa

    lists, numbers = [], []
    for name in table.column_names:
        kind = table.column(name).type
        if name != label and (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            numbers.append(name)
        elif hasattr(kind, "value_type") and not pa.types.is_dictionary(kind):
            lists.append(name)
    if wanted is None:
        wanted = VECTOR if VECTOR in lists else lists[0] if len(lists) == 1 else vector_names(numbers)
        if len(lists) > 1 and wanted != VECTOR:
            raise FileFormatError(
                f"{path}: several columns of lists ({', '.join(lists)}); choose one with vector_columns="
            )
    used = [wanted] if isinstance(wanted, str) else list(wanted)
    _known(path, table.column_names, used)
    if not used:
        raise FileFormatError(f"{path}: no column of lists and no numeric columns to be the vectors")
    if len(used) == 1 and used[0] in lists:
        return _list_vectors(path, used[0], table.column(used[0]), first), used
    columns = []
    for name in used:
        column = table.column(name)
        if column.null_count:
            row = first + column.is_null().to_pylist().index(True)
            raise FileFormatError(f"{path}, row {row}: a number expected in column {name!r}, found none")
        columns.append(column.to_numpy())
    return as_vectors(path, np.stack(columns, axis=1), "the numeric columns", first=first), used


def _list_vectors(path: str | Path, name: str, column: Any, first: int) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if array.null_count:
        row = first + array.is_null().to_pylist().index(True)
        raise FileFormatError(f"{path}, row {row}: a list expected in column {name!r}, found none")
    if not pa.types.is_fixed_size_list(array.type):
        lengths = number_view(pc.call_function("list_value_length", [array]))
        uneven = np.flatnonzero(lengths != lengths[0])
        if len(uneven):
            row = int(uneven[0])
            raise FileFormatError(f"{path}, row {first + row}: {lengths[0]} numbers expected, found {lengths[row]}")
    values = array.flatten()
    if values.null_count:
        row = first + values.is_null().to_pylist().index(True) // (len(values) // len(array))
        raise FileFormatError(f"{path}, row {row}: numbers expected in column {name!r}, found a missing one")
    plain = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    numbers = (number_view(values) if plain else values.to_numpy(zero_copy_only=False)).reshape(len(array), -1)
    return as_vectors(path, numbers, f"column {name!r}", first=first)


def _known(path: str | Path, names: Sequence[str], wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in names:
            raise ArgumentError(f"{path}: there is no column {name!r}; its columns are {', '.join(names)}")


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def vector_names(names: Sequence[str]) -> list[str]:
    """Choose, of numeric columns, those that make the vectors: vector0, vector1, ...; else x1, x2, ...; else all."""
    groups: dict[str, dict[int, str]] = {}
    for name in names:
        if found := NUMBERED.fullmatch(name):
            groups.setdefault(found[1], {})[int(found[2])] = name
    if 0 in groups.get(VECTOR, {}):
        groups = {VECTOR: groups[VECTOR]}
    runs = [
        [group[number] for number in sorted(group)]
        for prefix, group in groups.items()
        if sorted(group) in (list(range(len(group))), list(range(1, len(group) + 1)))
        and (len(group) > 1 or prefix == VECTOR)
    ]
    return runs[0] if len(runs) == 1 else list(names)


def _other_columns(parts: Parts, taken: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Columns beside labels and vectors as Arrow arrays; and in words those that cannot be kept."""
    import pyarrow as pa

    kept, left_out = {}, []
    for name, column in parts.columns.items():
        try:
            array = as_arrow(column)
        except pa.ArrowException:
            array = None
        if array is None or name in taken:
            left_out.append(f"column {name!r}")
        else:
            kept[name] = array
    return kept, left_out


# CSV and TSV


def read_csv(
    path: str | Path,
    *,
    delimiter: str = ",",
    label_column: str | None = None,
    vector_columns: Sequence[str] | None = None,
) -> Parts:
    """Read a table of text with a header row: labels from `label` or the first column, vectors from numeric columns.

    A file cut short at the end of a row, or in its last number, cannot be told from a whole one.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    header, label, used = _layout(path, delimiter, label_column, vector_columns)
    types = {label: pa.string(), **dict.fromkeys(used, pa.float32())}
    try:
        with _opened(path) as file:
            table = arrow_csv.read_csv(
                file,
                read_options=arrow_csv.ReadOptions(block_size=BLOCK, column_names=header, skip_rows_after_names=1),
                parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(column_types=types),
            )
        table.validate(full=True)
        if any(table.column(name).null_count for name in used):
            raise FileFormatError(f"{path}: a number is missing")
        parts = _parts(path, table, label, used)
    except (pa.ArrowException, FileFormatError) as error:
        # Arrow is fast; what it refuses is read again, slowly, to name the line.
        _explain(path, delimiter, header, label, used)
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"{path}: not a readable table of text ({one_line(error)})") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileFormatError(f"{path}: damaged or cut short gzip file ({one_line(error)})") from None
    return parts


def read_tsv(path: str | Path, **options: Any) -> Parts:
    """Read a table of text with tabs."""
    return read_csv(path, delimiter="\t", **options)


def write_csv(parts: Parts, path: str | Path, *, delimiter: str = ",") -> list[str]:
    """Write `label`, the other columns, and the numbers as vector0, vector1, ..., in the fewest digits that read back."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    names = [f"{VECTOR}{i}" for i in range(parts.vectors.shape[1])]
    columns, left_out = _other_columns(parts, (LABEL, *names))
    for name in [name for name, array in columns.items() if hasattr(array.type, "value_type")]:
        del columns[name]
        left_out.append(f"column {name!r}")
    vectors = np.asarray(parts.vectors, dtype=np.float32)
    table = pa.table(
        {
            LABEL: pa.array(parts.labels, pa.string()),
            **columns,
            **{name: np.ascontiguousarray(vectors[:, i]) for i, name in enumerate(names)},
        }
    )
    with atomic_write(path) as temporary:
        arrow_csv.write_csv(table, str(temporary), arrow_csv.WriteOptions(delimiter=delimiter, quoting_style="needed"))
    return left_out + lost(parts, columns=False)


def write_tsv(parts: Parts, path: str | Path) -> list[str]:
    """Write a table of text with tabs."""
    return write_csv(parts, path, delimiter="\t")


def _layout(
    path: str | Path, delimiter: str, label: str | None, used: Sequence[str] | None
) -> tuple[list[str], str, list[str]]:
    """Names of all columns, of the labels' and of the vectors', by the header and the first row."""
    rows = [fields for _, fields in itertools.islice(_records(path, delimiter), 2)]
    if not rows:
        raise FileFormatError(f"{path}: the file is empty; a header row expected")
    header = rows[0]
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise FileFormatError(f"{path}, line 1: columns must have distinct names; {twice!r} comes twice")
    if len(header) > 1 and all(_is_number(field) for field in header[1:]) and not all(map(str.isdigit, header[1:])):
        raise FileFormatError(f"{path}, line 1: a header row expected, found numbers; add a line such as label,x1,x2")
    if len(rows) == 1:
        raise FileFormatError(f"{path}: no rows after the header")
    label = label if label is not None else LABEL if LABEL in header else header[0]
    first = dict(zip(header, rows[1], strict=False))
    chosen = (
        used if used is not None else vector_names([n for n in header if n != label and _is_number(first.get(n, ""))])
    )
    chosen = [chosen] if isinstance(chosen, str) else list(chosen)
    _known(path, header, [label, *chosen])
    if not chosen:
        raise FileFormatError(
            f"{path}: a label and numbers expected in each row, separated by {delimiter!r}; no numbers in the first row"
        )
    return header, label, chosen


def _opened(path: str | Path) -> IO[bytes]:
    with open(path, "rb") as file:
        gzipped = file.read(2) == GZIP
    return cast("IO[bytes]", gzip.open(path) if gzipped else open(path, "rb"))


def _records(path: str | Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row, the slow way."""
    line = 0
    try:
        with _opened(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            for fields in reader:
                line = reader.line_num
                if fields:
                    yield line, fields
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}, line {_line_of_fault(path)}: UTF-8 expected, {error.reason}") from None
    except csv.Error as error:
        raise FileFormatError(f"{path}, line {line + 1}: {one_line(error)}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileFormatError(f"{path}: damaged or cut short gzip file ({one_line(error)})") from None


def _line_of_fault(path: str | Path) -> int:
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1


def _explain(path: str | Path, delimiter: str, header: list[str], label: str, used: list[str]) -> None:
    """Raise an error that names the first line that is wrong, if there is one."""
    places, numbers = header.index(label), [(name, header.index(name)) for name in used]
    seen: dict[str, int] = {}
    for line, fields in itertools.islice(_records(path, delimiter), 1, None):
        if len(fields) != len(header):
            raise FileFormatError(f"{path}, line {line}: {len(header)} fields expected, found {len(fields)}")
        for name, place in numbers:
            if not _is_number(fields[place], finite=True):
                raise FileFormatError(
                    f"{path}, line {line}: a finite number expected in column {name!r}, found {fields[place][:40]!r}"
                )
        word = fields[places]
        if word in seen:
            raise FileFormatError(
                f"{path}, line {line}: labels must be distinct; {word!r} stands in line {seen[word]} too"
            )
        seen[word] = line


def _is_number(text: str, *, finite: bool = False) -> bool:
    try:
        value = np.float32(text)
    except ValueError:
        return False
    return bool(np.isfinite(value)) or not finite
