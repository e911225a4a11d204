"""Grokking: the paper's table for several seeds with the time of each, and one step beside eager torch at its plain form.

    .venv/bin/python bench/grok.py [--seeds 0 1 2] [--paper SEED] [--no-step]

On a quiet machine. torch is compared with where it is installed (README.md says how). --paper adds a run at the paper's settings,
ten minutes or more, with its curve. Each run is written to results/grok.json as it ends; what is not run keeps its place there,
with the date it was run on.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import time
from collections.abc import Callable
from datetime import date
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax.numpy as jnp
import numpy as np
from common import RESULTS, spread, write_result

from firth.grokking.model import FORMS, Model, pairs, plain, start
from firth.grokking.report import grok_steps
from firth.grokking.training import BETAS, PAPER, Grok, step_flops, stepper
from firth.steps import drain

ROUNDS, STEPS = 7, 10  # of each program in turn, steps in a round


def trained(options: Grok) -> dict[str, Any]:
    began, busy = time.perf_counter(), os.getloadavg()[0]
    found = drain(grok_steps(options))
    told = {
        "date": date.today().isoformat(),
        "rate": options.rate,
        "warm_up": options.warm_up,
        "decay": options.decay,
        "steps": found.steps,
        "settled": found.trained.settled,
        "wall_s": round(time.perf_counter() - began, 1),
        "load_before": round(busy, 2),
        "frequencies": found.opened.frequencies,
        "table": {row.measure: {"ours": float(f"{row.ours:.4g}"), "met": bool(row.met)} for row in found.table},
        "all_met": all(row.met for row in found.table),
    }
    shown = list(found.curve.items())[:: max(1, len(found.curve) // 50)]
    told["curve"] = [[step, *(float(f"{value:.4g}") for value in at)] for step, at in shown]
    return told


def torch_step(options: Grok, tokens: np.ndarray) -> Callable[[], Any]:
    """The same in eager torch: the plain form, every place through everything, the loss in float64 as in the paper."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    seen, sums = torch.tensor(tokens), torch.tensor(tokens[:, :2].sum(axis=1) % options.p).long()
    model: Model = {name: torch.tensor(weights, requires_grad=True) for name, weights in start(options.p).items()}
    optimizer = torch.optim.AdamW(model.values(), lr=options.rate, betas=BETAS, weight_decay=options.decay)

    def steps() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(plain(model, seen)[0].double(), sums).backward()
            optimizer.step()

    return steps


def compared(options: Grok) -> dict[str, Any]:
    tokens = pairs(options.p)[np.random.default_rng(0).permutation(options.p**2)[: options.train_pairs]]
    state, many = stepper(options, tokens)
    programs: dict[str, Callable[[], Any]] = {"firth": lambda: many(state, STEPS)}
    if importlib.util.find_spec("torch"):
        programs[f"torch {importlib.metadata.version('torch')}, eager, plain form"] = torch_step(options, tokens)
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(ROUNDS + 1):  # the first warms up, and compiles
        for name, steps in programs.items():
            began = time.perf_counter()
            steps()
            if number:
                taken[name].append(1000 * (time.perf_counter() - began) / STEPS)
    result: dict[str, Any] = {
        "date": date.today().isoformat(),
        "what": f"milliseconds a step, {STEPS} steps a round, {ROUNDS} rounds in turn",
        "load_before": round(os.getloadavg()[0], 2),
        "step_flops": step_flops(options),
        "milliseconds": {name: spread(values, 2) for name, values in taken.items()},
    }
    others = [values for name, values in taken.items() if name != "firth"]
    if others:
        result["times_as_fast"] = spread([other / own for other, own in zip(others[0], taken["firth"], strict=True)], 2)
    model = {name: jnp.asarray(weights) for name, weights in start(options.p).items()}
    logits = {name: np.asarray(form(model, jnp.asarray(tokens))[0]) for name, form in FORMS.items()}
    result["forms_differ_by"] = float(max(abs(one - logits["plain"]).max() for one in logits.values()))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--paper", type=int, metavar="SEED", help="a run at the paper's settings")
    parser.add_argument("--no-step", action="store_true", help="leave the comparison of one step as it was")
    given = parser.parse_args()
    path = RESULTS / "grok.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    result: dict[str, Any] = {
        "what": "the paper's table for p = 113; one step beside eager torch; curves: step, then the fields of Losses"
    }
    result |= {name: before[name] for name in ("step", "seeds", "paper") if name in before}

    def keep(**new: Any) -> None:
        result.update(new)
        write_result("grok", result, ["firth", "jax", "numpy", "optax"])

    if not given.no_step:
        keep(step=compared(Grok()))
    for seed in given.seeds:
        keep(seeds=result.get("seeds", {}) | {str(seed): trained(Grok(seed=seed))})
    if given.paper is not None:
        keep(paper={"seed": given.paper} | trained(Grok(seed=given.paper, **PAPER)))


if __name__ == "__main__":
    main()
