"""What the colours of a map mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from firth._check import ArgumentError

if TYPE_CHECKING:
    from firth.space import Space

# Paul Tol's "muted" scheme, safe for the colour-blind (Technical Note SRON/EPS/TN/09-002, issue 3.2), the pale ones a
# little darker, so that words in them can be read on white.
PALETTE = ("#332288", "#CC6677", "#117733", "#2A9BC7", "#AA4499", "#8C8C22", "#882255", "#2F8F80", "#B5892B")
GREY = "#8A8F98"  # of whatever has no colour of its own
CLUSTERS = 8
CLUSTERED, ITERATIONS = 20_000, 50  # rows that find the centres, and how often these move at most
CATEGORIES = len(PALETTE)  # more distinct values than this, and the rest are grey
LOG_FROM = 100  # positive numbers that differ by more than this factor are shown by their logarithm
NAMED_BY, NAMED_FROM = 3, 100  # labels that name a cluster; its most frequent, among which they are


@dataclass(frozen=True, eq=False)
class Colours:
    """Categories: `values` number the `names`, -1 for none of them. Or numbers along a scale, by their logarithm if `log`."""

    kind: Literal["category", "number"]
    title: str
    values: np.ndarray
    names: tuple[str, ...] = ()
    log: bool = False


def column_colours(space: Space, column: str, rows: np.ndarray) -> Colours:
    """Colours by a column: numbers on a scale; strings, truths and few whole numbers as categories, frequent ones first."""
    choices = ", ".join(name for name, values in space.columns.items() if values.ndim == 1) or "of which there are none"
    if column not in space.columns:
        raise ArgumentError(f"colour must be one of the columns, {choices}; got {column!r}")
    if space.columns[column].ndim > 1:
        width = space.columns[column].shape[1]
        raise ArgumentError(
            f"colour must be a column with one value a label, {choices}; {column!r} has {width} numbers for each"
        )
    values = space.columns[column][rows]
    if values.dtype.kind == "f" or (values.dtype.kind in "iu" and len(np.unique(values)) > CATEGORIES):
        numbers = values.astype(np.float64)
        numbers[~np.isfinite(numbers)] = np.nan
        low, high = number_range(numbers)
        return Colours("number", column, numbers, log=low > 0 and high / low > LOG_FROM)
    kinds, which, counts = np.unique(values.astype(str), return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:CATEGORIES]
    number = np.full(len(kinds), -1)
    number[order] = np.arange(len(order))
    return Colours("category", column, number[which], tuple(kinds[order].tolist()))


def number_range(values: np.ndarray) -> tuple[float, float]:
    """The least and the greatest of the finite values."""
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)


def cluster_colours(vectors: np.ndarray, labels: list[str], seed: int) -> Colours:
    """Clusters in the full space (k-means), each named by the labels nearest to its centre."""
    centres, which = _k_means(vectors, min(CLUSTERS, max(1, len(labels) // 10)), seed)
    count = len(centres)
    order = np.argsort(-np.bincount(which, minlength=count), kind="stable")
    names = []
    for cluster in order:
        members = np.flatnonzero(which == cluster)
        # Frequent labels speak for a cluster better than rare ones that happen to lie at its centre.
        members = members[: min(max(NAMED_BY, len(members) // 4), NAMED_FROM)]
        apart = ((vectors[members] - centres[cluster]) ** 2).sum(axis=1)
        names.append(", ".join(labels[member] for member in members[np.argsort(apart, kind="stable")[:NAMED_BY]]))
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    return Colours("category", "clusters in the full space", place[which], tuple(names))


def _k_means(vectors: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to `count` distinct centres (c, d), and the number of each row's.

    k-means++ (Arthur and Vassilvitskii 2007), then Lloyd's iterations.

    Centres are found among `CLUSTERED` rows where there are more.
    """
    rng = np.random.default_rng(seed)
    some = (
        vectors if len(vectors) <= CLUSTERED else vectors[np.sort(rng.choice(len(vectors), CLUSTERED, replace=False))]
    )
    some = some.astype(np.float64)
    centres = some[rng.integers(len(some))][None]
    apart = ((some - centres[0]) ** 2).sum(axis=1)
    while len(centres) < count and (total := apart.sum()) > 0:
        chosen = rng.choice(len(some), p=apart / total)
        centres = np.vstack([centres, some[chosen]])
        apart = np.minimum(apart, ((some - centres[-1]) ** 2).sum(axis=1))
    which = np.full(len(some), -1)
    for _ in range(ITERATIONS):
        nearest = _nearest(some, centres)
        if (nearest == which).all():
            break
        which = nearest
        members = np.eye(len(centres))[which]
        sizes = members.sum(axis=0)[:, None]
        centres = np.where(sizes > 0, members.T @ some / np.maximum(sizes, 1), centres)
    return centres, _nearest(vectors, centres)


def _nearest(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((centres**2).sum(axis=1) - 2 * (vectors @ centres.T)).argmin(axis=1)
