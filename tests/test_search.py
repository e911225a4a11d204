"""firth.search: exact search."""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import firth
import firth.search
from firth import _core
from firth._check import ArgumentError, ShapeError
from firth.search import METRICS, Index, duplicates, neighbors, top_k, within


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


def levels(monkeypatch):
    """Instruction sets that this machine has, the portable version first."""
    found = []
    for level in ("portable", "avx2", "avx512", "neon"):
        monkeypatch.setenv("FIRTH_SIMD", level)
        with contextlib.suppress(ValueError):
            found.append(_core.simd_level())
    return found


@pytest.fixture
def ways(monkeypatch):
    """Run a search by every instruction set, from codes and without them, with one thread and several."""

    available = levels(monkeypatch)

    def run(search):
        found = []
        for level in available:
            for coded_from, threads in ((0, 1), (0, 3), (10**9, 2)):
                monkeypatch.setenv("FIRTH_SIMD", level)
                monkeypatch.setattr(firth.search, "CODED_FROM", coded_from)
                found.append(search(threads))
        return found

    return run


def check(ways, queries, keys, k, metric, where=None):
    allowed = np.arange(len(keys)) if where is None else np.flatnonzero(where)
    scores, order = top_k_plain(queries, np.asarray(keys)[allowed], k, metric)
    for found in ways(lambda threads: Index(keys, threads=threads).top_k(queries, k, metric=metric, where=where)):
        np.testing.assert_array_equal(found.rows, allowed[order])
        np.testing.assert_array_equal(found.scores, scores)


KINDS = ["gauss", "ties", "near", "huge", "tiny", "tails", "constant", "mixed", "sparse", "hot", "zeros"]


def hard_keys(rng, kind, n, d):
    """Ties, near-ties, duplicates, zeros, huge and tiny norms, denormals, heavy tails, constant vectors."""
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
    elif kind == "hot":
        keys = np.eye(d)[rng.integers(0, d, n)]
    elif kind == "zeros":
        keys[:] = 0
    return keys.astype(np.float32)


@st.composite
def hard_cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d, q = draw(st.integers(1, 400)), draw(st.integers(1, 40)), draw(st.integers(1, 12))
    keys = hard_keys(rng, draw(st.sampled_from(KINDS)), n, d)
    queries = keys[rng.integers(0, n, q)] if draw(st.booleans()) else rng.standard_normal((q, d))
    if draw(st.booleans()):  # within 1e-7 of a key, or of nothing at all
        queries = queries * (1 + rng.standard_normal((q, d)) * 1e-7)
    return queries, keys, draw(st.integers(1, n)), draw(st.sampled_from(METRICS))


@given(hard_cases())
def test_rows_and_scores_are_those_of_float64(ways, case):
    queries, keys, k, metric = case
    check(ways, queries, keys, k, metric)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d", "k"), [(3000, 24, 10), (1100, 1, 7), (60, 4096, 60), (1009, 129, 1)])
def test_more_keys_than_a_block_and_the_widest(ways, kind, n, d, k):
    rng = np.random.default_rng(1)
    keys = hard_keys(rng, kind, n, d)
    keys[n // 3 : n // 3 + 20] = keys[7]  # twenty ties
    for metric in METRICS:
        check(ways, np.concatenate([rng.standard_normal((2, d)), keys[[7]]]), keys, k, metric)


@pytest.mark.parametrize("scale", [1e-300, 1e-120, 1e120, 1e300])
def test_queries_that_no_float32_holds(ways, scale):
    rng = np.random.default_rng(2)
    keys = rng.standard_normal((300, 6)).astype(np.float32)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for metric in METRICS:
            check(ways, rng.standard_normal((9, 6)) * scale, keys, 5, metric)


def test_threads_and_batches_change_nothing():
    rng = np.random.default_rng(2)
    queries, keys = rng.standard_normal((500, 16)), rng.standard_normal((5000, 16))
    whole = Index(keys, threads=2).top_k(queries, 5)
    index = Index(keys, threads=1)
    for start in range(0, 500, 7):
        part = index.top_k(queries[start : start + 7], 5)
        np.testing.assert_array_equal(whole.rows[start : start + 7], part.rows)
        np.testing.assert_array_equal(whole.scores[start : start + 7], part.scores)


def test_a_key_finds_itself_first():
    keys = np.random.default_rng(3).standard_normal((200, 8)).astype(np.float32)
    for metric in ("cosine", "euclidean"):
        np.testing.assert_array_equal(top_k(keys, keys, 1, metric=metric).rows[:, 0], np.arange(200))


def test_one_query_and_none():
    assert top_k([1.0, 0.0], [[1.0, 0.0]], 1).rows.shape == (1,)
    assert top_k(np.empty((0, 2)), [[1.0, 0.0]], 1).rows.shape == (0, 1)
    assert within(np.empty((0, 2)), [[1.0, 0.0]], 1).starts.tolist() == [0]


@given(hard_cases(), st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.5, 0.95]))
def test_only_keys_that_are_allowed_answer(ways, case, seed, share):
    queries, keys, k, metric = case
    where = np.random.default_rng(seed).random(len(keys)) < share
    where[-1] = True
    check(ways, queries, keys, min(k, int(where.sum())), metric, where)


