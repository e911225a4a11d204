"""t-SNE (van der Maaten and Hinton 2008) from exact neighbours, as openTSNE has it; the core moves the points."""

from __future__ import annotations

import numpy as np

from firth import _core
from firth.maps.reduce import Reduced, moved, start
from firth.maps.umap import graph_arrays, mean_of_neighbours
from firth.results import Graph
from firth.steps import Progress

EXAGGERATED, ITERATIONS, EXAGGERATION = 250, 750, 12.0  # openTSNE's: 250 with exaggeration, then 500
SPREAD, NOISE = 1e-4, 1e-3  # of the start: openTSNE's; of the noise, a share of it, that parts points that coincide
PLACING_PERPLEXITY = 5.0  # openTSNE's


def neighbours_wanted(perplexity: float) -> int:
    """How many neighbours count."""
    return int(3 * perplexity)


def tsne(
    vectors: np.ndarray,
    graph: Graph,
    dims: int,
    *,
    perplexity: float,
    seed: int,
    threads: int,
    init: np.ndarray | None = None,
    keep: bool = False,
    done: int = 0,
    frames: int = 0,
) -> Reduced:
    """Reduce to (n, dims); tells the Kullback-Leibler divergence. Where iterations are done, it goes on from `init` as it is.

    Momentum and gains of those are not known then, and begin anew.
    """
    yield Progress("start", 0, 1)
    weights = _core.Weights.gaussian(*graph_arrays(graph, np.float64), perplexity, threads)
    points = start(vectors, dims) if init is None else init - init.mean(axis=0)
    if not done:
        spread = float(points[:, 0].std())
        noise = np.random.default_rng(seed).standard_normal(points.shape) * NOISE
        # Small, so that the start only orients the map.
        points = ((points / spread if spread > 0 else points) + noise) * SPREAD
    exaggerated, iterations = max(0, EXAGGERATED - done), ITERATIONS - done
    descent = _core.Tsne(weights, points.astype(np.float32), exaggerated, iterations, EXAGGERATION)
    points, told = yield from moved("t-SNE", iterations, descent, descent.divergence, keep=keep, frames=frames)
    if "interrupted_at" in told:
        told["interrupted_at"] = (done + told["interrupted_at"] * iterations) / ITERATIONS
    return points, {**told, "kl_divergence": descent.divergence()}


def place(graph: Graph, points: np.ndarray, *, threads: int) -> np.ndarray:
    """Put new points, whose neighbours (q, k) are those of the graph, among points that stay."""
    rows, distances = graph_arrays(graph, np.float64)
    perplexity = min(PLACING_PERPLEXITY, rows.shape[1] / 3)
    weights = _core.neighbour_probabilities(distances, max(perplexity, 1.01), threads)
    return _core.place_tsne(points, mean_of_neighbours(points, graph.rows, weights), rows, weights, threads)
