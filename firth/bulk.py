"""The verbs in bulk: queries from files that may be larger than memory, answers to a table; step by step."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from firth._check import FileFormatError, ShapeError
from firth.atomic import atomic_write
from firth.formats.streams import ROWS, TABLES, read_batches, sliced, table_writer
from firth.results import Graph, Metric, Pairs
from firth.search import MOST_PAIRS, Index, neighbors_steps
from firth.space import Space
from firth.steps import Progress, staged

MOST_ANSWERS = 1 << 24  # in memory at once, where all within a score are wanted
GRAPHS = (*TABLES, ".npz")


class Written(NamedTuple):
    """How many queries were answered, and by how many rows."""

    queries: int
    answers: int


def open_space(path: str | Path) -> Space:
    """Open a space as `Space.open` does, or the vectors of a file without labels: row numbers stand for them."""
    if str(path).endswith(".space") or (stream := read_batches(path)).labelled:
        return Space.open(path)
    vectors = np.concatenate([batch.vectors for batch in stream.batches])
    return Space(map(str, range(len(vectors))), vectors)


def search_steps(
    space: Space,
    queries: str | Path | Iterable[str],
    out: str | Path,
    *,
    k: int = 10,
    score: float | None = None,
    radius: float | None = None,
    metric: Metric = "cosine",
    where: Any = None,
) -> Generator[Progress, None, Written]:
    """Find the k nearest labels of each query, or all within a score or a radius, and write them to a table.

    The table has a row for each answer: `query` (its label, or its row where the file has none), `rank` from 1, `label`, `row`,
    `score`. Queries are read and answers written batch by batch, so that memory does not grow with their number.

    Parameters
    ----------
    queries
        A file as `firth.formats.streams.read_batches` reads it, or labels of the space.
    out
        A .parquet, .arrow or .csv file; whole or not at all.
    k, score, radius, metric, where
        As in `Space.nearest` and `Space.within`.

    Raises
    ------
    ShapeError
        If the vectors of the file and of the space differ in width.
    FirthError
        As `Space.nearest`, `Space.within` and `read_batches` do.
    """
    if isinstance(queries, str | Path):
        stream, name = read_batches(queries), str(queries)
    else:
        labels = list(queries)
        stream, name = sliced(labels, space[labels]), "the labels"
    if stream.rows == 0:
        raise FileFormatError(f"{name}: no queries")
    mask = None if where is None else space.mask(where)
    best = score is None and radius is None
    size = ROWS if best else max(16, MOST_ANSWERS // len(space))
    done = answers = 0
    with table_writer(out, _schema(labelled=stream.labelled)) as write:
        for labels, vectors in stream.batches:
            if vectors.shape[1] != space.vectors.shape[1]:
                raise ShapeError(
                    f"{name}: vectors of {vectors.shape[1]} numbers; the space has {space.vectors.shape[1]}"
                )
            asked = np.arange(done, done + len(vectors)) if labels is None else np.array(labels, dtype=object)
            for first in range(0, len(vectors), size):
                part = slice(first, first + size)
                if best:
                    hits = space.nearest(vectors[part], k, metric=metric, where=mask)
                    counts = np.full(len(hits.rows), k)
                else:
                    hits = space.within(vectors[part], score, radius=radius, metric=metric, where=mask)
                    counts = np.diff(hits.starts)
                write(_table(asked[part], counts, hits.labels, hits.rows, hits.scores))
                done, answers = done + len(counts), answers + hits.rows.size
                yield Progress("searching", done, stream.rows)
    return Written(done, answers)


def graph_steps(
    space: Space, out: str | Path, k: int = 15, *, metric: Metric = "cosine"
) -> Generator[Progress, None, Written]:
    """Find the k nearest others of every row, and write them to a table as that of `search_steps`, or as a sparse matrix.

    Parameters
    ----------
    out
        A .parquet, .arrow or .csv file; or .npz, which `scipy.sparse.load_npz` reads: distances, as `Graph.csr` has them.
    k, metric
        As in `firth.neighbors`.

    Raises
    ------
    FirthError
        As `firth.neighbors` does.
    """
    n = len(space)
    graph: Graph = yield from staged(neighbors_steps(space.vectors, k, metric=metric), "neighbours", n)
    if Path(out).suffix.lower() == ".npz":
        _write_npz(graph, out)
        return Written(n, n * k)
    with table_writer(out, _schema(labelled=True)) as write:
        for first in range(0, n, ROWS):
            part = slice(first, first + ROWS)
            rows = graph.rows[part]
            counts = np.full(len(rows), k)
            write(_table(space.labels[part], counts, space.labels[rows], rows, graph.scores[part]))
            yield Progress("writing", min(first + ROWS, n), n)
    return Written(n, n * k)


def duplicates_steps(
    space: Space,
    score: float | None = None,
    *,
    radius: float | None = None,
    metric: Metric = "cosine",
    most: int = MOST_PAIRS,
) -> Generator[Progress, None, Pairs]:
    """Find pairs as `Space.duplicates` does, step by step."""
    steps = Index(space.vectors).duplicates_steps(score, radius=radius, metric=metric, most=most)
    return (yield from staged(steps, "duplicates", len(space)))


def write_pairs(space: Space, pairs: Pairs, groups: list[np.ndarray], out: str | Path) -> None:
    """Write pairs to a table: `group`, the number of the pair's group from 0, `label`, `other`, `row`, `other_row`, `score`."""
    import pyarrow as pa

    group = np.zeros(len(space), np.int64)
    for number, rows in enumerate(groups):
        group[rows] = number
    first, second = pairs.rows.T
    columns = {
        "group": group[first],
        "label": pa.array(space.labels[first], pa.string()),
        "other": pa.array(space.labels[second], pa.string()),
        "row": first,
        "other_row": second,
        "score": pairs.scores,
    }
    table = pa.table(columns)
    with table_writer(out, table.schema) as write:
        write(table)


def _schema(*, labelled: bool) -> Any:
    import pyarrow as pa

    query = pa.string() if labelled else pa.int64()
    return pa.schema(
        {"query": query, "rank": pa.int64(), "label": pa.string(), "row": pa.int64(), "score": pa.float64()}
    )


def _table(asked: np.ndarray, counts: np.ndarray, labels: np.ndarray, rows: np.ndarray, scores: np.ndarray) -> Any:
    """Answers in long form: `counts` of them belong to each query."""
    import pyarrow as pa

    ranks = np.arange(1, rows.size + 1) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = {
        "query": np.repeat(asked, counts),
        "rank": ranks,
        "label": labels.ravel(),
        "row": rows.ravel(),
        "score": scores.ravel(),
    }
    return pa.table(columns, schema=_schema(labelled=asked.dtype == object))


def _write_npz(graph: Graph, out: str | Path) -> None:
    matrix = graph.csr()
    from scipy.sparse import save_npz

    with atomic_write(out) as temporary, open(temporary, "wb") as file:
        save_npz(file, matrix, compressed=False)
