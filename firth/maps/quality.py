"""How far a map can be trusted."""

from __future__ import annotations

import numpy as np

from firth.results import Metric

TRUST_K = 15
SAMPLE = 1_000  # points that are asked about their neighbours when there are more
BLOCK_SCORES = 1 << 23


def trustworthiness(
    vectors: np.ndarray,
    points: np.ndarray,
    *,
    k: int = TRUST_K,
    metric: Metric = "cosine",
    sample: int = SAMPLE,
    seed: int = 0,
) -> float | None:
    """Share, about, of neighbours in the map that are neighbours in the space too: 1 is best, near 0.5 is chance.

    Points that the map puts among the k nearest of a point, though they are not in the space, are penalised by how far
    down they rank there (Venna and Kaski 2001). Exact for up to `sample` points; else measured on a random sample of
    them, against all. 2 d + dims operations for each of sample x n pairs.

    Parameters
    ----------
    vectors : (n, d)
    points : (n, dims)

    Returns
    -------
    float, or None where n is not above 2 k and the measure is not defined.

    Examples
    --------
    >>> line = np.arange(50.0)[:, None]
    >>> trustworthiness(line, line, k=5, metric="euclidean")
    1.0
    """
    n = len(vectors)
    if n <= 2 * k:
        return None
    asked = np.arange(n) if n <= sample else np.sort(np.random.default_rng(seed).choice(n, sample, replace=False))
    vectors, points = vectors.astype(np.float64), points.astype(np.float64)
    if metric == "cosine":
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    penalty = 0
    step = max(1, BLOCK_SCORES // n)
    for start in range(0, len(asked), step):
        rows = asked[start : start + step]
        own = np.arange(len(rows))
        near = _apart(points[rows], points, "euclidean")
        near[own, rows] = np.inf
        mapped = np.argpartition(near, k, axis=1)[:, :k]  # nearest in the map
        far = _apart(vectors[rows], vectors, metric)
        far[own, rows] = np.inf
        for i, neighbours in enumerate(mapped):
            # Rank in the space: 1 for the nearest.
            ranks = np.searchsorted(np.sort(far[i]), far[i, neighbours]) + 1
            penalty += int(np.maximum(ranks - k, 0).sum())
    return 1 - penalty * 2 / (len(asked) * k * (2 * n - 3 * k - 1))


def _apart(some: np.ndarray, every: np.ndarray, metric: Metric) -> np.ndarray:
    """Anything that grows with the distance: (q, n)."""
    products = some @ every.T
    return (every * every).sum(axis=1) - 2 * products if metric == "euclidean" else -products
