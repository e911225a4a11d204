"""One matrix product from three loops of plain Python to the limit of this machine: the rungs of `firth ladder`, several times.

.venv/bin/python bench/ladder.py [--size 2048] [--rounds 5] [--turns 20] [--result ladder]

Ratios are of the top rungs and BLAS in turn, a few products of each at a time: a shared machine is not as fast in one second
as in the next.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

from common import spread, write_result

from firth import _core
from firth._check import available_threads
from firth.ladder import _ways, ladder_steps
from firth.steps import drain

BLAS = "BLAS, all threads"
INT8 = "int8, firth's core"
TOP = ("JAX", "bfloat16, firth's core", INT8)  # rungs that should reach nine tenths of numpy's BLAS, or more
RUNS = 3  # of each in a turn; the best counts


def best_s(run: Callable[[], Any]) -> float:
    took = []
    for _ in range(RUNS):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return min(took)


def in_turn(size: int, turns: int) -> list[dict[str, float]]:
    """Operations a second of the top rungs and of BLAS in each turn, and int8's peaks then, with a matrix unit and without."""
    threads = available_threads()
    told = []
    with contextlib.ExitStack() as stack:
        ways = [way for way in _ways(size, threads)[0] if way[0] in (BLAS, *TOP)]
        runs = {name: stack.enter_context(prepare()) for name, _, _, _, prepare in ways}
        for run in runs.values():
            run()  # compiles, and touches its memory
        for _ in range(turns):
            rates = {name: 2 * size**3 / best_s(run) for name, run in runs.items()}
            told.append(
                rates | {"int8 peak": _core.peak_int8_ops(threads), "vector peak": _core.peak_int8_ops(threads, False)}
            )
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--result", default="ladder")
    given = parser.parse_args()
    busy = round(os.getloadavg()[0], 2)
    climbed = [drain(ladder_steps(given.size)) for _ in range(given.rounds)]
    rungs = {}
    for name in [rung.name for rung in climbed[0].rungs]:
        every = [rung for ladder in climbed for rung in ladder.rungs if rung.name == name]
        rungs[name] = {
            "n": every[0].size,
            "gflop_per_s": spread([rung.flops_per_s / 1e9 for rung in every]),
            "share_of_peak": spread([rung.share for rung in every if rung.share]) if every[0].share else None,
        }
    last, turns = climbed[-1].as_dict(), in_turn(given.size, given.turns)

    def ratio(name: str, to: str) -> dict[str, Any]:
        return spread([rates[name] / rates[to] for rates in turns])

    result = {
        "what": f"one matrix product, {given.rounds} climbs; ratios of {given.turns} turns",
        "load_before": busy,
        "instructions": dict(zip(("int8", "bfloat16"), _core.product_instructions(), strict=True)),
        "ratios": {
            **{f"{name} / {BLAS}": ratio(name, BLAS) for name in TOP if name in turns[0]},
            f"{INT8} / int8 peak": ratio(INT8, "int8 peak"),
            f"{INT8} / int8 peak without a matrix unit": ratio(INT8, "vector peak"),
        },
        "rungs": rungs,
    }
    write_result(
        given.result, result | {name: last[name] for name in ("roofline", "left_out")}, ["firth", "numpy", "jax"]
    )


if __name__ == "__main__":
    main()
