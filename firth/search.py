"""Exact search: for each query, the keys with the largest score, as float64 arithmetic has them.

Scores of blocks of queries with all keys are one float32 matrix product. Every key that the rounding errors of that
product could have put among the first k is scored again in float64; the bound is in `_slack`.
"""

from __future__ import annotations

from collections.abc import Generator
from math import sqrt
from typing import Any, Literal, NamedTuple

import numpy as np

from firth._check import ArgumentError, ShapeError, check_choice, check_int
from firth.steps import drain

Metric = Literal["dot", "cosine", "scaled", "euclidean"]
METRICS = ("dot", "cosine", "scaled", "euclidean")
BLOCK_SCORES = 1 << 24  # scores held at once: 64 MiB of float32
PAIR_NUMBERS = 1 << 22  # numbers gathered at once to score pairs again: 32 MiB of float64
GROUP = 64  # keys whose largest score stands for them when the threshold is sought
UNIT_ROUNDOFF = 2.0**-24  # of float32
SMALLEST = 2.0**-126  # below it float32 loses digits, or flushes to zero


class TopK(NamedTuple):
    """Scores, best first, and the rows of the keys they belong to: (q, k) each, or (k,) for one query."""

    scores: np.ndarray
    rows: np.ndarray


def top_k(queries: Any, keys: Any, k: int, *, metric: Metric = "dot") -> TopK:
    """Find, for each query, the k keys with the largest score.

    Exact: rows and their order are those of float64 arithmetic on the float32 vectors, ties to the lowest row.
    2 q n d operations as matrix products; never more than 64 MiB of scores at once.

    Parameters
    ----------
    queries : (q, d) or (d,)
    keys : (n, d)
    k
        How many to return, 1 <= k <= n.
    metric
        "dot"; "cosine" (0 where a vector is zero); "scaled": dot / sqrt(d); "euclidean": minus the distance, so that
        larger is nearer as in the others.

    Raises
    ------
    ShapeError
        If queries and keys disagree on d.
    ArgumentError
        If k is out of range, the metric unknown, or a number is NaN or infinite.

    Examples
    --------
    >>> top_k([1.0, 0.0], [[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]], k=2)
    TopK(scores=array([2., 1.]), rows=array([1, 2]))
    """
    check_choice("metric", metric, METRICS)
    keys = as_vectors("keys", keys)
    given = np.asarray(queries)
    queries = as_vectors("queries", given[None] if given.ndim == 1 else given, keep_float64=True)
    if queries.shape[1] != keys.shape[1]:
        raise ShapeError(f"queries and keys must agree on d; got {given.shape} and {keys.shape}")
    k = check_int("k", k, 1, len(keys), meaning="the number of keys")
    scores, rows = drain(_search(queries, keys, k, metric, key_norms(keys)))
    return TopK(scores[0], rows[0]) if given.ndim == 1 else TopK(scores, rows)


def neighbors(vectors: Any, k: int, *, metric: Metric = "cosine") -> TopK:
    """Find, for each row, the k other rows with the largest score: the exact k-nearest-neighbour graph.

    Exact as `top_k` is. 2 n^2 d operations; the scores of all pairs are never held at once.

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
    >>> neighbors([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], k=1).rows.tolist()
    [[1], [0], [1]]
    """
    return drain(neighbors_steps(vectors, k, metric=metric))


def neighbors_steps(vectors: Any, k: int, *, metric: Metric = "cosine") -> Generator[int, None, TopK]:
    """Find neighbours as `neighbors` does, step by step: yields the number of rows done."""
    check_choice("metric", metric, METRICS)
    vectors = as_vectors("vectors", vectors)
    k = check_int("k", k, 1, len(vectors) - 1, meaning="the number of other rows")
    scores, rows = yield from _search(vectors, vectors, k + 1, metric, key_norms(vectors))
    # The row itself goes out; where ties or a zero norm pushed it out already, the last one does.
    own = rows == np.arange(len(rows))[:, None]
    own[~own.any(axis=1), -1] = True
    return TopK(scores[~own].reshape(-1, k), rows[~own].reshape(-1, k))


