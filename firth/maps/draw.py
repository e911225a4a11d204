"""Maps as pictures for print: PNG and SVG, by matplotlib."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from firth._check import MissingExtraError
from firth.maps.colours import GREY, PALETTE, number_range
from firth.maps.labels import place

if TYPE_CHECKING:
    from firth.maps import Map

WIDTH, HEIGHT, DPI = 2400, 1800, 200  # pixels; 12 x 9 inches in print
MARGIN, TOP, BOTTOM = 60, 150, 170  # pixels; above the map its title, below it the legend
LARGEST, SMALLEST = 17.0, 6.5  # points; of the most frequent label and of most
MOST_LABELS = 2_500  # more would not be read, only slow the drawing
HALO = "text {{ paint-order: stroke; stroke: {paper}d9; stroke-width: 1.6px; stroke-linejoin: round }}"
FAR = 0.5  # from where most points are, in their extent: what lies beyond is drawn at the edge
SCALE = "viridis"
FONTS = ["DejaVu Sans"]  # comes with matplotlib


class Theme(NamedTuple):
    """Colours of paper and print; dots and words are mixed with `towards` by these shares, to be read on the paper."""

    paper: str
    ink: str
    pale: str
    towards: float  # 0 black, 1 white
    dots: float
    words: float


LIGHT = Theme("#ffffff", "#1f2430", "#6b7280", 0.0, 0.0, 0.28)
DARK = Theme("#12141c", "#e8eaf2", "#98a1b5", 1.0, 0.3, 0.55)


def write_png(drawn: Map, path: Path, *, dark: bool = False) -> None:
    """Draw a map as PNG, 2400 x 1800."""
    with _figure(drawn, DARK if dark else LIGHT) as figure:
        figure.savefig(path, format="png", dpi=DPI)


def write_svg(drawn: Map, path: Path, *, dark: bool = False) -> None:
    """Draw a map as SVG; its words stay words."""
    theme = DARK if dark else LIGHT
    with _figure(drawn, theme, halo=False) as figure:
        figure.savefig(path, format="svg", metadata={"Date": None})
    # matplotlib would turn a word with a halo into outlines; a style sheet gives it one and leaves it a word.
    text = path.read_text(encoding="utf-8")
    style = f"</metadata>\n <style>{HALO.format(paper=theme.paper)}</style>"
    path.write_text(text.replace("</metadata>", style, 1), encoding="utf-8")


def plot(drawn: Map, ax: Any, options: dict[str, Any]) -> Any:
    """Scatter the points on axes."""
    with _matplotlib():
        import matplotlib.pyplot as plt
    colours, dims = drawn.colours, drawn.points.shape[1]
    if ax is None:
        ax = plt.figure().add_subplot(projection="3d" if dims == 3 else None)
    if colours.kind == "number":
        values = np.log(colours.values) if colours.log else colours.values
        defaults = {"c": values, "cmap": SCALE}
    else:
        defaults = {"c": [PALETTE[value % len(PALETTE)] if value >= 0 else GREY for value in colours.values]}
    ax.scatter(*drawn.points.T, **{"s": 4, **defaults, **options})
    ax.set_title(drawn.summary, fontsize="small")
    return ax


@contextmanager
def _matplotlib() -> Iterator[None]:
    """Import it without its warnings; where it is missing, the error says what to install."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImportError as error:
        raise MissingExtraError(f"pictures need {error.name}: pip install 'firth[maps]'") from error


@contextmanager
def _figure(drawn: Map, theme: Theme, *, halo: bool = True) -> Iterator[Any]:
    with _matplotlib():
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    style: Any = {"font.family": FONTS, "svg.fonttype": "none", "svg.hashsalt": "firth", "text.parse_math": False}
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a box stands for it
        figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor=theme.paper)
        FigureCanvasAgg(figure)
        _draw(drawn, figure, theme, halo)
        yield figure


