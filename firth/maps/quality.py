"""How far a map can be trusted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np

from firth._check import available_threads
from firth.ranks import spearman
from firth.results import Metric
from firth.search import neighbors

TRUST_K = 15
SAMPLE = 1_000  # points that are asked about their neighbours when there are more
PAIRS = 50_000  # whose distances are ranked
BLOCK_SCORES = 1 << 22
RUN = 64  # distances of which the least is taken first


class Quality(NamedTuple):
    """What is kept of neighbours and distances; None where there are too few points.

    Attributes
    ----------
    trustworthiness
        1 where all neighbours in the map are neighbours in the space too; near 0.5 is chance.
    continuity
        1 where all neighbours in the space are neighbours in the map too.
    neighbours_kept
        The share of the true k nearest neighbours that are among the k nearest of the map.
    distance_correlation
        Spearman's, of distances between points far and near: what is kept of the whole.
    """

    trustworthiness: float | None
    continuity: float | None
    neighbours_kept: float | None
    distance_correlation: float | None


def measure(
    vectors: np.ndarray,
    points: np.ndarray,
    *,
    k: int = TRUST_K,
    metric: Metric = "cosine",
    sample: int = SAMPLE,
    seed: int = 0,
) -> Quality:
    """Compare neighbours and distances in a map with those in the space.

    Points that the map puts among the k nearest of a point, though they are not in the space, are penalised by how far
    down they rank there (trustworthiness), and the other way round (continuity; Venna and Kaski 2001). Exact for up to
    `sample` points; else measured on a random sample of them, against all. 2 d + dims operations for each of sample x n
    pairs. Distances are those of a random sample of pairs.

    Parameters
    ----------
    vectors : (n, d)
    points : (n, dims)

    Examples
    --------
    >>> line = np.arange(50.0)[:, None]
    >>> measure(line, line, k=5, metric="euclidean").trustworthiness
    1.0
    """
    n = len(vectors)
    if n <= 2 * k:
        return Quality(None, None, None, None)
    rng = np.random.default_rng(seed)
    asked = np.arange(n) if n <= sample else np.sort(rng.choice(n, sample, replace=False))
    vectors, points = _prepared(vectors, metric), points.astype(np.float64)
    squares = [
        (rows * rows).sum(axis=1) / 2 if by == "euclidean" else None
        for rows, by in ((points, "euclidean"), (vectors, metric))
    ]
    false = lost = kept = 0
    step = max(1, BLOCK_SCORES // n)
    with ThreadPoolExecutor(available_threads()) as pool:
        for begin in range(0, len(asked), step):
            rows = asked[begin : begin + step]
            near, far = _apart(points[rows], points, squares[0]), _apart(vectors[rows], vectors, squares[1])
            for counts in pool.map(partial(_compared, k), rows, near, far):
                false, lost, kept = false + counts[0], lost + counts[1], kept + counts[2]
    most = len(asked) * k * (2 * n - 3 * k - 1) / 2
    a, b = rng.integers(0, n, (2, PAIRS))
    apart = _pairs_apart(vectors[a], vectors[b], metric), _pairs_apart(points[a], points[b], "euclidean")
    correlation = spearman(*(distances[a != b] for distances in apart))
    return Quality(1 - false / most, 1 - lost / most, kept / (len(asked) * k), correlation)


def trust(vectors: np.ndarray, points: np.ndarray, *, k: int = TRUST_K, metric: Metric = "cosine") -> np.ndarray:
    """Of each point, the share of its k true nearest neighbours (fewer where points are few) among those on the map: (n,)."""
    k = min(k, len(points) - 1)
    true = neighbors(vectors, k, metric=metric).rows
    mapped = neighbors(points, k, metric="euclidean").rows
    return (true[:, :, None] == mapped[:, None, :]).any(axis=2).mean(axis=1)


def _compared(k: int, row: int, in_map: np.ndarray, in_space: np.ndarray) -> tuple[int, int, int]:
    """Of a row, given its distances to all: the ranks of false and of lost neighbours beyond k, summed; how many are kept."""
    in_map[row] = in_space[row] = np.inf
    mapped, true = _least(in_map, k), _least(in_space, k)
    kept = len(np.intersect1d(mapped, true, assume_unique=True))
    return _beyond(in_space, mapped, k), _beyond(in_map, true, k), kept


def _least(distances: np.ndarray, k: int) -> np.ndarray:
    """The numbers of the k least: they are no more than the k-th least of the minima of some runs."""
    runs = len(distances) // RUN
    if runs < k:
        return np.argpartition(distances, k)[:k]
    minima = distances[: runs * RUN].reshape(RUN, runs).min(axis=0)
    few = np.flatnonzero(distances <= np.partition(minima, k - 1)[k - 1])
    return few[np.argpartition(distances[few], k - 1)[:k]]


def _beyond(distances: np.ndarray, chosen: np.ndarray, k: int) -> int:
    """By how many ranks the chosen ones are beyond the k nearest, 1 being that of the nearest."""
    chosen = distances[chosen]
    nearer = distances.take(np.flatnonzero(distances < chosen.max()))
    return sum(max(0, int(np.count_nonzero(nearer < distance)) + 1 - k) for distance in chosen)


def _prepared(vectors: np.ndarray, metric: Metric) -> np.ndarray:
    vectors = vectors.astype(np.float64)
    if metric != "cosine":
        return vectors
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def _apart(some: np.ndarray, every: np.ndarray, halves: np.ndarray | None) -> np.ndarray:
    """Anything that grows with the distance: (q, n). With half their squares it is the Euclidean one."""
    products = some @ every.T
    return np.negative(products, out=products) if halves is None else np.subtract(halves, products, out=products)


def _pairs_apart(some: np.ndarray, others: np.ndarray, metric: Metric) -> np.ndarray:
    """Anything that grows with the distance: (m,)."""
    return ((some - others) ** 2).sum(axis=1) if metric == "euclidean" else -(some * others).sum(axis=1)
