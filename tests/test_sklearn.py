"""firth.sklearn: scikit-learn's estimators by exact search."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest
from sklearn import neighbors as theirs
from sklearn.cluster import DBSCAN
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from firth._check import ArgumentError, MissingExtraError
from firth.search import Index
from firth.sklearn import TSNE, UMAP, KNeighborsTransformer, NearestNeighbors

METRICS = ["euclidean", "cosine"]


@parametrize_with_checks(
    [
        NearestNeighbors(),
        NearestNeighbors(metric="cosine"),
        KNeighborsTransformer(),
        KNeighborsTransformer(mode="connectivity"),
    ]
)
def test_scikit_learn_accepts_them(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def samples():
    samples = np.random.default_rng(0).standard_normal((300, 7)).astype(np.float32)
    samples[40:44] = samples[7]  # duplicates: each finds the others, never itself
    return samples


@pytest.fixture(scope="module")
def queries(samples):
    return np.concatenate([np.random.default_rng(1).standard_normal((20, 7)).astype(np.float32), samples[:5]])


def pair(metric, samples):
    """Ours, and theirs in float64 by brute force."""
    ours = NearestNeighbors(n_neighbors=6, radius=1.8 if metric == "euclidean" else 0.3, metric=metric).fit(samples)
    brute = theirs.NearestNeighbors(n_neighbors=6, radius=ours.radius, metric=metric, algorithm="brute")
    return ours, brute.fit(samples.astype(np.float64))


# scikit-learn's distances come from |x|^2 + |y|^2 - 2 xy: errors of some eps |x|^2, and for euclidean their root.
ATOL = 1e-6


@pytest.mark.oracle
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("own", [False, True])
def test_kneighbors_are_theirs(samples, queries, metric, own):
    ours, brute = pair(metric, samples)
    distances, rows = ours.kneighbors(None if own else queries)
    expected, expected_rows = brute.kneighbors(None if own else queries.astype(np.float64))
    np.testing.assert_allclose(distances, expected, atol=ATOL)
    apart = ~np.isin(rows, [7, *range(40, 44)]).any(axis=1)  # duplicates tie: ours come in the order of the data
    assert apart.sum() > 15
    np.testing.assert_array_equal(rows[apart], expected_rows[apart])
    np.testing.assert_array_equal(ours.kneighbors(None if own else queries, return_distance=False), rows)
    if own:
        assert (rows != np.arange(300)[:, None]).all()


@pytest.mark.oracle
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("own", [False, True])
def test_radius_neighbors_are_theirs(samples, queries, metric, own):
    ours, brute = pair(metric, samples)
    distances, rows = ours.radius_neighbors(None if own else queries)
    expected, expected_rows = brute.radius_neighbors(None if own else queries.astype(np.float64))
    assert distances.shape == rows.shape == expected.shape
    assert sum(map(len, rows)) > 100
    for found, near, theirs_found, theirs_near in zip(rows, distances, expected_rows, expected, strict=True):
        assert set(found) == set(theirs_found)
        assert (np.diff(near) >= 0).all()
        np.testing.assert_allclose(near, np.sort(theirs_near), atol=ATOL)
    alone = ours.radius_neighbors(None if own else queries, return_distance=False)
    assert all(np.array_equal(one, other) for one, other in zip(alone, rows, strict=True))


@pytest.mark.oracle
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("mode", ["connectivity", "distance"])
def test_graphs_are_theirs(samples, metric, mode):
    samples = samples[50:]  # without duplicates
    ours, brute = pair(metric, samples)
    for graph in ("kneighbors_graph", "radius_neighbors_graph"):
        found, expected = getattr(ours, graph)(mode=mode), getattr(brute, graph)(mode=mode)
        np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=ATOL)
    found = KNeighborsTransformer(n_neighbors=6, metric=metric, mode=mode).fit_transform(samples)
    expected = theirs.KNeighborsTransformer(n_neighbors=6, metric=metric, mode=mode).fit_transform(samples)
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-3)  # theirs are of float32 here


def test_a_radius_is_a_limit_that_counts():
    samples = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    model = NearestNeighbors().fit(samples)
    assert [rows.tolist() for rows in model.radius_neighbors(radius=5, return_distance=False)] == [[1], [0, 2], [1]]
    model = NearestNeighbors(metric="cosine").fit([[1.0, 0.0], [0.6, 0.8]])
    distance = model.kneighbors(n_neighbors=1)[0][0, 0]
    assert [rows.tolist() for rows in model.radius_neighbors(radius=distance)[1]] == [[1], [0]]
    assert [len(rows) for rows in model.radius_neighbors(radius=distance - 1e-15)[1]] == [0, 0]


def test_a_pipeline_clusters_by_the_graph(samples):
    steps = KNeighborsTransformer(n_neighbors=20), DBSCAN(eps=1.0, metric="precomputed", min_samples=3)
    found = make_pipeline(*steps).fit_predict(samples)
    assert found[40] == found[7] >= 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda model: model.kneighbors(n_neighbors=3),
            r"n_neighbors must be in 1..2 \(the number of other samples\); got 3",
        ),
        (lambda model: model.kneighbors([[1.0]], n_neighbors=0), r"n_neighbors must be in 1..3"),
        (lambda model: model.radius_neighbors(radius=-1), "radius must be at least 0; got -1"),
        (lambda model: model.set_params(metric="l1").fit([[1.0]]), "metric must be one of euclidean, cosine; got 'l1'"),
    ],
)
def test_errors_say_what_to_do(call, message):
    with pytest.raises(ArgumentError, match=message):
        call(NearestNeighbors().fit([[1.0], [2.0], [3.0]]))


def test_indexes_are_copied_and_pickled_with_their_keys(samples):
    index = Index(samples, threads=1)
    for other in (copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        np.testing.assert_array_equal(other.top_k(samples[:9], 3).rows, index.top_k(samples[:9], 3).rows)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "firth.sklearn")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'firth\[sklearn\]'"):
        import firth.sklearn  # noqa: F401


@pytest.mark.parametrize("model", [UMAP(random_state=0, n_epochs=50), TSNE(perplexity=10, random_state=0)])
def test_maps_are_transformers(model, samples):
    pipeline = make_pipeline(theirs.NeighborhoodComponentsAnalysis(max_iter=1), model)
    mapped = pipeline.fit_transform(samples, np.arange(300) % 2)
    assert mapped.shape == (300, 2)
    assert pipeline.transform(samples[:5]).shape == (5, 2)
    assert pipeline.get_feature_names_out().tolist() == [f"{type(model).__name__.lower()}{i}" for i in range(2)]
    again = copy.deepcopy(model).set_params(n_components=3).fit(samples)
    assert again.embedding_.shape == (300, 3)
    assert again.map_.quality["trustworthiness"] > 0.8
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again)).embedding_, again.embedding_)
    with pytest.raises(ValueError, match="features"):
        again.transform(samples[:, :3])
