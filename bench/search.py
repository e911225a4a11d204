"""Exact top-k beside its exact peers: batches and single queries, in turn, every answer compared with float64's.

    python bench/search.py 100000x100 1000000x100 1000000x384 words.space

A workload is nxd (normalised gaussian vectors) or a file that firth reads; its results go to results/search.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault(
    "OPENBLAS_CORETYPE", "SkylakeX"
)  # OpenBLAS does not know newer processors and takes older kernels
THREADS = len(os.sched_getaffinity(0))
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))

import numpy as np  # noqa: E402
from common import write_result  # noqa: E402

import firth  # noqa: E402
from firth import _core  # noqa: E402

Batch = Callable[[np.ndarray, int], np.ndarray]  # queries, k -> rows


def by_firth(keys: np.ndarray) -> Batch:
    index = firth.Index(keys)
    index._core.build(THREADS)
    return lambda queries, k: index.top_k(queries, k).rows


def by_numpy(keys: np.ndarray) -> Batch:
    def search(queries: np.ndarray, k: int) -> np.ndarray:
        rows = np.empty((len(queries), k), np.int64)
        step = max(1, (1 << 26) // len(keys))
        for start in range(0, len(queries), step):
            scores = queries[start : start + step] @ keys.T
            best = np.argpartition(scores, -k, axis=1)[:, -k:]
            order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
            rows[start : start + step] = np.take_along_axis(best, order, axis=1)
        return rows

    return search


def by_faiss(keys: np.ndarray) -> Batch:
    import faiss

    index = faiss.IndexFlatIP(keys.shape[1])
    index.add(keys)
    return lambda queries, k: index.search(queries, k)[1]


def by_scann(keys: np.ndarray) -> Batch:
    from scann.scann_ops.py import scann_ops_pybind

    index = (
        scann_ops_pybind.builder(keys, 10, "dot_product").set_n_training_threads(THREADS).score_brute_force().build()
    )
    index.set_num_threads(THREADS)
    return lambda queries, k: (
        index.search_batched_parallel(queries, k) if len(queries) > 1 else index.search_batched(queries, k)
    )[0]


def by_sklearn(keys: np.ndarray) -> Batch:
    from sklearn.neighbors import NearestNeighbors

    # Of unit vectors, the nearest have the largest dot product.
    index = NearestNeighbors(algorithm="brute", n_jobs=THREADS).fit(keys)
    return lambda queries, k: index.kneighbors(queries, k, return_distance=False)


PEERS = {"firth": by_firth, "scann": by_scann, "faiss": by_faiss, "sklearn": by_sklearn, "numpy": by_numpy}


def load(workload: str, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys and queries, of length 1."""
    random = np.random.default_rng(0)
    if os.path.exists(workload):
        keys = np.array(firth.Space.open(workload).vectors)
        asked = keys[random.integers(0, len(keys), queries)] + 0.1 * keys.std() * random.standard_normal(
            (queries, keys.shape[1]), dtype=np.float32
        )
    else:
        n, d = map(int, workload.split("x"))
        keys = random.standard_normal((n, d), dtype=np.float32)
        asked = random.standard_normal((queries, d), dtype=np.float32)
    for vectors in (keys, asked):
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    return keys, asked


def right_rows(keys: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """What float64 says."""
    scores = np.empty((len(queries), len(keys)))
    for start in range(0, len(keys), 1 << 16):
        part = slice(start, start + (1 << 16))
        scores[:, part] = queries.astype(np.float64) @ keys[part].astype(np.float64).T
    best = np.argpartition(scores, -k, axis=1)[:, -k:]
    order = np.lexsort((best, -np.take_along_axis(scores, best, axis=1)), axis=1)
    return np.take_along_axis(best, order, axis=1)


def run(workload: str, peers: list[str], queries: int, k: int, rounds: int, singles: int) -> dict[str, Any]:
    keys, asked = load(workload, queries)
    right = np.concatenate([right_rows(keys, asked[start : start + 64], k) for start in range(0, queries, 64)])
    ready, result = {}, {}
    for peer in peers:
        began = time.perf_counter()
        ready[peer] = PEERS[peer](keys)
        result[peer] = {"build_s": round(time.perf_counter() - began, 4), "batch_s": [], "single_ms": []}
    for round_ in range(rounds):
        for peer, search in ready.items():
            time.sleep(0.3)  # the threads of the one before may still spin
            began = time.perf_counter()
            rows = search(asked, k)
            took = time.perf_counter() - began
            if round_ == 0:
                search(asked[:1], k)
                result[peer]["queries_with_the_rows_of_float64"] = int(
                    (np.sort(rows) == np.sort(right)).all(axis=1).sum()
                )
            result[peer]["batch_s"].append(round(took, 5))
            for i in range(singles):
                began = time.perf_counter()
                search(asked[i : i + 1], k)
                result[peer]["single_ms"].append(round(1e3 * (time.perf_counter() - began), 4))
    operations = 2 * keys.size * queries
    for peer, told in result.items():
        told["batch_s_median"] = statistics.median(told["batch_s"])
        told["single_ms_median"] = round(statistics.median(told.pop("single_ms")), 4)
        told["batch_gop_per_s"] = round(operations / told["batch_s_median"] / 1e9, 1)
        print(f"{workload} {peer:8s} {told}", flush=True)
    others = [result[peer] for peer in peers if peer != "firth"]
    if "firth" in result and others:
        result["ratio_to_the_best_peer"] = {
            name: round(min(other[name] for other in others) / result["firth"][name], 2)
            for name in ("batch_s_median", "single_ms_median")
        }
        print(workload, result["ratio_to_the_best_peer"], flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="+")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--singles", type=int, default=20)
    parser.add_argument("--dry", action="store_true", help="write no file")
    options = parser.parse_args()
    peaks = {
        "int8_gop_per_s": round(_core.peak_int8_ops(THREADS) / 1e9, 1),
        "f32_gflop_per_s": round(_core.peak_flops(THREADS) / 1e9, 1),
    }
    print(peaks, flush=True)
    peers = options.peers.split(",")
    asked = {name: getattr(options, name) for name in ("queries", "k", "rounds", "singles")}
    results = {
        workload: run(workload, peers, options.queries, options.k, options.rounds, options.singles)
        for workload in options.workloads
    }
    if not options.dry:
        packages = {"scann": "scann", "faiss": "faiss-cpu", "sklearn": "scikit-learn"}
        known = ["numpy", *(packages[peer] for peer in peers if peer in packages)]
        write_result("search", {"threads": THREADS, "peaks": peaks, **asked, "workloads": results}, known)


if __name__ == "__main__":
    main()
