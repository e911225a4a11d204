"""firth.views: Arrow's numbers as numpy has them, and no pandas on the way."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firth.views import number_view


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_booleans_are_taken_from_their_bits(values, start, length):
    part = pa.array(values, pa.bool_()).slice(min(start, len(values)), length)
    assert number_view(part).tolist() == part.to_pylist()


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "uint64", "float16", "float32", "float64"])
def test_numbers_are_viewed_where_they_lie(kind):
    array = pa.array(np.arange(10, dtype=kind))
    view = number_view(array[3:7])
    np.testing.assert_array_equal(view, np.arange(3, 7, dtype=kind), strict=True)
    assert np.shares_memory(view, number_view(array))
    assert number_view(array[:0]).dtype == np.dtype(kind)


PROGRAM = """
import sys
import firth
firth.encode(sys.argv[1])
firth.word2vec(sys.argv[2], dim=4, min_count=1, epochs=1, column="text")
assert "pandas" not in sys.modules, "pandas was imported"
"""


def test_pandas_is_not_imported_behind_ones_back(tmp_path):
    (tmp_path / "table.csv").write_text("n,kind,yes\n1,a,true\n,,false\n3,b,\n")
    pq.write_table(pa.table({"text": [["tea", "milk"], [None, "tea"]]}), tmp_path / "baskets.parquet")
    files = (tmp_path / "table.csv", tmp_path / "baskets.parquet")
    subprocess.run([sys.executable, "-c", PROGRAM, *files], check=True)
