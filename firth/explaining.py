"""Why two rows are alike: a dot product taken apart into its multiply-accumulates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from firth._check import ArgumentError, MissingExtraError, check_choice, check_int
from firth.chart_colours import BLUE, GREY, INK, ORANGE

if TYPE_CHECKING:
    from firth.space import Space

ENDS = 3  # labels that tell what an end of a learned dimension is about
AMONG = 10_000  # the most frequent ones, of which those are
LONGEST = 60  # characters of a name in a picture


class Part(NamedTuple):
    """What one dimension, or one column of a table, adds to a score; and what the dimension is about."""

    name: str
    share: float


class Explanation(NamedTuple):
    """A score as a sum.

    Attributes
    ----------
    first, second
        The labels.
    score
        By the metric: the sum of all parts.
    cosine, norms
        What the angle and what the lengths did: the dot product is cosine x norm x norm.
    parts
        The dimensions that add or take the most, largest first.
    columns
        The same by column, all of them, where the space was made of a table.
    rest
        What the other dimensions add together.
    """

    first: str
    second: str
    metric: str
    score: float
    cosine: float
    norms: tuple[float, float]
    parts: list[Part]
    columns: list[Part]
    rest: float

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        told = self._asdict()
        return told | {name: [part._asdict() for part in told[name]] for name in ("parts", "columns")}

    def save(self, path: str | Path) -> None:
        """Draw the parts as bars, .png or .svg: by column too where there are columns, as many as there are dimensions told.

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        path = Path(path)
        if path.suffix.lower() not in (".png", ".svg"):
            raise ArgumentError(f"bars are drawn as .png or .svg; got {path.name}")
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise MissingExtraError("pictures need matplotlib: pip install 'firth[maps]'") from error

        shown = self.columns[: len(self.parts)]
        others = self.score - sum(part.share for part in shown)
        charts = [("by dimension", [*self.parts, Part("all other dimensions", self.rest)])]
        if shown:
            more = [Part("all other columns", others)] if len(shown) < len(self.columns) else []
            charts.insert(0, ("by column", [*shown, *more]))
        rows = [len(parts) for _, parts in charts]
        figure = Figure(figsize=(9, 1.6 + 0.32 * sum(rows) + 0.5 * len(rows)), layout="constrained", facecolor="white")
        every = figure.subplots(len(charts), 1, sharex=True, squeeze=False, height_ratios=rows)[:, 0]
        for axes, (title, parts) in zip(every, charts, strict=True):
            shares = [part.share for part in parts]
            colours = [
                GREY if part.name.startswith("all other ") else BLUE if part.share >= 0 else ORANGE for part in parts
            ]
            places = range(len(parts))
            axes.bar_label(axes.barh(places, shares, color=colours, height=0.7), fmt="%+.3f", padding=3, fontsize=9)
            names = [part.name if len(part.name) <= LONGEST else part.name[: LONGEST - 1] + "…" for part in parts]
            axes.set_yticks(places, [name.replace("$", r"\$") for name in names])  # $ would begin mathematics
            axes.invert_yaxis()
            axes.axvline(0, color=INK, lw=0.8)
            axes.margins(x=0.15)
            axes.set_title(title, loc="left", fontsize=10)
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(axis="y", length=0)
        title = f"{self.first} and {self.second}: {self.metric} {self.score:.3f}".replace("$", r"\$")
        figure.suptitle(title, x=0.01, ha="left", fontsize=13)
        figure.savefig(path, dpi=150)


def explain(
    space: Space, first: str, second: str, *, k: int = 10, metric: Literal["cosine", "dot"] = "cosine"
) -> Explanation:
    """Tell which dimensions make two labels alike, for and against.

    A dot product is a sum of d products: these are the parts, and they sum to the score.

    Parameters
    ----------
    space
        Of anything. Dimensions of a table are told by their names, learned ones by the labels at their ends.
    first, second
        Two labels.
    k
        How many dimensions to tell.
    metric
        "cosine" or "dot".

    Raises
    ------
    LabelError
        If a label is not in the space.

    Examples
    --------
    >>> from firth.space import Space
    >>> space = Space(["a", "b"], [[3, 4], [4, -3]], recipe={"dimensions": ["rooms", "price"]})
    >>> [(part.name, round(part.share, 2)) for part in explain(space, "a", "b").parts]
    [('rooms', 0.48), ('price', -0.48)]
    """
    check_choice("metric", metric, ("cosine", "dot"))
    check_int("k", k, 1)
    rows = space.rows([first, second])
    x, y = space.vectors[rows].astype(np.float64)
    norms = float(space.norms[rows[0]]), float(space.norms[rows[1]])
    lengths = norms[0] * norms[1]
    products = x * y
    cosine = float(products.sum()) / lengths if lengths else 0.0
    if metric == "cosine":
        products = products / lengths if lengths else products
    best = np.argsort(-np.abs(products), kind="stable")[:k]
    parts = [Part(name, float(products[i])) for name, i in zip(_names(space, best), best, strict=True)]
    rest = float(np.delete(products, best).sum())
    columns = _columns(space, products)
    return Explanation(first, second, metric, float(products.sum()), cosine, norms, parts, columns, rest)


def _names(space: Space, dimensions: np.ndarray) -> list[str]:
    names = space.recipe.get("dimensions")
    if isinstance(names, list) and len(names) == space.vectors.shape[1]:
        return [str(names[i]) for i in dimensions]
    frequent = space.most_frequent(AMONG)
    told = []
    for i in dimensions:
        order = np.argsort(space.vectors[frequent, i], kind="stable")
        low, high = (", ".join(space.labels[frequent[ends]]) for ends in (order[:ENDS], order[::-1][:ENDS]))
        told.append(f"{i}: {low} ... {high}")
    return told


def _columns(space: Space, products: np.ndarray) -> list[Part]:
    learned = space.recipe.get("encoder")
    if not isinstance(learned, dict):
        return []
    from firth.table import Column

    try:
        columns = [Column(**column) for column in learned["columns"]]
    except (KeyError, TypeError):
        return []
    ends = np.cumsum([len(column.dimensions) for column in columns])
    if not len(ends) or ends[-1] != len(products):
        return []
    sums = np.add.reduceat(products, np.concatenate([[0], ends[:-1]]))
    parts = [Part(column.name, float(total)) for column, total in zip(columns, sums, strict=True)]
    return sorted(parts, key=lambda part: -abs(part.share))
