"""firth.bulk: the verbs from files to tables."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import scipy.sparse

import firth
import firth.bulk
import firth.formats.streams
from firth import cli
from firth._check import ArgumentError, ExpressionError, FileFormatError, LabelError, ShapeError
from firth.bulk import duplicates_steps, graph_steps, open_space, search_steps, write_pairs
from firth.formats.streams import Batch, Stream
from firth.steps import drain

N, D = 60, 4


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(firth.formats.streams, "ROWS", 16)
    monkeypatch.setattr(firth.bulk, "ROWS", 16)


@pytest.fixture(scope="module")
def space():
    vectors = np.random.default_rng(0).standard_normal((N, D))
    return firth.Space([f"w{row}" for row in range(N)], vectors, columns={"count": np.arange(N)})


@pytest.fixture
def queries(tmp_path):
    queries = np.random.default_rng(1).standard_normal((41, D)).astype(np.float32)
    np.save(tmp_path / "q.npy", queries)
    return queries


def test_the_command_knows_the_same_suffixes():
    assert cli.TABLES == firth.formats.streams.TABLES
    assert cli.GRAPHS == firth.bulk.GRAPHS


def test_rows_without_labels_are_called_by_their_numbers(space, queries, tmp_path):
    found = open_space(tmp_path / "q.npy")
    assert found.labels.tolist() == [str(row) for row in range(41)]
    np.testing.assert_array_equal(found.vectors, queries)
    for name in ("s.space", "s.arrow"):
        space.save(tmp_path / name)
        assert open_space(tmp_path / name).labels.tolist() == space.labels.tolist()


def long_form(asked, hits):
    """Rows of the table, of labels, scores and rows for each query."""
    return [
        (query, rank, label, row, score)
        for query, *found in zip(asked, hits.labels, hits.rows, hits.scores, strict=True)
        for rank, (label, row, score) in enumerate(zip(*(part.tolist() for part in found), strict=True), 1)
    ]


def test_the_k_best_of_each_query(space, queries, tmp_path):
    steps = list(search_steps(space, tmp_path / "q.npy", tmp_path / "out.parquet", k=3))
    assert [(step.stage, step.done, step.total) for step in steps] == [("searching", done, 41) for done in (16, 32, 41)]
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found.columns == ["query", "rank", "label", "row", "score"]
    assert found.rows() == long_form(range(41), space.nearest(queries, 3))


def test_filters_and_metrics_apply(space, queries, tmp_path):
    given = dict(metric="euclidean", where="count < 20")
    drain(search_steps(space, tmp_path / "q.npy", tmp_path / "out.arrow", k=3, **given))
    found = pl.read_ipc(tmp_path / "out.arrow")
    assert found.rows() == long_form(range(41), space.nearest(queries, 3, **given))


@pytest.mark.parametrize("given", [dict(score=0.7), dict(radius=1.2, metric="euclidean"), dict(score=2.0)])
def test_all_within_a_score_or_a_radius(space, queries, tmp_path, given, monkeypatch):
    monkeypatch.setattr(firth.bulk, "MOST_ANSWERS", 3 * N)
    written = drain(search_steps(space, tmp_path / "q.npy", tmp_path / "out.parquet", **given))
    found = pl.read_parquet(tmp_path / "out.parquet")
    plain = space.within(queries, **given)
    assert written == (41, len(plain.rows))
    assert found["query"].to_list() == np.repeat(np.arange(41), np.diff(plain.starts)).tolist()
    assert found["label"].to_list() == plain.labels.tolist()
    assert found["score"].to_list() == plain.scores.tolist()
    ranks = [rank for count in np.diff(plain.starts) for rank in range(1, count + 1)]
    assert found["rank"].to_list() == ranks


def test_labels_ask_and_stand_in_the_table(space, tmp_path):
    labels = ["w7", "w3", "w7"]
    drain(search_steps(space, labels, tmp_path / "out.csv", k=2))
    found = pl.read_csv(tmp_path / "out.csv")
    assert found["query"].to_list() == ["w7", "w7", "w3", "w3", "w7", "w7"]
    assert found["label"].to_list() == space.nearest(labels, 2).labels.ravel().tolist()
    space.save(tmp_path / "q.space")
    drain(search_steps(space, tmp_path / "q.space", tmp_path / "out.csv", k=1))
    found = pl.read_csv(tmp_path / "out.csv")
    assert found["query"].to_list() == found["label"].to_list() == space.labels.tolist()


def test_a_batch_is_read_when_the_one_before_is_written(space, tmp_path, monkeypatch):
    read = []

    def batches():
        for number in range(1000):
            read.append(number)
            yield Batch(None, np.ones((16, D), np.float32))

    monkeypatch.setattr(firth.bulk, "read_batches", lambda path: Stream(16_000, False, batches()))
    steps = search_steps(space, "endless", tmp_path / "out.parquet", k=1)
    for number in range(5):
        next(steps)
        assert len(read) == number + 1
    steps.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("queries", "given", "error", "message"),
    [
        (np.ones((3, D + 1)), {}, ShapeError, r"q.npy: vectors of 5 numbers; the space has 4"),
        (np.full((3, D), np.nan), {}, FileFormatError, "q.npy, row 0: finite"),
        (np.ones((3, D)), dict(k=N + 1), ArgumentError, r"k must be in 1..60"),
        (np.ones((3, D)), dict(score=1, radius=1), ArgumentError, "give either score or radius"),
        (np.ones((3, D)), dict(where="cuont > 5"), ExpressionError, "there is no column 'cuont'"),
        (["w1", "v1"], {}, LabelError, "'v1' is not in the space"),
        ([], {}, FileFormatError, "no queries"),
    ],
)
def test_errors_leave_nothing_behind(space, tmp_path, queries, given, error, message):
    if not isinstance(queries, list):
        np.save(tmp_path / "q.npy", queries)
        queries = tmp_path / "q.npy"
    with pytest.raises(error, match=message):
        drain(search_steps(space, queries, tmp_path / "out.parquet", **given))
    assert [path.name for path in tmp_path.iterdir()] in ([], ["q.npy"])


def test_the_graph_as_a_table_and_as_a_matrix(space, tmp_path):
    steps = list(graph_steps(space, tmp_path / "g.parquet", 3))
    assert {step.stage for step in steps} == {"neighbours", "writing"}
    graph = space.neighbors(3)
    found = pl.read_parquet(tmp_path / "g.parquet")
    assert found["query"].to_list() == np.repeat(space.labels, 3).tolist()
    assert found["row"].to_list() == graph.rows.ravel().tolist()
    assert found["label"].to_list() == space.labels[graph.rows].ravel().tolist()
    assert found["score"].to_list() == graph.scores.ravel().tolist()
    drain(graph_steps(space, tmp_path / "g.npz", 3, metric="euclidean"))
    matrix = scipy.sparse.load_npz(tmp_path / "g.npz")
    assert (matrix != space.neighbors(3, metric="euclidean").csr()).nnz == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.npz", "g.parquet"]


def test_pairs_as_a_table(space, tmp_path):
    pairs = drain(duplicates_steps(space, 0.9))
    groups = pairs.groups()
    write_pairs(space, pairs, groups, tmp_path / "pairs.parquet")
    found = pl.read_parquet(tmp_path / "pairs.parquet")
    assert found.columns == ["group", "label", "other", "row", "other_row", "score"]
    assert found["label"].to_list() == space.labels[pairs.rows[:, 0]].tolist()
    assert found["other"].to_list() == space.labels[pairs.rows[:, 1]].tolist()
    for group, row, other in found.select("group", "row", "other_row").rows():
        assert {row, other} <= set(groups[group].tolist())
