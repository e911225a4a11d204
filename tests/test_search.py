"""firth.search: exact search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import firth
import firth.search
from firth._check import ArgumentError, ShapeError
from firth.search import METRICS, neighbors, top_k


def plain_scores(queries, keys, metric):
    """The specification: float64 arithmetic on the float32 vectors, pair by pair."""
    q, x = np.asarray(queries, np.float64)[:, None, :], np.asarray(keys, np.float32).astype(np.float64)[None]
    if metric == "euclidean":
        return -np.sqrt(((q - x) ** 2).sum(-1))
    scores = (q * x).sum(-1)
    if metric == "scaled":
        return scores / np.sqrt(x.shape[-1])
    if metric == "cosine":
        size = np.sqrt((q * q).sum(-1)) * np.sqrt((x * x).sum(-1))
        return np.divide(scores, size, out=np.zeros_like(scores), where=size > 0)
    return scores


def top_k_plain(queries, keys, k, metric):
    scores = plain_scores(queries, keys, metric)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


def check(queries, keys, k, metric):
    found, plain = top_k(queries, keys, k, metric=metric), top_k_plain(queries, keys, k, metric)
    np.testing.assert_array_equal(found.rows, plain[1])
    np.testing.assert_array_equal(found.scores, plain[0])


@st.composite
def hard_cases(draw):
    """Ties, near-ties, duplicates, zeros, huge and tiny norms, heavy tails, constant vectors."""
    seed, n, d, q = (
        draw(st.integers(0, 2**32 - 1)),
        draw(st.integers(1, 400)),
        draw(st.integers(1, 40)),
        draw(st.integers(1, 5)),
    )
    rng = np.random.default_rng(seed)
    kind = draw(st.sampled_from(["gauss", "ties", "near", "huge", "tiny", "tails", "constant", "mixed", "sparse"]))
    keys = rng.standard_normal((n, d))
    if kind == "ties":
        keys = rng.integers(-1, 2, (n, d)).astype(float)
    elif kind == "near":
        keys = 1 + rng.standard_normal((n, d)) * 1e-7
    elif kind == "huge":
        keys *= 10.0 ** rng.uniform(10, 37)
    elif kind == "tiny":
        keys *= 10.0 ** rng.uniform(-44, -18)
    elif kind == "tails":
        keys = np.clip(rng.standard_cauchy((n, d)), -1e18, 1e18)
    elif kind == "constant":
        keys[:] = keys[0]
    elif kind == "mixed":
        keys *= 10.0 ** rng.uniform(-30, 15, (n, 1))
    elif kind == "sparse":
        keys *= rng.random((n, 1)) < 0.5
    keys = keys.astype(np.float32)
    queries = keys[rng.integers(0, n, q)] if draw(st.booleans()) else rng.standard_normal((q, d))
    return queries, keys, draw(st.integers(1, n)), draw(st.sampled_from(METRICS))


@given(hard_cases())
def test_rows_and_scores_are_those_of_float64(case):
    queries, keys, k, metric = case
    check(queries, keys, k, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_large_n_takes_the_threshold_from_groups(metric):
    rng = np.random.default_rng(1)
    keys = rng.standard_normal((5003, 24)).astype(np.float32)
    keys[1000:1100] = keys[7]  # a hundred ties
    check(np.concatenate([rng.standard_normal((3, 24)), keys[[7]]]), keys, 10, metric)


def test_blocks_of_queries_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    queries, keys = rng.standard_normal((50, 16)), rng.standard_normal((300, 16))
    whole = top_k(queries, keys, 5)
    monkeypatch.setattr(firth.search, "BLOCK_SCORES", 700)
    monkeypatch.setattr(firth.search, "PAIR_NUMBERS", 64)
    cut = top_k(queries, keys, 5)
    np.testing.assert_array_equal(whole.rows, cut.rows)
    np.testing.assert_array_equal(whole.scores, cut.scores)


def test_a_key_finds_itself_first():
    keys = np.random.default_rng(3).standard_normal((200, 8)).astype(np.float32)
    for metric in ("cosine", "euclidean"):
        np.testing.assert_array_equal(top_k(keys, keys, 1, metric=metric).rows[:, 0], np.arange(200))


def test_one_query_and_none():
    assert top_k([1.0, 0.0], [[1.0, 0.0]], 1).rows.shape == (1,)
    assert top_k(np.empty((0, 2)), [[1.0, 0.0]], 1).rows.shape == (0, 1)


@given(hard_cases())
def test_neighbors_are_the_others(case):
    _, keys, k, metric = case
    if len(keys) < 2:
        return
    k = min(k, len(keys) - 1)
    scores = plain_scores(keys, keys, metric)
    found = neighbors(keys, k, metric=metric)
    for row in range(len(keys)):
        others = np.delete(np.arange(len(keys)), row)
        order = others[np.argsort(-scores[row, others], kind="stable")[:k]]
        np.testing.assert_array_equal(found.rows[row], order)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(queries=[[1, 2]], keys=[[1, 2, 3]], k=1), ShapeError, r"agree on d; got \(1, 2\) and \(1, 3\)"),
        (dict(queries=[[1, 2]], keys=[[1, 2]], k=0), ArgumentError, r"k must be in 1..1 \(the number of keys\); got 0"),
        (dict(queries=[[1, 2]], keys=[[1, 2]], k=2), ArgumentError, "k must be in 1..1"),
        (
            dict(queries=[[1, 2]], keys=[[1, np.nan]], k=1),
            ArgumentError,
            "keys must be finite; row 0, dimension 1 is nan",
        ),
        (dict(queries=[[np.inf, 2]], keys=[[1, 2]], k=1), ArgumentError, "queries must be finite"),
        (dict(queries=[["a", "b"]], keys=[[1, 2]], k=1), ArgumentError, "queries must be numbers"),
        (dict(queries=[[1, 2]], keys=[1, 2], k=1), ShapeError, "keys must have the shape"),
        (dict(queries=[[1, 2]], keys=[[1e300, 2]], k=1), ArgumentError, "keys must be finite"),
        (
            dict(queries=[[1, 2]], keys=[[1, 2]], k=1, metric="angle"),
            ArgumentError,
            "metric must be one of dot, cosine",
        ),
        (dict(queries=[[1, 2]], keys=[[1, 2]], k=1.5), ArgumentError, "k must be a whole number"),
    ],
)
def test_errors_say_what_to_do(arguments, error, message):
    with pytest.raises(error, match=message):
        firth.top_k(**arguments)
