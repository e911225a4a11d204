"""The commands of language models: sample, attend; and learn --method transformer. They register themselves with firth.cli."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firth._check import ArgumentError
from firth.cli import Json, Quiet, _bold, _check_writable, _command, _given, _run, _say, app

if TYPE_CHECKING:
    import numpy as np

    from firth.language.inside import Inside
    from firth.language.transformer import LanguageModel

SUFFIXES = (".html", ".png", ".svg", ".json")  # as in firth.language.inside
SHADES = " ·░▒▓█"  # of a share, from none to all

ModelPath = Annotated[
    Path, typer.Argument(metavar="MODEL", help="The .safetensors of a transformer, or the .space beside it.")
]


def learn_transformer(
    sources: list[str],
    out: Path,
    chosen: dict[str, Any],
    reading: dict[str, Any],
    tokens: str | None,
    threads: int | None,
    quick: bool,
    keep_on_interrupt: bool,
    quiet: bool,
) -> None:
    """What `firth learn --method transformer` does: the space, the model beside it, a checkpoint while it trains."""
    from firth.language.model import Architecture
    from firth.language.training import Training
    from firth.language.transformer import BPE_VOCAB, QUICK, WORD_VOCAB, transformer_steps
    from firth.text import Reading

    began, bpe = time.perf_counter(), tokens == "bpe"
    default = {"max_vocab": BPE_VOCAB if bpe else WORD_VOCAB}
    chosen = default | (QUICK if quick else {}) | _given(chosen)
    most = chosen.pop("max_vocab")
    own = Architecture.__dataclass_fields__
    architecture = Architecture(**{name: value for name, value in chosen.items() if name in own})
    options = Training(**{name: value for name, value in chosen.items() if name not in own})
    read_as = Reading(max_vocab=most, **reading, **({} if bpe else _given({"tokens": tokens})))
    model_path, checkpoint = out.with_suffix(".safetensors"), out.with_suffix(".checkpoint")
    if checkpoint.exists() and not quiet:
        _say(f"going on from {checkpoint}, which an interrupted training left")
    steps = transformer_steps(
        sources, architecture, options, read_as, bpe=bpe, threads=threads, checkpoint=checkpoint,
        keep_on_interrupt=keep_on_interrupt,
    )  # fmt: skip
    try:
        model = _run(steps, quiet)
    except KeyboardInterrupt:
        if checkpoint.exists() and not quiet:
            _say(f"{checkpoint}: the same command goes on from there")
        raise
    space = model.space()
    model.save(model_path)
    space.save(out)
    if quiet:
        return
    recipe = model.recipe
    partly = f" (interrupted after {recipe['interrupted_at']:.0%})" if "interrupted_at" in recipe else ""
    _say(
        f"{out}: {len(space):,} {'tokens' if bpe else 'words'} x {space.vectors.shape[1]}, from"
        f" {recipe['corpus']['tokens']:,} tokens in"
        f" {time.perf_counter() - began:.1f} s{partly}"
    )
    _say(
        f"{model_path}: perplexity {recipe['perplexity']:.1f} on {recipe['held_out_tokens']:,} tokens held out; by counts of"
        f" tokens alone {recipe['unigram_perplexity']:.1f}, of pairs {recipe['bigram_perplexity']:.1f}"
    )
    frequent = space.labels[space.most_frequent(200)].tolist()
    first = next((label for label in reversed(frequent) if label.isalpha()), frequent[0])
    _say(f"next: {_command()} ask {out} {first!r}   {_command()} sample {model_path} {first!r}")


@app.command()
def sample(
    path: ModelPath,
    prompt: Annotated[str, typer.Argument(metavar="[TEXT]", help="To go on from.", show_default=False)] = "",
    length: Annotated[int, typer.Option(help="Tokens to write.")] = 50,
    temperature: Annotated[float, typer.Option(help="0: the most probable token each time; 1: as learned.")] = 0.8,
    top_k: Annotated[
        int | None, typer.Option(help="Draw among so many most probable tokens.", show_default="all")
    ] = None,
    top_p: Annotated[float, typer.Option(help="Draw among those that together have this share.")] = 0.95,
    number: Annotated[int, typer.Option("-n", help="How many texts.")] = 1,
    seed: Annotated[int, typer.Option(help="The same one writes the same text.")] = 0,
    as_json: Json = False,
) -> None:
    """Let a transformer write on from a text, token by token.

    Example: firth sample words.safetensors "the king"
    """
    from firth.language.transformer import LanguageModel

    model = LanguageModel.open(path)
    _say_unknown(model, prompt)
    for n in range(number):
        drawing = {"length": length, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed + n}
        steps = model.sample_steps(prompt, **drawing)
        if as_json:
            print(json.dumps({"prompt": prompt, "text": prompt + "".join(steps), "seed": seed + n}, ensure_ascii=False))
            continue
        print(_bold(prompt) + next(steps, ""), end="", flush=True)  # an option that is wrong says so first
        for piece in steps:
            print(piece, end="", flush=True)
        print()


@app.command()
def attend(
    path: ModelPath,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Such as 'the king spoke to the queen'.")],
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out", "-o", metavar="PATH", help="A .html, .png, .svg or .json; may be repeated.", show_default="none"
        ),
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Only this layer's heads, from 1.", show_default="all")] = None,
    k: Annotated[int, typer.Option("-k", help="How many tokens after each layer.")] = 5,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what a transformer makes of a text: where each head looks, and what would come next after each layer.

    A row is a token that looks, a column one that is looked at. What comes next is read off the stream as if that layer were the
    last (the logit lens). Pictures need firth[maps].

    Example: firth attend words.safetensors "the king spoke to the queen" -o attention.html
    """
    for target in out or []:
        _check_writable(target, SUFFIXES, f"attention is saved as {', '.join(SUFFIXES)}")
    from firth.language.transformer import LanguageModel

    model = LanguageModel.open(path)
    if layer is not None and not 1 <= layer <= model.architecture.layers:
        raise ArgumentError(f"--layer must be in 1..{model.architecture.layers}; got {layer}")
    _say_unknown(model, text)
    found = model.inside(text, k)
    print(json.dumps(found.as_dict(), ensure_ascii=False)) if as_json else _print(found, layer)
    for target in out or []:
        found.save(target)
        if not quiet:
            _say(
                f"{target}: {found.patterns.shape[0]} layers x {found.patterns.shape[1]} heads, {len(found.tokens)} tokens"
            )


