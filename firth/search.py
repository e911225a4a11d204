"""Exact search: for each query the keys with the largest score, as float64 arithmetic has them.

The core compares codes of eight bits, and scores in float64 whatever their bound cannot rule out: docs/explanation/exactness.md.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from functools import partial
from math import inf
from typing import Any, NamedTuple

import numpy as np

from firth import _core
from firth._check import ArgumentError, ShapeError, available_threads, check_choice, check_int, check_number
from firth.arrays import as_array, as_mask, as_vectors
from firth.directions import by_likeness, leading_directions, turned, with_head
from firth.results import METRICS, Graph, Matches, Metric, Pairs, TopK
from firth.steps import drain

CODED_FROM = 8  # queries: scoring all keys for fewer costs less than turning the keys into codes
TRIED_FROM = 1.5e9  # pairs of a query and a key: to compare their codes takes ten times as long as to try directions
ORDERED_FROM = 1.5e11  # products of numbers in a graph, n^2 d: an order and directions are worth their time, measured
STEP_S = 0.3  # about so long a step takes; Ctrl-C is heard within it
GRAPH_STEP_S = 2.0  # of a graph, whose threads wait for each other at its end; the core hears Ctrl-C before
FEWEST = 64  # rows in a step
MOST_PAIRS = 20_000_000  # more duplicates are taken for a score that is too low
FIRST_STEP = 10**10  # multiplications in the first, before anything is known of their speed


class Statistics(NamedTuple):
    """What searches did, in pairs of a query and a key.

    Attributes
    ----------
    scanned
        Compared by their codes.
    candidates
        Those whose codes could not rule the key out when it was met.
    rescored
        Scored in float64. Many more than the answers: the codes tell little of these vectors, which costs time.
    """

    scanned: int
    candidates: int
    rescored: int


class Index:
    """Keys that are asked again and again: what is prepared for the first queries serves the later ones.

    The first 8 queries are scored with all keys as they are. Then the keys are turned into codes, d + 8 bytes a key, at
    several GB a second. When much is asked, it is tried on a sample whether codes along fewer directions serve as well, as they
    do for images. All methods are exact, as `top_k` is, for every metric.

    Parameters
    ----------
    keys : (n, d)
        Kept, not copied, where they are float32 and contiguous already: do not change them.
    threads
        How many threads search; by default one for each core this process may use. The answers do not depend on it.

    Raises
    ------
    ArgumentError
        If a number is NaN or infinite.

    Examples
    --------
    >>> index = Index([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
    >>> index.top_k([1.0, 0.0], k=2).rows
    array([1, 2])
    >>> index.top_k([1.0, 0.0], k=1, where=[True, False, True]).rows
    array([2])
    """

    __slots__ = ("_asked", "_core", "_directions", "_keys", "_shortened", "_threads", "_tried")

    def __init__(self, keys: Any, *, threads: int | None = None) -> None:
        self._keys = as_vectors("keys", keys)
        self._threads = available_threads() if threads is None else check_int("threads", threads, 1, 4_096)
        self._core = _core.Index(self._keys)
        self._asked = 0
        self._tried, self._directions = False, None  # leading ones
        self._shortened = False  # the core's codes, if that helps

    def __len__(self) -> int:
        return len(self._keys)

    def __reduce__(self) -> tuple[Any, ...]:  # a copy and a pickle hold the keys alone
        return partial(Index, threads=self._threads), (self._keys,)

    def top_k(self, queries: Any, k: int, *, metric: Metric = "dot", where: Any = None) -> TopK:
        """Find, for each query, the k keys with the largest score: see `firth.top_k`."""
        block, alone = self._block(queries)
        check_choice("metric", metric, METRICS)
        mask, allowed = self._where(where)
        k = check_int(
            "k", k, 1, allowed, meaning="the number of keys" if mask is None else "the number of keys allowed"
        )
        self._prepare(len(block))
        scores, rows = self._core.top_k(block, k, metric, self._threads, mask)
        return TopK(scores[0], rows[0]) if alone else TopK(scores, rows)

    def within(
        self,
        queries: Any,
        score: float | None = None,
        *,
        radius: float | None = None,
        metric: Metric = "dot",
        where: Any = None,
    ) -> Matches:
        """Find, for each query, all keys with this score or a larger one: see `firth.within`."""
        block, _ = self._block(queries)
        least = _least(score, radius, metric)
        mask, _ = self._where(where)
        self._prepare(len(block))
        ends, scores, rows = self._core.within(block, least, metric, self._threads, mask)
        starts = np.zeros(len(block) + 1, np.int64)
        starts[1 : len(ends) + 1] = ends  # where there are no keys, no ends come
        return Matches(scores, rows, starts)

    def neighbors_steps(self, k: int, *, metric: Metric = "cosine") -> Generator[int, None, Graph]:
        """Find, for each key, the k other keys with the largest score, step by step: yields the number of keys done."""
        check_choice("metric", metric, METRICS)
        n = len(self)
        k = check_int("k", k, 1, n - 1, meaning="the number of other rows")
        if n * self._keys.size < ORDERED_FROM:
            self._prepare(n)
            graph = _core.Graph(self._core, k, metric, self._threads)
        else:
            directions = self._leading()
            order = by_likeness(self._keys, directions, self._threads)
            directions, head = (None, []) if directions is None else with_head(directions, self._keys)
            graph = _core.Graph(self._core, k, metric, self._threads, order, directions, head)
        pairs, done = FIRST_STEP // self._keys.shape[1], 0.0
        while done < 1.0:
            began = time.perf_counter()
            done = graph.step(pairs, self._threads)
            pairs = _next_size(pairs, began, GRAPH_STEP_S)
            yield int(n * done)
        return Graph(*graph.finish(), metric)

    def duplicates_steps(
        self,
        score: float | None = None,
        *,
        radius: float | None = None,
        metric: Metric = "cosine",
        most: int = MOST_PAIRS,
    ) -> Generator[int, None, Pairs]:
        """Find all pairs of keys with this score or a larger one, step by step: yields the number of keys done."""
        least, n = _least(score, radius, metric), len(self)
        check_int("most", most, 0)
        self._prepare(n)
        count = 0
        scores, firsts, seconds = [np.empty(0)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for part in _parts(n, self._keys.size, first=FEWEST):  # too many pairs are noticed before they fill the memory
            ends, found, rows = self._core.within(self._keys[part], least, metric, self._threads, None, part.start)
            count += len(found)
            if count > most:
                raise ArgumentError(
                    f"more than {most:,} pairs, among the first {part.stop:,} of {n:,} rows: raise the score (lower the"
                    " radius), or the limit (most)"
                )
            scores.append(found)
            firsts.append(np.repeat(np.arange(part.start, part.stop), np.diff(ends, prepend=0)))
            seconds.append(rows)
            yield part.stop
        return Pairs(np.concatenate(scores), np.stack([np.concatenate(firsts), np.concatenate(seconds)], axis=1))

    @property
    def statistics(self) -> Statistics:
        """What all searches of this index did so far."""
        return Statistics(*self._core.statistics())

    @property
    def code_bytes(self) -> int:
        """What the codes take in memory; 0 before there are any."""
        return self._core.code_bytes()

    def _block(self, queries: Any) -> tuple[np.ndarray, bool]:
        """Queries as (q, d), and whether they were one (d,)."""
        given = as_array("queries", queries)
        block = as_vectors("queries", given[None] if given.ndim == 1 else given, keep_float64=True)
        if block.shape[1] != self._keys.shape[1]:
            raise ShapeError(f"queries and keys must agree on d; got {given.shape} and {self._keys.shape}")
        return block, given.ndim == 1

    def _where(self, where: Any) -> tuple[np.ndarray | None, int]:
        """The mask, and how many keys it allows."""
        if where is None:
            return None, len(self)
        mask = as_mask("where", where, len(self))
        return mask, int(np.count_nonzero(mask))

    def _prepare(self, queries: int) -> None:
        self._asked += queries
        if self._asked * len(self) >= TRIED_FROM:
            if not self._shortened:
                self._shortened = True
                directions = self._leading()
                self._core.build(self._threads, None if directions is None else turned(directions))
        elif self._asked > CODED_FROM:
            self._core.build(self._threads)

    def _leading(self) -> np.ndarray | None:
        if not self._tried:
            self._tried, self._directions = True, leading_directions(self._keys)
        return self._directions


def top_k(queries: Any, keys: Any, k: int, *, metric: Metric = "dot", where: Any = None) -> TopK:
    """Find, for each query, the k keys with the largest score.

    Exact: rows and their order are those of float64 arithmetic on the float32 vectors, ties to the lowest row. Scores are
    summed as numpy sums. 2 q n d operations, most of them on codes of eight bits; with all cores where that pays.

    Parameters
    ----------
    queries : (q, d) or (d,)
    keys : (n, d)
        To ask the same keys again, keep an `Index` of them.
    k
        How many to return, 1 <= k <= n.
    metric
        "dot"; "cosine" (0 where a vector is zero); "scaled": dot / sqrt(d); "euclidean": minus the distance, so that
        larger is nearer as in the others.
    where : (n,)
        Booleans: which keys may be answers; by default all.

    Raises
    ------
    ShapeError
        If queries and keys disagree on d, or where and keys on n.
    ArgumentError
        If k is out of range, the metric unknown, or a number is NaN or infinite.

    Examples
    --------
    >>> top_k([1.0, 0.0], [[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]], k=2)
    TopK(scores=array([2., 1.]), rows=array([1, 2]))
    """
    check_choice("metric", metric, METRICS)
    return Index(keys).top_k(queries, k, metric=metric, where=where)


def within(
    queries: Any,
    keys: Any,
    score: float | None = None,
    *,
    radius: float | None = None,
    metric: Metric = "dot",
    where: Any = None,
) -> Matches:
    """Find, for each query, all keys with this score or a larger one, or all within a radius.

    Exact as `top_k` is. 2 q n d operations, and 16 bytes for each match.

    Parameters
    ----------
    queries, keys, metric, where
        As in `top_k`.
    score
        The least that a match may have.
    radius
        Instead of a score, with the metric "euclidean" only: the largest distance; the same as score=-radius.

    Raises
    ------
    ShapeError, ArgumentError
        As in `top_k`; if not exactly one of score and radius is given, or it is NaN.

    Examples
    --------
    >>> keys = [[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]]
    >>> within([1.0, 0.0], keys, score=0.5).rows
    array([1, 2])
    >>> within([[1.0, 0.0], [0.0, 0.0]], keys, radius=1.0, metric="euclidean")
    Matches(scores=array([-1., -1., -1.]), rows=array([1, 2, 0]), starts=array([0, 2, 3]))
    """
    least = _least(score, radius, metric)
    return Index(keys).within(queries, least, metric=metric, where=where)


def neighbors(vectors: Any, k: int, *, metric: Metric = "cosine") -> Graph:
    """Find, for each row, the k other rows with the largest score: the exact k-nearest-neighbour graph.

    Exact as `top_k` is. n^2 d operations, for a score serves both its rows; the scores of all pairs are never held at once.

    Parameters
    ----------
    vectors : (n, d)
    k
        How many to return, 1 <= k <= n - 1.
    metric
        As in `top_k`.

    Raises
    ------
    ArgumentError
        As in `top_k`.

    Examples
    --------
    >>> graph = neighbors([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], k=1)
    >>> graph.rows.tolist()
    [[1], [0], [1]]
    >>> graph.csr().shape  # for scipy and scikit-learn
    (3, 3)
    """
    return drain(neighbors_steps(vectors, k, metric=metric))


def neighbors_steps(vectors: Any, k: int, *, metric: Metric = "cosine") -> Generator[int, None, Graph]:
    """Find neighbours as `neighbors` does, step by step: yields the number of rows done."""
    check_choice("metric", metric, METRICS)
    return (yield from Index(as_vectors("vectors", vectors)).neighbors_steps(k, metric=metric))


def duplicates(
    vectors: Any,
    score: float | None = None,
    *,
    radius: float | None = None,
    metric: Metric = "cosine",
    most: int = MOST_PAIRS,
) -> Pairs:
    """Find all pairs of rows with this score or a larger one, or all within a radius of each other.

    Exact as `top_k` is. n^2 d operations, and 24 bytes for each pair.

    Parameters
    ----------
    vectors : (n, d)
    score
        The least that a pair may have: 1 finds what points the same way up to rounding only by chance, 0.9999 surely.
    radius
        Instead of a score, with the metric "euclidean" only: the largest distance.
    metric
        As in `top_k`.
    most
        How many pairs there may be: a score that is too low finds nearly all n^2 / 2, more than memory holds.

    Raises
    ------
    ArgumentError
        As in `within`; if there are more pairs than `most`.

    Examples
    --------
    >>> pairs = duplicates([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 3.0]], score=0.9999)
    >>> pairs
    Pairs(scores=array([1., 1.]), rows=array([[0, 2],
           [1, 3]]))
    >>> pairs.groups()
    [array([0, 2]), array([1, 3])]
    """
    least = _least(score, radius, metric)
    return drain(Index(as_vectors("vectors", vectors)).duplicates_steps(least, metric=metric, most=most))


def _least(score: float | None, radius: float | None, metric: Metric) -> float:
    """The least score that counts."""
    check_choice("metric", metric, METRICS)
    if score is not None and radius is None:
        return check_number("score", score, -inf, inf)
    if radius is None or score is not None:
        raise ArgumentError(f"give either score or radius; got {'neither' if radius is None else 'both'}")
    if metric != "euclidean":
        raise ArgumentError(f"radius needs metric='euclidean'; the metric is {metric!r}: give a score")
    return -check_number("radius", radius, 0.0, inf)


def _parts(rows: int, multiplications: int, first: int | None = None) -> Iterator[slice]:
    """Cut rows into parts that take about STEP_S each; `multiplications` are those of one row."""
    start, size = 0, first or max(FEWEST, FIRST_STEP // multiplications)
    while start < rows:
        began, stop = time.perf_counter(), min(start + size, rows)
        yield slice(start, stop)
        start = stop
        size = _next_size(size, began)


def _next_size(size: int, began: float, step_s: float = STEP_S) -> int:
    """The size of a step, after one of this size, that takes about so long."""
    return max(FEWEST, int(size * min(4.0, max(0.25, step_s / max(time.perf_counter() - began, 1e-6)))))
