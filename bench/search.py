"""The benchmark of exact search: firth and the exact peers in turn, every answer compared with float64's.

    .venv/bin/python bench/search.py [rounds | report] --folder FOLDER

`rounds` asks every program of each workload in turn, on a quiet machine: all queries at once and one by one; one by one beside a
busy process on each core; and for the graph of nearest neighbours. `report` writes bench/results/search.json. Without a word,
both. A workload is NxD (normal random numbers) or NAME of FOLDER/NAME.npy. Every run is a process of its own and a line of
FOLDER/work/runs.jsonl, so what was interrupted goes on, and a run is repeated only when its program changes. What FOLDER
holds, and how to get it: bench/README.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from firth import _core

if _core.simd_level() == "avx512":  # an older OpenBLAS does not know newer processors, and takes older kernels
    os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np  # after what it reads when it starts
from common import digest, machine, run_child, spread, write_result
from search_peers import GRAPH_K, GRAPHS, KS, LOAD_K, NOTES, PACKAGES, PEERS, THREADS, installed, others

HERE = Path(__file__).resolve().parent
ROUNDS = {"search": 5, "load": 5, "graph": 3}
WORKLOADS = {
    "search": ["100000x100", "1000000x100", "1000000x384", "wink", "glove"],
    "load": ["100000x100", "1000000x100"],
    "graph": ["images", "70000x100"],
}
QUERIES = 1000
CHECKED = 1000  # rows of a graph that are compared with float64's
SPARE = 32  # candidates beyond k whose scores are summed again, one by one
ROUNDING = 1e-12  # of a squared distance in float64: far above d * eps, far below the gaps between neighbours


def prepare(part: str, workload: str, folder: Path) -> Path:
    """Write keys.npy and, but for a graph, queries.npy and right.npy; vectors of length 1, queries not among the keys."""
    place = folder / "work" / f"{'graph-' if part == 'graph' else ''}{workload}"
    if (place / "ready").exists():
        return place
    place.mkdir(parents=True, exist_ok=True)
    random, queries = np.random.default_rng(0), 0 if part == "graph" else QUERIES
    if (folder / f"{workload}.npy").exists():
        vectors = np.load(folder / f"{workload}.npy").astype(np.float32)
        vectors = vectors[vectors.any(axis=1)]
        vectors = vectors[random.permutation(len(vectors))]
    elif workload.replace("x", "").isdigit():
        n, d = map(int, workload.split("x"))
        vectors = random.standard_normal((n + queries, d), dtype=np.float32)
    else:
        sys.exit(f"{folder / workload}.npy is missing: bench/README.md tells where it is from")
    if part != "graph":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked, keys = vectors[:queries], vectors[queries:]
    np.save(place / "keys.npy", keys)
    if part != "graph":
        np.save(place / "queries.npy", asked)
        np.save(place / "right.npy", right_rows(keys, asked, max(KS)))
    (place / "ready").touch()
    return place


def right_rows(keys: np.ndarray, queries: np.ndarray, k: int, euclidean: bool = False) -> np.ndarray:
    """What float64 says, ties to the lowest row: candidates by a matrix product, their scores one by one."""
    right = np.empty((len(queries), k), np.int64)
    for start in range(0, len(queries), 128):
        block = queries[start : start + 128].astype(np.float64)
        scores = np.empty((len(block), len(keys)))
        for first in range(0, len(keys), 1 << 16):
            part = keys[first : first + (1 << 16)].astype(np.float64)
            scores[:, first : first + len(part)] = block @ part.T - (0.5 * (part**2).sum(axis=1) if euclidean else 0.0)
        for i, query in enumerate(block):
            best = np.argpartition(scores[i], -(k + SPARE))[-(k + SPARE) :]
            near = keys[best].astype(np.float64)
            exact = -((near - query) ** 2).sum(axis=1) if euclidean else (near * query).sum(axis=1)
            right[start + i] = best[np.lexsort((best, -exact))[:k]]
    return right


@cache
def version(peer: str) -> str:
    """Of a package its number; of firth a digest of what searches, so that other commits leave it."""
    if peer != "firth":
        return importlib.metadata.version(PACKAGES[peer]) if peer in PACKAGES and installed(peer) else ""
    return digest(
        "core/src/search/*",
        "core/src/simd/*",
        "core/src/matrix.rs",
        "core/src/vectors.rs",
        "firth/search.py",
        "firth/directions.py",
    )


def recorded(folder: Path) -> list[dict[str, Any]]:
    """The runs of the programs as they now are, on this processor."""
    path = folder / "work" / "runs.jsonl"
    runs = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    here = machine()["processor"]
    return [run for run in runs if run["version"] == version(run["peer"]) and run["processor"] == here]


def rounds(part: str, workload: str, peers: list[str], folder: Path, number: int) -> None:
    """Run in turn what was not run; each round begins with another."""
    place = prepare(part, workload, folder)
    done = {
        (run["peer"], run["round"]) for run in recorded(folder) if (run["part"], run["workload"]) == (part, workload)
    }
    for round_ in range(number):
        first = round_ % len(peers)
        for peer in peers[first:] + peers[:first]:
            if (peer, round_) in done:
                continue
            command = [sys.executable, str(HERE / "search_peers.py"), part, peer, str(place)]
            command += [rows_file(peer)] if part == "graph" else []
            with busy(THREADS if part == "load" else 0):
                told = json.loads(run_child(command).stdout.splitlines()[-1])
            record = {
                "part": part,
                "workload": workload,
                "peer": peer,
                "version": version(peer),
                "round": round_,
                "processor": machine()["processor"],
                "date": datetime.now().isoformat(timespec="seconds"),
                **told,
            }
            if peer == "firth" and part != "graph":
                check(record)
            with open(folder / "work" / "runs.jsonl", "a") as file:
                file.write(json.dumps(record) + "\n")
            print(part, workload, round_, peer, brief(told), file=sys.stderr, flush=True)


def rows_file(peer: str) -> str:
    return f"rows-{peer}-{version(peer)}.npy"


def check(record: dict[str, Any]) -> None:
    """All answers of firth are float64's, in its order, or the benchmark ends."""
    for k in (str(k) for k in KS if str(k) in record):
        for kind in ("", "single_"):
            if record[k].get(f"{kind}queries") != record[k].get(f"{kind}same_order"):
                sys.exit(f"{record['workload']}, k = {k}: {record[k]}: not all answers of firth are float64's")