def _draw(drawn: Map, figure: Any, theme: Theme, halo: bool) -> None:
    from matplotlib.patheffects import withStroke

    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.axis("off")
    pixels, depth = _on_page(drawn.points)
    colours = _colours(drawn)
    order = np.argsort(depth, kind="stable")  # in 3-d the far points first
    n = len(pixels)
    dot = np.clip(90_000 / n, 5, 60) * (0.35 + 0.65 * depth)
    alpha = np.clip(3_000 / n, 0.35, 0.8) * (0.35 + 0.65 * depth)
    axes.scatter(
        *pixels[order].T,
        s=dot[order],
        c=_mixed(colours[order], theme, theme.dots),
        alpha=alpha[order],
        linewidths=0,
        zorder=1,
    )

    labels = drawn.labels
    points = _font_sizes(n)
    # In 3-d the near labels choose first; the most frequent ones otherwise.
    first = np.argsort(np.arange(n) / n - 0.5 * depth, kind="stable") if drawn.points.shape[1] == 3 else np.arange(n)
    widths = [_text_width(labels[i], points[i]) for i in first]
    heights = points[first] * DPI / 72
    inner = (WIDTH - 2 * MARGIN // 2, HEIGHT - TOP - BOTTOM)
    offset = np.array([MARGIN // 2, BOTTOM])
    sizes = np.column_stack([widths, heights])
    effects = [withStroke(linewidth=1.6, foreground=theme.paper, alpha=0.85)] if halo else None
    for label, x, y in place(pixels[first] - offset, sizes, *inner, limit=MOST_LABELS):
        i = first[label]
        axes.text(
            x + offset[0],
            y + offset[1] + heights[label] / 2,
            labels[i],
            size=points[i],
            color=_mixed(colours[i], theme, theme.words),
            va="center_baseline",
            ha="left",
            path_effects=effects,
            zorder=3,
        )
    _title(drawn, axes, theme)
    _legend(drawn, figure, axes, theme)


def flat(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points as they are seen (n, 2), and how near each is, 0..1 (always 1 in 2-d)."""
    points = points.astype(np.float64)
    if points.shape[1] == 2:
        return points, np.ones(len(points))
    centred = points - points.mean(axis=0)
    turn, tilt = np.deg2rad(30), np.deg2rad(20)  # a quarter view, from a little above
    x = centred[:, 0] * np.cos(turn) - centred[:, 1] * np.sin(turn)
    away = centred[:, 0] * np.sin(turn) + centred[:, 1] * np.cos(turn)
    y = centred[:, 2] * np.cos(tilt) - away * np.sin(tilt)
    away = away * np.cos(tilt) + centred[:, 2] * np.sin(tilt)
    return np.column_stack([x, y]), (away.max() - away) / (np.ptp(away) or 1.0)


def frame(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners of what is drawn, low and high: a few points, or small groups far out, must not squeeze all others."""
    ends = []
    for x in points.T:
        least, low, high, most = np.percentile(x, [0.1, 2, 98, 99.9])
        far = FAR * (high - low)
        near = x[(x >= low - far) & (x <= high + far)]
        ends.append((max(least, near.min()), min(most, near.max())))
    low, high = np.array(ends).T
    slack = 0.02 * (high - low)
    return low - slack, high + slack


def _on_page(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, 2), and how near each point is; those outside the frame are moved to its edge."""
    points, depth = flat(points)
    low, high = frame(points)
    span = np.where(high > low, high - low, 1.0)
    room = np.array([WIDTH - 2 * MARGIN, HEIGHT - TOP - BOTTOM - 20.0])
    scale = (room / span).min()
    middle = np.array([WIDTH / 2, BOTTOM + (HEIGHT - TOP - BOTTOM) / 2])
    # Stretched to the page's own shape by a third at most: distances keep their meaning nearly.
    scales = np.minimum(room / span, scale * 4 / 3)
    return (np.clip(points, low, high) - (low + high) / 2) * scales + middle, depth


def _font_sizes(n: int) -> np.ndarray:
    """In points: large for the first few, falling with the logarithm of the rank."""
    rank = np.log1p(np.arange(n)) / np.log1p(max(n, 400))
    return LARGEST - (LARGEST - SMALLEST) * np.minimum(1.0, rank * 1.25)


def _text_width(text: str, points: float) -> float:
    """Width in pixels: the advances of its glyphs."""
    return sum(map(_advance, text)) * points * DPI / 72


@functools.cache
def _font() -> Any:
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    font = FT2Font(findfont(FontProperties(family=FONTS)))
    font.set_size(100, 72)
    return font


@functools.cache
def _advance(letter: str) -> float:
    """Of a letter's glyph at a size of 1; the font's first glyph stands for what it lacks."""
    from matplotlib.ft2font import LoadFlags

    glyph = _font().load_glyph(_font().get_char_index(ord(letter)), flags=LoadFlags.NO_HINTING)
    return glyph.linearHoriAdvance / 65536 / 100


def _colours(drawn: Map) -> np.ndarray:
    """(n, 3) of 0..1."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    colours = drawn.colours
    if colours.kind == "category":
        table = np.array([to_rgb(colour) for colour in (*PALETTE, GREY)])
        return table[colours.values]  # -1 is the last: grey
    shade = _norm(drawn)(np.nan_to_num(colours.values, nan=number_range(colours.values)[0]))
    return colormaps[SCALE](shade)[:, :3]


def shades_of_numbers(drawn: Map, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The number of each point's shade, and the shades (count, 3) of 0..255."""
    from matplotlib import colormaps

    at = _norm(drawn)(np.nan_to_num(drawn.colours.values, nan=number_range(drawn.colours.values)[0]))
    table = colormaps[SCALE](np.linspace(0, 1, count))[:, :3]
    return np.minimum(at * count, count - 1).astype(int), np.rint(table * 255).astype(np.uint8)


def _norm(drawn: Map) -> Any:
    """From values to 0..1."""
    from matplotlib.colors import LogNorm, Normalize

    low, high = number_range(drawn.colours.values)
    return (LogNorm if drawn.colours.log else Normalize)(low, high if high > low else low + 1)


def _mixed(colours: np.ndarray, theme: Theme, share: float) -> np.ndarray:
    return colours + (theme.towards - colours) * share


def _title(drawn: Map, axes: Any, theme: Theme) -> None:
    axes.text(MARGIN, HEIGHT - 52, heading(drawn), size=19, color=theme.ink, weight="bold", va="center")
    axes.text(MARGIN, HEIGHT - 104, drawn.summary, size=11.5, color=theme.pale, va="center")
    axes.text(WIDTH - MARGIN, HEIGHT - 104, "firth", size=11.5, color=theme.pale, va="center", ha="right")


def heading(drawn: Map) -> str:
    """What a picture shows, by where the space comes from."""
    made = drawn.space.recipe.get("corpus", {}).get("sources") or []
    if not made:
        return f"{len(drawn.rows):,} labels and the company they keep"
    name = Path(str(made[0])).name
    return f"The words of {name}" + (f" and {len(made) - 1:,} more" if len(made) > 1 else "")


def _number(x: float) -> str:
    """A number on a scale: 0.01, 5, 20k. matplotlib's own may be formulas, which are not typeset here."""
    size, letter = next(
        ((size, letter) for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if abs(x) >= size), (1, "")
    )
    return f"{x / size:g}{letter}"


def _legend(drawn: Map, figure: Any, axes: Any, theme: Theme) -> None:
    colours = drawn.colours
    if colours.kind == "number":
        from matplotlib.cm import ScalarMappable

        bar = figure.add_axes((MARGIN / WIDTH, 72 / HEIGHT, 0.3, 18 / HEIGHT))
        figure.colorbar(
            ScalarMappable(_norm(drawn), SCALE), cax=bar, orientation="horizontal", format=lambda x, _: _number(x)
        )
        bar.tick_params(labelsize=9, colors=theme.pale, length=3)
        bar.tick_params(which="minor", length=0, labelbottom=False)
        bar.set_title(colours.title, size=10, color=theme.ink, loc="left", pad=4)
        return
    axes.text(MARGIN, 128, colours.title, size=9.5, color=theme.pale, va="center")
    from matplotlib.colors import to_rgb

    names: list[tuple[str, str]] = list(zip(colours.names, PALETTE, strict=False))
    if (colours.values < 0).any():
        names.append(("other", GREY))
    x, y = float(MARGIN), 88.0
    for name, colour in names:
        name = name if len(name) <= 40 else name[:39] + "…"
        width = 26 + _text_width(name, 10) + 40
        if x + width > WIDTH - MARGIN and x > MARGIN:
            x, y = float(MARGIN), y - 44
        if y < 20:
            break
        axes.scatter([x + 8], [y], s=46, c=[_mixed(np.array(to_rgb(colour)), theme, theme.dots)], linewidths=0)
        axes.text(x + 26, y, name, size=10, color=theme.ink, va="center")
        x += width
