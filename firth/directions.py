"""Directions in which vectors mostly lie, for codes of fewer numbers; and orders in which like stands by like."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from firth import _core

SAMPLE = 8_192  # rows: half of them to take directions from, half to judge them by
QUERIES = 64
MOST = 1_024  # dimensions, or rows where there are more dimensions, whose products are decomposed: d^3 operations
MULTIPLE = 16  # directions that a processor multiplies together
SHARES = (8, 6, 4, 3, 2)  # of so many dimensions one
CANDIDATE = 20_000  # multiplications of codes in the time that a candidate takes, and
EACH = 120  # for each of its numbers
WORTH = 0.7  # of the time without
HEAD = 3  # of so many directions one
HALVED = ("avx2",)  # instructions that compare half a head first: elsewhere looking whether it matters costs as much
LEAST_HALVED = 32  # directions
MOST_SHIFT = 4  # of the core
FEW = 4  # of so many directions one is sought alone, with
OVER = 16  # others
LIKENESS = 32  # coordinates by which likeness is judged
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
        left = np.sqrt(np.maximum(0.0, 1.0 - _lengths(coordinates) ** 2))
        error = largest / 127 * np.sqrt(m / 12)
        bound = np.outer(left[::apart], left) + error[::apart, None] + error
        candidates = (coordinates[::apart] @ coordinates.T + bound >= best[:, None]).mean()
        return m + candidates * (CANDIDATE + EACH * d)

    def of_turned(coordinates: np.ndarray) -> np.ndarray:
        # The largest of m normal numbers: turning changes nothing else.
        m = coordinates.shape[1]
        return _lengths(coordinates) * np.sqrt(2 * np.log(m) / m)

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


def with_head(directions: np.ndarray, keys: npt.NDArray[np.float32]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Turn the first directions, the head, and the others each among themselves; each half of it, where one is compared first.

    Returns the directions, and of each part of the head how many there are up to its end, and the power of two that codes count
    there: those which lose least of `keys`.
    """
    head = max(MULTIPLE, len(directions) // HEAD // MULTIPLE * MULTIPLE)
    ends = [head // 2, head] if head >= LEAST_HALVED and _core.product_instructions()[0] in HALVED else [head]
    parts = [part for part in np.split(directions, ends) if len(part)]
    directions = np.concatenate([turned(part) for part in parts])
    counts = [len(part) for part in parts]
    starts = np.cumsum([0, *counts[:-1]])
    largest = np.maximum.reduceat(np.abs(_sample(keys, QUERIES) @ directions.T), starts, axis=1)

    def lost(shifts: tuple[int, ...]) -> float:
        worth = (largest / 2.0 ** np.array(shifts)).max(axis=1).mean()
        return worth * np.sqrt(counts @ 4.0 ** np.array(shifts))

    falling = combinations_with_replacement(range(MOST_SHIFT, -1, -1), len(counts) - 1)
    shifts = min(falling, key=lambda shifts: lost((*shifts, 0)))
    return directions, list(zip(ends, shifts, strict=False))  # a head of all is none


def by_likeness(keys: npt.NDArray[np.float32], directions: np.ndarray | None, threads: int) -> npt.NDArray[np.uint32]:
    """Order rows (n, d) so that those near to each other are alike: halved along their largest variance, down to a part."""
    n, d = keys.shape
    if directions is None:
        sample = _sample(keys, SAMPLE // 2)
        if len(sample) == 0:  # all are zero
            return np.arange(n, dtype=np.uint32)
        directions = _principal(sample, LIKENESS)
    narrow = directions[:LIKENESS].T.astype(np.float32)
    coordinates = np.empty((n, narrow.shape[1]), np.float32)
    rows = max(1, BLOCK // d)
    for first in range(0, n, rows):
        block = keys[first : first + rows]
        lengths = np.maximum(_lengths(block), np.finfo(np.float32).tiny)
        coordinates[first : first + rows] = (block @ narrow) / lengths[:, None]
    return _core.by_likeness(coordinates, threads)


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
    if FEW * (m + OVER) < side:
        span = np.random.default_rng(0).standard_normal((side, m + OVER)).astype(np.float32)
        for _ in range(2):
            span = np.linalg.qr(squares @ span)[0]
        vectors = span @ np.linalg.eigh(span.T @ squares @ span)[1]
    else:
        vectors = np.linalg.eigh(squares)[1]
    vectors = vectors[:, ::-1][:, :m].astype(np.float64)
    return (vectors if d <= s else np.linalg.qr(sample.T @ vectors)[0]).T
