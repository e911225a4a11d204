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

    The directions are turned at random among themselves, so that a vector's coordinates are of one size: where one is much larger
    than the others, as along the first principal component, a code is worth a 127th of it, and the others have few digits.
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

    random = np.random.default_rng(0)

    def turned(m: int) -> np.ndarray:
        return np.linalg.qr(random.standard_normal((m, m)))[0] @ directions[:m]

    sizes = {d // share // MULTIPLE * MULTIPLE for share in SHARES} - {0}
    choices = [turned(m) for m in sorted(sizes) if m <= len(directions)]
    costs = [cost(sample @ choice.T, queries @ choice.T) for choice in choices]
    if not costs or min(costs) >= WORTH * cost(sample, queries):
        return None
    return np.ascontiguousarray(choices[int(np.argmin(costs))])


def _principal(sample: np.ndarray, m: int) -> np.ndarray:
    """Find the m directions, or as many as there are, that hold most of the squares of `sample` (s, d): rows, the first most."""
    s, d = sample.shape
    if d <= s:
        return np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, :m].T
    values, vectors = np.linalg.eigh(sample @ sample.T)
    vectors = vectors[:, values > values[-1] * 1e-10][:, ::-1][:, :m]
    return np.linalg.qr(sample.T @ vectors)[0].T
