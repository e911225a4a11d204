"""The benchmark of learning: firth, gensim, word2vec.c, fastText, pWord2Vec and Stanford's GloVe, in turn.

    .venv/bin/python bench/learn.py [rounds | quality | report] --folder FOLDER

`rounds` runs every program of a task in turn, on a quiet machine: only these runs count for speed. `quality` adds runs until
every program has five seeds; their times are kept but not used. `report` writes bench/results/learn.json. Without a word, all
three. Every run is a process of its own and a line of FOLDER/work/runs.jsonl, so what was interrupted goes on, and what was
measured is not repeated until the program changes. What FOLDER holds, and how to get it: bench/README.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import company
import numpy as np
from common import digest, machine, spread, write_result
from programs import (
    GENERAL,
    GLOVE,
    NOTES,
    SOURCES,
    SUFFIXES,
    TASKS,
    THREADS,
    Command,
    Task,
    commands,
)

from firth import _core

HERE = Path(__file__).resolve().parent
SEEDS = range(1, 6)
WHOLE = 97.0  # per cent: a program whose last line of progress says less has not done its work
RESUME_H = 12  # a round broken off goes on within so many hours; later it is made anew


class Measured(NamedTuple):
    """A finished process: from start to exit, from the first to the last line of progress, largest memory, its last words."""

    wall_s: float
    progress_s: float
    peak_mib: float
    said: str


def measure(command: Command) -> Measured:
    """Run a process to its end, watching what it says; its failure is ours."""
    stdin = open(command.stdin or os.devnull, "rb")  # noqa: SIM115  # closed below
    stdout = open(command.stdout, "wb") if command.stdout else subprocess.PIPE  # noqa: SIM115
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(argument) for argument in command.arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE if command.stdout else subprocess.STDOUT,
    )
    said, first, last = b"", 0.0, 0.0
    pipe = process.stderr if command.stdout else process.stdout
    assert pipe is not None
    while chunk := os.read(pipe.fileno(), 1 << 16):
        said = (said + chunk)[-4096:]
        if command.progress and re.search(command.progress, chunk):
            last = time.perf_counter()
            first = first or last
    _pid, status, usage = os.wait4(process.pid, 0)  # ru_maxrss of this child, not of all
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    for file in (stdin, stdout, pipe):
        if not isinstance(file, int):
            file.close()
    if process.returncode:
        raise RuntimeError(f"{command.arguments[0]} ended with {process.returncode}: {said.decode(errors='replace')}")
    shares = re.findall(rb"Progress: +([0-9.]+)%", said)
    if shares and float(shares[-1]) < WHOLE:
        raise RuntimeError(f"{command.arguments[0]} stopped at {shares[-1].decode()}% of its work")
    return Measured(wall, last - first, usage.ru_maxrss / 1024, said.decode(errors="replace"))


def run(program: str, task: Task, seed: int, folder: Path, round_: str | None) -> dict[str, Any]:
    """Learn once, judge, and write it down."""
    work = folder / "work" / f"{task.name}-{program}-{seed}-{os.getpid()}".replace(" ", "")
    work.mkdir(parents=True)
    out = work / f"vectors{SUFFIXES.get(program, '.bin')}"
    peaks = [_core.peak_flops(THREADS)] if program == "firth" else []
    done = [measure(command) for command in commands(program, task, seed, folder, out)]
    end_to_end_s = sum(process.wall_s for process in done)
    loop_s = sum(process.progress_s for process in done)
    told = json.loads(done[-1].said.splitlines()[-1]) if program in ("firth", "gensim") else {"loop_s": loop_s}
    if program == "firth":
        peaks.append(_core.peak_flops(THREADS))
        told |= {"peak_flops_per_s": max(peaks)}
    key = f"{task.name}-{program}-{version(program, folder, task)}-{seed}".replace(" ", "")
    neighbours = folder / "work" / "neighbours" / f"{key}.npy"
    neighbours.parent.mkdir(exist_ok=True)
    child = [sys.executable, HERE / "programs.py", "judge", program, task.name, folder, out, neighbours]
    quality = json.loads(measure(Command(child)).said.splitlines()[-1])
    shutil.rmtree(work)
    record = {
        "task": task.name,
        "program": program,
        "version": version(program, folder, task),
        "seed": seed,
        "round": round_,
        "quiet": round_ is not None,
        "processor": machine()["processor"],
        "date": datetime.now().isoformat(timespec="seconds"),
        "end_to_end_s": end_to_end_s,
        "peak_mib": max(process.peak_mib for process in done),
        **told,
        "quality": quality,
        "neighbours": neighbours.name,
    }
    with open(folder / "work" / "runs.jsonl", "a") as file:
        file.write(json.dumps(record) + "\n")
    print(json.dumps(record), file=sys.stderr, flush=True)
    return record


def recorded(folder: Path) -> list[dict[str, Any]]:
    path = folder / "work" / "runs.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@cache
def version(program: str, folder: Path, task: Task) -> str:
    """Of gensim its number; of the C programs the commit; of firth a digest of what learns, so that other commits leave it."""
    if program == "gensim":
        return importlib.metadata.version("gensim")
    if program in SOURCES:
        git = ["git", "-C", str(folder / "peers" / SOURCES[program]), "log", "-1", "--format=%h"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    places = (
        ["glove/*"] if task.method == "glove" else [f"word2vec/{name}.rs" for name in ("mod", "products", task.method)]
    )
    places += ["simd/*", "matrix.rs", "random.rs"]
    return digest(*(f"core/src/{place}" for place in places))


def rounds(tasks: list[Task], programs: Callable[[Task], list[str]], folder: Path, number: int) -> None:
    """Run all programs of a task in turn; a round that was broken off goes on, one of other versions is made anew."""
    processor = machine()["processor"]
    for task in tasks:
        for seed in range(1, number + 1):
            before: dict[str, dict[str, str]] = {}
            for past in recorded(folder):
                if past["quiet"] and (past["task"], past["seed"], past["processor"]) == (task.name, seed, processor):
                    before.setdefault(past["round"], {})[past["program"]] = past["version"]
            last, done = max(before.items(), default=("", {}))
            same = all(version(program, folder, task) == theirs for program, theirs in done.items())
            if not same or not (set(programs(task)) <= set(done) or recent(last)):
                last, done = "", {}
            for program in programs(task):
                if program not in done:
                    last = last or datetime.now().isoformat(timespec="seconds")
                    run(program, task, seed, folder, last)


def recent(round_: str) -> bool:
    """Whether a round, named by when it began, is one to go on with."""
    return bool(round_) and datetime.now() - datetime.fromisoformat(round_) < timedelta(hours=RESUME_H)


def fill(tasks: list[Task], programs: Callable[[Task], list[str]], folder: Path, seeds: list[int]) -> None:
    """Run what has not been run with these seeds, on any machine and whatever else it does."""
    for task in tasks:
        for program in programs(task):
            for seed in seeds:
                wanted = (task.name, program, version(program, folder, task), seed)
                if any(wanted == (r["task"], r["program"], r["version"], r["seed"]) for r in recorded(folder)):
                    continue
                try:
                    run(program, task, seed, folder, None)
                except RuntimeError as error:  # the next may do better; starting again repeats this one
                    print(error, file=sys.stderr, flush=True)


# The report.


def speed(task: Task, runs: list[dict[str, Any]], now: str) -> dict[str, Any]:
    """Times and memory of each program, and the ratios to firth of each round in which all ran.

    Rounds of the firth of `now`; if there are none, of the newest before it, which is told.
    """
    by_round: dict[str, dict[str, dict[str, Any]]] = {}
    for run in runs:
        if run["quiet"]:
            by_round.setdefault(run["round"], {})[run["program"]] = run
    whole = [one for one in by_round.values() if {"firth", task.programs[1]} <= set(one)]
    if not whole:
        return {}
    versions = [one["firth"]["version"] for _, one in sorted(by_round.items()) if one in whole]
    measured = now if now in versions else versions[-1]
    whole = [one for one in whole if one["firth"]["version"] == measured]
    programs = [program for program in task.programs if all(program in one for one in whole)]
    told: dict[str, Any] = {
        "rounds": len(whole),
        "processors": sorted({one["firth"]["processor"] for one in whole}),
        "firth_version": measured,
        "firth_has_changed_since": measured != now,
    }
    for program in programs:
        of = [one[program] for one in whole]
        told[program] = {key: spread([run[key] for run in of], 2) for key in ("loop_s", "end_to_end_s", "peak_mib")}
        if program == "firth":
            rates = [run["flops"] / run["loop_s"] / 1e9 for run in of]
            peaks = [run["peak_flops_per_s"] / 1e9 for run in of]
            told[program] |= {
                "gflop_per_s": spread(rates, 1),
                "peak_gflop_per_s": spread(peaks, 1),
                "share_of_peak": spread([rate / peak for rate, peak in zip(rates, peaks, strict=True)], 3),
            }
        else:
            told[f"{program}_over_firth"] = {
                key: spread([one[program][f"{key}_s"] / one["firth"][f"{key}_s"] for one in whole], 2)
                for key in ("loop", "end_to_end")
            }
    return told


def quality(task: Task, runs: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Mean, spread and standard error over seeds, and each difference from the reference in standard errors."""
    of: dict[str, dict[int, dict[str, Any]]] = {}
    for run in runs:
        if run["seed"] in SEEDS:
            of.setdefault(run["program"], {})[run["seed"]] = run
    reference = task.programs[1]
    near = {
        (program, seed): np.load(folder / "work" / "neighbours" / run["neighbours"])
        for program, seeds in of.items()
        for seed, run in seeds.items()
    }
    told: dict[str, Any] = {}
    for program in (program for program in task.programs if program in of):
        seeds = sorted(of[program])
        values = {
            key: [of[program][seed]["quality"][key] for seed in seeds] for key in of[program][seeds[0]]["quality"]
        }
        others = {seed: [other for other in of.get(reference, {}) if other != seed] for seed in seeds}
        if all(others.values()):
            values["agreement"] = [
                statistics.fmean(
                    company.agreement(near[program, seed], near[reference, other]) for other in others[seed]
                )
                for seed in seeds
            ]
        told[program] = {"seeds": seeds} | {
            key: spread(each, 2) | {"standard_error": standard_error(each)} for key, each in values.items()
        }
    for program in [program for program in told if program != reference and reference in told]:
        told[f"{program}_minus_{reference}"] = {
            key: difference(told[program][key], told[reference][key])
            for key in told[program]
            if key != "seeds" and key in told[reference]
        }
    return told