@given(hard_cases(), st.integers(0, 2**32 - 1), st.sampled_from([None, 0.02, 0.5]))
def test_within_finds_all_that_score_enough(ways, case, seed, share):
    queries, keys, k, metric = case
    scores = plain_scores(queries, keys, metric)
    least = np.sort(scores[0])[-k]  # a score that occurs: a tie with the limit is a match
    limit = dict(radius=-least) if metric == "euclidean" else dict(score=least)
    where = None if share is None else np.random.default_rng(seed).random(len(keys)) < share
    for found in ways(
        lambda threads: Index(keys, threads=threads).within(queries, **limit, metric=metric, where=where)
    ):
        for query, row_scores in enumerate(scores):
            order = np.argsort(-row_scores, kind="stable")
            order = order[row_scores[order] >= least]
            order = order if where is None else order[where[order]]
            part = slice(found.starts[query], found.starts[query + 1])
            np.testing.assert_array_equal(found.rows[part], order)
            np.testing.assert_array_equal(found.scores[part], row_scores[order])


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


@given(hard_cases())
def test_duplicates_are_the_pairs_that_score_enough(case):
    _, keys, _, metric = case
    scores = plain_scores(keys, keys, metric)
    least, limit = (-0.01, dict(radius=0.01)) if metric == "euclidean" else (0.999, dict(score=0.999))
    found = duplicates(keys, **limit, metric=metric)
    first, second = np.nonzero(np.triu(scores >= least, 1))
    order = np.lexsort((second, -scores[first, second], first))
    np.testing.assert_array_equal(found.rows, np.stack([first, second], axis=1)[order])
    np.testing.assert_array_equal(found.scores, scores[first, second][order])


def test_parts_of_a_graph_change_nothing(monkeypatch):
    keys = np.random.default_rng(4).standard_normal((5000, 8)).astype(np.float32)
    whole, pairs = neighbors(keys, 5), duplicates(keys, 0.9)
    monkeypatch.setattr(firth.search, "FIRST_STEP", 1)
    monkeypatch.setattr(firth.search, "STEP_S", 1e-9)
    steps = list(Index(keys, threads=1).neighbors_steps(5))  # a strip or two a step; more threads take more
    assert len(steps) >= 5
    assert steps == sorted(steps)
    assert steps[-1] == 5000
    np.testing.assert_array_equal(neighbors(keys, 5).rows, whole.rows)
    np.testing.assert_array_equal(duplicates(keys, 0.9).rows, pairs.rows)


