"""firth.items: the same corpus from lists, arrays and Arrow columns of any kind as from the plain version."""

from __future__ import annotations

import gc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firth import items
from firth._check import ArgumentError, CorpusError
from firth.text import read_corpus, read_corpus_steps
from tests.test_text import parts, plain

WORDS = st.text("ab é日", max_size=3) | st.text("xy", min_size=15, max_size=20)
NUMBERS = st.integers(-3, 12) | st.sampled_from([2**63 - 1, -(2**63)])
ANYTHING = WORDS | NUMBERS | st.sampled_from([None, (1, 2), 2**70, -(2**64), 1.5, True, np.int64(7), np.str_("a")])


def labels(lists):
    """What the plain version sees: each item as its label, nothing where one is missing."""
    return [[str(item) for item in row if item is not None] for row in lists if row is not None]


def check(source, lists, **options):
    expected = plain(labels(lists))
    try:
        corpus = read_corpus(source, min_count=1, **options)
    except CorpusError:
        assert len(expected[0]) < 2
        return None
    assert parts(corpus) == expected
    assert corpus.tokens == corpus.kept_tokens == sum(map(len, labels(lists)))
    return corpus


@pytest.fixture(params=[3, 1 << 20])
def _pieces(request, monkeypatch):
    """Steps so small that lists are cut, and the usual ones."""
    monkeypatch.setattr(items, "ITEMS", request.param)
    monkeypatch.setattr(items, "ROWS", min(request.param, 1024))


@pytest.mark.usefixtures("_pieces")
@given(lists=st.lists(st.lists(ANYTHING, max_size=7), min_size=1, max_size=12), threads=st.integers(1, 3))
def test_lists_of_anything(lists, threads):
    if {str(item) for row in lists for item in row if isinstance(item, str)} & {
        str(item) for row in lists for item in row if not isinstance(item, str)
    }:
        with pytest.raises(ArgumentError, match="two different items have the same label"):
            read_corpus(lists, min_count=1)
        return
    corpus = check(lists, lists, threads=threads)
    again = check((tuple(row) for row in lists), lists)
    if corpus and again:
        assert corpus.digest == again.digest
    check([dict.fromkeys(row) for row in lists], [dict.fromkeys(row) for row in lists])


@pytest.mark.usefixtures("_pieces")
@given(lists=st.lists(st.none() | st.lists(st.none() | WORDS, max_size=7), min_size=1, max_size=12), data=st.data())
def test_arrow_columns_of_words(tmp_path, lists, data):
    words = data.draw(st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]))
    of = data.draw(st.sampled_from([pa.list_, pa.large_list]))
    column = pa.array(lists, pa.list_(pa.string()))
    if pa.types.is_dictionary(words):
        column = pa.ListArray.from_arrays(column.offsets, column.values.dictionary_encode(), mask=column.is_null())
    else:
        column = pa.array(lists, of(words))
    check(column, lists)
    cut = data.draw(st.integers(0, len(lists)))
    check(pa.chunked_array([column[:cut], column[cut:]]), lists)
    check(column[cut:], lists[cut:]) if cut < len(lists) else None
    pq.write_table(pa.table({"basket": column}), tmp_path / "a.parquet")
    check(tmp_path / "a.parquet", lists, column="basket")
    check(pl.Series(lists, dtype=pl.List(pl.String)), lists)


@pytest.mark.usefixtures("_pieces")
@given(lists=st.lists(st.none() | st.lists(st.none() | st.integers(0, 12), max_size=7), min_size=1, max_size=12))
def test_arrow_columns_of_integers(tmp_path, lists):
    for kind in (pa.int8(), pa.uint16(), pa.int32(), pa.int64(), pa.uint64()):
        check(pa.array(lists, pa.list_(kind)), lists)
    pq.write_table(pa.table({"walk": pa.array(lists, pa.list_(pa.int32()))}), tmp_path / "a.parquet")
    check(tmp_path / "a.parquet", lists, column="walk")
    coded = pa.array(lists, pa.list_(pa.int64()))
    check(pa.ListArray.from_arrays(coded.offsets, coded.values.dictionary_encode(), mask=coded.is_null()), lists)