def standard_error(values: list[float]) -> float | None:
    return round(statistics.stdev(values) / math.sqrt(len(values)), 3) if len(values) > 1 else None


def difference(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float | None]:
    """Of two means; its standard error is that of a difference of independent means."""
    points = ours["mean"] - theirs["mean"]
    if ours["standard_error"] is None or theirs["standard_error"] is None:
        return {"points": round(points, 2), "standard_error": None, "in_standard_errors": None}
    error = math.hypot(ours["standard_error"], theirs["standard_error"])
    return {
        "points": round(points, 2),
        "standard_error": round(error, 3),
        "in_standard_errors": round(points / error, 2) if error else None,
    }


def report(folder: Path) -> None:
    kept = [run for run in recorded(folder) if run["task"] in TASKS]
    now = {(name, program): version(program, folder, task) for name, task in TASKS.items() for program in task.programs}

    def current(run: dict[str, Any]) -> bool:
        return run["version"] == now.get((run["task"], run["program"]))

    kept = [run for run in kept if run["program"] == "firth" or current(run)]
    tasks: dict[str, Any] = {}
    for name, task in TASKS.items():
        runs = [run for run in kept if run["task"] == name]
        if runs:
            settings = GLOVE if task.method == "glove" else GENERAL
            what = f"{task.method}, dim {task.dim}, epochs {task.epochs}, {settings}"
            judged = quality(task, [run for run in runs if current(run)], folder)
            tasks[name] = {"what": what, "speed": speed(task, runs, now[name, "firth"]), "quality": judged}
    corpora = sorted({TASKS[name].corpus for name in tasks})
    peers = sorted({run["program"] for run in kept} - {"firth", "gensim"})
    gcc = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=False).stdout.strip()
    write_result(
        "learn",
        {
            "what": "word vectors from the same text with the same settings by each program, in turn",
            "threads": THREADS,
            "texts": {name: {"bytes": (folder / "data" / f"{name}.txt").stat().st_size} for name in corpora},
            "peers": {program: version(program, folder, next(iter(TASKS.values()))) for program in peers}
            | {"gcc": gcc},
            "notes": NOTES,
            "tasks": tasks,
        },
        ["firth", "gensim", "numpy"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("rounds", "quality", "report"))
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "firth-bench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--programs", nargs="+", choices=sorted({p for task in TASKS.values() for p in task.programs}))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    given = parser.parse_args()
    folder = given.folder.resolve()
    (folder / "work").mkdir(parents=True, exist_ok=True)
    tasks = [TASKS[name] for name in given.tasks]

    def programs(task: Task) -> list[str]:
        return [program for program in task.programs if program in (given.programs or task.programs)]

    if given.part in (None, "rounds"):
        rounds(tasks, programs, folder, given.rounds)
    if given.part in (None, "quality"):
        fill(tasks, programs, folder, given.seeds)
    if given.part in (None, "report"):
        report(folder)


if __name__ == "__main__":
    main()
