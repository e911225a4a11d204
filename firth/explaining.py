"""Why two rows are alike: a dot product taken apart into its multiply-accumulates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from firth._check import check_choice, check_int

if TYPE_CHECKING:
    from firth.space import Space

ENDS = 3  # labels that tell what an end of a learned dimension is about
AMONG = 10_000  # the most frequent ones, of which those are


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
