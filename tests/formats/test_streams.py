"""firth.formats.streams: files larger than memory."""

from __future__ import annotations

import os
import tracemalloc

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import firth.formats.streams
from firth._check import ArgumentError, FileFormatError
from firth.formats import Parts, write
from firth.formats.streams import TABLES, read_batches, sliced, table_writer

VECTORS = np.random.default_rng(0).standard_normal((25, 3)).astype(np.float32)
LABELS = [f"q{row}" for row in range(25)]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(firth.formats.streams, "ROWS", 10)


def gathered(path):
    stream = read_batches(path)
    batches = list(stream.batches)
    assert max(len(batch.vectors) for batch in batches) <= 10
    assert stream.rows == sum(len(batch.vectors) for batch in batches)
    assert all((batch.labels is not None) == stream.labelled for batch in batches)
    labels = [label for batch in batches for label in batch.labels or ()]
    return labels, np.concatenate([batch.vectors for batch in batches])


@pytest.mark.parametrize("name", ["a.space", "a.npy", "a.parquet", "a.csv", "a.txt", "a.safetensors", "a.bin"])
def test_batches_are_what_read_reads(tmp_path, name):
    write(Parts(LABELS, VECTORS, {}, {}), tmp_path / name)
    labels, vectors = gathered(tmp_path / name)
    assert labels == LABELS
    np.testing.assert_array_equal(vectors, VECTORS)


def test_files_without_labels(tmp_path):
    np.save(tmp_path / "a.npy", VECTORS.astype(np.float64))
    lists = pa.table({"vector": pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.ravel()), 3)})
    pq.write_table(lists, tmp_path / "a.parquet", row_group_size=12)
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), lists.schema) as writer:
        writer.write_table(lists, max_chunksize=7)
    pl.DataFrame({f"x{i}": VECTORS[:, i] for i in range(3)}).write_ipc(tmp_path / "b.arrow")
    for name in ("a.npy", "a.parquet", "a.arrow", "b.arrow"):
        labels, vectors = gathered(tmp_path / name)
        assert labels == []
        np.testing.assert_array_equal(vectors, VECTORS)


def test_labels_may_come_twice(tmp_path):
    pl.DataFrame({"word": ["a", "a"], "vector": [[1.0], [2.0]]}).write_parquet(tmp_path / "a.parquet")
    assert gathered(tmp_path / "a.parquet")[0] == ["a", "a"]


@pytest.mark.parametrize("name", ["a.npy", "a.parquet", "a.space"])
def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch, name):
    monkeypatch.setattr(firth.formats.streams, "ROWS", 1000)
    vectors = np.random.default_rng(0).standard_normal((100_000, 32)).astype(np.float32)  # 12.8 MB, one row group
    np.save(tmp_path / "a.npy", vectors)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 32)
    pq.write_table(pa.table({"vector": lists}), tmp_path / "a.parquet")
    with (
        pa.OSFile(str(tmp_path / "a.space"), "wb") as sink,
        pa.ipc.new_file(sink, pa.schema({"vector": lists.type})) as out,
    ):
        out.write_table(pa.table({"vector": lists}))
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    for batch in read_batches(tmp_path / name).batches:
        assert len(batch.vectors) == 1000
        assert pa.total_allocated_bytes() - before < 5_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.where(np.arange(25)[:, None] == 17, np.nan, VECTORS), "row 17: finite float32 numbers expected"),
        (np.ones(5), r"the array must have rows and columns, \(n, d\); it is \(5,\)"),
        (np.ones((5, 0)), "must have rows and columns"),
        (np.array([["a"]]), "must hold real numbers"),
    ],
)
def test_what_is_wrong_in_an_array_is_told_with_its_row(tmp_path, wrong, message):
    np.save(tmp_path / "a.npy", wrong)
    with pytest.raises(FileFormatError, match=f"a.npy.*{message}"):
        gathered(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"vector": [[1.0, 2.0]] * 17 + [[1.0, None]]}, "row 17: numbers expected in column 'vector', found a missing"),
        ({"vector": [[1.0, 2.0]] * 17 + [[1.0]]}, "row 17: 2 numbers expected, found 1"),
        ({"vector": [[1.0, 2.0]] * 17 + [None]}, "row 17: a list expected in column 'vector', found none"),
        ({"x": [1.0] * 17 + [float("inf")]}, "row 17: finite float32 numbers expected"),
        ({"x": [1.0] * 17 + [None]}, "row 17: a number expected in column 'x', found none"),
        ({"label": ["a"] * 17 + [None], "x": [1.0] * 18}, "row 17: the label is missing"),
        ({"label": ["a"]}, "no column of lists and no numeric columns"),
    ],
)
@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_what_is_wrong_in_a_table_is_told_with_its_row(tmp_path, name, columns, message):
    table = pa.table(columns)
    with table_writer(tmp_path / name, table.schema) as write_table:
        write_table(table)
    with pytest.raises(FileFormatError, match=f"{name}.*{message}"):
        gathered(tmp_path / name)


@pytest.mark.parametrize("name", ["a.parquet", "a.space"])
def test_damaged_files_are_refused(tmp_path, name):
    write(Parts(LABELS, VECTORS, {}, {}), tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for cut in (len(whole) // 2, len(whole) - 1):
        (tmp_path / name).write_bytes(whole[:cut])
        with pytest.raises(FileFormatError, match=name):
            gathered(tmp_path / name)
    at = whole.index(VECTORS[:2].tobytes()) if name == "a.space" else len(whole) // 3
    (tmp_path / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(FileFormatError, match=name):
        gathered(tmp_path / name)


def test_what_is_in_memory_comes_in_batches_too():
    assert [batch.labels for batch in sliced(LABELS, VECTORS).batches] == [LABELS[:10], LABELS[10:20], LABELS[20:]]


@pytest.mark.parametrize("suffix", TABLES)
def test_tables_are_written_whole_or_not_at_all(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    table = pa.table({"query": ["a, b", 'c"d'], "score": [0.5, 1.0]})
    with table_writer(path, table.schema) as append:
        append(table)
        append(table)
    read = {".parquet": pl.read_parquet, ".arrow": pl.read_ipc, ".csv": pl.read_csv}[suffix]
    assert read(path).rows() == [("a, b", 0.5), ('c"d', 1.0)] * 2
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), table_writer(path, table.schema) as append:  # noqa: PT012
        append(table)
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_other_suffixes_are_refused(tmp_path):
    with (
        pytest.raises(ArgumentError, match="a table is written as .parquet, .arrow, .csv"),
        table_writer("a.txt", None),
    ):
        pass