def as_vectors(name: str, array: Any, *, keep_float64: bool = False) -> np.ndarray:
    """Return `array` as finite vectors (n, d) of float32, or float64 if they come so and that is wanted."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise ArgumentError(f"{name} must be numbers; got an array of {array.dtype}")
    if array.ndim != 2 or array.shape[1] == 0:
        raise ShapeError(f"{name} must have the shape (n, d), d at least 1; got {array.shape}")
    wide = keep_float64 and array.dtype.itemsize > 4
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array, dtype=np.float64 if wide else np.float32)
    # A sum is finite only if all of it is, unless it overflows; only then look at each number.
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = not np.isfinite(numbers.sum())
    if suspect and not (good := np.isfinite(numbers)).all():
        row, column = np.argwhere(~good)[0].tolist()
        raise ArgumentError(f"{name} must be finite; row {row}, dimension {column} is {array[row, column]}")
    return numbers


def key_norms(keys: np.ndarray) -> np.ndarray:
    """Euclidean norms in float64, each rounded a few times: (n,)."""
    return np.sqrt(np.einsum("ij,ij->i", keys, keys, dtype=np.float64))


def _search(
    queries: np.ndarray, keys: np.ndarray, k: int, metric: Metric, norms: np.ndarray
) -> Generator[int, None, TopK]:
    """Search in blocks of queries; `norms` are those of the keys."""
    scores, rows = np.empty((len(queries), k)), np.empty((len(queries), k), np.int64)
    step = max(1, BLOCK_SCORES // len(keys))
    for start in range(0, len(queries), step):
        block = queries[start : start + step].astype(np.float64)
        # Outside [start, start + step) nothing is touched: each block is a search of its own.
        scores[start : start + step], rows[start : start + step] = _search_block(block, keys, k, metric, norms)
        yield min(start + step, len(queries))
    return TopK(scores, rows)


def _search_block(
    queries: np.ndarray, keys: np.ndarray, k: int, metric: Metric, norms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    approximate, slack = _approximate(queries, keys, metric, norms)
    if slack is None:  # float32 overflowed: no bound holds, so every key is scored in float64
        which, candidates = np.divmod(np.arange(len(queries) * len(keys)), len(keys))
    else:
        # At least k keys score this or more: the k-th largest of the largest scores of groups of keys.
        threshold = _kth_of_groups(approximate, k)
        which, candidates = np.nonzero(approximate >= (threshold - 2 * slack)[:, None])
    del approximate
    exact = _pair_scores(queries, keys, which, candidates, metric)
    order = np.lexsort((candidates, -exact, which))
    first = np.searchsorted(which[order], np.arange(len(queries)))  # where each query's candidates begin
    best = order[first[:, None] + np.arange(k)]
    return exact[best], candidates[best]


def _approximate(
    queries: np.ndarray, keys: np.ndarray, metric: Metric, norms: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scores in float32 in an order that is the metric's for each query, and how far each query's may be off."""
    d = keys.shape[1]
    query_norms = np.sqrt((queries * queries).sum(axis=1))
    longest = float(norms.max())
    # d products and d - 1 sums in any order: |error| <= gamma_d |q| |x| with gamma_d = d u / (1 - d u) (Higham 2002, 3.1);
    # 4 u more for the query's own rounding to float32 and for the scaling below; twice that for the norms' rounding.
    gamma = 2 * (d + 4) * UNIT_ROUNDOFF / (1 - min(0.5, d * UNIT_ROUNDOFF))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if metric == "cosine":
            safe = np.where(query_norms > 0, query_norms, 1.0)
            scores = (queries / safe[:, None]).astype(np.float32) @ keys.T
            inverse = np.where(norms > 0, 1 / np.where(norms > 0, norms, 1.0), 0.0)
            scores *= inverse.astype(np.float32)
            # What float32 flushes to zero in the product, seen through the scaling.
            slack = np.full(len(queries), gamma + d * SMALLEST * float(inverse.max()))
        else:
            scores = queries.astype(np.float32) @ keys.T
            slack = gamma * query_norms * longest + d * SMALLEST * (1 + query_norms + longest)
            if metric == "euclidean":  # the larger q.x - |x|^2 / 2, the nearer
                scores -= (0.5 * norms * norms).astype(np.float32)
                slack = slack + gamma * longest * longest
        bounded = np.isfinite(slack).all() and np.isfinite(scores.sum())
    return scores, slack if bounded else None


def _kth_of_groups(scores: np.ndarray, k: int) -> np.ndarray:
    """A lower bound of the k-th largest score of each row, close to it where k is small beside n."""
    n = scores.shape[1]
    if n // GROUP < 4 * k:
        return np.partition(scores, n - k, axis=1)[:, n - k].astype(np.float64)
    # Groups of keys that lie n / GROUP apart; the few keys left over may only raise the bound, so they are left out.
    groups = n // GROUP
    largest = scores[:, : groups * GROUP].reshape(len(scores), GROUP, groups).max(axis=1)
    return np.partition(largest, groups - k, axis=1)[:, groups - k].astype(np.float64)


def _pair_scores(
    queries: np.ndarray, keys: np.ndarray, which: np.ndarray, candidates: np.ndarray, metric: Metric
) -> np.ndarray:
    """The score of each pair in float64, the same whatever else is scored with it: a pairwise sum over d."""
    scores = np.empty(len(which))
    step = max(1, PAIR_NUMBERS // keys.shape[1])
    for start in range(0, len(which), step):
        q = queries[which[start : start + step]]
        x = keys[candidates[start : start + step]].astype(np.float64)
        if metric == "euclidean":
            score = -np.sqrt(((q - x) ** 2).sum(axis=1))
        else:
            score = (q * x).sum(axis=1)
            if metric == "scaled":
                score /= sqrt(keys.shape[1])
            elif metric == "cosine":
                size = np.sqrt((q * q).sum(axis=1)) * np.sqrt((x * x).sum(axis=1))
                score = np.divide(score, size, out=np.zeros_like(score), where=size > 0)
        scores[start : start + step] = score
    return scores