def brief(told: dict[str, Any]) -> str:
    if "graph_s" in told:
        return f"{told['graph_s']:.2f} s"
    return "  ".join(
        f"k={k} {told[k].get('batch_s', 0):.4f} s, {told[k]['single_ms']:.3f} ms" for k in map(str, KS) if k in told
    )


@contextmanager
def busy(number: int) -> Iterator[None]:
    """So many processes that never wait, until this one ends."""
    loop = f"import os\nwhile os.getppid() == {os.getpid()}: pass"
    processes = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


# The report.


def times(run: dict[str, Any], k: str) -> dict[str, float]:
    """The numbers of a run that are compared."""
    told = {key: run[k][key] for key in ("single_ms", "single_p95_ms", "batch_s") if key in run[k]}
    return told | ({"batch_with_build_s": run["build_s"] + told["batch_s"]} if "batch_s" in told else {})


def ratios(by_round: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """In each round, the best peer's over firth's; which is best differs from number to number."""
    told = {}
    for key in by_round[0]["firth"]:
        best = [min((one[peer][key], peer) for peer in one if peer != "firth") for one in by_round]
        over = [value / one["firth"][key] for (value, _), one in zip(best, by_round, strict=True)]
        told[key] = {"best": statistics.mode(peer for _, peer in best)} | spread(over, 2)
    return told


def by_rounds(runs: list[dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """What each program told in each round that was not broken off."""
    told: dict[int, dict[str, dict[str, Any]]] = {}
    for run in runs:
        told.setdefault(run["round"], {})[run["peer"]] = run
    most = max((len(peers) for peers in told.values()), default=0)
    return [peers for _, peers in sorted(told.items()) if "firth" in peers and 1 < most == len(peers)]


def of_search(runs: list[dict[str, Any]], ks: list[int]) -> dict[str, Any]:
    whole = by_rounds(runs)
    peers = [peer for peer in PEERS if all(peer in one for one in whole)]
    told: dict[str, Any] = {"rounds": len(whole)}
    for k in map(str, ks):
        compared = [{peer: times(one[peer], k) for peer in peers} for one in whole]
        told[f"k={k}"] = of_k = {"ratio_to_the_best_peer": ratios(compared)}
        for peer in peers:
            of_k[peer] = {key: spread([one[peer][key] for one in compared], 4) for key in compared[0][peer]}
            last = whole[-1][peer][k]
            of_k[peer] |= {key: last[key] for key in last if key not in of_k[peer]}
        if "peaks" in whole[0]["firth"]:
            of_k["firth"] |= shares([one["firth"] for one in whole], k)
    firth = whole[-1]["firth"]
    return told | {
        "codes_over_vectors": round(firth["code_bytes"] / firth["vector_bytes"], 3),
        "vector_bytes": firth["vector_bytes"],
    }


def shares(runs: list[dict[str, Any]], k: str) -> dict[str, Any]:
    """Operations and bytes a second, and over the peaks of the same run; codes that the cache holds are read faster."""
    told: dict[str, list[float]] = {}
    for run in runs:
        peaks = run["peaks"]
        operations = 2 * (run["vector_bytes"] // 4) * QUERIES / run[k]["batch_s"]
        read = run["code_bytes"] / (1e-3 * run[k]["single_ms"])
        for key, value in {
            "batch_gop_per_s": operations / 1e9,
            "batch_over_the_int8_peak": operations / peaks["int8_ops_per_s"],
            "batch_over_the_f32_peak": operations / peaks["f32_flops_per_s"],
            "single_gb_per_s": read / 1e9,
            "single_over_the_bandwidth": read / peaks["read_bytes_per_s"],
        }.items():
            told.setdefault(key, []).append(value)
    return {key: spread(values, 3) for key, values in told.items()}


def of_graph(runs: list[dict[str, Any]], place: Path) -> dict[str, Any]:
    whole = by_rounds(runs)
    peers = [peer for peer in GRAPHS if all(peer in one for one in whole)]
    exact = [{peer: {"graph_s": one[peer]["graph_s"]} for peer in peers if peer != "pynndescent"} for one in whole]
    vectors, ours = np.load(place / "keys.npy"), np.load(place / rows_file("firth"))
    told: dict[str, Any] = {"rounds": len(whole), "n": vectors.shape[0], "d": vectors.shape[1], "k": GRAPH_K}
    if set(peers) - {"firth", "pynndescent"}:
        told["ratio_to_the_best_exact_peer"] = ratios(exact)["graph_s"]
    if "pynndescent" in peers:
        approximate = [one["pynndescent"]["graph_s"] / one["firth"]["graph_s"] for one in whole]
        told["pynndescent_over_firth"] = spread(approximate, 2)
    for peer in peers:
        values = {
            key: [one[peer][key] for one in whole if key in one[peer]] for key in ("graph_s", "cold_s", "peak_mib")
        }
        told[peer] = {key: spread(of_key, 3) for key, of_key in values.items() if of_key}
        if peer != "firth":
            theirs = np.load(place / rows_file(peer))
            shared = sum(len(np.intersect1d(mine, his)) for mine, his in zip(ours, theirs, strict=True))
            told[peer] |= {"recall": round(shared / ours.size, 5)} | nearer(vectors, ours, theirs)
    sample = np.random.default_rng(0).permutation(len(vectors))[:CHECKED]
    right = others(right_rows(vectors, vectors[sample], GRAPH_K + 1, euclidean=True), sample)
    told["firth"] |= {"rows_checked": len(sample), "same_order": int((ours[sample] == right).all(axis=1).sum())}
    if told["firth"]["same_order"] != len(sample):
        sys.exit(f"{place.name}: {told['firth']}: not all answers of firth are float64's")
    return told


def nearer(vectors: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> dict[str, int]:
    """Where their rows differ, which are nearer in float64; firth's may be as near or nearer, never farther."""
    ties = ahead = 0
    differ = np.flatnonzero((np.sort(ours) != np.sort(theirs)).any(axis=1))
    for i in differ:
        mine, his = (
            np.sort(((vectors[rows[i]].astype(np.float64) - vectors[i]) ** 2).sum(axis=1)) for rows in (ours, theirs)
        )
        if (mine > his * (1 + ROUNDING)).any():
            sys.exit(f"row {i}: a peer found nearer ones than firth: {theirs[i]}, {ours[i]}")
        tied = bool((mine >= his * (1 - ROUNDING)).all())
        ties, ahead = ties + tied, ahead + (not tied)
    return {"rows_same": len(ours) - len(differ), "rows_tied": ties, "rows_where_firth_is_nearer": ahead}


def report(asked: dict[str, list[str]], folder: Path, name: str) -> None:
    kept = recorded(folder)
    told: dict[str, Any] = {}
    for part, workloads in asked.items():
        for workload in workloads:
            runs = [run for run in kept if (run["part"], run["workload"]) == (part, workload)]
            if not by_rounds(runs):
                continue
            if part == "graph":
                one = of_graph(runs, folder / "work" / f"graph-{workload}")
            else:
                one = of_search(runs, [LOAD_K] if part == "load" else list(KS))
            measured = sorted(run["date"] for run in runs)
            told.setdefault(part, {})[workload] = {"measured": [measured[0], measured[-1]]} | one
    peaks = [run["peaks"] for run in kept if "peaks" in run]
    known = sorted({PACKAGES[run["peer"]] for run in kept if run["peer"] in PACKAGES} | {"numpy"})
    write_result(
        name,
        {
            "what": f"exact top-k of {QUERIES} queries at once and of one; ratios are the best peer's over firth's",
            "threads": THREADS,
            "openblas_coretype": os.environ.get("OPENBLAS_CORETYPE"),
            "calls": NOTES,
            "peaks": {
                key: float(f"{statistics.median(one[key] for one in peaks):.4g}") for key in (peaks[0] if peaks else ())
            },
            **told,
        },
        known,
    )
    for part, workloads in told.items():
        for workload, one in workloads.items():
            for k in [key for key in one if key.startswith("k=")]:
                found = {key: value["median"] for key, value in one[k]["ratio_to_the_best_peer"].items()}
                print(part, workload, k, found, file=sys.stderr)
            if part == "graph":
                found = {key: one[key]["median"] for key in one if "peer" in key or "over_firth" in key}
                print(part, workload, found, file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", nargs="?", choices=("rounds", "report"))
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "firth-bench")
    parser.add_argument("--search", nargs="*", default=WORKLOADS["search"], metavar="WORKLOAD")
    parser.add_argument("--load", nargs="*", default=WORKLOADS["load"], metavar="WORKLOAD")
    parser.add_argument("--graph", nargs="*", default=WORKLOADS["graph"], metavar="WORKLOAD")
    parser.add_argument(
        "--peers", nargs="+", choices=sorted({*PEERS, *GRAPHS}), help="by default all that are installed"
    )
    parser.add_argument("--rounds", type=int, help="by default 5, of graphs 3")
    parser.add_argument("--result", default="search", metavar="NAME", help="written to results/NAME.json")
    given = parser.parse_args()
    folder = given.folder.resolve()
    (folder / "work").mkdir(parents=True, exist_ok=True)
    asked = {part: getattr(given, part) for part in WORKLOADS}
    wanted = given.peers or sorted({*PEERS, *GRAPHS})
    if missing := [peer for peer in wanted if not installed(peer)]:
        print("not installed:", *missing, file=sys.stderr)
        wanted = [peer for peer in wanted if peer not in missing]
    if given.step != "report":
        for part, workloads in asked.items():
            peers = [peer for peer in (GRAPHS if part == "graph" else PEERS) if peer in wanted]
            for workload in workloads:
                rounds(part, workload, peers, folder, given.rounds or ROUNDS[part])
    if given.step != "rounds":
        report(asked, folder, given.result)


if __name__ == "__main__":
    main()
