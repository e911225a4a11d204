"""The commands of the ladder: cost, ladder. They register themselves with the application of firth.cli."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from firth._check import ArgumentError
from firth.cli import Json, Quiet, _bold, _check_writable, _given, _run, _say, _table, app

if TYPE_CHECKING:
    from firth.cost import Cost, Transformer
    from firth.roofline import Roofline

Style = Literal["gpt", "llama"]


@app.command()
def cost(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME", help="A model, such as gpt-3, or an operation, such as matmul.", show_default=False
        ),
    ] = None,
    sizes: Annotated[
        str | None, typer.Argument(metavar="[SIZES]]", help="Of an operation: 4096x4096x4096.", show_default=False)
    ] = None,
    layers: Annotated[int | None, typer.Option(help="A transformer of your own: blocks.", show_default=False)] = None,
    width: Annotated[int | None, typer.Option(help="Numbers a token.", show_default=False)] = None,
    heads: Annotated[int | None, typer.Option(help="Heads of attention.", show_default="width / 64")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens at once.", show_default="1024")] = None,
    vocabulary: Annotated[int | None, typer.Option(help="Tokens there are.", show_default="50257")] = None,
    hidden: Annotated[
        int | None, typer.Option(help="Neurons of the feed-forward layer.", show_default="4 width")
    ] = None,
    kv_heads: Annotated[int | None, typer.Option(help="Heads of keys and values.", show_default="heads")] = None,
    style: Annotated[
        Style | None,
        typer.Option(help="llama: gated, no biases, rotations, an output matrix of its own.", show_default="gpt"),
    ] = None,
    tokens: Annotated[float | None, typer.Option(help="To be trained on.", show_default="the model's")] = None,
    number_bytes: Annotated[
        int | None, typer.Option("--bytes", help="A number takes.", show_default="2; operations 4")
    ] = None,
    as_json: Json = False,
) -> None:
    """Count what a transformer or an operation costs: FLOPs, bytes, parameters, and the time at the roofline.

    With no name, lists models and operations. Times are the least there can be: at the peak of published accelerators, and of
    this machine, which `firth ladder` measures.

    Example: firth cost gpt-3
    """
    from firth.cost import MODELS, OPERATIONS, Transformer, find_model, operation
    from firth.roofline import PUBLISHED, measured

    own = {"heads": heads, "context": context, "vocabulary": vocabulary, "hidden": hidden, "kv_heads": kv_heads}
    own = _given(own | {"layers": layers, "width": width, "style": style})
    here = measured()
    machines = ([here] if here else []) + list(PUBLISHED.values())
    if name in OPERATIONS:
        if own or tokens is not None:
            raise ArgumentError(f"{name} is an operation: it takes sizes, and no options of transformers")
        counted = operation(name, *_sizes(sizes or ""), number_bytes=number_bytes or 4)
        _print_operation(counted, machines, here is not None, as_json)
        return
    if name is not None and sizes is not None:
        operation(name)  # which is none: its error names near ones
    if name is not None and own:
        raise ArgumentError(
            f"give a name or the sizes of a transformer of your own; got {name} and --{next(iter(own))}"
        )
    if name is not None:
        model = find_model(name)
    elif own:
        if layers is None or width is None:
            raise ArgumentError("a transformer of your own needs --layers and --width")
        options: dict[str, Any] = {"heads": max(1, width // 64), "context": 1024} | own
        if options.pop("style", None) == "llama":
            options |= {"gated": True, "biases": False, "learned_positions": False, "tied": False}
        model = Transformer("your transformer", **options)
    else:
        _print_known(MODELS, OPERATIONS, as_json)
        return
    _print_model(model, tokens, number_bytes or 2, machines, here is not None, as_json)


@app.command()
def ladder(
    size: Annotated[int, typer.Option(help="Rows of the matrices of the fast rungs.")] = 2048,
    threads: Annotated[int | None, typer.Option(help="Of the core and the roof.", show_default="all cores")] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option("--out", "-o", metavar="PATH", help="A .png or .svg; may be repeated.", show_default="none"),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Climb from three loops of plain Python to the limit of this machine: one matrix product, each rung measured.

    Measures the machine's roofline too and keeps it, for `firth cost` and for the share of the peak that learn and grok tell.
    The picture shows rungs and firth's own operations under
    the roof; it needs firth[maps].

    Example: firth ladder -o ladder.png -o ladder.svg
    """
    for target in out or []:
        _check_writable(target, (".png", ".svg"), "a ladder is drawn as .png or .svg")
    from firth.ladder import ladder_steps

    climbed = _run(ladder_steps(size, threads=threads), quiet)
    for target in out or []:
        climbed.save(target)
        if not quiet:
            _say(f"{target}: {len(climbed.rungs)} rungs and the roof")
    if as_json:
        print(json.dumps(climbed.as_dict()))
        return
    from firth.cost import short

    roof = climbed.roofline
    print(
        f"{_bold(roof.name)}, {roof.threads} threads: {short(roof.flops_per_s, 'FLOP/s')} of float32,"
        f" {short(roof.int8_ops_per_s, 'OP/s')} of int8, {short(roof.bytes_per_s, 'B/s')} from memory"
    )
    columns = [
        ("", "right"),
        ("rung", "left"),
        ("n", "right"),
        ("GFLOP/s", "right"),
        ("of the peak", "right"),
        ("faster", "right"),
        ("why", "left"),
    ]
    rows = [
        (
            str(number),
            rung.name,
            f"{rung.size:,}",
            f"{rung.flops_per_s / 1e9:,.3g}",
            f"{rung.share:.2%}" if 0 < rung.share < 0.1 else f"{rung.share:.0%}" if rung.share else "",
            f"x {rung.speedup:,.3g}" if number > 1 else "",
            rung.why,
        )
        for number, rung in enumerate(climbed.rungs, 1)
    ]
    _table("", columns, rows)
    print("peaks: int8's for int8, float32's for all others, bfloat16 too, which may exceed it")
    for name, why in climbed.left_out.items():
        print(f"not here: {name}: {why}")


