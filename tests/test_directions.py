import numpy as np
import pytest

import firth.search
from firth import _core
from firth.directions import leading_directions
from firth.results import METRICS
from firth.search import Index, duplicates, neighbors


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
    coordinates = keys @ directions.T
    assert (coordinates**2).sum() / (keys**2).sum() > 0.9
    # Turned: of about one size. Along the principal components the first is 2.7 and 4.2 times as large as on average.
    largest = np.sqrt((coordinates**2).mean(axis=0)).max() / np.sqrt((coordinates**2).mean())
    assert largest < 2


def test_no_directions_where_they_would_not_help():
    rng = np.random.default_rng(0)
    assert leading_directions(rng.standard_normal((3000, 128)).astype(np.float32)) is None  # as long in all
    assert leading_directions(decaying(3000, 48)) is None
    assert leading_directions(decaying(300, 128)) is None
    assert leading_directions(np.zeros((3000, 128), np.float32)) is None


@pytest.mark.parametrize("metric", METRICS)
def test_answers_by_directions_are_the_same(metric, monkeypatch):
    keys = decaying(2500, 128, seed=1) * np.random.default_rng(2).lognormal(size=(2500, 1)).astype(np.float32)
    keys[100:140] = keys[7]  # ties
    keys[5] = 0
    plain = Index(keys)
    answers = plain.top_k(keys[:520], 10, metric=metric)
    least = answers.scores[:, -1].mean()
    matches = plain.within(keys[:40], least, metric=metric)
    graph = neighbors(keys, 7, metric=metric)
    monkeypatch.setattr(firth.search, "TRIED_FROM", 0)
    index = Index(keys)
    for found, expected in [
        (index.top_k(keys[:520], 10, metric=metric), answers),
        (index.within(keys[:40], least, metric=metric), matches),
        (neighbors(keys, 7, metric=metric), graph),
    ]:
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.scores, expected.scores)
    assert index.code_bytes < 2500 * 90 < plain.code_bytes  # of directions; of all numbers d + 8, 136 a key


def test_duplicates_by_directions_are_the_same(monkeypatch):
    monkeypatch.setattr(firth.search, "TRIED_FROM", 0)
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
