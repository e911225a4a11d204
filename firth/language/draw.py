"""What a language model makes of a text as a picture: a map for each head, and what comes next after each layer."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firth._check import MissingExtraError

if TYPE_CHECKING:
    from firth.language.inside import Inside

INK, QUIET = "#1f2430", "#667085"
PLACE = "/*DATA*/"  # in the template: where the data go
SHOWN = 14  # letters of a token


def draw(inside: Inside, path: Path, kind: str) -> None:
    """Draw a row of heads for each block, and below them the nearest tokens after each layer."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("pictures need matplotlib: pip install 'firth[maps]'") from error

    patterns, names = inside.patterns, [_short(token) for token in inside.tokens]
    layers, heads, t, _ = patterns.shape
    side = max(2.4, 0.2 * t + 1.2)  # inches of a map
    cell = max(1.1, 0.085 * max(map(len, names)) + 0.4)
    width = max(heads * side, cell * t + 1.6)
    below = 0.42 * (layers + 1) + 1.1
    with rc_context({"font.family": ["DejaVu Sans"], "svg.fonttype": "none", "svg.hashsalt": "firth"}):
        figure = Figure(figsize=(width, layers * side + below), facecolor="white", layout="constrained")
        grid = figure.add_gridspec(layers + 1, heads, height_ratios=[*[side] * layers, below])
        for layer in range(layers):
            for head in range(heads):
                axes = figure.add_subplot(grid[layer, head])
                _draw_pattern(axes, patterns[layer, head], names, f"layer {layer + 1}, head {head + 1}")
        _draw_lens(figure.add_subplot(grid[layers, :]), inside, names)
        figure.suptitle(
            "Which earlier tokens each token (a row) looks at, head by head", fontsize=13, color=INK, x=0.01, ha="left"
        )
        figure.savefig(path, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None)


def _short(token: str) -> str:
    # A dollar sign would begin mathematics.
    token = token if len(token) <= SHOWN else token[: SHOWN - 1] + "…"
    return token.replace("$", r"\$")


def _draw_pattern(axes: Any, pattern: Any, names: list[str], title: str) -> None:
    axes.imshow(pattern, cmap="Blues", vmin=0, vmax=1)
    places = range(len(names))
    axes.set_xticks(places, names, rotation=90, fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(title, fontsize=10, color=INK, loc="left")


def _draw_lens(axes: Any, inside: Inside, names: list[str]) -> None:
    """A table: a row a layer, the last one at the top, a column a token; darker where the model is surer."""
    t, layers = len(names), len(inside.layers)
    shares = [[nearest[0][1] for nearest in layer.nearest] for layer in inside.layers]
    axes.imshow(shares, cmap="Greens", vmin=0, vmax=1.4, aspect="auto", origin="lower")
    for row, layer in enumerate(inside.layers):
        for column, nearest in enumerate(layer.nearest):
            axes.text(column, row, _short(nearest[0][0]), ha="center", va="center", fontsize=8.5, color=INK)
    axes.set_xticks(range(t), names, fontsize=9)
    axes.set_yticks(range(layers), ["embedding", *(f"layer {n}" for n in range(1, layers))], fontsize=9)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title("What would come next, read off after each layer (logit lens)", fontsize=11, color=INK, loc="left")


def page(inside: Inside) -> str:
    """One HTML page that works offline: all heads; what a token looks at, and what comes next, where the mouse is."""
    template = resources.files("firth.language").joinpath("page.html").read_text(encoding="utf-8")
    before, after = template.split(PLACE)
    data = json.dumps(inside.as_dict(), ensure_ascii=False).replace("</", "<\\/")
    return before + data + after
