"""The commands of tables: encode, explain. They register themselves with the application of firth.cli."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

import firth
from firth._check import ArgumentError
from firth.cli import Json, Quiet, SpacePath, _bold, _check_writable, _run, _say, app

Numeric = Literal["standard", "robust"]


@app.command()
def encode(
    path: Annotated[Path, typer.Argument(metavar="TABLE", help="A .csv, .tsv or .parquet file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .space file to write.")],
    label: Annotated[str | None, typer.Option(help="Column of labels.", show_default="rows are counted")] = None,
    numeric: Annotated[
        Numeric | None, typer.Option(help="Scale by deviation, or by median and quartiles.", show_default="standard")
    ] = None,
    rare: Annotated[
        float | None, typer.Option(help="Pool categories with a smaller share.", show_default="0.001")
    ] = None,
    most: Annotated[int | None, typer.Option(help="Categories of a column at most.", show_default="200")] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="A column of categories, though of numbers; repeat.", show_default="none")
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="A column of texts; repeat.", show_default="none")] = None,
    text_space: Annotated[
        Path | None, typer.Option(help="Words, for --text: a .space file.", show_default="none")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Leave a column out; repeat.", show_default="none")] = None,
    weight: Annotated[
        list[str] | None, typer.Option(help="NAME=2: a column counts as two; repeat.", show_default="1 each")
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="Encode as in this space: for new rows.", show_default="none")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Encode the rows of a table as vectors: numbers scaled, categories one-hot, dates, texts; then ask for rows alike.

    Every column has the same say. The file may be larger than memory.

    Example: firth encode houses.csv -o houses.space --label address
    """
    _check_writable(out, (".space",), "encode writes .space files")
    from firth.rows import encode_steps
    from firth.table import Encoder

    began = time.perf_counter()
    words = None if text_space is None else firth.Space.open(text_space)
    options = {
        "numeric": numeric,
        "rare": rare,
        "most": most,
        "categories": category,
        "text": text,
        "ignore": ignore,
        "weights": _weights(weight) if weight else None,
    }
    options = {name: value for name, value in options.items() if value is not None}
    if like is not None:
        if options:
            raise ArgumentError(f"--like says how columns are encoded: leave --{next(iter(options))} out")
        recipe = firth.Space.open(like).recipe
        learned = recipe.get("encoder")
        if learned is None:
            raise ArgumentError(f"{like} was not made by firth encode")
        if "repaired" in recipe:
            raise ArgumentError(f"{like} was repaired after firth encode: give --like the space from before")
        encoder = Encoder.from_dict(learned, space=words)
    else:
        encoder = Encoder(space=words, **options)  # pyright: ignore[reportArgumentType]
    space = _run(encode_steps(path, encoder, label=label), quiet)
    space.save(out)
    if not quiet:
        kinds = [column.kind for column in encoder.columns_]
        told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        _say(
            f"{out}: {len(space):,} rows x {space.vectors.shape[1]}, of {len(kinds)} columns ({told}), in"
            f" {time.perf_counter() - began:.1f} s"
        )
        for name, why in encoder.left_out_.items():
            _say(f"left out: {name}: {why}")


@app.command()
def explain(
    path: SpacePath,
    first: Annotated[str, typer.Argument(metavar="LABEL", help="One label.")],
    second: Annotated[str, typer.Argument(metavar="LABEL", help="And another.")],
    k: Annotated[int, typer.Option("-k", help="How many dimensions to tell.")] = 10,
    metric: Annotated[Literal["cosine", "dot"], typer.Option(help="The score that is taken apart.")] = "cosine",
    out: Annotated[
        list[Path] | None,
        typer.Option("--out", "-o", metavar="PATH", help="Bars, .png or .svg; may be repeated.", show_default="none"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Explain why two labels are alike: their dot product as a sum, for and against.

    Dimensions of a table have names; learned ones are told by the labels at their ends. Pictures need firth[maps].

    Example: firth explain houses.space 17 42 -o bars.png
    """
    for target in out or []:
        _check_writable(target, (".png", ".svg"), "bars are drawn as .png or .svg")
    told = firth.Space.open(path).explain(first, second, k=k, metric=metric)
    for target in out or []:
        told.save(target)
    if as_json:
        print(json.dumps(told.as_dict(), ensure_ascii=False))
        return
    print(f"{_bold(f'{first} and {second}')}: {metric} {told.score:.4f}")
    print(f"angle: cosine {told.cosine:.4f}; lengths {told.norms[0]:.4g} and {told.norms[1]:.4g}")
    most = max(abs(part.share) for part in (*told.parts, *told.columns)) or 1.0
    for title, parts in (("by column", told.columns[:k]), ("by dimension", told.parts)):
        if parts:
            print(_bold(title))
        for part in parts:
            bar = "+" if part.share >= 0 else "-"
            print(f"  {part.share:+9.4f}  {bar * round(20 * abs(part.share) / most):20}  {part.name}")
    print(f"  {told.rest:+9.4f}  {'':20}  all other dimensions")


def _weights(given: list[str]) -> dict[str, float]:
    weights = {}
    for one in given:
        name, equals, number = one.rpartition("=")
        try:
            weights[name] = float(number)
        except ValueError:
            equals = ""
        if not equals:
            raise ArgumentError(f"--weight must be NAME=NUMBER, such as price=2; got {one!r}")
    return weights
