"""The benchmark of maps: firth, umap-learn and openTSNE in turn, from vectors to points, the neighbour graph included.

    .venv/bin/python bench/maps.py [rounds | report] --folder FOLDER

`rounds` runs every program of each workload in turn, on a quiet machine, with a seed for each round: the first map of a fresh
process, from its start, and the second, when what is compiled is warm. `report` writes bench/results/maps.json. Without a word,
both. A workload is NAME:N, N rows of FOLDER/NAME.npy at random; where N is more, they are repeated with noise of a tenth of
their standard deviation. Every run is a line of FOLDER/work/maps.jsonl, so what was interrupted goes on, and a run is repeated
only when its program changes. Quality is measured by firth.maps.quality for all, against all rows for 1,000 of them; the
divergence of t-SNE's maps with the affinities of exact neighbours for all.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import time
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from common import digest, machine, peak_mib, run_child, spread, write_result

THREADS = len(os.sched_getaffinity(0))
PEERS = {"umap": "umap-learn", "tsne": "openTSNE"}
WORKLOADS = ["wink:10000", "wink:70000", "images:70000", "wink:1000000"]
FIRTH_ONLY = 200_000  # rows beyond which peers are run only when asked: an hour and more
ROUNDS = 3
NOTES = {
    "firth": "map_space_steps up to the last step of the layout; its measures and colours come after the clock stops",
    "umap-learn": "UMAP(metric='cosine', n_jobs=THREADS), without random_state, which would leave it one thread",
    "openTSNE": "TSNE(metric='cosine', n_jobs=THREADS, random_state=seed)",
}
QUALITY = ("trustworthiness", "continuity", "neighbours_kept", "distance_correlation", "kl_divergence")
PERPLEXITY = 30.0  # the default of both


@cache
def version(peer: str) -> str:
    """Of a package its number; of firth a digest of what makes and measures maps, so that other commits leave it."""
    if peer != "firth":
        return importlib.metadata.version(peer)
    places = (
        "core/src/maps/*",
        "core/src/search/*",
        "core/src/simd/*",
        "core/src/random.rs",
        "firth/search.py",
        "firth/directions.py",
    )
    return digest(*places, *(f"firth/maps/{part}.py" for part in ("umap", "tsne", "reduce", "quality")))


def prepare(workload: str, folder: Path) -> Path:
    """Write the vectors of a workload, at length 1."""
    path = folder / "work" / f"maps-{workload.replace(':', '-')}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        name, number = workload.split(":")
        random, n = np.random.default_rng(0), int(number)
        given = np.load(folder / f"{name}.npy").astype(np.float32)
        given = given[given.any(axis=1)]
        rows = np.concatenate([random.permutation(len(given)) for _ in range(-(-n // len(given)))])[:n]
        vectors = given[rows]
        if n > len(given):
            vectors += 0.1 * vectors.std() * random.standard_normal(vectors.shape, dtype=np.float32)
        np.save(path, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return path


def reduce(peer: str, method: str, vectors: np.ndarray, seed: int) -> np.ndarray:
    """Points by a program."""
    if peer == "firth":
        from firth.maps import map_space_steps
        from firth.space import Space

        points = None
        for step in map_space_steps(Space(map(str, range(len(vectors))), vectors), method, seed=seed):
            if step.stage == "quality":
                break
            points = step.points
        return points
    if peer == "umap-learn":
        from umap import UMAP

        return UMAP(metric="cosine", n_jobs=THREADS).fit_transform(vectors)
    from openTSNE import TSNE

    return np.asarray(TSNE(metric="cosine", n_jobs=THREADS, random_state=seed).fit(vectors))


def child(peer: str, method: str, path: str, seed: int, began: float) -> None:
    """Two maps in this process, which began then; prints what was measured."""
    warnings.simplefilter("ignore")
    vectors = np.load(path)
    points = reduce(peer, method, vectors, seed)
    told: dict[str, Any] = {"fresh_s": time.time() - began, "peak_mib": peak_mib()}
    if len(vectors) <= FIRTH_ONLY:
        before = time.perf_counter()
        points = reduce(peer, method, vectors, seed)
        told["warm_s"] = time.perf_counter() - before
    from firth.maps.quality import measure

    told |= measure(vectors, points)._asdict()
    if method == "tsne":
        told["kl_divergence"] = divergence(vectors, points)
    print(json.dumps(told))


def divergence(vectors: np.ndarray, points: np.ndarray) -> float:
    """Kullback and Leibler's, of a map from the affinities of exact neighbours."""
    from firth import _core
    from firth.maps.tsne import neighbours_wanted
    from firth.maps.umap import graph_arrays
    from firth.search import neighbors

    graph = neighbors(vectors, neighbours_wanted(PERPLEXITY), metric="cosine")
    weights = _core.Weights.gaussian(*graph_arrays(graph, np.float64), PERPLEXITY, THREADS)
    return _core.Tsne(weights, np.ascontiguousarray(points, np.float32), 0, 0, 1.0).divergence()