def test_statistics_tell_how_much_the_codes_ruled_out():
    rng = np.random.default_rng(5)
    index = Index(rng.standard_normal((20_000, 32)))
    assert index.code_bytes == 0
    index.top_k(rng.standard_normal((100, 32)), 10, metric="cosine")
    done = index.statistics
    assert 100 * 20_000 <= done.scanned < 100 * 25_000  # some keys twice, for thresholds to start with
    assert 100 * 10 <= done.rescored <= done.candidates < done.scanned / 50
    assert 20_000 * 40 <= index.code_bytes <= 20_000 * 41
    constant = Index(np.ones((20_000, 4)))
    constant.top_k(np.ones((10, 4)), 10)
    assert constant.statistics.rescored == 10 * 20_000


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs a signal to a thread")
@pytest.mark.parametrize("queries", [4, 20_000])
def test_an_interrupted_search_ends_soon(queries, request):
    request.addfinalizer(gc.enable)
    gc.disable()  # JAX, where other tests have loaded it, is called back by it, and there an interrupt is raised to nobody
    index = Index(np.ones((200_000, 64), np.float32))  # all tie: seconds of scoring
    sent = []

    def interrupt():
        time.sleep(0.3)
        sent.append(time.perf_counter())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        while True:
            index.top_k(np.ones((queries, 64)), 10)
    assert time.perf_counter() - sent[0] < 1.5  # 0.1 s, but for a machine that is busy
    sender.join()


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
        (dict(queries=[[1, 2]], keys=[[1, 2]], k=1, where=[1]), ShapeError, "where must be 1 booleans"),
        (
            dict(queries=[[1, 2]], keys=[[1, 2]] * 3, k=2, where=[True, False, False]),
            ArgumentError,
            r"k must be in 1..1 \(the number of keys allowed\); got 2",
        ),
    ],
)
def test_errors_say_what_to_do(arguments, error, message):
    with pytest.raises(error, match=message):
        firth.top_k(**arguments)


def test_nothing_to_choose_from_is_told():
    none = np.empty((0, 3))
    assert within(np.eye(3), none, 1).starts.tolist() == [0, 0, 0, 0]
    assert duplicates(none, 1).rows.shape == (0, 2)
    for search, message in (
        (lambda: top_k(np.eye(3), none, 1), "k must be at least 1, and the number of keys is 0"),
        (lambda: top_k(np.eye(3), np.eye(3), 1, where=[False] * 3), "the number of keys allowed is 0"),
        (lambda: neighbors(none, 1), "k must be at least 1, and the number of other rows is 0"),
        (lambda: neighbors(np.eye(1), 1), "k must be at least 1, and the number of other rows is 0"),
    ):
        with pytest.raises(ArgumentError, match=message):
            search()


def test_too_many_duplicates_are_told():
    keys = np.ones((300, 2))
    with pytest.raises(ArgumentError, match="more than 99 pairs, among the first 64 of 300 rows: raise the score"):
        duplicates(keys, 0.9, most=99)
    assert len(duplicates(keys, 0.9, most=300 * 299 // 2).rows) == 300 * 299 // 2


def test_scores_must_be_numbers():
    for score in (float("nan"), "much"):
        with pytest.raises(ArgumentError, match="score must be a number"):
            within([1.0], [[1.0]], score)
        with pytest.raises(ArgumentError, match="score must be a number"):
            duplicates([[1.0]], score)


def test_a_radius_is_minus_a_score():
    keys = np.random.default_rng(6).standard_normal((200, 5)).astype(np.float32)
    radius = float(-neighbors(keys, 3, metric="euclidean").scores[0, 2])  # a distance that occurs: it counts
    scores = plain_scores(keys, keys, "euclidean")
    found = within(keys, keys, radius=radius, metric="euclidean")
    assert len(found.rows) == np.count_nonzero(scores >= -radius)
    pairs = duplicates(keys, radius=radius, metric="euclidean")
    assert len(pairs.rows) == np.count_nonzero(np.triu(scores >= -radius, 1))
    np.testing.assert_array_equal(within(keys, keys, -radius, metric="euclidean").rows, found.rows)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(), "give either score or radius; got neither"),
        (dict(score=1, radius=1), "give either score or radius; got both"),
        (dict(radius=1, metric="cosine"), "radius needs metric='euclidean'; the metric is 'cosine': give a score"),
        (dict(radius=-1, metric="euclidean"), "radius must be at least 0; got -1"),
        (dict(radius=float("nan"), metric="euclidean"), "radius must be at least 0; got nan"),
        (dict(radius="far", metric="euclidean"), "radius must be a number at least 0; got 'far'"),
        (dict(score=1, metric="angle"), "metric must be one of dot, cosine"),
    ],
)
def test_one_of_score_and_radius(given, message):
    with pytest.raises(ArgumentError, match=message):
        within([1.0], [[1.0]], **given)
    with pytest.raises(ArgumentError, match=message):
        duplicates([[1.0]], **given)
