"""What every benchmark needs: the machine in words, child processes measured, results written."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from firth import _core
from firth.atomic import atomic_write

RESULTS = Path(__file__).parent / "results"


def digest(*places: str) -> str:
    """Of the sources at some places of the repository, with wildcards: a run is repeated only when they change."""
    sources = sorted(path for place in places for path in Path(__file__).resolve().parents[1].glob(place))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:10]


class Child(NamedTuple):
    """A finished process: from start to exit, and what it printed."""

    wall_s: float
    stdout: str


def run_child(arguments: list[str]) -> Child:
    """Run a process to its end; its failure is ours."""
    began = time.perf_counter()
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=False)
    wall = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} ended with {done.returncode}")
    return Child(wall, done.stdout)


def peak_mib() -> float:
    """The largest resident memory of this process so far (not of the one it was forked from, as ru_maxrss has it)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def spread(values: list[float], digits: int = 3) -> dict[str, Any]:
    """Median, mean, standard deviation and all values."""
    return {
        "median": round(statistics.median(values), digits),
        "mean": round(statistics.fmean(values), digits),
        "sd": round(statistics.stdev(values), digits) if len(values) > 1 else None,
        "values": [round(value, digits) for value in values],
    }


def write_result(name: str, result: dict[str, Any], packages: list[str]) -> None:
    """Write bench/results/NAME.json, with the machine and the versions in it, and print it."""
    whole = {
        "benchmark": name,
        "date": date.today().isoformat(),
        "commit": _commit(),
        "machine": machine(),
        "versions": {"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in packages},
    } | result
    text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    RESULTS.mkdir(exist_ok=True)
    with atomic_write(RESULTS / f"{name}.json") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)


def machine() -> dict[str, Any]:
    """The processor, its cores and memory."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "instruction_set": _core.simd_level(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _commit() -> str:
    git = ["git", "-C", str(Path(__file__).parent)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    dirty = subprocess.run(
        [*git, "status", "--porcelain", "--", "../firth", "../core"], capture_output=True, text=True, check=False
    )
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")
