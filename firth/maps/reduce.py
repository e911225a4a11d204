"""What the methods share: principal components, starts, and points that move until they are told to stop."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from firth.steps import Progress

Told = dict[str, Any]
Reduced = Generator[Progress, None, tuple[np.ndarray, Told]]

STEP_S = 0.2  # about so long a step takes; Ctrl-C is heard within it
BLOCK = 1 << 22  # numbers that are turned to float64 at a time
WIDE = 2_000  # columns; with more, and many rows, a random range is searched instead of the whole covariance
OVERSAMPLES, POWERS = 10, 7  # of the range finder (Halko, Martinsson and Tropp 2011): scikit-learn's
SAMPLED = 20_000  # rows from which the axes of a start are found


def pca(vectors: np.ndarray, dims: int) -> Reduced:
    """Principal components; tells the share of the variance that each explains."""
    yield Progress("PCA", 0, 1)
    mean, axes, explained = principal_axes(vectors, dims)
    points = project(vectors, mean, axes)
    yield Progress("PCA", 1, 1)
    return points, {"variance_explained": explained}


def principal_axes(vectors: np.ndarray, dims: int) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Mean (d,), axes (d, dims) of largest variance, and the share of it that each explains; float64.

    From the covariance, n d^2 operations; where rows and columns are many, from a random range, 4 POWERS n d dims.
    Signs are arbitrary: the largest weight of each axis is made positive. Axes without variance are zeros.
    """
    n, d = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64)
    if min(n, d) <= max(WIDE, dims + OVERSAMPLES):
        wide = vectors - mean if d > n else None  # of the two matrices of products the smaller
        products = np.zeros((d, d)) if wide is None else wide @ wide.T
        for part in _parts(vectors) if wide is None else ():
            centred = part - mean
            products += centred.T @ centred
        values, axes = np.linalg.eigh(products)
        values, axes = values[::-1].clip(0), axes[:, ::-1]
        total, values, axes = values.sum(), values[:dims], axes[:, :dims]
        if wide is not None:
            axes = wide.T @ axes
    else:
        q = np.random.default_rng(0).standard_normal((d, dims + OVERSAMPLES))
        for _ in range(POWERS):
            q = np.linalg.qr(_covariance_times(vectors, mean, q))[0]
        values, turn = np.linalg.eigh(q.T @ _covariance_times(vectors, mean, q))
        values, axes = values[::-1][:dims], (q @ turn[:, ::-1])[:, :dims]
        total = sum(float(((part - mean) ** 2).sum()) for part in _parts(vectors))
    # What rounding alone would give counts as none.
    there = values > np.finfo(np.float64).eps * max(n, d) * max(total, np.finfo(np.float64).tiny)
    axes = np.where(there, axes, 0.0)
    axes /= np.maximum(np.linalg.norm(axes, axis=0), np.finfo(np.float64).tiny)
    signs = np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    missing = dims - len(values)
    explained = [float(value / total) if some else 0.0 for value, some in zip(values, there, strict=True)]
    return mean, np.pad(axes * signs, ((0, 0), (0, missing))), [*explained, *[0.0] * missing]


def project(vectors: np.ndarray, mean: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Coordinates along axes: (n, dims) float32."""
    parts = [((part - mean) @ axes).astype(np.float32) for part in _parts(vectors)]
    return np.concatenate([np.empty((0, axes.shape[1]), np.float32), *parts])


def start(vectors: np.ndarray, dims: int) -> np.ndarray:
    """Principal components with a standard deviation of 1 along the first; axes from a part of the rows where they are many."""
    mean, axes, _ = principal_axes(vectors[:: -(-len(vectors) // SAMPLED)], dims)
    points = project(vectors, mean, axes)
    spread = points[:, 0].std()
    return points / spread if spread > 0 else points


def moved(
    stage: str,
    total: int,
    model: Any,
    loss: Callable[[], float],
    *,
    keep: bool = False,
    done: int = 0,
    frames: int = 0,
) -> Reduced:
    """Let points move, step by step, from where so many rounds of `total` are done.

    With `keep`, a KeyboardInterrupt ends it, and what is told says when. With `frames`, it tells that many, evenly spread.
    """
    told: Told = {}
    shown = [model.points()] if frames else []
    try:
        begun = done
        while done < total:
            due = begun + -(-(total - begun) * len(shown) // frames) if frames else 0  # when the next frame is
            run = model.run(0.0 if frames else STEP_S)
            while run < min(due, total):
                run = model.run(0.0)
            done = run
            if frames:
                shown.append(model.points())
            yield Progress(stage, done, total, loss(), model.points())
    except KeyboardInterrupt:
        if not keep:
            raise
        told["interrupted_at"] = done / total
    if frames:
        told["frames"] = shown
    return model.points(), told


def _parts(vectors: np.ndarray) -> Generator[np.ndarray, None, None]:
    """Rows as float64, some at a time."""
    size = max(1, BLOCK // vectors.shape[1])
    for begin in range(0, len(vectors), size):
        yield vectors[begin : begin + size].astype(np.float64)


def _covariance_times(vectors: np.ndarray, mean: np.ndarray, x: np.ndarray) -> np.ndarray:
    total = np.zeros_like(x)
    for part in _parts(vectors):
        centred = part - mean
        total += centred.T @ (centred @ x)
    return total
