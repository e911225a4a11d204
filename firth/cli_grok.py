"""The command of grokking: grok. It registers itself with the application of firth.cli."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firth.cli import Json, Quiet, _bold, _check_writable, _command, _given, _run, _say, _table, app

if TYPE_CHECKING:
    from firth.grokking.report import Grokked

SUFFIXES = (".html", ".png", ".svg", ".json", ".space", ".safetensors")  # as in firth.grokking.report


@app.command()
def grok(
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="A .html, .png, .svg, .json, .space or .safetensors; may be repeated.",
            show_default="none",
        ),
    ] = None,
    p: Annotated[int, typer.Option("--p", help="The modulus, a prime; 59 for a quick look.")] = 113,
    paper: Annotated[bool, typer.Option("--paper", help="The paper's rate, warm-up and decay, 40,000 steps.")] = False,
    steps: Annotated[int | None, typer.Option(help="Of training, at most.", show_default="5000")] = None,
    rate: Annotated[float | None, typer.Option(help="Of learning.", show_default="0.003; the paper's 0.001")] = None,
    warm_up: Annotated[
        int | None, typer.Option(help="Steps over which the rate rises.", show_default="300; the paper's 10")
    ] = None,
    decay: Annotated[float | None, typer.Option(help="Of weights.", show_default="2; the paper's 1")] = None,
    share: Annotated[
        float | None, typer.Option(help="Of the pairs to train on.", show_default="0.3; more for a smaller p")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the first weights, and of the pairs trained on.")] = 0,
    all_steps: Annotated[
        bool, typer.Option("--all-steps", help="Go on when every measure has been met for a while.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a transformer of one layer to add modulo p until it has grokked, and show how it adds.

    It knows its examples by heart long before it is right about others. Then its weights are opened: a few frequencies, cosines,
    circles (Nanda et al. 2023). It ends when every measure of the paper has been met for a while; Ctrl-C opens what was reached.
    Needs firth[transformer], pictures firth[maps].

    Example: firth grok -o grok.html -o grok.space
    """
    for target in out or []:
        _check_writable(target, SUFFIXES, f"what was grokked is saved as {', '.join(SUFFIXES)}")
    from firth.grokking.report import grok_steps
    from firth.grokking.training import PAPER, SETTLED, Grok

    chosen = (PAPER if paper else {}) | _given(
        {"steps": steps, "rate": rate, "warm_up": warm_up, "decay": decay, "share": share}
    )
    found = _run(grok_steps(Grok(p=p, seed=seed, all_steps=all_steps, **chosen)), quiet)
    if found.trained.interrupted and not quiet:
        _say(f"interrupted after {found.steps:,} of {found.options.steps:,} steps; this is what was reached")
    if found.trained.settled and found.steps < found.options.steps and not quiet:
        _say(f"every measure has held since step {sorted(found.curve)[-SETTLED]:,}: ended (--all-steps goes on)")
    print(json.dumps(found.as_dict())) if as_json else _print(found)
    for target in out or []:
        found.save(target)
        if not quiet:
            _say(f"{target}: {found!r}")
            if target.suffix.lower() == ".space":
                _say(f'next: {_command()} ask {target} \'"4" + "6"\'')


def _print(found: Grokked) -> None:
    options = found.options
    print(
        f"{_bold(f'(a + b) mod {options.p}')}: {found.steps:,} steps on {options.train_pairs:,} of {options.p**2:,} pairs,"
        f" seed {options.seed}, {found.trained.elapsed_s:.0f} s"
    )
    print(f"key frequencies {', '.join(map(str, found.opened.frequencies))}")
    columns = [("measure", "left"), ("paper", "left"), ("here", "right"), ("wanted", "left"), ("", "left")]
    _table(
        "",
        columns,
        [(row.measure, row.paper, f"{row.ours:.4g}", row.wanted, "yes" if row.met else "no") for row in found.table],
    )
