"""scikit-learn's NearestNeighbors and KNeighborsTransformer by exact search: their methods, their distances.

Subclasses of scikit-learn's, so that whatever takes those takes these, without the options of their trees. Metrics are
"euclidean", and "cosine" as 1 - cosine. Numbers are kept as float32, rows of equal distance come in the order of the data, and
sparse matrices are not taken.
"""

from __future__ import annotations

from math import inf
from typing import Any, Literal

import numpy as np

from firth._check import MissingExtraError, check_choice, check_int, check_number
from firth.results import Graph
from firth.search import Index
from firth.steps import drain

try:
    from joblib import effective_n_jobs
    from sklearn import neighbors as theirs
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise MissingExtraError(f"firth.sklearn needs scikit-learn ({error}): pip install 'firth[sklearn]'") from error

Distance = Literal["euclidean", "cosine"]


class _Exact:
    """What both estimators share; the graphs are made by scikit-learn's methods, of what these find."""

    metric: Distance
    n_neighbors: int
    n_jobs: int | None
    radius: float

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: N803 - scikit-learn's name
        """Keep the samples (n, d) as float32."""
        check_choice("metric", self.metric, ("euclidean", "cosine"))
        self._fit_X = validate_data(self, X, dtype=np.float32, order="C")
        self._index = Index(self._fit_X, threads=effective_n_jobs(self.n_jobs))  # type: ignore[arg-type]
        self.n_samples_fit_ = self._n_features_out = len(self._index)
        self.effective_metric_ = self.metric
        return self

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True) -> Any:  # noqa: N803
        """Find the nearest samples of each row of X; without X, the nearest others of each sample."""
        check_is_fitted(self)
        k = check_int(
            "n_neighbors",
            self.n_neighbors if n_neighbors is None else n_neighbors,
            1,
            self.n_samples_fit_ - (X is None),
            meaning="the number of other samples" if X is None else "the number of samples",
        )
        if X is None:
            graph = drain(self._index.neighbors_steps(k, metric=self.metric))
        else:
            graph = Graph(*self._index.top_k(self._queries(X), k, metric=self.metric), self.metric)
        return (graph.distances, graph.rows) if return_distance else graph.rows

    def radius_neighbors(
        self,
        X: Any = None,  # noqa: N803
        radius: float | None = None,
        return_distance: bool = True,
        sort_results: bool = False,
    ) -> Any:
        """Find all samples within a radius of each row of X, always nearest first; without X, all others of each sample."""
        check_is_fitted(self)
        radius = check_number("radius", self.radius if radius is None else radius, 0.0, inf)
        least = (
            -radius if self.metric == "euclidean" else 1 - radius - 1e-15
        )  # 1 - x rounds; what is too far is dropped below
        scores, rows, starts = self._index.within(
            self._fit_X if X is None else self._queries(X), least, metric=self.metric
        )
        distances = Graph(scores, rows, self.metric).distances
        kept = distances <= radius
        if X is None:
            kept &= rows != np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        ends = np.concatenate([[0], np.cumsum(kept)])[starts]
        parts = _parts(rows[kept], ends)
        return (_parts(distances[kept], ends), parts) if return_distance else parts

    def _queries(self, X: Any) -> Any:  # noqa: N803
        return validate_data(self, X, dtype=np.float32, order="C", reset=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.sparse = False
        return tags


class NearestNeighbors(_Exact, theirs.NearestNeighbors):
    """`sklearn.neighbors.NearestNeighbors` by exact search: kneighbors, radius_neighbors, and both of their graphs.

    Parameters
    ----------
    n_neighbors, radius
        What the methods use where they are not told.
    metric
        "euclidean" or "cosine" (1 - cosine).
    n_jobs
        Threads, as scikit-learn counts: -1 is all cores.

    Examples
    --------
    >>> model = NearestNeighbors(n_neighbors=1).fit([[0.0, 0.0], [3.0, 4.0], [3.0, 3.0]])
    >>> model.kneighbors([[3.0, 0.0]])
    (array([[3.]]), array([[0]]))
    >>> model.kneighbors_graph().toarray()
    array([[0., 0., 1.],
           [0., 0., 1.],
           [0., 1., 0.]])
    """

    def __init__(
        self,
        *,
        n_neighbors: int = 5,
        radius: float = 1.0,
        metric: Distance = "euclidean",
        n_jobs: int | None = -1,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.radius = radius
        self.metric = metric
        self.n_jobs = n_jobs


class KNeighborsTransformer(_Exact, theirs.KNeighborsTransformer):
    """`sklearn.neighbors.KNeighborsTransformer` by exact search: samples become their sparse graph, for metric="precomputed".

    Parameters
    ----------
    mode
        "distance", with each sample itself as one neighbour more; or "connectivity", ones.
    n_neighbors, metric, n_jobs
        As in `NearestNeighbors`.

    Examples
    --------
    >>> KNeighborsTransformer(n_neighbors=1).fit_transform([[0.0], [2.0], [3.0]]).toarray()
    array([[0., 2., 0.],
           [0., 0., 1.],
           [0., 1., 0.]])
    """

    def __init__(
        self,
        *,
        mode: Literal["distance", "connectivity"] = "distance",
        n_neighbors: int = 5,
        metric: Distance = "euclidean",
        n_jobs: int | None = -1,
    ) -> None:
        self.mode = mode
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.n_jobs = n_jobs


def _parts(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """An array of arrays, one a query."""
    parts = np.empty(len(starts) - 1, dtype=object)
    parts[:] = np.split(values, starts[1:-1])
    return parts
