"""One matrix product from three loops of plain Python to the limit of this machine: the rungs of `firth ladder`, several times.

.venv/bin/python bench/ladder.py [--size 2048] [--rounds 5] [--result ladder]
"""

from __future__ import annotations

import argparse
import os

from common import spread, write_result

from firth.ladder import Ladder, ladder_steps
from firth.steps import drain

TOP = (
    "JAX",
    "bfloat16, firth's core",
    "int8, firth's core",
)  # rungs that should reach nine tenths of numpy's BLAS, or more


def _rate(ladder: Ladder, name: str) -> float:
    return next(rung.flops_per_s for rung in ladder.rungs if rung.name == name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
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
    last = climbed[-1].as_dict()
    result = {
        "what": f"one matrix product, {given.rounds} climbs; ratios are of rungs of the same climb",
        "load_before": busy,
        "ratios": {
            **{
                f"{name} / BLAS, all threads": spread(
                    [_rate(ladder, name) / _rate(ladder, "BLAS, all threads") for ladder in climbed]
                )
                for name in rungs
                if name in TOP
            },
            "int8, firth's core / int8 peak": rungs["int8, firth's core"]["share_of_peak"],
        },
        "rungs": rungs,
    }
    write_result(
        given.result, result | {name: last[name] for name in ("roofline", "left_out")}, ["firth", "numpy", "jax"]
    )


if __name__ == "__main__":
    main()
