"""Maps side by side, and maps that grow: one page, or an animated GIF."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firth._check import ArgumentError, MissingExtraError
from firth.maps.colours import GREY, PALETTE, number_range
from firth.maps.draw import flat, frame, heading
from firth.maps.page import PLACE, packed, script

if TYPE_CHECKING:
    from firth.maps import Map

FRAMES = 60  # of an animation by the command
STEPS = 65_535  # that each coordinate has on a page
SIDE, HEAD = 720, 40  # pixels of a GIF's square, and above it of what it tells
FRAME_MS, LAST_MS = 60, 2_500  # how long each is shown
SHADES = 32  # of numbers

MEASURES = {
    "trustworthiness": "trustworthiness",
    "continuity": "continuity",
    "neighbours_kept": "neighbours kept",
    "distance_correlation": "correlation of distances",
    "cross_entropy": "cross entropy a point",
    "kl_divergence": "KL divergence",
}

SETTINGS: dict[str, Any] = {
    "n_neighbors": int,
    "min_dist": float,
    "spread": float,
    "n_epochs": int,
    "negative_sample_rate": int,
    "perplexity": float,
    "metric": str,
    "seed": int,
}


def read_settings(text: str) -> dict[str, Any]:
    """Options of `map_space` from a line of them.

    >>> read_settings("umap n_neighbors=50 min_dist=0")
    {'method': 'umap', 'n_neighbors': 50, 'min_dist': 0.0}
    """
    method, *pairs = text.split() or [""]
    options: dict[str, Any] = {"method": method}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            options[name] = SETTINGS[name](value)
        except KeyError:
            raise ArgumentError(f"a setting must be one of {', '.join(SETTINGS)}; got {pair!r}") from None
        except ValueError:
            raise ArgumentError(f"{name} must be a number; got {value!r}") from None
    return options


def write(maps: Sequence[Map], path: Path) -> None:
    """Write maps of the same labels as a page, side by side; those that have frames are played."""
    first = maps[0]
    shades, table = _shades(first)
    data = {
        "title": heading(first),
        "labels": first.labels,
        "colours": {"title": first.colours.title, "names": first.colours.names, "shades": packed(shades, "<i4")},
        "panels": [_panel(drawn) for drawn in maps],
    }
    if first.colours.kind == "number":
        data["colours"]["ends"] = [f"{end:.4g}" for end in number_range(first.colours.values)]
    data["colours"]["table"] = ["#" + bytes(colour).hex() for colour in table]
    before, after = resources.files("firth.maps").joinpath("panels.html").read_text(encoding="utf-8").split(PLACE)
    path.write_text(before + script(data) + after, encoding="utf-8")


def _panel(drawn: Map) -> dict[str, Any]:
    from firth.maps import NAMES

    recipe, quality = drawn.recipe, drawn.quality
    told = [(name, f"{quality[key]:.3f}") for key, name in MEASURES.items() if quality.get(key) is not None]
    if explained := quality.get("variance_explained"):
        told.append(("variance explained", f"{sum(explained):.1%}"))
    settings = ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in recipe.items()
        if key != "method"
    )
    shown = [np.rint(_square(points) * STEPS) for points in drawn.frames or [drawn.points]]
    return {
        "name": NAMES[drawn.method],
        "settings": settings,
        "told": told,
        "frames": len(shown),
        "points": packed(np.stack(shown), "<u2"),
    }


def write_gif(drawn: Map, path: Path) -> None:
    """Draw how a map grew; Pillow writes it."""
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise MissingExtraError("a GIF needs Pillow: pip install 'firth[maps]'") from error
    shades, table = _shades(drawn)
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(table)], palette[254], palette[255] = table, (31, 36, 48), (255, 255, 255)
    radius = max(1, round(70 / len(shades) ** 0.5))
    disc = [
        (x, y)
        for x in range(-radius, radius + 1)
        for y in range(-radius, radius + 1)
        if x * x + y * y <= radius * radius + 1
    ]
    pictures = []
    for number, points in enumerate(drawn.frames):
        pixels = np.full((HEAD + SIDE, SIDE), 255, np.uint8)
        at = np.rint(radius + _square(points) * (SIDE - 1 - 2 * radius)).astype(int)[::-1]  # the most frequent last
        for x, y in disc:
            pixels[HEAD + at[:, 1] + y, at[:, 0] + x] = shades[::-1]
        picture = Image.fromarray(pixels)
        picture.putpalette(palette.tobytes())  # its bytes are numbers of colours from here on
        share = f"{number / max(1, len(drawn.frames) - 1):.0%}"
        ImageDraw.Draw(picture).text((12, 12), f"{drawn.summary}   {share}", fill=254)
        pictures.append(picture)
    durations = [FRAME_MS] * (len(pictures) - 1) + [LAST_MS]
    pictures[0].save(path, format="GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0)


def in_letters(points: np.ndarray, columns: int, lines: int) -> str:
    """Points as text, each letter of two by four dots (Unicode's Braille patterns).

    >>> in_letters(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), 2, 1)
    '⡀⠌'
    """
    seen = _square(points) * [2 * columns - 1, 4 * lines - 1]
    grid = np.zeros((4 * lines, 2 * columns), bool)
    x, y = np.rint(seen).astype(int).T
    grid[y, x] = True
    dots = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
    codes = 0x2800 + np.einsum("laci,ai->lc", grid.reshape(lines, 4, columns, 2), dots)
    return "\n".join("".join(map(chr, line)).replace(chr(0x2800), " ").rstrip() for line in codes.tolist())


def _square(points: np.ndarray) -> np.ndarray:
    """Points as they are seen, y downwards, within a square of side 1 that most of them fill."""
    seen = flat(points)[0]
    low, high = frame(seen)
    side = (high - low).max() or 1.0
    return (np.clip(seen, low, high) - (low + high) / 2) / side * [1, -1] + 0.5


def _shades(drawn: Map) -> tuple[np.ndarray, np.ndarray]:
    """The number of each point's colour, and the colours (c, 3) of 0..255."""
    from firth.maps.draw import shades_of_numbers

    colours = drawn.colours
    if colours.kind == "number":
        return shades_of_numbers(drawn, SHADES)
    table = np.array([list(bytes.fromhex(colour[1:])) for colour in (*PALETTE, GREY)], np.uint8)
    return np.where(colours.values < 0, len(PALETTE), colours.values), table
