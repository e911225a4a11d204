"""The programs that bench/search.py compares: how each is asked. A process of its own for every run.

search_peers.py PART PEER PLACE [OUT] prints what it measured as JSON; PLACE holds keys.npy, queries.npy and right.npy.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import peak_mib

THREADS = len(os.sched_getaffinity(0))
KS = (10, 100)
GRAPH_K = 15
LOAD_K = 10
SINGLES = 50  # at least so many
SINGLES_S = {"search": 0.5, "load": 2.0}  # and for at least so long, which is many turns of the busy processes
BATCHES_S = 1.0  # a batch is repeated until it took so long
MOST_SCORES = 1 << 26  # held at once by those that are given blocks of queries
PACKAGES = {
    "faiss": "faiss-cpu",
    "jax": "jax",
    "numpy": "numpy",
    "pynndescent": "pynndescent",
    "scann": "scann",
    "sklearn": "scikit-learn",
    "sklearnex": "scikit-learn-intelex",
    "torch": "torch",
    "usearch": "usearch",
}
NOTES = {
    "firth": "Index(keys), its codes built, top_k; neighbors",
    "faiss": "IndexFlatIP.search; the graph IndexFlatL2.search. Its BLAS is told the type of core (OPENBLAS_CORETYPE)",
    "jax": "lax.top_k(queries @ keys.T) compiled for the CPU, in blocks; compiled before the clock starts",
    "numpy": "queries @ keys.T in blocks, argpartition, the best sorted",
    "pynndescent": "approximate: NNDescent of 16 neighbours (itself is one), the rest as it comes; the second graph of a "
    "process. cold: its first, with import and compilation, which later processes find done",
    "scann": "score_brute_force without reordering; search_batched_parallel, search; the graph squared_l2",
    "sklearn": "NearestNeighbors(algorithm='brute'): of unit vectors the nearest have the largest dot product",
    "sklearnex": "the same of scikit-learn-intelex",
    "torch": "topk(queries @ keys.T) in blocks",
    "usearch": "usearch.index.search(exact=True)",
}

Rows = np.ndarray


class Search(NamedTuple):
    """Keys that can be asked."""

    batch: Callable[[np.ndarray, int], Rows]  # (q, d), k -> (q, k)
    single: Callable[[np.ndarray, int], Rows]  # (d,), k -> (k,)
    code_bytes: int = 0


def by_firth(keys: np.ndarray) -> Search:
    import firth

    index = firth.Index(keys, threads=THREADS)
    index._core.build(THREADS)
    return Search(*[lambda queries, k: index.top_k(queries, k).rows] * 2, index.code_bytes)


def by_faiss(keys: np.ndarray) -> Search:
    import faiss

    faiss.omp_set_num_threads(THREADS)
    index = faiss.IndexFlatIP(keys.shape[1])
    index.add(keys)
    return Search(lambda queries, k: index.search(queries, k)[1], lambda query, k: index.search(query[None], k)[1][0])


def by_scann(keys: np.ndarray, metric: str = "dot_product") -> Search:
    from scann.scann_ops.py import scann_ops_pybind

    index = scann_ops_pybind.builder(keys, 10, metric).set_n_training_threads(THREADS).score_brute_force().build()
    index.set_num_threads(THREADS)
    return Search(
        lambda queries, k: index.search_batched_parallel(queries, k)[0], lambda query, k: index.search(query, k)[0]
    )


def by_sklearn(keys: np.ndarray) -> Search:
    from sklearn.neighbors import NearestNeighbors

    return _by_estimator(NearestNeighbors, keys)


def by_sklearnex(keys: np.ndarray) -> Search:
    from sklearnex.neighbors import NearestNeighbors

    return _by_estimator(NearestNeighbors, keys)


def _by_estimator(kind: Any, keys: np.ndarray) -> Search:
    index = kind(algorithm="brute", n_jobs=THREADS).fit(keys)
    return Search(
        lambda queries, k: index.kneighbors(queries, k, return_distance=False),
        lambda query, k: index.kneighbors(query[None], k, return_distance=False)[0],
    )


def by_usearch(keys: np.ndarray) -> Search:
    from usearch.index import MetricKind, search

    def ask(queries: np.ndarray, k: int) -> Rows:
        return search(keys, queries, k, MetricKind.IP, exact=True, threads=THREADS).keys.astype(np.int64)

    return Search(ask, ask)


def by_jax(keys: np.ndarray) -> Search:
    import jax

    held = jax.block_until_ready(jax.device_put(keys))

    def scan(queries: jax.Array, keys: jax.Array, k: int) -> jax.Array:
        return jax.lax.top_k(queries @ keys.T, k)[1]

    compiled = jax.jit(scan, static_argnames="k")
    return _in_blocks(lambda queries, k: np.asarray(compiled(queries, held, k)), len(keys))


def by_torch(keys: np.ndarray) -> Search:
    import torch

    torch.set_num_threads(THREADS)
    held = torch.from_numpy(keys).T
    return _in_blocks(lambda queries, k: torch.topk(torch.from_numpy(queries) @ held, k)[1].numpy(), len(keys))


def by_numpy(keys: np.ndarray) -> Search:
    def scan(queries: np.ndarray, k: int) -> Rows:
        scores = queries @ keys.T
        best = np.argpartition(scores, -k, axis=1)[:, -k:]
        return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1), axis=1)

    return _in_blocks(scan, len(keys))


def _in_blocks(scan: Callable[[np.ndarray, int], Rows], n: int) -> Search:
    """Blocks of one size, for which JAX compiles once; the last overlaps the one before."""

    def batch(queries: np.ndarray, k: int) -> Rows:
        rows = np.empty((len(queries), k), np.int64)
        step = -(-len(queries) // -(-len(queries) * n // MOST_SCORES))
        for stop in range(step, len(queries) + step, step):
            part = slice(min(stop, len(queries)) - step, min(stop, len(queries)))
            rows[part] = scan(queries[part], k)
        return rows

    return Search(batch, lambda query, k: scan(query[None], k)[0])


PEERS = {
    "firth": by_firth,
    "scann": by_scann,
    "sklearnex": by_sklearnex,
    "sklearn": by_sklearn,
    "faiss": by_faiss,
    "jax": by_jax,
    "torch": by_torch,
    "numpy": by_numpy,
    "usearch": by_usearch,
}


def graph_by_firth(vectors: np.ndarray, k: int) -> Rows:
    import firth

    return firth.neighbors(vectors, k, metric="euclidean").rows


def graph_by_scann(vectors: np.ndarray, k: int) -> Rows:
    return others(by_scann(vectors, "squared_l2").batch(vectors, k + 1))


def graph_by_sklearnex(vectors: np.ndarray, k: int) -> Rows:
    return others(by_sklearnex(vectors).batch(vectors, k + 1))


def graph_by_faiss(vectors: np.ndarray, k: int) -> Rows:
    import faiss

    faiss.omp_set_num_threads(THREADS)
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors)
    return others(index.search(vectors, k + 1)[1])


def graph_by_pynndescent(vectors: np.ndarray, k: int) -> Rows:
    from pynndescent import NNDescent

    return others(NNDescent(vectors, n_neighbors=k + 1, n_jobs=THREADS).neighbor_graph[0])


GRAPHS = {
    "firth": graph_by_firth,
    "scann": graph_by_scann,
    "sklearnex": graph_by_sklearnex,
    "faiss": graph_by_faiss,
    "pynndescent": graph_by_pynndescent,
}


def others(rows: Rows, asked: np.ndarray | None = None) -> Rows:
    """Without the row that asked; where equal ones have pushed it out, without the last. (q, k + 1) -> (q, k)."""
    keep = rows != (np.arange(len(rows)) if asked is None else asked)[:, None]
    keep[keep.all(axis=1), -1] = False
    return rows[keep].reshape(len(rows), -1)


def installed(peer: str) -> bool:
    """Whether it can be asked here: torch is taken where it is, the others are in the dependency group bench-search."""
    return importlib.util.find_spec(peer) is not None


# What a child does.


def ask(part: str, peer: str, place: Path) -> dict[str, Any]:
    """Build, ask all queries at once (not under load), then one by one."""
    keys, queries, right = (np.load(place / f"{name}.npy") for name in ("keys", "queries", "right"))
    told: dict[str, Any] = {"vector_bytes": keys.nbytes}
    PEERS[peer](keys[:1000]).batch(queries[:8], KS[0])  # what is imported and compiled then is not timed
    began = time.perf_counter()
    index = PEERS[peer](keys)
    told |= {"build_s": time.perf_counter() - began, "code_bytes": index.code_bytes}
    del keys  # those that made a copy need it no more
    for k in (LOAD_K,) if part == "load" else KS:
        told[str(k)] = of_k = {}
        if part == "search":
            index.batch(queries if peer == "jax" else queries[:64], k)  # JAX compiles for each shape
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
            resident = peak_mib()
            took, rows = repeat(lambda _, k=k: index.batch(queries, k), 1, BATCHES_S)
            kept = sum(found.nbytes for found in rows[:-1]) / 2**20  # is not the search's
            of_k |= {"batch_s": statistics.median(took), "batches": len(took)}
            of_k |= {"resident_mib": resident, "batch_peak_mib": max(0.0, peak_mib() - resident - kept)}
            of_k |= min((compare(found, right[:, :k]) for found in rows), key=lambda told: told["same_order"])
        index.single(queries[0], k)
        took, rows = repeat(lambda i, k=k: index.single(queries[i % len(queries)], k), SINGLES, SINGLES_S[part])
        asked = np.arange(len(took)) % len(queries)
        of_k |= {"single_ms": 1e3 * statistics.median(took), "single_p95_ms": 1e3 * float(np.percentile(took, 95))}
        of_k |= {f"single_{key}": value for key, value in compare(np.array(rows), right[asked, :k]).items()}
    return told


def repeat(work: Callable[[int], Rows], times: int, seconds: float) -> tuple[list[float], list[Rows]]:
    """At least so often and so long: how long each time took, and what it found."""
    took: list[float] = []
    rows: list[Rows] = []
    end = time.perf_counter() + seconds
    while len(took) < times or time.perf_counter() < end:
        began = time.perf_counter()
        found = work(len(took))
        took.append(time.perf_counter() - began)
        rows.append(found)
    return took, rows


def compare(rows: Rows, right: Rows) -> dict[str, int]:
    """How many queries have float64's rows, and how many have them in its order."""
    return {
        "queries": len(rows),
        "same_rows": int((np.sort(rows) == np.sort(right)).all(axis=1).sum()),
        "same_order": int((rows == right).all(axis=1).sum()),
    }


