"""What searches find: the k best, all within a score, pairs, and the neighbour graph as other libraries take it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from firth._check import MissingExtraError

Metric = Literal["dot", "cosine", "scaled", "euclidean"]
METRICS = ("dot", "cosine", "scaled", "euclidean")


class TopK(NamedTuple):
    """Scores, best first, and the rows of the keys they belong to: (q, k) each, or (k,) for one query."""

    scores: np.ndarray
    rows: np.ndarray


class Matches(NamedTuple):
    """Scores and rows of keys, query after query, best first: those of query i lie in starts[i]:starts[i + 1].

    Attributes
    ----------
    scores, rows
        (m,) each: float64, int64.
    starts
        (q + 1,) int64.
    """

    scores: np.ndarray
    rows: np.ndarray
    starts: np.ndarray


class Pairs(NamedTuple):
    """Pairs of rows: (m,) scores and (m, 2) rows, in each the lower one first; sorted by it, then best first."""

    scores: np.ndarray
    rows: np.ndarray

    def groups(self) -> list[np.ndarray]:
        """Rows that hang together by pairs, in rising order; the groups in the order of their first rows.

        Groups are transitive: a pairs with b and b with c, so a, b and c are one group, though a and c may be no pair. About
        a second for a million pairs.

        Examples
        --------
        >>> Pairs(np.ones(3), np.array([[0, 4], [1, 3], [2, 4]])).groups()
        [array([0, 2, 4]), array([1, 3])]
        """
        members, places = np.unique(self.rows, return_inverse=True)
        first, second = places.reshape(-1, 2).T
        # Each member points to a lower one of its group, a root to itself. Roots are hung on the lowest root that they are
        # paired with, and all pointers shortened, until no pair has two roots (Shiloach and Vishkin 1982).
        root = np.arange(len(members))
        while np.any((one := root[first]) != (other := root[second])):
            lowest = np.minimum(one, other)
            np.minimum.at(root, one, lowest)
            np.minimum.at(root, other, lowest)
            while np.any(root != (nearer := root[root])):
                root = nearer
        order = np.argsort(root, kind="stable")
        return np.split(members[order], np.flatnonzero(np.diff(root[order])) + 1) if len(members) else []


class Graph(NamedTuple):
    """The k-nearest-neighbour graph: scores and rows of the k others, best first, (n, k) each, and the metric of the scores."""

    scores: np.ndarray
    rows: np.ndarray
    metric: Metric

    @property
    def distances(self) -> np.ndarray:
        """Distances, (n, k), smaller is nearer.

        "euclidean": the distance. "cosine": 1 - the score, as scikit-learn has it. "dot" and "scaled" are no distances: the
        gap to the largest score of all.
        """
        if self.metric == "euclidean":
            return -self.scores
        return np.maximum(1 - self.scores, 0) if self.metric == "cosine" else self.scores.max() - self.scores

    def csr(self) -> Any:
        """A scipy.sparse.csr_array (n, n) of the `distances`: row i holds those of its k neighbours, nearest first.

        What scikit-learn takes where metric="precomputed". Zeros, of equal vectors, stand in it explicitly.

        Raises
        ------
        MissingExtraError
            If scipy is not installed.
        """
        try:
            from scipy.sparse import csr_array
        except ImportError as error:
            raise MissingExtraError("sparse arrays need scipy: pip install 'firth[sklearn]'") from error

        n, k = self.rows.shape
        return csr_array((self.distances.ravel(), self.rows.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))

    def with_self(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and distances, (n, k + 1) int32 and float32, each row its own first neighbour: as umap-learn has them."""
        own = np.arange(len(self.rows), dtype=np.int32)[:, None]
        rows = np.hstack([own, self.rows], dtype=np.int32, casting="same_kind")
        return rows, np.hstack([np.zeros(own.shape), self.distances], dtype=np.float32, casting="same_kind")
