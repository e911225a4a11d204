"""Grokking: the paper's table for several seeds with the time of each, and one step beside eager torch at its plain form.

    .venv/bin/python bench/grok.py [--seeds 0 1 2] [--paper SEED]

On a quiet machine. torch is compared with where it is installed: `pip install torch`, or its smaller CPU build, for which
pytorch.org tells the command. --paper adds a run at the paper's settings, ten minutes or more, with its curve. What is not run
keeps its place in results/grok.json, with the date it was run on.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Callable
from datetime import date
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import optax
from common import RESULTS, spread, write_result

from firth.grokking.model import FORMS, Model, fast, pairs, plain, start
from firth.grokking.report import grok_steps
from firth.grokking.training import BETAS, DECAY, PAPER, Grok, small_loss, step_flops
from firth.steps import drain

ROUNDS, STEPS = 7, 10  # of each program in turn, steps in a round


def trained(options: Grok) -> dict[str, Any]:
    began, busy = time.perf_counter(), os.getloadavg()[0]
    found = drain(grok_steps(options))
    told = {
        "date": date.today().isoformat(),
        "rate": options.rate,
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


def jax_step(options: Grok, tokens: np.ndarray) -> Callable[[], Any]:
    """A function that takes STEPS steps of firth's training."""
    seen, sums = jnp.asarray(tokens), tokens[:, :2].sum(axis=1) % options.p
    right = jnp.arange(options.p + 1) == sums[:, None]
    optimizer = optax.adamw(options.rate, *BETAS, weight_decay=DECAY)

    def one(state: Any, _: None) -> tuple[Any, Any]:
        model, moments = state
        value, slope = jax.value_and_grad(lambda model: small_loss(fast(model, seen)[0], right).mean())(model)
        change, moments = optimizer.update(slope, moments, model)
        return (optax.apply_updates(model, change), moments), value

    model = {name: jnp.asarray(weights) for name, weights in start(options.p).items()}
    state = (model, optimizer.init(model))
    many = jax.jit(lambda state: jax.lax.scan(one, state, None, length=STEPS))
    return lambda: jax.block_until_ready(many(state))


def torch_step(options: Grok, tokens: np.ndarray) -> Callable[[], Any]:
    """The same in eager torch: the plain form, every place through everything, the loss in float64 as in the paper."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    seen, sums = torch.tensor(tokens), torch.tensor(tokens[:, :2].sum(axis=1) % options.p).long()
    model: Model = {name: torch.tensor(weights, requires_grad=True) for name, weights in start(options.p).items()}
    optimizer = torch.optim.AdamW(model.values(), lr=options.rate, betas=BETAS, weight_decay=DECAY)

    def steps() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(plain(model, seen)[0].double(), sums).backward()
            optimizer.step()

    return steps


def compared(options: Grok) -> dict[str, Any]:
    tokens = pairs(options.p)[np.random.default_rng(0).permutation(options.p**2)[: options.train_pairs]]
    programs = {"firth": jax_step(options, tokens)}
    if importlib.util.find_spec("torch"):
        programs["torch, eager, plain form"] = torch_step(options, tokens)
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(ROUNDS + 1):  # the first warms up, and compiles
        for name, steps in programs.items():
            began = time.perf_counter()
            steps()
            if number:
                taken[name].append(1000 * (time.perf_counter() - began) / STEPS)
    result: dict[str, Any] = {
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
    given = parser.parse_args()
    path = RESULTS / "grok.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    seeds = before.get("seeds", {}) | {str(seed): trained(Grok(seed=seed)) for seed in given.seeds}
    paper = (
        before.get("paper") if given.paper is None else {"seed": given.paper} | trained(Grok(seed=given.paper, **PAPER))
    )
    result = {
        "what": "the paper's table for p = 113; one step beside eager torch; curves: step, then the fields of Losses",
        "step": compared(Grok()),
        "seeds": seeds,
    }
    packages = ["firth", "jax", "numpy", "optax", *(["torch"] if importlib.util.find_spec("torch") else [])]
    write_result("grok", result | ({"paper": paper} if paper else {}), packages)


if __name__ == "__main__":
    main()
