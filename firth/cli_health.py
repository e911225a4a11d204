"""The commands health and repair. They register themselves with the application of firth.cli."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import firth
from firth.cli import Json, Quiet, SpacePath, _bold, _check_writable, _run, _say, _table, app

if TYPE_CHECKING:
    from firth.health import Health

COLOURED = {"good": "[green]good[/]", "fair": "[yellow]fair[/]", "poor": "[red]poor[/]"}  # of verdicts
Rows = Annotated[int, typer.Option(help="Look at so many, drawn at random from more.")]
Seed = Annotated[int, typer.Option(help="Of what is drawn.")]


@app.command()
def health(
    path: SpacePath,
    rows: Rows = 50_000,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell what may be wrong with a space's dot products: lengths, anisotropy, hubs, near-duplicates; why, and what to do.

    Exact neighbours of the rows that are looked at.

    Example: firth health words.space
    """
    from firth.health import health_steps

    found = _run(health_steps(firth.Space.open(path), rows=rows, seed=seed), quiet)
    if as_json:
        print(json.dumps(found.as_dict(), ensure_ascii=False))
        return
    print(f"{_bold(str(path))}: {_looked_at(found)}")
    columns = [("", "left"), ("finding", "left"), ("figures", "left"), ("why, and what to do", "left")]
    told = [
        (COLOURED[one.verdict], one.name, one.told, f"{one.why}\n→ {one.remedy}" if one.remedy else "")
        for one in found.findings
    ]
    _table("", columns, told, wrap=True)
    print("worst hubs: " + ", ".join(f"{label} {count:,}" for label, count in found.hubs))


@app.command()
def repair(
    path: SpacePath,
    out: Annotated[Path, typer.Option("--out", "-o", help="The .space file to write.")],
    components: Annotated[int, typer.Option(help="Top principal components to remove, of the directions.")] = 0,
    centre: Annotated[
        float | None,
        typer.Option(
            help="Of the mean of the directions, how much to take off, 0 to 1.",
            show_default="1 where anisotropy is poor, else 0.25",
        ),
    ] = None,
    normalise: Annotated[bool, typer.Option("--normalise", help="Then bring all rows to length 1.")] = False,
    rows: Rows = 50_000,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take off what the directions of all rows have in common, into a new space; and tell its health before and after.

    The mean, and top principal components if asked: all-but-the-top (Mu and Viswanath 2018). Output vectors, for predict and
    --continue, are not kept.

    Example: firth repair words.space -o repaired.space
    """
    _check_writable(out, (".space",), "repair writes .space files")
    from firth.health import health_steps, repair_steps

    space = firth.Space.open(path)
    repaired = _run(repair_steps(space, centre=centre, components=components, normalise=normalise), quiet)
    repaired.save(out)
    if not quiet:
        done = repaired.recipe["repaired"][-1]
        _say(f"{out}: " + ", ".join(f"{name} {value}" for name, value in done.items()))
    before, after = (_run(health_steps(one, rows=rows, seed=seed), quiet) for one in (space, repaired))
    if as_json:
        print(json.dumps({"before": before.as_dict(), "after": after.as_dict()}, ensure_ascii=False))
        return
    print(_looked_at(before))
    columns = [("", "left"), ("before", "right"), ("", "left"), ("after", "right"), ("", "left")]
    both = zip(before.findings, after.findings, strict=True)
    told = [(a.name, f"{a.value:.3f}", COLOURED[a.verdict], f"{b.value:.3f}", COLOURED[b.verdict]) for a, b in both]
    _table("", columns, told)


def _looked_at(found: Health) -> str:
    of = "all" if found.rows == found.n else f"{found.rows:,} rows drawn at random, of"
    return f"{of} {found.n:,} labels x {found.d} dimensions"