def _say_unknown(model: LanguageModel, text: str) -> None:
    unknown = model.vocabulary.unknown(text)
    if unknown:
        _say(f"not in the vocabulary, read as <unk>: {', '.join(unknown)}")


def _print(found: Inside, layer: int | None) -> None:
    names = [token[:12] for token in found.tokens]
    margin = max(map(len, names)) + 1
    block = max(len(names) * 2, 12)  # columns of a head's map
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 120
    in_a_row = max(1, (columns - margin) // (block + 2))
    print(f"{_bold(found.text)}: a row looks at columns, in the same order; {_scale()}")
    for number, patterns in enumerate(found.patterns, 1):
        if layer in (None, number):
            print(f"\n{_bold(f'layer {number}')}", end="")
            for first in range(0, len(patterns), in_a_row):
                _print_heads(names, margin, block, first, patterns[first : first + in_a_row])
    print(f"\n{_bold('what would come next')}, read off after each layer, at the last token {names[-1]!r}:")
    for number, one in enumerate(found.layers):
        name = f"layer {number}" if number else "embedding"
        print(f"  {name:10} " + "  ".join(f"{token} {100 * share:.1f}%" for token, share in one.nearest[-1]))


def _print_heads(names: list[str], margin: int, block: int, first: int, patterns: np.ndarray) -> None:
    """Maps of some heads side by side."""
    heads = (f"head {head}" for head in range(first + 1, first + 1 + len(patterns)))
    print(f"\n{'':{margin}}" + "  ".join(f"{head:{block}}" for head in heads).rstrip())
    for row, name in enumerate(names):
        maps = ("".join(2 * _shade(share) for share in pattern[row, : row + 1]) for pattern in patterns)
        print(f"{name:{margin}}" + "  ".join(f"{one:{block}}" for one in maps).rstrip())


def _shade(share: float) -> str:
    return SHADES[min(len(SHADES) - 1, int(share * len(SHADES) + 0.5))]


def _scale() -> str:
    step = 1 / len(SHADES)
    return "  ".join(f"{shade} from {100 * (n - 0.5) * step:.0f}%" for n, shade in enumerate(SHADES) if n)