def graph(peer: str, place: Path, out: str) -> dict[str, Any]:
    """The graph of all vectors, from their array to its rows; these are kept for the report."""
    vectors = np.load(place / "keys.npy")
    told: dict[str, Any] = {}
    compiled = place / "compiled"
    os.environ["NUMBA_CACHE_DIR"] = str(compiled)  # of its own, so that what the first run compiles is told
    first = vectors if peer == "pynndescent" else vectors[:1000]
    cold, began = not compiled.exists(), time.perf_counter()
    GRAPHS[peer](first, GRAPH_K)
    if peer == "pynndescent" and cold:
        told["cold_s"] = time.perf_counter() - began
    began = time.perf_counter()
    rows = GRAPHS[peer](vectors, GRAPH_K)
    told |= {"graph_s": time.perf_counter() - began, "peak_mib": peak_mib()}
    np.save(place / out, rows.astype(np.int32))
    return told


def peaks() -> dict[str, float]:
    """Products of codes and of float32, and bytes that all threads read at once."""
    from firth import _core
    from firth.roofline import STREAM_BYTES

    return {
        "int8_ops_per_s": _core.peak_int8_ops(THREADS),
        "f32_flops_per_s": _core.peak_flops(THREADS),
        "read_bytes_per_s": max(_core.read_rate(STREAM_BYTES, THREADS) for _ in range(8)),
    }


def main() -> None:
    part, peer, place, *out = sys.argv[1:]
    told = graph(peer, Path(place), *out) if part == "graph" else ask(part, peer, Path(place))
    if (part, peer) == ("search", "firth"):
        told["peaks"] = peaks()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
