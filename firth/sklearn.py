"""scikit-learn's NearestNeighbors and KNeighborsTransformer by exact search, and UMAP and TSNE as transformers.

The first two are subclasses of scikit-learn's, so that whatever takes those takes these, without the options of their trees.
Metrics are "euclidean", and "cosine" as 1 - cosine. Numbers are kept as float32, rows of equal distance come in the order of the
data, and sparse matrices are not taken.
"""

from __future__ import annotations

from math import inf
from typing import Any, Literal

import numpy as np

from firth._check import MissingExtraError, check_choice, check_int, check_number
from firth.maps import Map, map_space
from firth.results import Graph
from firth.search import Index
from firth.space import Space
from firth.steps import drain

try:
    from joblib import effective_n_jobs
    from sklearn import neighbors as theirs
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils import check_random_state
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


class _Mapped(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """What UMAP and TSNE share."""

    n_components: int
    metric: Distance
    random_state: Any
    n_jobs: int | None

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: N803
        """Map the samples (n, d)."""
        X = validate_data(self, X, dtype=np.float32, order="C", ensure_min_samples=4)  # noqa: N806
        check_choice("metric", self.metric, ("euclidean", "cosine"))
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31)
        self.map_: Map = map_space(
            Space(map(str, range(len(X))), X),
            dims=self.n_components,
            metric=self.metric,
            seed=int(seed),
            threads=effective_n_jobs(self.n_jobs),  # type: ignore[arg-type]
            **self._options(),
        )
        self.embedding_ = self.map_.points
        self._n_features_out = self.n_components
        return self

    def fit_transform(self, X: Any, y: Any = None, **_: Any) -> Any:  # noqa: N803
        """Map the samples: (n, n_components)."""
        return self.fit(X).embedding_

    def transform(self, X: Any) -> Any:  # noqa: N803
        """Put new samples among those of the map, which stay: (q, n_components)."""
        check_is_fitted(self)
        return self.map_.place(validate_data(self, X, dtype=np.float32, order="C", reset=False))

    def _options(self) -> dict[str, Any]:
        raise NotImplementedError


class UMAP(_Mapped):
    """UMAP as a transformer, with umap-learn's names and defaults: see `firth.map_space`.

    Parameters
    ----------
    n_neighbors, min_dist, spread, n_epochs, negative_sample_rate
        As in `firth.map_space`.
    n_components
        2 or 3.
    metric
        "euclidean" or "cosine".
    random_state, n_jobs
        As scikit-learn has them; the map does not depend on n_jobs.

    Attributes
    ----------
    embedding_ : (n, n_components)
    map_
        The `firth.Map`, with its quality.

    Examples
    --------
    >>> samples = np.random.default_rng(0).standard_normal((50, 8))
    >>> UMAP(random_state=0).fit_transform(samples).shape
    (50, 2)
    """

    def __init__(
        self,
        n_neighbors: int = 15,
        n_components: int = 2,
        *,
        metric: Distance = "euclidean",
        min_dist: float = 0.1,
        spread: float = 1.0,
        n_epochs: int | None = None,
        negative_sample_rate: int = 5,
        random_state: Any = None,
        n_jobs: int | None = -1,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.metric = metric
        self.min_dist = min_dist
        self.spread = spread
        self.n_epochs = n_epochs
        self.negative_sample_rate = negative_sample_rate
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _options(self) -> dict[str, Any]:
        names = ("n_neighbors", "min_dist", "spread", "n_epochs", "negative_sample_rate")
        return {"method": "umap", **{name: getattr(self, name) for name in names}}


class TSNE(_Mapped):
    """t-SNE as a transformer: see `firth.map_space`. Unlike scikit-learn's it places new samples too.

    Parameters
    ----------
    n_components
        2 or 3.
    perplexity
        As in `firth.map_space`.
    metric, random_state, n_jobs
        As in `UMAP`.

    Attributes
    ----------
    embedding_, map_
        As in `UMAP`.
    kl_divergence_

    Examples
    --------
    >>> samples = np.random.default_rng(0).standard_normal((50, 8))
    >>> TSNE(perplexity=5, random_state=0).fit_transform(samples).shape
    (50, 2)
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        perplexity: float = 30.0,
        metric: Distance = "euclidean",
        random_state: Any = None,
        n_jobs: int | None = -1,
    ) -> None:
        self.n_components = n_components
        self.perplexity = perplexity
        self.metric = metric
        self.random_state = random_state
        self.n_jobs = n_jobs

    @property
    def kl_divergence_(self) -> float:
        """How far the map's probabilities are from the neighbours'."""
        return self.map_.quality["kl_divergence"]

    def _options(self) -> dict[str, Any]:
        return {"method": "tsne", "perplexity": self.perplexity}


def _parts(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """An array of arrays, one a query."""
    parts = np.empty(len(starts) - 1, dtype=object)
    parts[:] = np.split(values, starts[1:-1])
    return parts
