"""Directions in which vectors mostly lie: where a few suffice, a search compares codes of fewer numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SAMPLE = 8_192  # rows: half of them to take directions from, half to judge them by
QUERIES = 64
MOST = 512  # dimensions, or rows where there are more dimensions, whose products are decomposed: d^3 operations
MULTIPLE = 16  # directions that a processor multiplies together
SHARES = (8, 6, 4, 3, 2)  # of so many dimensions one
CANDIDATE = 20_000  # multiplications of codes in the time that a candidate takes, and
EACH = 100  # for each of its numbers
WORTH = 0.7  # of the time without


def leading_directions(keys: npt.NDArray[np.float32]) -> np.ndarray | None:
    """Choose directions (m, d), orthonormal rows of float64, by which `keys` (n, d) are searched faster; None if there are none.

    The products of vectors are those of their coordinates along the directions but for what lies outside: at most the product of
    the two lengths that are left. On a sample it is measured how many keys cannot be told from the best one by that bound
    and that of the codes, with so many directions and with all dimensions; their scoring and the scan are what a query costs.
    """
    n, d = keys.shape
    sample = keys[:: -(-n // SAMPLE)].astype(np.float64)
    norms = np.linalg.norm(sample, axis=1, keepdims=True)
    sample = sample[norms[:, 0] > 0] / norms[norms > 0][:, None]
    if d < 4 * MULTIPLE or len(sample) < 8 * QUERIES:
        return None
    directions = _principal(sample[::2][: MOST if d > MOST else None], d // 2)
    sample = sample[1::2]
    queries = sample[:: len(sample) // QUERIES]
    products = queries @ sample.T
    best = np.sort(products, axis=1)[:, -2]  # but for the query itself

    def cost(coordinates: np.ndarray, of_queries: np.ndarray) -> float:
        m = coordinates.shape[1]
        left, of_query = (np.sqrt(np.maximum(0.0, 1.0 - (x * x).sum(axis=1))) for x in (coordinates, of_queries))
        error, query_error = (np.abs(x).max(axis=1) / 127 * np.sqrt(m / 12) for x in (coordinates, of_queries))
        bound = np.outer(of_query, left) + query_error[:, None] + error
        candidates = (of_queries @ coordinates.T + bound >= best[:, None]).mean()
        return m + candidates * (CANDIDATE + EACH * d)

    coordinates, of_queries = sample @ directions.T, queries @ directions.T
    sizes = sorted({d // share // MULTIPLE * MULTIPLE for share in SHARES} - {0})
    costs = {m: cost(coordinates[:, :m], of_queries[:, :m]) for m in sizes if m <= len(directions)}
    size = min(costs, key=costs.__getitem__)
    return np.ascontiguousarray(directions[:size]) if costs[size] < WORTH * cost(sample, queries) else None


def _principal(sample: np.ndarray, m: int) -> np.ndarray:
    """Find the m directions, or as many as there are, that hold most of the squares of `sample` (s, d): rows, the first most."""
    s, d = sample.shape
    if d <= s:
        return np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, :m].T
    values, vectors = np.linalg.eigh(sample @ sample.T)
    vectors = vectors[:, values > values[-1] * 1e-10][:, ::-1][:, :m]
    return np.linalg.qr(sample.T @ vectors)[0].T
