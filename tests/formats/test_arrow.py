"""firth.formats.arrow: the .space file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firth._check import FileFormatError
from firth.space import Space


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("arrow") / "a.space"
    rng = np.random.default_rng(1)
    labels = ["naïve", "don't", "漢字", "", "a b"] + [f"w{i}" for i in range(40)]
    columns = {"count": np.arange(45), "kind": np.array(["x", "y", "z"] * 15), "wide": rng.standard_normal((45, 3))}
    Space(labels, rng.standard_normal((45, 7)), columns=columns, recipe={"method": "test", "note": "é"}).save(path)
    return path


def test_others_can_read_it(saved):
    space = Space.open(saved)
    table = pa.ipc.open_file(pa.memory_map(str(saved))).read_all()
    assert table.column_names == ["label", "vector", "count", "kind", "wide"]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 7)
    assert table.schema.field("wide").type == pa.list_(pa.float32(), 3)
    assert pl.read_ipc(saved)["label"].to_list() == space.labels.tolist()
    frame = pd.read_feather(saved)
    np.testing.assert_array_equal(np.stack(frame["vector"]), space.vectors)
    np.testing.assert_array_equal(np.stack(frame["wide"]), space.columns["wide"])
    assert frame["kind"].tolist() == space.columns["kind"].tolist()


def test_files_of_others_open_after_a_check(tmp_path):
    path = tmp_path / "b.space"
    pl.DataFrame({"label": ["a", "b"], "vector": [[1.0, 2.0], [3.0, 4.0]], "x": [True, False]}).write_ipc(path)
    space = Space.open(path)
    assert space.vectors.tolist() == [[1, 2], [3, 4]]
    assert space.vectors.dtype == np.float32
    assert space.columns["x"].tolist() == [True, False]
    halves = [
        pa.record_batch({"label": [x], "vector": pa.array([[1.0, 2.0]], pa.list_(pa.float16(), 2))}) for x in "ab"
    ]
    with pa.ipc.new_file(str(path), halves[0].schema) as writer:
        for half in halves:
            writer.write_batch(half)
    assert Space.open(path).vectors.tolist() == [[1, 2], [1, 2]]


def test_lists_of_others_are_a_column_with_a_width_if_they_are_numbers_of_one_length(tmp_path):
    path = tmp_path / "b.space"
    double, lists = pa.list_(pa.float64(), 2), pa.list_(pa.float64())
    columns = {
        "label": ["a", "b"],
        "vector": pa.array([[1.0], [2.0]], pa.list_(pa.float32(), 1)),
        "wide": pa.array([[1.0, 2.0], [3.0, 4.0]], double),
        "gap": pa.array([[1.0, 2.0], None], double),
        "hole": pa.array([[1.0, 2.0], [3.0, None]], double),
        "nan": pa.array([[1.0, 2.0], [3.0, float("nan")]], double),
        "uneven": pa.array([[1.0, 2.0], [3.0]], lists),
    }
    table = pa.table(columns)
    for pieces in (1, 2):
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=2 // pieces)
        found = Space.open(path).columns
        assert found["wide"].dtype == np.float32
        assert found["wide"].tolist() == [[1, 2], [3, 4]]
        assert [found[name].shape for name in ("gap", "hole", "nan", "uneven")] == [(2,)] * 4
        assert found["gap"][1] is None


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": ["a", "a"], "vector": [[1.0], [2.0]]}, "'a' stands in rows 0 and 1"),
        ({"label": ["a", "b"], "vector": [[1.0], [float("nan")]]}, "row 1, dimension 0 is nan"),
        ({"label": ["a", "b"], "vector": [[1.0], [2.0, 3.0]]}, "of one length"),
        ({"label": ["a", "b"], "vector": [[1.0], None]}, "missing values"),
        ({"label": ["a", None], "vector": [[1.0], [2.0]]}, "row 1: the label is missing"),
        ({"label": [1, 2], "vector": [[1.0], [2.0]]}, "must hold strings"),
        ({"label": ["a", "b"], "vector": [1.0, 2.0]}, "must hold lists of floats"),
        ({"label": ["a", "b"], "vector": [[], []]}, "must hold lists of floats|at least 1"),
        ({"label": ["a", "b"]}, "no column 'vector'; its columns are label"),
        ({"word": ["a"], "vector": [[1.0]]}, "no column 'label'; its columns are word, vector"),
        ({"label": pa.array([], pa.string()), "vector": pa.array([], pa.list_(pa.float32()))}, "no rows"),
    ],
)
def test_files_of_others_are_refused_with_the_place(tmp_path, columns, message):
    path = tmp_path / "c.space"
    table = pa.table(columns)
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(FileFormatError, match=message) as caught:
        Space.open(path)
    assert str(path) in str(caught.value)


@given(data=st.data())
def test_a_changed_byte_is_found(saved, tmp_path, data):
    content = bytearray(saved.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "changed.space"
    path.write_bytes(content)
    if bytes(content) != saved.read_bytes():
        with pytest.raises(FileFormatError, match="changed.space"):
            Space.open(path)


@given(st.data())
def test_a_truncated_file_is_found(saved, tmp_path_factory, data):
    content = saved.read_bytes()
    path = tmp_path_factory.mktemp("cut") / "cut.space"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(FileFormatError, match="cut.space"):
        Space.open(path)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "any.space"
    path.write_bytes(b"ARROW1\0\0" + content + b"ARROW1")
    with pytest.raises(FileFormatError, match="any.space"):
        Space.open(path)
