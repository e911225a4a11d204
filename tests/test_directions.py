import numpy as np
import pytest

import firth.search
from firth import _core
from firth.directions import leading_directions
from firth.results import METRICS
from firth.search import Index, duplicates, neighbors, top_k, within


def decaying(n, d, seed=0):
    """Vectors that mostly lie in few directions, none of them that of a dimension."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return (rng.standard_normal((n, d)) * np.exp(-np.arange(d) / 8) @ turn).astype(np.float32)


@pytest.mark.parametrize(("n", "d"), [(3000, 128), (2000, 700)])
def test_few_directions_suffice_for_vectors_that_lie_in_them(n, d):
    keys = decaying(n, d)
    directions = leading_directions(keys)
    assert directions is not None
    m = len(directions)
    assert m <= d // 2
    np.testing.assert_allclose(directions @ directions.T, np.eye(m), atol=1e-12)
    inside = ((keys @ directions.T) ** 2).sum() / (keys**2).sum()
    assert inside > 0.9


def test_no_directions_where_they_would_not_help():
    rng = np.random.default_rng(0)
    assert leading_directions(rng.standard_normal((3000, 128)).astype(np.float32)) is None  # as long in all
    assert leading_directions(decaying(3000, 48)) is None
    assert leading_directions(decaying(300, 128)) is None
    assert leading_directions(np.zeros((3000, 128), np.float32)) is None


@pytest.fixture
def always_tried(monkeypatch):
    monkeypatch.setattr(firth.search, "TRIED_FROM", 0)


@pytest.mark.usefixtures("always_tried")
@pytest.mark.parametrize("metric", METRICS)
def test_answers_by_directions_are_the_same(metric):
    keys = decaying(2500, 128, seed=1) * np.random.default_rng(2).lognormal(size=(2500, 1)).astype(np.float32)
    keys[100:140] = keys[7]  # ties
    keys[5] = 0
    index = Index(keys)
    found = index.top_k(keys[:520], 10, metric=metric)
    assert index.code_bytes < 2500 * 90  # of directions; those of all numbers take d + 8, 136 a key
    plain = [top_k(query, keys, 10, metric=metric) for query in keys[:520]]
    np.testing.assert_array_equal(found.rows, [answer.rows for answer in plain])
    np.testing.assert_array_equal(found.scores, [answer.scores for answer in plain])
    least = found.scores[:, -1].mean()
    matches = index.within(keys[:40], least, metric=metric)
    np.testing.assert_array_equal(matches.rows, within(keys[:40], keys, least, metric=metric).rows)
    graph = neighbors(keys, 7, metric=metric)
    others = [top_k(keys[row], keys, 8, metric=metric).rows for row in range(0, 2500, 50)]
    rows = [
        [other for other in found if other != row][:7] for row, found in zip(range(0, 2500, 50), others, strict=True)
    ]
    np.testing.assert_array_equal(graph.rows[::50], rows)


@pytest.mark.usefixtures("always_tried")
def test_duplicates_by_directions_are_the_same():
    keys = decaying(2500, 128, seed=3)
    keys[1000:1100] = keys[:100] * 2
    pairs = duplicates(keys, 0.99999)
    assert {(row, row + 1000) for row in range(100)} <= {tuple(pair) for pair in pairs.rows.tolist()}


def test_the_core_refuses_other_directions():
    index = _core.Index(np.ones((10, 4), np.float32))
    with pytest.raises(ValueError, match="columns"):
        index.build(1, np.eye(3))
    with pytest.raises(ValueError, match="orthonormal"):
        index.build(1, np.ones((2, 4)))
