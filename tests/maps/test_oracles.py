"""firth.maps beside umap-learn, openTSNE and scikit-learn, and the core's kernels beside their plain twins."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from firth import _core
from firth.maps import reduce, tsne, umap
from firth.search import neighbors
from firth.steps import drain


@pytest.fixture(scope="module")
def vectors():
    """Ten groups, of which some overlap, and a few equal rows."""
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((10, 20))[rng.integers(0, 10, 600)] + rng.standard_normal((600, 20))).astype(
        np.float32
    )
    vectors[:20] = vectors[20:40]
    return vectors


def dense(weights, n):
    starts, columns, values = weights.arrays()
    matrix = np.zeros((n, n))
    matrix[np.repeat(np.arange(n), np.diff(starts.astype(int))), columns] = values
    return matrix


def fuzzy_plain(distances, rows):
    n, k = distances.shape
    matrix = np.zeros((n, n))
    for i, row in enumerate(distances):
        rho = row[row > 0].min(initial=np.inf)
        rho = 0.0 if np.isinf(rho) else rho
        sigmas = np.geomspace(1e-6, 1e4, 20_001)
        sums = np.exp(-np.maximum(row[:, None] - rho, 0) / sigmas).sum(axis=0)
        sigma = max(np.interp(np.log2(k + 1), sums, sigmas), 1e-3 * row.sum() / (k + 1))
        matrix[i, rows[i]] = np.exp(-np.maximum(row - rho, 0) / sigma)
    return matrix + matrix.T - matrix * matrix.T


def test_weights_are_the_fuzzy_union_of_smooth_distances(vectors):
    graph = neighbors(vectors, 14, metric="euclidean")
    found = dense(_core.Weights.fuzzy(*umap.graph_arrays(graph, np.float32), 0.0, 2), len(vectors))
    # The twin's bandwidth is one of 20,001, a thousandth apart, and between them a line.
    np.testing.assert_allclose(found, fuzzy_plain(graph.distances, graph.rows), atol=1e-4)


def probabilities_plain(distances, rows, perplexity):
    n, _ = distances.shape
    matrix = np.zeros((n, n))
    for i, row in enumerate(distances**2):
        low, high = 0.0, 1e6
        for _ in range(200):
            beta = (low + high) / 2
            p = np.exp(-beta * (row - row.min()))
            p /= p.sum()
            entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
            low, high = (beta, high) if entropy > np.log(perplexity) else (low, beta)
        matrix[i, rows[i]] = p
    return (matrix + matrix.T) / (2 * n)


def test_probabilities_have_the_perplexity(vectors):
    graph = neighbors(vectors, 60, metric="euclidean")
    found = dense(_core.Weights.gaussian(*umap.graph_arrays(graph, np.float64), 20.0, 2), len(vectors))
    expected = probabilities_plain(graph.distances, graph.rows, 20.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-12)  # float32, and weights near 0 by a long exponent


def test_spectral_start_spans_the_smoothest_functions(vectors):
    graph = neighbors(vectors, 14, metric="euclidean")
    weights = _core.Weights.fuzzy(*umap.graph_arrays(graph, np.float32), 0.0, 2)
    assert weights.components() == 1
    matrix = dense(weights, len(vectors))
    scale = 1 / np.sqrt(matrix.sum(axis=1))
    _, functions = np.linalg.eigh(np.eye(len(vectors)) - scale[:, None] * matrix * scale)
    found = umap.spectral(weights, 2, 0)
    overlap = np.abs(found.T @ functions[:, 1:3])
    np.testing.assert_allclose(overlap, np.eye(2), atol=0.02)  # settled to 0.002 of 1 - the eigenvalue, over its gap


@pytest.mark.parametrize("dims", [2, 3])
def test_a_descent_is_the_same_with_any_number_of_threads(dims):
    vectors = (
        np.random.default_rng(0).standard_normal((2_000, 5)).astype(np.float32)
    )  # beyond what all pairs are counted for
    graph = neighbors(vectors, 15, metric="euclidean")
    ends = []
    for threads in (1, 3):
        weights = _core.Weights.gaussian(*umap.graph_arrays(graph, np.float64), 5.0, threads)
        descent = _core.Tsne(weights, vectors[:, :dims].copy(), 5, 20, 12.0)
        while descent.run(0.1) < 20:
            pass
        ends.append((descent.points(), descent.divergence()))
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


@pytest.fixture
def umap_learn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the import, that TensorFlow is missing
        from umap import umap_
    return umap_


@pytest.mark.oracle
@pytest.mark.slow
def test_weights_are_umap_learns(vectors, umap_learn):
    graph = neighbors(vectors, 14, metric="euclidean")
    rows, distances = graph.with_self()
    sigmas, rhos = umap_learn.smooth_knn_dist(distances, 15.0)
    i, j, values, _ = umap_learn.compute_membership_strengths(rows, distances, sigmas, rhos)
    matrix = np.zeros((len(vectors), len(vectors)))
    matrix[i, j] = values
    np.fill_diagonal(matrix, 0)
    found = dense(_core.Weights.fuzzy(*umap.graph_arrays(graph, np.float32), 0.0, 2), len(vectors))
    # The tolerance: umap-learn ends a bisection at 1e-5 of the sum, in float32.
    np.testing.assert_allclose(found, matrix + matrix.T - matrix * matrix.T, atol=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize(("min_dist", "spread"), [(0.1, 1.0), (0.0, 1.0), (0.5, 1.0), (0.99, 1.0), (0.25, 2.0)])
def test_the_curve_is_umap_learns(min_dist, spread, umap_learn):
    # scipy ends at a relative change of 1.5e-8 of the sum of squares: the square root of it, in what is fitted
    np.testing.assert_allclose(umap.curve(min_dist, spread), umap_learn.find_ab_params(spread, min_dist), rtol=1e-4)


@pytest.mark.oracle
def test_probabilities_and_divergence_are_open_tsnes(vectors):
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    graph = neighbors(vectors, 90, metric="euclidean")
    theirs = PerplexityBasedNN(perplexity=30, knn_index=PrecomputedNeighbors(graph.rows, graph.distances))
    found = _core.Weights.gaussian(*umap.graph_arrays(graph, np.float64), 30.0, 2)
    np.testing.assert_allclose(dense(found, len(vectors)), theirs.P.toarray(), rtol=1e-6, atol=1e-12)  # the issue's
    points = np.random.default_rng(1).standard_normal((len(vectors), 2)) * 5
    near = 1 / (1 + ((points[:, None] - points) ** 2).sum(axis=-1))
    np.fill_diagonal(near, 0)
    p = theirs.P.toarray()
    there = p > 0
    expected = (p[there] * np.log(p[there] / (near / near.sum())[there])).sum()
    descent = _core.Tsne(found, points.astype(np.float32), 0, 0, 1.0)
    assert descent.divergence() == pytest.approx(expected, rel=1e-5)  # sums of float32


@pytest.mark.oracle
@pytest.mark.slow
def test_descent_ends_where_open_tsnes_does(vectors):
    import openTSNE
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    graph = neighbors(vectors, 90, metric="euclidean")
    start = reduce.start(vectors, 2)
    theirs = PerplexityBasedNN(perplexity=30, knn_index=PrecomputedNeighbors(graph.rows, graph.distances))
    embedding = openTSNE.TSNEEmbedding(start * 1e-4, theirs, negative_gradient_method="bh", random_state=0)
    embedding.optimize(250, exaggeration=12, momentum=0.8, inplace=True)
    embedding.optimize(500, momentum=0.8, inplace=True)
    _, told = drain(tsne.tsne(vectors, graph, 2, perplexity=30, seed=0, threads=2, init=start))
    assert told["kl_divergence"] <= float(embedding.kl_divergence) * 1.01  # the issue's


@pytest.mark.oracle
@pytest.mark.parametrize(("shape", "wide"), [((300, 20), 2_000), ((20, 300), 2_000), ((400, 300), 50)])
def test_pca_is_scikit_learns(shape, wide, monkeypatch):
    from sklearn.decomposition import PCA

    monkeypatch.setattr(reduce, "WIDE", wide)  # with 50, by a random range
    rng = np.random.default_rng(0)
    given = (rng.standard_normal(shape) * 10 / np.arange(1, shape[1] + 1) + 3).astype(np.float32)
    model = PCA(2, svd_solver="full").fit(given.astype(np.float64))
    points, told = drain(reduce.pca(given, 2))
    expected = model.transform(given.astype(np.float64))
    signs = np.sign((expected * points).sum(axis=0))
    rtol = 1e-6  # points are float32; the range finder's powers are well beyond it
    np.testing.assert_allclose(points * signs, expected, atol=rtol * np.abs(expected).max())
    np.testing.assert_allclose(told["variance_explained"], model.explained_variance_ratio_, rtol=rtol)
