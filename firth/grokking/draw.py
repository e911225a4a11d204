"""What was grokked as a picture: its losses, its frequencies, its cosines and its circles. PNG and SVG, by matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firth._check import MissingExtraError
from firth.chart_colours import BLUE, GREEN, GREY, INK, ORANGE, VIOLET
from firth.grokking.analysis import ONE_FREQUENCY, cosines
from firth.grokking.report import plane
from firth.grokking.training import phase_of

if TYPE_CHECKING:
    from firth.grokking.report import Grokked

PHASE_COLOURS = {"memorising": "#f1f3f8", "forming the circuit": "#fdf3e7", "cleaning up": "#edf6ee"}
IN_A_ROW = 4  # circles, at most


def draw(grokked: Grokked, path: Path, kind: str) -> None:
    """Draw everything on one page, 16 inches wide."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("pictures need matplotlib: pip install 'firth[maps]'") from error

    found, p = grokked.opened, grokked.options.p
    keys = found.frequencies
    rows = -(-len(keys) // IN_A_ROW)
    with rc_context({"font.family": ["DejaVu Sans"], "svg.fonttype": "none", "svg.hashsalt": "firth"}):
        figure = Figure(figsize=(16, 8.2 + 4.1 * rows), facecolor="white", layout="constrained")
        grid = figure.add_gridspec(2 + rows, 12, height_ratios=[4.2, 3.2, *[4.1] * rows])
        _draw_curve(figure.add_subplot(grid[0, :7]), grokked)
        _draw_cosines(figure.add_subplot(grid[0, 7:]), grokked)
        _draw_spectrum(figure.add_subplot(grid[1, :4]), found.embedding_spectrum, keys, "embedding, W_E")
        _draw_spectrum(figure.add_subplot(grid[1, 4:8]), found.map_spectrum, keys, "neurons to logits, W_L")
        _draw_neurons(figure.add_subplot(grid[1, 8:]), grokked)
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        for number, key in enumerate(keys):
            across = -(-len(keys) // rows)  # 1 to 4, which divide 12
            row, place = divmod(number, across)
            axes = figure.add_subplot(grid[2 + row, 12 // across * place : 12 // across * (place + 1)])
            _draw_circle(axes, plane(grokked.trained.model["W_E"], key), key)
        figure.suptitle(
            f"(a + b) mod {p} after {grokked.steps:,} steps: {found.losses.test_accuracy:.1%} of the sums never seen are right",
            fontsize=16, color=INK, x=0.01, ha="left",
        )  # fmt: skip
        figure.savefig(path, format=kind, dpi=130, metadata={"Date": None} if kind == "svg" else None)


def _draw_curve(axes: Any, grokked: Grokked) -> None:
    steps, curve = list(grokked.curve), list(grokked.curve.values())
    worst = np.maximum.accumulate([at.test_loss for at in curve])
    phases = [phase_of(at, high) for at, high in zip(curve, worst, strict=True)]
    for phase, colour in PHASE_COLOURS.items():
        own = [step for step, name in zip(steps, phases, strict=True) if name == phase]
        if own:
            later = [step for step in steps if step > own[-1]]
            axes.axvspan(own[0], later[0] if later else own[-1], color=colour, lw=0, zorder=0)
            narrow = own[-1] - own[0] < 0.16 * steps[-1]
            axes.text(
                own[0] + 0.006 * steps[-1], 0.65 if narrow else 0.985, phase, transform=axes.get_xaxis_transform(), fontsize=8.5,
                color="#667085", rotation=90 if narrow else 0, va="top",
            )  # fmt: skip
    lines = (("train", BLUE, "-"), ("test", ORANGE, "-"), ("restricted", GREEN, "--"), ("excluded", VIOLET, "--"),
             ("cosine", "#8C8C22", ":"))  # fmt: skip
    for name, colour, style in lines:
        axes.plot(steps, [getattr(at, f"{name}_loss") for at in curve], style, color=colour, lw=1.8, label=name)
    axes.set_yscale("log")
    axes.set_xlim(0, steps[-1])
    axes.set_xlabel("step")
    axes.set_title("Losses, by the key frequencies of the last model", fontsize=11, loc="left")
    axes.legend(frameon=False, fontsize=9, loc="lower left")


def _draw_cosines(axes: Any, grokked: Grokked) -> None:
    found, p = grokked.opened, grokked.options.p
    near = np.arange(-(p // 2), p // 2 + 1)
    fitted = cosines(found.amplitudes, found.frequencies, p)
    axes.plot(near, fitted[near % p], color=GREY, lw=4, label="sum of cosines")
    axes.plot(near, found.by_difference[near % p], ".", color=BLUE, ms=5, label="mean logit")
    axes.set_xlabel(f"c - (a + b) mod {p}")
    terms = " ".join(
        f"{size:+.1f} cos {key}w" for size, key in zip(found.amplitudes, found.frequencies, strict=True)
    ).removeprefix("+")
    axes.set_title(
        f"Logits are {terms},\nw = 2π(a + b - c)/{p};  R² = {found.cosine_fit:.3f}",
        fontsize=11 if len(found.frequencies) <= IN_A_ROW else 9, loc="left",
    )  # fmt: skip
    axes.legend(frameon=False, fontsize=9, loc="upper right")


def _draw_spectrum(axes: Any, power: np.ndarray, keys: list[int], name: str) -> None:
    frequencies = np.arange(1, len(power) + 1)
    axes.bar(frequencies, power, color=[ORANGE if k in keys else GREY for k in frequencies], width=0.8)
    for key in keys:
        axes.annotate(str(key), (key, power[key - 1]), ha="center", va="bottom", fontsize=9, color=INK)
    axes.margins(y=0.12)
    axes.set_xlabel("frequency")
    axes.set_title(f"Squared norm by frequency: {name}", fontsize=11, loc="left")


def _draw_neurons(axes: Any, grokked: Grokked) -> None:
    found = grokked.opened
    single = found.neuron_shares > ONE_FREQUENCY
    kinds = np.unique(found.neuron_frequencies[single])
    counts = [int((single & (found.neuron_frequencies == kind)).sum()) for kind in kinds]
    names, counts = [*map(str, kinds), "several"], [*counts, int((~single).sum())]
    axes.bar(names, counts, color=[*[ORANGE if k in found.frequencies else BLUE for k in kinds], GREY], width=0.7)
    for place, count in enumerate(counts):
        axes.annotate(str(count), (place, count), ha="center", va="bottom", fontsize=9, color=INK)
    axes.margins(y=0.12)
    axes.set_xlabel("frequency")
    axes.set_title(
        f"{len(single)} neurons by the frequency that explains {ONE_FREQUENCY:.0%} of them", fontsize=11, loc="left"
    )


def _draw_circle(axes: Any, points: np.ndarray, key: int) -> None:
    """Numbers in the plane of a frequency; a line joins them in the order of their places, each name on the outside."""
    p = len(points)
    order = [place * pow(key, -1, p) % p for place in range(p)]
    ring = points[[*order, order[0]]]
    size = np.linalg.norm(points, axis=1).max()
    axes.plot(*ring.T, color=GREY, lw=1, zorder=1)
    axes.scatter(*points.T, c=np.arange(p), cmap="viridis", s=14, zorder=2)
    # Names stand evenly around it, at the angles that fit the points best: one way round or the other.
    z, turns = points @ [1, 1j], np.exp(2j * np.pi * key * np.arange(p) / p)
    ideal = max((turns, turns.conj()), key=lambda one: abs((z * one.conj()).sum()))
    angles = np.degrees(np.angle(ideal * (z * ideal.conj()).sum()))
    for number, angle in enumerate(angles):
        at = 1.06 * size * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        axes.text(
            *at, str(number), rotation=angle + 180 if abs(angle) > 90 else angle, rotation_mode="anchor",
            fontsize=min(9, 600 / p), color=INK, ha="right" if abs(angle) > 90 else "left", va="center",
        )  # fmt: skip
    axes.set_aspect("equal")
    axes.set(xlim=(-1.2 * size, 1.2 * size), ylim=(-1.2 * size, 1.2 * size))
    axes.axis("off")
    axes.set_title(f"frequency {key}: next to n is n ± {min(order[1], p - order[1])}", fontsize=11)
