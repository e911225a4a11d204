from itertools import pairwise

import numpy as np
import pytest

import firth.search
from firth import _core
from firth.directions import by_likeness, leading_directions, turned, with_head
from firth.results import METRICS
from firth.search import Index, duplicates, neighbors
from firth.steps import drain


def decaying(n, d, seed=0):
    """Vectors that mostly lie in few directions, none of them that of a dimension."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return (rng.standard_normal((n, d)) * np.exp(-np.arange(d) / 8) @ turn).astype(np.float32)


@pytest.mark.parametrize(("n", "d"), [(3000, 128), (2000, 700)])
def test_few_directions_suffice_for_vectors_that_lie_in_them(n, d, monkeypatch):
    keys = decaying(n, d)
    directions = leading_directions(keys)
    assert directions is not None
    m = len(directions)
    assert m <= d // 2
    assert ((keys @ directions.T) ** 2).sum() / (keys**2).sum() > 0.9
    coordinates = keys @ turned(directions).T
    # The first of the components is 2.7 and 4.2 times as large as they are on average; turned, the largest is 1.5 and 1.7.
    assert np.sqrt((coordinates**2).mean(axis=0).max() / (coordinates**2).mean()) < 2
    for instructions in ("avx2", "amx"):  # that take half of the head first, and do not
        monkeypatch.setattr(_core, "product_instructions", lambda instructions=instructions: (instructions, "avx2"))
        parts, head = with_head(directions, keys)
        ends, shifts = [0, *(end for end, _ in head), m], [shift for _, shift in head]
        halves = [ends[-2] // 2] if instructions == "avx2" and ends[-2] >= 32 else []
        assert ends == [0, *halves, ends[-2], m]
        assert 0 < ends[-2] < m
        assert shifts == sorted(shifts, reverse=True)
        for some in (directions, turned(directions), parts):
            np.testing.assert_allclose(some @ some.T, np.eye(m), atol=1e-12)
            np.testing.assert_allclose(some.T @ some, directions.T @ directions, atol=1e-12)  # of the same subspace
        for end in ends:
            np.testing.assert_allclose(parts[:end].T @ parts[:end], directions[:end].T @ directions[:end], atol=1e-12)
        # What codes count is as large as what they are of, within a factor of two.
        largest = [np.median(np.abs(keys @ parts[a:b].T).max(axis=1)) for a, b in pairwise(ends)]
        np.testing.assert_allclose(np.log2(largest[:-1]) - np.log2(largest[-1]), shifts, atol=1.0)


def test_like_rows_stand_together():
    rng = np.random.default_rng(4)
    centres = rng.standard_normal((40, 20))
    kind = rng.integers(40, size=6000)
    keys = (centres[kind] + 0.1 * rng.standard_normal((6000, 20))).astype(np.float32)
    keys *= rng.lognormal(size=(6000, 1)).astype(np.float32)  # lengths do not matter
    keys[77] = 0
    order = by_likeness(keys, None, 2)
    np.testing.assert_array_equal(np.sort(order), np.arange(6000))
    same = (kind[order[1:]] == kind[order[:-1]]).mean()
    assert same > 0.9  # by chance 0.025
    for few in (keys[:1], keys[:50], np.ones((500, 3), np.float32), np.zeros((500, 3), np.float32)):
        np.testing.assert_array_equal(np.sort(by_likeness(few, None, 2)), np.arange(len(few)))


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
    monkeypatch.setattr(firth.search, "ORDERED_FROM", 0)
    index = Index(keys)
    for found, expected in [
        (index.top_k(keys[:520], 10, metric=metric), answers),
        (index.within(keys[:40], least, metric=metric), matches),
        (neighbors(keys, 7, metric=metric), graph),
    ]:
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.scores, expected.scores)
    assert index.code_bytes < 2500 * 90 < plain.code_bytes  # of directions; of all numbers d + 8, 136 a key


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spread", [8, 1000])
def test_neighbours_by_likeness_are_the_same(metric, spread, monkeypatch):
    rng = np.random.default_rng(5)
    keys = (rng.standard_normal((3000, 128)) * np.exp(-np.arange(128) / spread)).astype(
        np.float32
    )  # with, without directions
    assert (leading_directions(keys) is None) == (spread == 1000)
    keys *= rng.lognormal(size=(3000, 1)).astype(np.float32)
    keys[100:140] = keys[7]  # ties, which the lowest rows win, wherever they stand
    keys[2990:] = keys[7]
    keys[5] = 0
    expected = neighbors(keys, 9, metric=metric)
    monkeypatch.setattr(firth.search, "ORDERED_FROM", 0)
    for threads in (1, 2):
        found = drain(Index(keys, threads=threads).neighbors_steps(9, metric=metric))
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.scores, expected.scores)


def test_what_is_asked_after_neighbours_is_the_same(monkeypatch):
    monkeypatch.setattr(firth.search, "TRIED_FROM", 0)
    monkeypatch.setattr(firth.search, "ORDERED_FROM", 0)
    keys = decaying(2500, 128, seed=6)
    index = Index(keys)
    drain(index.neighbors_steps(3))
    assert index.code_bytes == 0  # the graph's are its own
    found = index.top_k(keys[:20], 5)
    np.testing.assert_array_equal(found.rows, Index(keys).top_k(keys[:20], 5).rows)
    assert 0 < index.code_bytes < 2500 * 90


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
    order = np.arange(10, dtype=np.uint32)
    with pytest.raises(ValueError, match="each row once"):
        _core.Graph(index, 2, "dot", 1, order // 2)
    for head in [[(3, 0)], [(8, 0)], [(4, 5)], [(4, -1)], [(4, 0), (4, 0)], [(0, 0), (4, 1)]]:
        with pytest.raises(ValueError, match="a head"):
            _core.Graph(index, 2, "dot", 1, order, np.eye(4), head)
