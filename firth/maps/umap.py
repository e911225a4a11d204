"""UMAP (McInnes, Healy and Melville 2018) from exact neighbours; the core moves the points."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from firth import _core
from firth.maps.reduce import Reduced, moved, start
from firth.results import Graph
from firth.steps import Progress, drain

MANY_EPOCHS, FEW_EPOCHS, MANY_UP_TO = 500, 200, 10_000  # umap-learn's
RATE, LEAST_RATE = 1.0, 0.2  # at first: umap-learn's, and where there are many more epochs than FEW_EPOCHS
PLACING_RATE, PLACING_EPOCHS = 0.25, 3  # umap-learn's: points are placed in a third of the epochs
FURTHEST, NOISE = 10.0, 1e-4  # of a start's coordinates: umap-learn's
SPECTRAL_UP_TO = 200_000  # points; beyond them the smoothest functions cost more than they help
WIDTH = 8  # vectors that the core filters at a time
LEAST_DEGREE, DEGREE, ROUNDS = 8, 40, 12  # of the Chebyshev filter, and how often it is applied at most
SETTLED = 0.002  # a residual below this share of 1 - the eigenvalue
LEAST_GAP = 1e-6  # between eigenvalues, so that roundings do not divide by nothing
LOSS_PAIRS, FINAL_PAIRS = 200_000, 10_000_000  # that the cross entropy is estimated from


def default_epochs(n: int) -> int:
    """As many as umap-learn takes."""
    return MANY_EPOCHS if n <= MANY_UP_TO else FEW_EPOCHS


def umap(
    vectors: Callable[[], np.ndarray],
    graph: Graph,
    dims: int,
    *,
    min_dist: float,
    spread: float,
    n_epochs: int,
    negative_sample_rate: int,
    seed: int,
    threads: int,
    init: np.ndarray | None = None,
    keep: bool = False,
    done: int = 0,
    frames: int = 0,
) -> Reduced:
    """Reduce to (n, dims); tells the cross entropy a point.

    Vectors are asked for where the graph does not tell where to start. Where epochs are done, it goes on from `init` as it is.
    """
    yield Progress("start", 0, 1)
    rows, distances = graph_arrays(graph, np.float32)
    weights = _core.Weights.fuzzy(rows, distances, 1 / n_epochs, threads)
    if init is None:
        init = beginning(vectors, weights, len(rows), dims, seed)
    points = np.ascontiguousarray(init, np.float32) if done else scaled(init, seed)
    a, b = curve(min_dist, spread)
    # Smaller steps where there are more, which keep more of the whole.
    rate = float(np.clip((FEW_EPOCHS / n_epochs) ** 2, LEAST_RATE, RATE))
    layout = _core.Umap(weights, points, None, a, b, rate, n_epochs, negative_sample_rate, seed, done)
    loss = partial(layout.cross_entropy, LOSS_PAIRS)
    points, told = yield from moved("UMAP", n_epochs, layout, loss, keep=keep, done=done, frames=frames)
    return points, {**told, "cross_entropy": layout.cross_entropy(FINAL_PAIRS)}


def place(
    graph: Graph,
    points: np.ndarray,
    *,
    min_dist: float,
    spread: float,
    n_epochs: int,
    negative_sample_rate: int,
    seed: int,
    threads: int,
) -> np.ndarray:
    """Put new points, whose neighbours (q, k) are those of the graph, among points that stay."""
    epochs = max(1, n_epochs // PLACING_EPOCHS)
    rows, distances = graph_arrays(graph, np.float32)
    weights = _core.Weights.placing(rows, distances, threads)
    strengths = weights.arrays()[2].reshape(rows.shape)
    begin = mean_of_neighbours(points, graph.rows, strengths)
    a, b = curve(min_dist, spread)
    layout = _core.Umap(weights, begin, points, a, b, PLACING_RATE, epochs, negative_sample_rate, seed, 0)
    return drain(moved("", epochs, layout, lambda: 0.0))[0]


def graph_arrays(graph: Graph, kind: Any) -> tuple[np.ndarray, np.ndarray]:
    """Rows and distances as the core takes them."""
    rows = np.ascontiguousarray(graph.rows, dtype=np.uint32)
    return rows, np.ascontiguousarray(graph.distances, dtype=kind)


def mean_of_neighbours(points: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means of points: (q, dims)."""
    shares = weights / weights.sum(axis=1, keepdims=True)
    return np.einsum("qk,qkd->qd", shares, points[rows]).astype(np.float32)