def rounds(workloads: list[str], methods: list[str], peers: list[str], folder: Path, number: int) -> None:
    """Run in turn what was not run; each round begins with another."""
    record = folder / "work" / "maps.jsonl"
    for workload in workloads:
        path = prepare(workload, folder)
        for method in methods:
            programs = ["firth"]
            if PEERS[method] in peers and (int(workload.split(":")[1]) <= FIRTH_ONLY or peers != list(PEERS.values())):
                programs.append(PEERS[method])
            runs = [run for run in recorded(record) if run["version"] == version(run["peer"])]
            done = {(run["workload"], run["method"], run["peer"], run["round"]) for run in runs}
            for round_ in range(number):
                for peer in programs[round_ % len(programs) :] + programs[: round_ % len(programs)]:
                    if (workload, method, peer, round_) in done:
                        continue
                    arguments = ["child", peer, method, str(path), str(round_), repr(time.time())]
                    told = json.loads(run_child([sys.executable, __file__, *arguments]).stdout.splitlines()[-1])
                    run = {"workload": workload, "method": method, "peer": peer, "round": round_, **told}
                    run["version"] = version(peer)
                    with open(record, "a") as file:
                        file.write(json.dumps(run | {"processor": machine()["processor"]}) + "\n")
                    print(json.dumps(run), file=sys.stderr, flush=True)


def recorded(path: Path) -> list[dict[str, Any]]:
    """The runs on this processor: of the peers as they now are, of firth of any version."""
    runs = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    here = machine()["processor"]
    wanted = [run for run in runs if run["peer"] == "firth" or run.get("version") == version(run["peer"])]
    return [run for run in wanted if run["processor"] == here]


def report(folder: Path) -> None:
    """Write bench/results/maps.json: of the present firth, or where it has not run of the newest before it, which is said."""
    runs = recorded(folder / "work" / "maps.jsonl")
    # The last of each stays.
    newest = {(run["workload"], run["method"]): run["version"] for run in runs if run["peer"] == "firth"}
    runs = [run for run in runs if run["peer"] != "firth" or run["version"] == newest[run["workload"], run["method"]]]
    told: dict[str, Any] = {}
    for workload, method in dict.fromkeys((run["workload"], run["method"]) for run in runs):
        by: dict[str, dict[int, dict[str, Any]]] = {}
        for run in runs:
            if (run["workload"], run["method"]) == (workload, method):
                by.setdefault(run["peer"], {})[run["round"]] = run
        part: dict[str, Any] = {"firth_has_changed_since": newest.get((workload, method)) != version("firth")}
        for peer, its in by.items():
            keys = [
                key for key in ("fresh_s", "warm_s", "peak_mib", *QUALITY) if all(key in run for run in its.values())
            ]
            part[peer] = {key: spread([run[key] for run in its.values()], 4) for key in keys}
        peer = PEERS[method]
        both = sorted(by.get(peer, {}).keys() & by.get("firth", {}).keys())
        if both:
            part["times_as_fast"] = {
                key: spread([by[peer][i][key] / by["firth"][i][key] for i in both], 2)
                for key in ("fresh_s", "warm_s")
                if key in part["firth"] and key in part[peer]
            }
            part["quality_over_peers"] = {
                key: round(part["firth"][key]["mean"] / part[peer][key]["mean"], 4)
                for key in QUALITY
                if key in part["firth"] and key in part[peer]
            }
        told.setdefault(workload, {})[method] = part
    write_result("maps", {"threads": THREADS, "notes": NOTES, "workloads": told}, ["numpy", *PEERS.values()])


def main() -> None:
    if sys.argv[1:2] == ["child"]:
        peer, method, path, seed, began = sys.argv[2:]
        child(peer, method, path, int(seed), float(began))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["rounds", "report"])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--workloads", nargs="+", default=WORKLOADS)
    parser.add_argument("--methods", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--peers", nargs="*", default=list(PEERS.values()), choices=list(PEERS.values()))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    if asked.what != "report":
        rounds(asked.workloads, asked.methods, asked.peers, asked.folder, asked.rounds)
    if asked.what != "rounds":
        report(asked.folder)


if __name__ == "__main__":
    main()