@pytest.mark.usefixtures("_pieces")
@given(
    lists=st.lists(st.none() | st.lists(st.none() | NUMBERS, min_size=2, max_size=2), min_size=1, max_size=9),
)
def test_lists_of_one_length(lists):
    column = pa.array(lists, pa.list_(pa.int64(), 2))
    check(column, lists)
    check(column[1:], lists[1:]) if len(lists) > 1 else None


@pytest.mark.parametrize("dtype", [np.int8, np.uint32, np.int64, np.uint64, ">i4"])
@pytest.mark.usefixtures("_pieces")
def test_integer_arrays(dtype):
    walks = np.random.default_rng(0).integers(0, 100, (50, 7)).astype(dtype)
    lists = walks.tolist()
    check(walks, lists)
    check(walks[::2, ::3], walks[::2, ::3].tolist())
    check(np.asfortranarray(walks), lists)
    check([row[: 1 + i % 7] for i, row in enumerate(walks)], [row[: 1 + i % 7] for i, row in enumerate(lists)])
    check([*walks, ["a", "b"], *walks], [*lists, ["a", "b"], *lists])


def test_integers_past_64_bits_keep_their_value():
    walks = np.array([[2**64 - 1, 1], [1, 2**63]], np.uint64)
    check(walks, walks.tolist())
    check([[2**64 - 1, 1], [1, 2**63]], walks.tolist())


def test_frames_hand_over_their_columns():
    lists = [["a", "b"], ["b", "c", "b"], []]
    check(pd.Series(lists), lists)
    check(pd.Series(lists, dtype=pd.ArrowDtype(pa.list_(pa.string()))), lists)
    check(pl.DataFrame({"basket": lists})["basket"], lists)
    check(pa.table({"basket": lists})["basket"], lists)
    for source in (pa.table({"basket": lists}), pl.DataFrame({"basket": lists}), pa.array(["a", "b"])):
        with pytest.raises(ArgumentError, match="source must be a column of lists; got one of (struct|string)"):
            read_corpus(source)


def test_parquet_files_must_agree(tmp_path):
    pq.write_table(pa.table({"t": [["a", "b"]]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"t": ["a b"]}), tmp_path / "b.parquet")
    with pytest.raises(CorpusError, match=r"b\.parquet: lists are expected as before; 't' holds string"):
        read_corpus([tmp_path / "a.parquet", tmp_path / "b.parquet"], column="t")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([["1", 1]], "'1': 1 and '1'"),
        ([[1.5, "1.5"]], "'1.5': 1.5 and '1.5'"),
        ([[(1,), 2], ["(1,)", "b"]], r"'\(1,\)': \(1,\) and '\(1,\)'"),
        ([[3, 4], *[["a", "b"]] * 2000, ["3"]], "'3': 3 and '3'"),
        ([["a", "b"], ["\ud800"]], "not valid text"),
        ([["a", "b"], ["b", {}]], "sequence 1 of the source: items must be hashable"),
        (pa.array([[["a"]], [["b"]]]), "sequence 0 of the source: items must be hashable"),
    ],
)
def test_what_is_no_item(source, message):
    with pytest.raises(ArgumentError, match=message):
        read_corpus(source, min_count=1)


def test_objects_with_one_label_that_differ():
    class Same:
        def __str__(self):
            return "same"

    with pytest.raises(ArgumentError, match="same label 'same'"):
        read_corpus([[Same(), Same()]])


def test_long_lists_come_in_steps():
    long = ["a", "b", "c", "d"] * (1 << 20)
    steps = read_corpus_steps([long, long])
    assert next(steps).tokens == 1 << 20
    with pytest.raises(KeyboardInterrupt):
        steps.throw(KeyboardInterrupt())
    gc.collect()