def beginning(vectors: Callable[[], np.ndarray], weights: _core.Weights, n: int, dims: int, seed: int) -> np.ndarray:
    """Where points start: the smoothest functions on the graph; principal components where it falls apart or is very large."""
    if 4 * WIDTH <= n <= SPECTRAL_UP_TO and weights.components() == 1:
        return spectral(weights, dims, seed)
    return start(vectors(), dims)


def scaled(points: np.ndarray, seed: int) -> np.ndarray:
    """Each coordinate from 0 to 10, with a little noise that parts points that coincide, as umap-learn has it."""
    noise = np.random.default_rng(seed).standard_normal(points.shape) * NOISE
    largest = float(np.abs(points).max())
    points = (points * (FURTHEST / largest) if largest > 0 else points) + noise
    low, high = points.min(axis=0), points.max(axis=0)
    return (FURTHEST * (points - low) / (high - low)).astype(np.float32)


@cache
def curve(min_dist: float, spread: float) -> tuple[float, float]:
    """Fit a and b: 1 / (1 + a x^(2 b)) is then nearest to 1 up to min_dist, and an exponential of that spread beyond it.

    By Gauss and Newton's method with halved steps, in logarithms, at umap-learn's 300 distances.
    """
    x = np.linspace(0, 3 * spread, 300)[1:]  # at 0 every curve is 1
    wanted = np.where(x < min_dist, 1.0, np.exp((min_dist - x) / spread))
    log_a, log_b = 0.0, 0.0

    def fit(log_a: float, log_b: float) -> tuple[np.ndarray, float]:
        y = 1 / (1 + np.exp(log_a + 2 * np.exp(log_b) * np.log(x)))
        return y, float(((y - wanted) ** 2).sum())

    y, loss = fit(log_a, log_b)
    for _ in range(100):
        slope = -y * (1 - y)
        jacobian = np.stack([slope, slope * 2 * np.exp(log_b) * np.log(x)], axis=1)
        step = np.linalg.lstsq(jacobian, wanted - y, rcond=None)[0]
        while (closer := fit(log_a + step[0], log_b + step[1]))[1] > loss and np.abs(step).max() > 1e-12:
            step /= 2
        if closer[1] >= loss:
            break
        log_a, log_b = log_a + step[0], log_b + step[1]
        y, loss = closer
    return float(np.exp(log_a)), float(np.exp(log_b))


def spectral(weights: _core.Weights, dims: int, seed: int) -> np.ndarray:
    """Find the smoothest functions on a connected graph: eigenvectors of the normalised Laplacian, but for the first.

    Subspace iteration with a Chebyshev filter (Zhou, Saad, Tiago and Chelikowsky 2006), until they hardly change.
    """
    first = weights.degrees()
    x = np.random.default_rng(seed).standard_normal((len(first), WIDTH)).astype(np.float32)
    x[:, 0] = first
    cut, degree = 0.5, DEGREE // 2
    with threadpool_limits(1, "blas"):  # threads of its own would go on a while, on the processors that the core needs
        for _ in range(ROUNDS):
            x = weights.filter(np.ascontiguousarray(x / np.linalg.norm(x, axis=0)), degree, cut)
            x = np.linalg.qr(x.astype(np.float64))[0].astype(np.float32)
            product = weights.times(x)
            values, turn = np.linalg.eigh((x.T @ product).astype(np.float64))
            turn = turn[:, ::-1].astype(np.float32)  # the largest first
            values = values[::-1]
            x, product = x @ turn, product @ turn
            residual = np.linalg.norm(product - x * values.astype(np.float32), axis=0)
            left = (residual / np.maximum(1 - values, LEAST_GAP))[1 : dims + 1].max() / SETTLED
            if left < 1:
                break
            cut = float(min(values[-1], 1 - LEAST_GAP))
            # By this each degree raises what is above the cut: as many as leave a fourth of what may be left.
            growth = np.arccosh(1 + 2 * max(values[dims] - cut, LEAST_GAP) / (cut + 1))
            degree = int(np.clip(np.log(4 * left) / growth, LEAST_DEGREE, DEGREE))
            x = np.ascontiguousarray(x)
    return x[:, 1 : dims + 1]
