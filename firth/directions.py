"""Directions in which vectors mostly lie, for codes of fewer numbers; and orders in which like stands by like."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SAMPLE = 8_192  # rows: half of them to take directions from, half to judge them by
QUERIES = 64
MOST = 1_024  # dimensions, or rows where there are more dimensions, whose products are decomposed: d^3 operations
MULTIPLE = 16  # directions that a processor multiplies together
SHARES = (8, 6, 4, 3, 2)  # of so many dimensions one
CANDIDATE = 20_000  # multiplications of codes in the time that a candidate takes, and
EACH = 100  # for each of its numbers
WORTH = 0.7  # of the time without
HEAD = 3  # of so many directions one
MOST_SHIFT = 4  # of the core
TILE = 48  # rows that the core compares together
LIKENESS = 32  # coordinates by which likeness is judged
POWERS = 3  # iterations
BLOCK = 1 << 22  # numbers of the rows that are projected at once


def leading_directions(keys: npt.NDArray[np.float32]) -> np.ndarray | None:
    """Choose directions (m, d), orthonormal rows of float64, by which `keys` (n, d) are searched faster; None if there are none.

    The products of vectors are those of their coordinates along the directions but for what lies outside: at most the product of
    the two lengths that are left. On a sample it is measured how many keys cannot be told from the best one by that bound
    and that of the codes, with so many directions and with all dimensions; their scoring and the scan are what a query costs.
    They are principal components, of the largest variance first; codes are those of coordinates along them `turned`.
    """
    d = keys.shape[1]
    sample = _sample(keys)
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

    sizes = sorted({d // share // MULTIPLE * MULTIPLE for share in SHARES} - {0})
    choices = [turned(directions[:m]) for m in sizes if m <= len(directions)]
    costs = [cost(sample @ choice.T, queries @ choice.T) for choice in choices]
    if not costs or min(costs) >= WORTH * cost(sample, queries):
        return None
    return np.ascontiguousarray(directions[: len(choices[int(np.argmin(costs))])])


def turned(directions: np.ndarray) -> np.ndarray:
    """Turn orthonormal directions (m, d) at random among themselves, so that a vector's coordinates are of one size.

    Where one is much larger than the others, as along the first principal component, a code is worth a 127th of it, and the
    others have few digits.
    """
    m = len(directions)
    return np.linalg.qr(np.random.default_rng(0).standard_normal((m, m)))[0] @ directions


def with_head(directions: np.ndarray, keys: npt.NDArray[np.float32]) -> tuple[np.ndarray, int, int]:
    """Turn the first directions, the head, and the others each among themselves.

    Returns the directions, how many the head has, and the power of two by which coordinates of `keys` are larger in it.
    """
    head = max(MULTIPLE, len(directions) // HEAD // MULTIPLE * MULTIPLE)
    parts = turned(directions[:head]), turned(directions[head:])
    sample = _sample(keys)
    sizes = [np.median(np.abs(sample @ part.T).max(axis=1)) if len(part) else 1.0 for part in parts]
    shift = int(np.clip(np.round(np.log2(sizes[0] / max(sizes[1], sizes[0] / 2**MOST_SHIFT))), 0, MOST_SHIFT))
    return np.concatenate(parts), head, shift


def by_likeness(keys: npt.NDArray[np.float32], directions: np.ndarray | None) -> npt.NDArray[np.uint32]:
    """Order rows (n, d) so that those near to each other are alike: halved along their largest variance, down to a tile."""
    n, d = keys.shape
    order = np.arange(n, dtype=np.uint32)
    if directions is None:
        sample = _sample(keys)
        if len(sample) == 0:  # all are zero
            return order
        directions = _principal(sample, LIKENESS)
    narrow = directions[:LIKENESS].T.astype(np.float32)
    coordinates = np.empty((n, narrow.shape[1]), np.float32)
    rows = max(1, BLOCK // d)
    for first in range(0, n, rows):
        block = keys[first : first + rows]
        norms = np.sqrt(np.einsum("nd,nd->n", block, block, dtype=np.float64)).astype(np.float32)
        coordinates[first : first + rows] = (block @ narrow) / np.maximum(norms, np.finfo(np.float32).tiny)[:, None]
    parts = [(0, n)]
    while parts:
        first, end = parts.pop()
        if end - first <= TILE:
            continue
        part = order[first:end]
        here = coordinates[part]
        here -= here.mean(axis=0)
        direction = np.zeros(here.shape[1], np.float32)
        direction[np.argmax((here * here).sum(axis=0))] = 1
        for _ in range(POWERS):
            direction = (here @ direction) @ here
            direction /= max(float(np.linalg.norm(direction)), 1e-30)
        half = (end - first + TILE) // (2 * TILE) * TILE
        order[first:end] = part[np.argpartition(here @ direction, half)]
        parts += [(first, first + half), (first + half, end)]
    return order


def _sample(keys: npt.NDArray[np.float32]) -> np.ndarray:
    """Some of the rows that are not zero, at length 1."""
    sample = keys[:: -(-len(keys) // SAMPLE)].astype(np.float64)
    norms = np.linalg.norm(sample, axis=1)
    return sample[norms > 0] / norms[norms > 0, None]


def _principal(sample: np.ndarray, m: int) -> np.ndarray:
    """Find the m directions, or as many as there are, that hold most of the squares of `sample` (s, d): rows, the first most."""
    s, d = sample.shape
    if d <= s:
        return np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, :m].T
    values, vectors = np.linalg.eigh(sample @ sample.T)
    vectors = vectors[:, values > values[-1] * 1e-10][:, ::-1][:, :m]
    return np.linalg.qr(sample.T @ vectors)[0].T
