"""Maps: a space reduced to two or three dimensions, told how far to trust it, and drawn."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from firth._check import ArgumentError, check_choice, check_int, check_number
from firth.maps.colours import Colours, cluster_colours, column_colours
from firth.maps.quality import TRUST_K, trustworthiness
from firth.maps.reduce import pca, tsne, umap
from firth.results import METRICS, Metric, TopK
from firth.search import neighbors_steps
from firth.steps import Progress, drain, staged

if TYPE_CHECKING:
    from firth.space import Space

Method = Literal["umap", "tsne", "pca"]
NAMES = {"umap": "UMAP", "tsne": "t-SNE", "pca": "PCA"}
PAGE_NEIGHBOURS = 10  # of each point, in the full space, that a page shows


@dataclass(frozen=True, eq=False)
class Map:
    """Points of a map, and what is known of them.

    Attributes
    ----------
    points : (n, 2) or (n, 3)
        float32, a row for each label, the most frequent first.
    rows
        Of the points, in `space`.
    method
        "umap", "tsne" or "pca".
    quality
        `trustworthiness` (k = 15; None for fewer than 31 points), `variance_explained` for PCA, `kl_divergence` for t-SNE.
    recipe
        The options.
    """

    space: Space
    points: np.ndarray
    rows: np.ndarray
    method: Method
    colours: Colours
    quality: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """Of the points."""
        return self.space.labels[self.rows].tolist()

    def __repr__(self) -> str:
        return f"<Map: {self.summary}>"

    @property
    def summary(self) -> str:
        """One line: the method, how many points, how far to trust them."""
        n, total = len(self.rows), len(self.space)
        parts = [
            f"{NAMES[self.method]} of {n:,} of {total:,} labels"
            if n < total
            else f"{NAMES[self.method]} of {n:,} labels"
        ]
        if (trust := self.quality.get("trustworthiness")) is not None:
            parts.append(f"trustworthiness {trust:.3f}")
        if explained := self.quality.get("variance_explained"):
            parts.append(f"variance explained {sum(explained):.1%}")
        return ", ".join(parts)

    def save(self, path: str | Path) -> None:
        """Write the map, whole or not at all, as what the suffix says: .html .png .svg .csv.

        The HTML is one file that works offline: zoom, hover, search, and on a click the nearest neighbours in the full space.

        Raises
        ------
        ArgumentError
            If the suffix is another.
        """
        from firth.formats.atomic import atomic_write
        from firth.maps import draw, page

        write = {".html": page.write, ".png": draw.write_png, ".svg": draw.write_svg, ".csv": _write_csv}
        write = write[check_map_path(path)]
        with atomic_write(path) as temporary:
            write(self, temporary)

    def neighbours(self, k: int = PAGE_NEIGHBOURS) -> TopK:
        """The k nearest other labels of each point in the full space, exact: rows of the space and scores, (n, k)."""
        k = min(k, len(self.space) - 1)
        hits = self.space.nearest(self.space.vectors[self.rows], k + 1, metric=self.recipe["metric"])
        own = hits.rows == self.rows[:, None]
        own[~own.any(axis=1), -1] = True
        return TopK(hits.scores[~own].reshape(-1, k), hits.rows[~own].reshape(-1, k))


def check_map_path(path: str | Path) -> str:
    """The suffix of a path that a map can be saved to."""
    suffix = Path(path).suffix.lower()
    if suffix not in (".html", ".png", ".svg", ".csv"):
        raise ArgumentError(f"a map can be saved as .html, .png, .svg or .csv; got {str(path)!r}")
    return suffix


def map_space(
    space: Space,
    method: Method = "umap",
    *,
    dims: int = 2,
    top: int | None = None,
    only: Iterable[str] | None = None,
    colour: str | None = None,
    metric: Metric = "cosine",
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    perplexity: float = 30.0,
    seed: int = 0,
) -> Map:
    """Reduce a space to two or three dimensions, to be drawn.

    The neighbour graph is our exact one (2 n^2 d operations); umap-learn, openTSNE and scikit-learn do the rest. The same
    seed gives the same map on the same machine.

    Parameters
    ----------
    space
        Of at least four rows.
    method
        "umap", "tsne" or "pca".
    dims
        2 or 3.
    top
        Only so many labels, the most frequent.
    only
        Only these labels.
    colour
        A column to colour by; by default clusters in the full space.
    metric
        Of the neighbour graph. With "cosine", PCA sees vectors at length 1 too.
    n_neighbors, min_dist
        UMAP's: how many neighbours count, and how near points may come.
    perplexity
        t-SNE's: about how many neighbours count.
    seed
        Of all that is random.

    Raises
    ------
    ArgumentError
        If an option is out of range or there are fewer than four points.
    LabelError
        If a label of `only` is not in the space.
    MissingExtraError
        If the libraries of firth[maps] are not installed.

    Examples
    --------
    >>> import firth
    >>> vectors = np.random.default_rng(0).standard_normal((50, 8))
    >>> drawn = firth.map_space(firth.Space(map(str, range(50)), vectors), "pca")
    >>> drawn.points.shape
    (50, 2)
    """
    steps = map_space_steps(
        space,
        method,
        dims=dims,
        top=top,
        only=only,
        colour=colour,
        metric=metric,
        n_neighbors=n_neighbors,
        min_dist=min_dist,
        perplexity=perplexity,
        seed=seed,
    )
    return drain(steps)


def map_space_steps(
    space: Space,
    method: Method = "umap",
    *,
    dims: int = 2,
    top: int | None = None,
    only: Iterable[str] | None = None,
    colour: str | None = None,
    metric: Metric = "cosine",
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    perplexity: float = 30.0,
    seed: int = 0,
) -> Generator[Progress, None, Map]:
    """Map as `map_space` does, step by step."""
    check_choice("method", method, tuple(NAMES))
    check_choice("metric", metric, METRICS)
    check_int("dims", dims, 2, 3)
    check_int("n_neighbors", n_neighbors, 2)
    check_int("seed", seed, 0, 2**32 - 1)
    check_number("min_dist", min_dist, 0.0, 1.0)
    check_number("perplexity", perplexity, 1.0, float("inf"), above=True)
    rows = _chosen(space, top, only)
    n = len(rows)
    if n < 4:
        raise ArgumentError(f"a map needs at least 4 points; got {n}")
    vectors = space.vectors[rows]
    if metric == "cosine":
        norms = space.norms[rows, None]
        vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0, casting="same_kind")
    colours = column_colours(space, colour, rows) if colour is not None else None  # errors before the work

    recipe: dict[str, Any] = {"method": method, "dims": dims, "metric": metric, "seed": seed}
    if method == "pca":
        points, told = yield from pca(vectors, dims)
    elif method == "umap":
        k = min(n_neighbors, n - 1)
        graph = yield from staged(neighbors_steps(vectors, k, metric=metric), "neighbours", n)
        points, told = yield from umap(vectors, graph, dims, min_dist, seed)
        recipe |= {"n_neighbors": k, "min_dist": min_dist}
    else:
        perplexity = min(perplexity, (n - 1) / 3)
        k = min(n - 1, int(3 * perplexity) + 1)
        graph = yield from staged(neighbors_steps(vectors, k, metric=metric), "neighbours", n)
        points, told = yield from tsne(vectors, graph, dims, perplexity, seed)
        recipe |= {"perplexity": perplexity}
    if not np.isfinite(points).all():
        raise ArgumentError(f"{NAMES[method]} gave no finite map of these vectors; try another method")
    yield Progress("trustworthiness", 0, 1)
    trust = trustworthiness(vectors, points, k=TRUST_K, metric=metric, seed=seed)
    if colours is None:
        yield Progress("clusters", 0, 1)
        colours = cluster_colours(vectors, space.labels[rows].tolist(), seed)
    yield Progress("clusters", 1, 1)
    return Map(space, points, rows, method, colours, {"trustworthiness": trust, **told}, recipe)


def _chosen(space: Space, top: int | None, only: Iterable[str] | None) -> np.ndarray:
    """Rows to be drawn, the most frequent first."""
    rows = space.most_frequent(len(space))
    if only is not None:
        if isinstance(only, str):
            raise ArgumentError("only must be labels, such as ['king', 'queen']; got a string")
        wanted = np.zeros(len(space), dtype=bool)
        wanted[space.rows(only)] = True
        rows = rows[wanted[rows]]
    return rows if top is None else rows[: check_int("top", top, 1)]


def _write_csv(drawn: Map, path: Path) -> None:
    import csv

    columns = {name: column for name, column in drawn.space.columns.items() if column.ndim == 1}
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["label", *"xyz"[: drawn.points.shape[1]], *columns])
        values = [column[drawn.rows].tolist() for column in columns.values()]
        for label, point, *rest in zip(drawn.labels, drawn.points.tolist(), *values, strict=True):
            writer.writerow([label, *(f"{x:.6g}" for x in point), *rest])
