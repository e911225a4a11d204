"""Directions in which vectors mostly lie, for codes of fewer numbers; and orders in which like stands by like."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

SAMPLE = 8_192  # rows: half of them to take directions from, half to judge them by
QUERIES = 64
MOST = 1_024  # dimensions, or rows where there are more dimensions, whose products are decomposed: d^3 operations
MULTIPLE = 16  # directions that a processor multiplies together
SHARES = (8, 6, 4, 3, 2)  # of so many dimensions one
CANDIDATE = 20_000  # multiplications of codes in the time that a candidate takes, and
EACH = 120  # for each of its numbers
WORTH = 0.7  # of the time without
HEAD = 3  # of so many directions one
MOST_SHIFT = 4  # of the core
PART = 192  # rows that are not divided any more: four of the core's tiles
OVER = 16  # directions that are sought beside those wanted
LIKENESS = 32  # coordinates by which likeness is judged
POWER = 8  # of the variance
BLOCK = 1 << 19  # numbers of the rows that are projected at once: they stay in a cache
LEAST_SQUARE = 1e-30  # below it a sum of squares in float32 has lost digits


def leading_directions(keys: npt.NDArray[np.float32]) -> np.ndarray | None:
    """Choose directions (m, d), orthonormal rows of float64, by which `keys` (n, d) are searched faster; None if there are none.

    The products of vectors are those of their coordinates along the directions but for what lies outside: at most the product of
    the two lengths that are left. On a sample it is measured how many keys cannot be told from the best one by that bound
    and that of the codes, with so many directions and with all dimensions; their scoring and the scan are what a query costs.
    They are principal components, of the largest variance first; codes are those of coordinates along them `turned`.
    """
    d = keys.shape[1]
    sample = _sample(keys, SAMPLE)
    if d < 4 * MULTIPLE or len(sample) < 8 * QUERIES:
        return None
    directions = _principal(sample[::2][: MOST if d > MOST else None], d // 2)
    sample = sample[1::2]
    apart = len(sample) // QUERIES
    best = np.partition(sample[::apart] @ sample.T, -2, axis=1)[:, -2]  # but for the query itself

    def cost(coordinates: np.ndarray, largest: np.ndarray) -> float:
        m = coordinates.shape[1]
        left = np.sqrt(np.maximum(0.0, 1.0 - (coordinates * coordinates).sum(axis=1)))
        error = largest / 127 * np.sqrt(m / 12)
        bound = np.outer(left[::apart], left) + error[::apart, None] + error
        candidates = (coordinates[::apart] @ coordinates.T + bound >= best[:, None]).mean()
        return m + candidates * (CANDIDATE + EACH * d)

    def of_turned(coordinates: np.ndarray) -> np.ndarray:
        # The largest of m normal numbers: turning changes nothing else.
        m = coordinates.shape[1]
        return np.linalg.norm(coordinates, axis=1) * np.sqrt(2 * np.log(m) / m)

    along = sample @ directions.T.astype(np.float32)
    sizes = sorted({d // share // MULTIPLE * MULTIPLE for share in SHARES} - {0})
    sizes = [m for m in sizes if m <= len(directions)]
    costs = [cost(along[:, :m], of_turned(along[:, :m])) for m in sizes]
    if not costs or min(costs) >= WORTH * cost(sample, np.abs(sample).max(axis=1)):
        return None
    return np.ascontiguousarray(np.linalg.qr(directions[: sizes[int(np.argmin(costs))]].T)[0].T)


def turned(directions: np.ndarray) -> np.ndarray:
    """Turn orthonormal directions (m, d) at random among themselves, so that a vector's coordinates are of one size.

    Where one is much larger than the others, as along the first principal component, a code is worth a 127th of it, and the
    others have few digits.
    """
    return _turn(len(directions)).T @ directions


def _turn(m: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(0).standard_normal((m, m)))[0]


def with_head(directions: np.ndarray, keys: npt.NDArray[np.float32]) -> tuple[np.ndarray, int, int]:
    """Turn the first directions, the head, and the others each among themselves.

    Returns the directions, how many the head has, and the power of two by which coordinates of `keys` are larger in it.
    """
    head = max(MULTIPLE, len(directions) // HEAD // MULTIPLE * MULTIPLE)
    parts = turned(directions[:head]), turned(directions[head:])
    sample = _sample(keys, QUERIES)
    sizes = [np.median(np.abs(sample @ part.T).max(axis=1)) if len(part) else 1.0 for part in parts]
    shift = int(np.clip(np.round(np.log2(sizes[0] / max(sizes[1], sizes[0] / 2**MOST_SHIFT))), 0, MOST_SHIFT))
    return np.concatenate(parts), head, shift


def by_likeness(keys: npt.NDArray[np.float32], directions: np.ndarray | None) -> npt.NDArray[np.uint32]:
    """Order rows (n, d) so that those near to each other are alike: halved along their largest variance, down to a part."""
    n, d = keys.shape
    order = np.arange(n, dtype=np.uint32)
    if directions is None:
        sample = _sample(keys, SAMPLE // 2)
        if len(sample) == 0:  # all are zero
            return order
        directions = _principal(sample, LIKENESS)
    narrow = directions[:LIKENESS].T.astype(np.float32)
    coordinates = np.empty((n, narrow.shape[1]), np.float32)
    rows = max(1, BLOCK // d)
    for first in range(0, n, rows):
        block = keys[first : first + rows]
        lengths = np.maximum(_lengths(block), np.finfo(np.float32).tiny)
        coordinates[first : first + rows] = (block @ narrow) / lengths[:, None]
    parts = [(0, n)]
    with threadpool_limits(1, "blas"):  # two threads are slower on parts so small, and go on a while after each product
        while parts:
            first, end = parts.pop()
            if end - first <= PART:
                continue
            here = coordinates[first:end]  # in the order reached so far
            here -= np.full(end - first, 1 / (end - first), np.float32) @ here  # three times as fast as their mean
            squares = here.T @ here
            # A power of it is of the largest direction alone, in each column.
            powers = np.linalg.matrix_power(squares / max(float(np.trace(squares)), 1e-30), POWER)
            direction = powers[np.argmax(squares.diagonal())]
            half = (end - first + PART) // (2 * PART) * PART
            halved = np.argpartition(here @ direction, half)
            order[first:end], coordinates[first:end] = order[first:end][halved], np.take(here, halved, axis=0)
            parts += [(first, first + half), (first + half, end)]
    return order


def _sample(keys: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """About so many of the rows that are not zero, at length 1."""
    sample = np.array(keys[:: -(-len(keys) // size)])
    norms = _lengths(sample)
    if not norms.all():
        sample, norms = sample[norms > 0], norms[norms > 0]
    sample /= norms[:, None]
    return sample


def _lengths(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The lengths of rows (n, d): (n,); by float64 where float32 cannot hold their squares."""
    with np.errstate(over="ignore", under="ignore"):
        squares = np.einsum("nd,nd->n", rows, rows)
        if not (squares.min() > LEAST_SQUARE and squares.max() < np.inf):
            squares = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
        return np.sqrt(squares).astype(np.float32)


def _principal(sample: npt.NDArray[np.float32], m: int) -> np.ndarray:
    """Find m directions, or as many as there are, that hold about most of the squares of `sample` (s, d): rows, the first most.

    They are of float64, orthonormal to the precision of float32. By a randomised range finder (Halko, Martinsson and Tropp
    2011) where m is far less than there are.
    """
    s, d = sample.shape
    squares = sample.T @ sample if d <= s else sample @ sample.T
    side = len(squares)
    if 3 * (m + OVER) < 2 * side:
        span = np.random.default_rng(0).standard_normal((side, m + OVER)).astype(np.float32)
        for _ in range(2):
            span = np.linalg.qr(squares @ span)[0]
    else:
        span = np.eye(side, dtype=np.float32)
    vectors = (span @ np.linalg.eigh(span.T @ squares @ span)[1])[:, ::-1][:, :m].astype(np.float64)
    return (vectors if d <= s else np.linalg.qr(sample.T @ vectors)[0]).T
