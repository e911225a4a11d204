"""Maps: a space reduced to two or three dimensions, told how far to trust it, and drawn."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from firth._check import (
    ArgumentError,
    MissingExtraError,
    ShapeError,
    available_threads,
    check_choice,
    check_int,
    check_number,
)
from firth.arrays import as_vectors
from firth.maps import tsne, umap
from firth.maps.colours import Colours, cluster_colours, column_colours
from firth.maps.quality import measure, trust
from firth.maps.reduce import pca, principal_axes, project
from firth.results import METRICS, Graph, Metric, TopK
from firth.search import Index, neighbors_steps
from firth.steps import Progress, drain, staged

if TYPE_CHECKING:
    from firth.space import Space

Method = Literal["umap", "tsne", "pca"]
NAMES = {"umap": "UMAP", "tsne": "t-SNE", "pca": "PCA"}
TRUST = "trust"  # a colour that is no column
SUFFIXES, ANIMATIONS = (".html", ".png", ".svg", ".csv", ".space"), (".gif", ".html")
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
        `trustworthiness`, `continuity`, `neighbours_kept` (k = 15; None for fewer than 31 points) and `distance_correlation`;
        `variance_explained` of PCA, `kl_divergence` of t-SNE, `cross_entropy` a point of UMAP.
    recipe
        The options; `interrupted_at`, a share of the work, if it was.
    frames
        Of the points on their way, if they were asked for: (n, dims) each, the last `points`.
    """

    space: Space
    points: np.ndarray
    rows: np.ndarray
    method: Method
    colours: Colours
    quality: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    frames: list[np.ndarray] = field(default_factory=list)

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
        if (kept := self.quality.get("neighbours_kept")) is not None:
            parts.append(f"{kept:.0%} of neighbours kept")
        if explained := self.quality.get("variance_explained"):
            parts.append(f"variance explained {sum(explained):.1%}")
        if (share := self.recipe.get("interrupted_at")) is not None:
            parts.append(f"interrupted at {share:.0%}")
        return ", ".join(parts)

    def save(self, path: str | Path, *, dark: bool = False) -> None:
        """Write the map, whole or not at all, as what the suffix says: .html .png .svg .csv .space.

        The HTML is one file that works offline: zoom, hover, search, and on a click the nearest neighbours in the full space. It
        is dark or light as the reader's system is, with a button; pictures are dark if `dark`. As a space, whose vectors are the
        points, it keeps its recipe, and another map can start from it, or go on where it was interrupted (`init`).

        Raises
        ------
        ArgumentError
            If the suffix is another.
        """
        from firth.atomic import atomic_write
        from firth.maps import draw, page

        pictures = {".png": draw.write_png, ".svg": draw.write_svg}
        suffix = check_map_path(path)
        with atomic_write(path) as temporary:
            if suffix in pictures:
                pictures[suffix](self, temporary, dark=dark)
            else:
                {".html": page.write, ".csv": _write_csv, ".space": _write_space}[suffix](self, temporary)

    def animate(self, path: str | Path) -> None:
        """Write how the map grew, a .gif, or a .html that works offline; whole or not at all.

        Raises
        ------
        ArgumentError
            If the suffix is another, or the map was made without `frames`.
        MissingExtraError
            If Pillow, which comes with matplotlib, is not installed.
        """
        from firth.atomic import atomic_write
        from firth.maps import panels

        write = {".gif": panels.write_gif, ".html": lambda drawn, path: panels.write([drawn], path)}
        suffix = check_map_path(path, ANIMATIONS, "an animation")
        if not self.frames:
            raise ArgumentError("there is nothing to animate: make the map with frames=60, by UMAP or t-SNE")
        with atomic_write(path) as temporary:
            write[suffix](self, temporary)

    def neighbours(self, k: int = PAGE_NEIGHBOURS) -> TopK:
        """The k nearest other labels of each point in the full space, exact: rows of the space and scores, (n, k)."""
        k = min(k, len(self.space) - 1)
        hits = self.space.nearest(self.space.vectors[self.rows], k + 1, metric=self.recipe["metric"])
        own = hits.rows == self.rows[:, None]
        own[~own.any(axis=1), -1] = True
        return TopK(hits.scores[~own].reshape(-1, k), hits.rows[~own].reshape(-1, k))

    @cached_property
    def trust(self) -> np.ndarray:
        """Of each point, the share of its 15 true nearest neighbours (fewer where points are few) among those on the map."""
        return trust(self._vectors, self.points, metric=self.recipe["metric"])

    def place(self, vectors: Any) -> np.ndarray:
        """Put new vectors into the map, whose points stay: (q, dims) float32.

        UMAP: from the mean of their neighbours, a third of the epochs against points that stay. t-SNE: likewise, each by its own
        descent of 50 steps. PCA: along the same axes.

        Parameters
        ----------
        vectors : (q, d)

        Raises
        ------
        ShapeError
            If their width is not that of the space.
        ArgumentError
            If a number is NaN or infinite.
        """
        given, old, recipe = as_vectors("vectors", vectors), self._vectors, self.recipe
        if given.shape[1] != old.shape[1]:
            raise ShapeError(f"vectors and the space must agree on d; got {given.shape} and {old.shape}")
        metric = recipe["metric"]
        given = _unit(given) if metric == "cosine" else given
        if self.method == "pca" or not len(given):
            return project(given, *principal_axes(old, recipe["dims"])[:2])
        k = recipe["n_neighbors"] if self.method == "umap" else tsne.neighbours_wanted(tsne.PLACING_PERPLEXITY)
        graph = Graph(*Index(old).top_k(given, min(k, len(old)), metric=metric), metric)
        if self.method == "tsne":
            return tsne.place(graph, self.points, threads=available_threads())
        names = ("min_dist", "spread", "n_epochs", "negative_sample_rate", "seed")
        return umap.place(graph, self.points, threads=available_threads(), **{name: recipe[name] for name in names})

    def frame(self, library: Literal["pandas", "polars"] = "pandas") -> Any:
        """A DataFrame of pandas or polars: a row for each point, with its label, coordinates, and the space's columns.

        Raises
        ------
        MissingExtraError
            If the library is not installed.
        """
        from importlib import import_module

        check_choice("library", library, ("pandas", "polars"))
        try:
            return import_module(library).DataFrame(self._columns())
        except ImportError as error:
            raise MissingExtraError(f"frames need {library}: pip install {library}") from error

    def plot(self, *, ax: Any = None, **options: Any) -> Any:
        """Draw the points on matplotlib axes, by default new ones, coloured as in pictures; returns the axes.

        Options are those of matplotlib's `scatter`.

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        from firth.maps import draw

        return draw.plot(self, ax, options)

    @property
    def _vectors(self) -> np.ndarray:
        """Of the points, as they were mapped."""
        vectors = self.space.vectors[self.rows]
        return _unit(vectors) if self.recipe["metric"] == "cosine" else vectors

    def _columns(self) -> dict[str, Any]:
        columns = {name: column[self.rows] for name, column in self.space.columns.items() if column.ndim == 1}
        axes = dict(zip("xyz", self.points.T, strict=False))
        return {
            "label": self.labels,
            **axes,
            **{name: c for name, c in columns.items() if name not in ("label", *axes)},
        }


def check_map_path(path: str | Path, suffixes: tuple[str, ...] = SUFFIXES, what: str = "a map") -> str:
    """The suffix of a path that a map can be saved to."""
    suffix = Path(path).suffix.lower()
    if suffix not in suffixes:
        raise ArgumentError(f"{what} can be saved as {', '.join(suffixes[:-1])} or {suffixes[-1]}; got {str(path)!r}")
    return suffix


def compare(maps: Sequence[Map], path: str | Path) -> None:
    """Write maps of the same labels side by side, with their quality figures: one .html that works offline.

    Pointing at a label in one shows it in all. Colours are those of the first.

    Raises
    ------
    ArgumentError
        If there is none, their labels differ, or the suffix is another.
    """
    from firth.atomic import atomic_write
    from firth.maps import panels

    check_map_path(path, (".html", ".htm"), "a comparison")
    if not maps or any(not np.array_equal(drawn.rows, maps[0].rows) for drawn in maps):
        raise ArgumentError("maps that are compared must be of the same labels, and at least one")
    with atomic_write(path) as temporary:
        panels.write(maps, temporary)


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
    spread: float = 1.0,
    n_epochs: int | None = None,
    negative_sample_rate: int = 5,
    perplexity: float = 30.0,
    init: Map | Space | Any = None,
    frames: int = 0,
    seed: int = 0,
    threads: int | None = None,
) -> Map:
    """Reduce a space to two or three dimensions, to be drawn.

    The neighbour graph is exact (n^2 d operations); docs/explanation/maps.md says what follows it. The same seed gives the same
    map on the same machine, with any number of threads.

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
        A column to colour by; "trust", where there is no such column: each point's share of true neighbours on the map
        (`Map.trust`). By default clusters in the full space.
    metric
        Of the neighbour graph. With "cosine", PCA sees vectors at length 1 too.
    n_neighbors, min_dist, spread
        UMAP's: how many neighbours count, the point itself among them; how near points may come; how far groups lie apart.
    n_epochs, negative_sample_rate
        UMAP's: how often all edges are passed over, by default 500 times up to 10,000 points, else 200; samples that push, for
        each edge that pulls: on average, fewer at first and more later.
    perplexity
        t-SNE's: about how many neighbours count.
    init
        Where UMAP's or t-SNE's points start: another map, also one saved as a space, whose labels are looked up, so that two
        spaces can be compared; or an array (n, dims), a row for each point drawn. By default the graph's smoothest functions,
        or principal components. A map of the same labels and options that was interrupted goes on where it stopped: UMAP as
        if nothing had been, t-SNE but for its momentum.
    frames
        Keep so many, evenly spread, of the points on their way.
    seed
        Of all that is random.
    threads
        By default one for each core this process may use.

    Raises
    ------
    ArgumentError
        If an option is out of range or there are fewer than four points.
    LabelError
        If a label of `only` is not in the space.
    ShapeError
        If init has another shape.

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
        spread=spread,
        n_epochs=n_epochs,
        negative_sample_rate=negative_sample_rate,
        perplexity=perplexity,
        init=init,
        frames=frames,
        seed=seed,
        threads=threads,
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
    spread: float = 1.0,
    n_epochs: int | None = None,
    negative_sample_rate: int = 5,
    perplexity: float = 30.0,
    init: Map | Space | Any = None,
    frames: int = 0,
    seed: int = 0,
    threads: int | None = None,
    keep_on_interrupt: bool = False,
) -> Generator[Progress, None, Map]:
    """Map as `map_space` does, step by step; steps of UMAP and t-SNE tell the loss and where the points are.

    With `keep_on_interrupt`, a KeyboardInterrupt while points move (raised in it, or thrown into the generator) ends that, and
    the map is what was reached, its recipe saying so.
    """
    check_choice("method", method, tuple(NAMES))
    check_choice("metric", metric, METRICS)
    check_int("dims", dims, 2, 3)
    check_int("n_neighbors", n_neighbors, 2)
    check_int("seed", seed, 0, 2**32 - 1)
    check_int("frames", frames, 0, 10_000)
    check_number("min_dist", min_dist, 0.0, 1.0)
    check_number("spread", spread, 0.0, float("inf"), above=True)
    check_int("negative_sample_rate", negative_sample_rate, 0, 1_000)
    check_number("perplexity", perplexity, 1.0, float("inf"), above=True)
    if frames and method == "pca":
        raise ArgumentError("PCA does not grow: frames are of umap or tsne")
    threads = available_threads() if threads is None else check_int("threads", threads, 1, 4_096)
    rows = _chosen(space, top, only)
    n = len(rows)
    if n < 4:
        raise ArgumentError(f"a map needs at least 4 points; got {n}")
    n_epochs = umap.default_epochs(n) if n_epochs is None else check_int("n_epochs", n_epochs, 1, 2**31)
    in_order = np.array_equal(rows, np.arange(len(space)))  # nothing is copied then
    vectors = space.vectors if in_order else space.vectors[rows]
    by_trust = colour == TRUST and TRUST not in space.columns
    colours = (
        column_colours(space, colour, rows) if colour is not None and not by_trust else None
    )  # errors before the work
    begin = None if init is None else _start(init, space, rows, vectors, dims, metric)
    going: dict[str, Any] = {"threads": threads, "init": begin, "keep": keep_on_interrupt, "frames": frames}

    @cache
    def compared() -> np.ndarray:
        """Vectors as the metric compares them: a copy for those alone who ask."""
        return _unit(vectors) if metric == "cosine" else vectors

    recipe: dict[str, Any] = {"method": method, "dims": dims, "metric": metric, "seed": seed}
    if method == "pca":
        points, told = yield from pca(compared(), dims)
    elif method == "umap":
        k = min(n_neighbors, n) - 1
        graph = yield from staged(neighbors_steps(vectors, k, metric=metric), "neighbours", n)
        options: dict[str, Any] = {
            "min_dist": min_dist,
            "spread": spread,
            "n_epochs": n_epochs,
            "negative_sample_rate": negative_sample_rate,
            "seed": seed,
        }
        recipe |= {"n_neighbors": k + 1, **options}
        done = _done(init, space, rows, recipe, n_epochs)
        points, told = yield from umap.umap(compared, graph, dims, **options, **going, done=done)
    else:
        perplexity = min(perplexity, (n - 1) / 3)
        k = min(n - 1, tsne.neighbours_wanted(perplexity))
        graph = yield from staged(neighbors_steps(vectors, k, metric=metric), "neighbours", n)
        options = {"perplexity": perplexity, "seed": seed}
        recipe |= options
        done = _done(init, space, rows, recipe, tsne.ITERATIONS)
        points, told = yield from tsne.tsne(compared(), graph, dims, **options, **going, done=done)
    if "interrupted_at" in told:
        recipe["interrupted_at"] = told.pop("interrupted_at")
    if not np.isfinite(points).all():
        raise ArgumentError(f"{NAMES[method]} gave no finite map of these vectors; try another method")
    yield Progress("quality", 0, 1)
    quality = measure(vectors, points, metric=metric, seed=seed)._asdict()
    if by_trust:
        colours = Colours("number", "share of true neighbours kept", trust(vectors, points, metric=metric))
    elif colours is None:
        yield Progress("clusters", 0, 1)
        colours = cluster_colours(compared(), space.labels[rows].tolist(), seed)
    yield Progress("clusters", 1, 1)
    shown = told.pop("frames", [])
    return Map(space, points, rows, method, colours, {**quality, **told}, recipe, shown)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors at length 1; zeros stay."""
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))[:, None]
    return np.divide(vectors, np.where(norms > 0, norms, 1.0), out=np.empty_like(vectors), casting="same_kind")


def _start(
    init: Map | Space | Any, space: Space, rows: np.ndarray, vectors: np.ndarray, dims: int, metric: Metric
) -> np.ndarray:
    """Where points start: (n, dims). Labels that the other map lacks start at their nearest ones that it has."""
    known = _known(init)
    if known is None:
        points = as_vectors("init", init)
        if points.shape != (len(rows), dims):
            raise ShapeError(f"init must have a row for each point, {(len(rows), dims)}; got {points.shape}")
        return points
    labels, points, _ = known
    if points.shape[1] != dims:
        raise ShapeError(f"init must be a map in {dims} dimensions; got one in {points.shape[1]}")
    number = {label: i for i, label in enumerate(labels)}
    at = np.array([number.get(label, -1) for label in space.labels[rows].tolist()])
    known = np.flatnonzero(at >= 0)
    if not len(known):
        raise ArgumentError("init must be a map that has a label in common; got one that has none")
    strange = np.flatnonzero(at < 0)
    if len(strange):
        nearest = Index(vectors[known]).top_k(vectors[strange], 1, metric=metric).rows[:, 0]
        at[strange] = at[known[nearest]]
    return points[at]


def _known(init: Any) -> tuple[list[str], np.ndarray, dict[str, Any]] | None:
    """Labels, points and recipe of a map, or of one saved as a space."""
    if isinstance(init, Map):
        return init.labels, init.points, init.recipe
    if hasattr(init, "labels") and hasattr(init, "vectors"):
        return init.labels.tolist(), init.vectors, init.recipe.get("map", {})
    return None


def _done(init: Any, space: Space, rows: np.ndarray, recipe: dict[str, Any], total: int) -> int:
    """How many of so many rounds are done in a map that is to go on: one of the same labels and options, interrupted."""
    known = _known(init)
    if known is None or {**known[2], "interrupted_at": None} != {**recipe, "interrupted_at": None}:
        return 0
    share = known[2].get("interrupted_at") or 0.0
    return round(share * total) if known[0] == space.labels[rows].tolist() else 0


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


def _write_space(drawn: Map, path: Path) -> None:
    from firth.space import Space

    columns = {name: column[drawn.rows] for name, column in drawn.space.columns.items()}
    recipe = {"map": drawn.recipe, "quality": drawn.quality, "of": dict(drawn.space.recipe)}
    Space(drawn.labels, drawn.points, columns=columns, recipe=recipe).save(path)


def _write_csv(drawn: Map, path: Path) -> None:
    import csv

    columns = drawn._columns()
    for axis in "xyz"[: drawn.points.shape[1]]:
        columns[axis] = np.array([f"{x:.6g}" for x in columns[axis].tolist()])
    values = [np.asarray(column).tolist() for column in columns.values()]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in zip(*values, strict=True):
            writer.writerow(row)