def _sizes(text: str) -> list[int]:
    try:
        return [int(size.replace("_", "")) for size in text.lower().replace("×", "x").split("x") if text]
    except ValueError:
        raise ArgumentError(f"sizes are whole numbers with x between them, such as 1024x1024; got {text!r}") from None


def _print_known(models: dict[str, Any], operations: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(
            json.dumps({"models": list(models), "operations": {name: kind.sizes for name, kind in operations.items()}})
        )
        return
    print(_bold("models") + "      firth cost gpt-3")
    print("  " + "\n  ".join(f"{model.name:14} {model.parameters:>15,} parameters" for model in models.values()))
    print(_bold("operations") + "  firth cost matmul 4096x4096x4096")
    print("  " + "\n  ".join(f"{name:14} {kind.sizes:10} {kind.meaning}" for name, kind in operations.items()))


def _as_dict(cost: Cost) -> dict[str, Any]:
    return {
        field: getattr(cost, field) for field in ("name", "macs", "flops", "traffic_bytes", "intensity", "parameters")
    }


def _print_operation(counted: Cost, machines: list[Roofline], known: bool, as_json: bool) -> None:
    from firth.cost import duration, short

    if as_json:
        times = {machine.name: machine.time_s(counted.flops, counted.traffic_bytes) for machine in machines}
        print(json.dumps(_as_dict(counted) | {"time_s": times}))
        return
    rows = [
        ("multiply-accumulates", f"{counted.macs:,}"),
        ("FLOPs", f"{counted.flops:,}"),
        ("bytes, at least", f"{counted.traffic_bytes:,}"),
        ("FLOPs a byte", f"{counted.intensity:.3g}"),
    ]
    if counted.parameters:
        rows.append(("parameters", f"{counted.parameters:,}"))
    _table(counted.name, [("", "left"), ("", "right")], rows)
    _table(
        "time, at least",
        [
            ("machine", "left"),
            ("", "left"),
            ("peak", "right"),
            ("memory", "right"),
            ("time", "right"),
            ("roof", "left"),
        ],
        [
            (
                machine.name,
                machine.precision,
                short(machine.flops_per_s, "FLOP/s"),
                short(machine.bytes_per_s, "B/s"),
                duration(machine.time_s(counted.flops, counted.traffic_bytes)),
                "processor" if counted.intensity >= machine.ridge else "memory",
            )
            for machine in machines
        ],
    )
    _print_sources(machines, known)


def _print_model(
    model: Transformer, tokens: float | None, number_bytes: int, machines: list[Roofline], known: bool, as_json: bool
) -> None:
    from firth.cost import ADAM_BYTES, TRAINING, duration, generation, parts, short, total, training_flops

    each = parts(model, number_bytes=number_bytes)
    whole, one = total(each), generation(model, number_bytes=number_bytes)
    tokens = model.tokens if tokens is None else tokens
    training = {formula: training_flops(model, tokens, formula=formula) for formula in TRAINING} if tokens else {}
    if as_json:
        told = {
            "name": model.name,
            "parameters": model.parameters,
            "published_parameters": model.published or None,
            "parts": [_as_dict(part) for part in each],
            "context": _as_dict(whole),
            "one_token": _as_dict(one),
            "training_tokens": tokens or None,
            "training_flops": training,
            "kv_bytes_per_token": model.kv_bytes,
            "time_s": {
                machine.name: {
                    "context": machine.time_s(whole.flops, whole.traffic_bytes),
                    "one_token": machine.time_s(one.flops, one.traffic_bytes),
                    "training": {formula: machine.time_s(flops) for formula, flops in training.items()},
                }
                for machine in machines
            },
            "source": model.source,
        }
        print(json.dumps(told))
        return
    print(
        f"{_bold(model.name)}: {model.layers} layers, width {model.width:,}, {model.heads} heads of"
        f" {model.attention_width // model.heads}, context {model.context:,}, vocabulary {model.vocabulary:,}"
    )
    shape = [
        ("part", "left"),
        ("parameters", "right"),
        ("FLOPs", "right"),
        ("", "right"),
        ("bytes", "right"),
        ("FLOPs/B", "right"),
    ]
    rows = [
        (
            part.name,
            f"{part.parameters:,}" if part.parameters else "",
            short(part.flops),
            f"{part.flops / whole.flops:.1%}",
            short(part.traffic_bytes, "B"),
            f"{part.intensity:,.3g}" if part.flops else "",
        )
        for part in (*each, whole)
    ]
    _table(f"reading {model.context:,} tokens once", shape, rows, last=True)
    published = f"; published: {short(model.published)}" if model.published else ""
    print(f"parameters   {model.parameters:,}{published}" + (f" ({model.source})" if model.source else ""))
    print(
        f"memory       {short(number_bytes * model.parameters, 'B')} of weights; {short(ADAM_BYTES * model.parameters, 'B')}"
        f" to train with Adam ({ADAM_BYTES} bytes each: Rajbhandari et al. 2020); {short(model.kv_bytes, 'B')} a token of context"
    )
    for formula, flops in training.items():
        print(f"training     {flops:.3g} FLOPs on {short(tokens)} tokens by {TRAINING[formula]}")
    if not training:
        print(
            "training     --tokens tells how many: it is not published"
            if model.source
            else "training     --tokens tells how many"
        )
    columns = [
        ("machine", "left"),
        ("", "left"),
        ("peak", "right"),
        (f"{model.context:,} tokens", "right"),
        ("one more", "right"),
    ]
    if training:
        columns.append(("training", "right"))
    rows = []
    for machine in machines:
        row = [machine.name, machine.precision, short(machine.flops_per_s, "FLOP/s")]
        row += [duration(machine.time_s(part.flops, part.traffic_bytes)) for part in (whole, one)]
        rows.append((*row, *([duration(machine.time_s(training["6ND"]))] if training else [])))
    _table("time on one, at least", columns, rows)
    _print_sources(machines, known)


def _print_sources(machines: list[Roofline], known: bool) -> None:
    named = dict.fromkeys(machine.source for machine in machines if machine.source != "measured")
    print(f"Peaks: {'; '.join(named)}.")
    if not known:
        print("This machine is not measured yet: firth ladder.")
