"""firth.results: what searches find."""

from __future__ import annotations

import sys
import warnings

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firth._check import MissingExtraError
from firth.results import Graph, Pairs
from firth.search import METRICS, neighbors

ROWS = st.integers(0, 30)


def groups_plain(pairs):
    graph = networkx.Graph(pairs)
    return sorted(sorted(group) for group in networkx.connected_components(graph))


def pairs_of(rows):
    rows = np.array(rows, np.int64).reshape(-1, 2)
    return Pairs(np.zeros(len(rows)), rows)


@given(st.lists(st.tuples(ROWS, ROWS).filter(lambda pair: pair[0] < pair[1]), max_size=40))
def test_groups_are_connected_components(rows):
    assert [group.tolist() for group in pairs_of(rows).groups()] == groups_plain(rows)


@pytest.mark.parametrize("seed", range(3))
def test_groups_of_long_chains_and_stars(seed):
    rng = np.random.default_rng(seed)
    names = rng.permutation(3_000)
    chain = np.stack([names[:999], names[1:1000]], axis=1)
    star = np.stack([np.full(999, names[1000]), names[1001:2000]], axis=1)
    rows = np.sort(np.concatenate([chain, star]), axis=1)
    assert [group.tolist() for group in pairs_of(rows).groups()] == groups_plain(rows.tolist())


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).standard_normal((150, 6)).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_distances_rise_and_are_not_negative(vectors, metric):
    graph = neighbors(vectors, 4, metric=metric)
    assert graph.metric == metric
    assert (graph.distances >= 0).all()
    assert (np.diff(graph.distances) >= 0).all()


def test_csr_holds_the_distances_nearest_first(vectors):
    graph = neighbors(np.concatenate([vectors, vectors[:1]]), 4, metric="euclidean")
    sparse = graph.csr()
    assert sparse.shape == (151, 151)
    np.testing.assert_array_equal(sparse.indices.reshape(-1, 4), graph.rows)
    np.testing.assert_array_equal(sparse.data.reshape(-1, 4), -graph.scores)
    assert sparse[0, 150] == 0  # an equal vector stands in it
    assert sparse.nnz == 151 * 4


def test_with_self_begins_with_the_row_itself(vectors):
    rows, distances = neighbors(vectors, 4).with_self()
    assert rows.shape == distances.shape == (150, 5)
    assert rows[:, 0].tolist() == list(range(150))
    assert not distances[:, 0].any()


def test_csr_without_scipy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'firth\[sklearn\]'"):
        Graph(np.zeros((2, 1)), np.array([[1], [0]]), "cosine").csr()


@pytest.mark.oracle
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_graph_is_that_of_scikit_learn(vectors, metric):
    from sklearn.neighbors import kneighbors_graph

    theirs = kneighbors_graph(vectors.astype(np.float64), 7, mode="distance", metric=metric)
    ours = neighbors(vectors, 7, metric=metric).csr()
    assert ((ours != 0) != (theirs != 0)).nnz == 0
    # Theirs are sums of |x|^2 + |y|^2 - 2 xy: absolute errors of some eps, and of their root for euclidean.
    np.testing.assert_allclose(ours.toarray(), theirs.toarray(), atol=1e-7, rtol=1e-12)


@pytest.mark.oracle
@pytest.mark.slow
def test_umap_learn_takes_the_graph(vectors):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import umap

        graph = neighbors(vectors, 14)
        model = umap.UMAP(n_neighbors=15, precomputed_knn=(*graph.with_self(), None), n_epochs=5, init="random")
        points = model.fit_transform(vectors)
    assert points.shape == (150, 2)
    assert np.isfinite(points).all()
    joined = model.graph_.toarray() > 0
    assert joined[np.arange(150)[:, None], graph.rows].mean() > 0.99  # its edges are our neighbours


@pytest.mark.oracle
def test_opentsne_takes_the_graph(vectors):
    import openTSNE
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    graph = neighbors(vectors, 30)
    affinities = PerplexityBasedNN(perplexity=10, knn_index=PrecomputedNeighbors(graph.rows, graph.distances))
    joined = affinities.P.toarray() > 0
    assert joined[np.arange(150)[:, None], graph.rows].all()
    points = openTSNE.TSNEEmbedding(vectors[:, :2] * 1e-4, affinities).optimize(n_iter=10)
    assert np.isfinite(np.asarray(points)).all()
