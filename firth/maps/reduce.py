"""From many dimensions to two or three: PCA, t-SNE and UMAP by well-kept libraries, given our exact neighbours.

Each is a generator of steps that returns the points, (n, dims) float32, and what the method tells of itself. One day
firth's own core will stand behind the same functions.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from firth._check import MissingExtraError
from firth.results import Graph
from firth.steps import Progress

HEARTBEAT_S = 0.1  # a step is yielded so often while a library works
EXAGGERATED, PLAIN, STRIDE = 250, 500, 50  # t-SNE's iterations (openTSNE's defaults), and how many make a step


Reduced = Generator[Progress, None, tuple[np.ndarray, dict[str, Any]]]


@contextmanager
def maps_extra() -> Iterator[None]:
    """Import libraries without their warnings; a missing one is an error that says what to install."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # umap-learn's, that it found no TensorFlow
            yield
    except ImportError as error:
        raise MissingExtraError(f"maps need {error.name}: pip install 'firth[maps]'") from error


def pca(vectors: np.ndarray, dims: int) -> Reduced:
    """Principal components; tells the share of the variance that each explains."""
    with maps_extra():
        from sklearn.decomposition import PCA
    yield Progress("PCA", 0, 1)
    few = min(dims, *vectors.shape)
    model = PCA(few, svd_solver="auto", random_state=0)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    if not centred.any():  # all vectors are equal: no direction has any variance
        return np.zeros((len(vectors), dims), np.float32), {"variance_explained": [0.0] * dims}
    points: Any = model.fit_transform(centred)
    axes: Any = model.components_
    # Signs are arbitrary: the largest weight of each component is made positive.
    signs = np.sign(axes[np.arange(few), np.abs(axes).argmax(axis=1)])
    points = np.pad(points * signs, ((0, 0), (0, dims - few)))
    explained = [*model.explained_variance_ratio_.tolist(), *[0.0] * (dims - few)]
    yield Progress("PCA", 1, 1)
    return points.astype(np.float32), {"variance_explained": explained}


def umap(vectors: np.ndarray, graph: Graph, dims: int, min_dist: float, seed: int) -> Reduced:
    """UMAP (McInnes, Healy and Melville 2018) by umap-learn, from our neighbours and a PCA start."""
    with maps_extra():
        import umap as library
    start = yield from _start(vectors, dims, seed)
    neighbors = graph.with_self()
    model = library.UMAP(
        n_components=dims,
        n_neighbors=neighbors[0].shape[1],
        min_dist=min_dist,
        init=start * 10,  # type: ignore[arg-type]
        random_state=seed,
        n_jobs=1,
        precomputed_knn=(*neighbors, None),
        low_memory=True,
    )
    points = yield from _beside("UMAP", lambda: model.fit_transform(vectors))
    return np.asarray(points, dtype=np.float32), {}


def tsne(vectors: np.ndarray, graph: Graph, dims: int, perplexity: float, seed: int) -> Reduced:
    """t-SNE (van der Maaten and Hinton 2008) from our neighbours and a PCA start: openTSNE, in 3-d scikit-learn."""
    with maps_extra():
        import openTSNE
        from openTSNE.affinity import PerplexityBasedNN
        from openTSNE.nearest_neighbors import PrecomputedNeighbors
    start = (yield from _start(vectors, dims, seed)) * 1e-4  # small, so that the start only orients the map
    if dims != 2:  # openTSNE draws at most two
        return (yield from _tsne_3d(graph, dims, perplexity, seed, start))
    affinities = PerplexityBasedNN(
        perplexity=perplexity,  # type: ignore[arg-type]
        knn_index=PrecomputedNeighbors(graph.rows, graph.distances),
        n_jobs=-1,
    )
    method = "bh" if len(vectors) < 3000 else "fft"  # interpolation pays from a few thousand points on
    embedding = openTSNE.TSNEEmbedding(start, affinities, negative_gradient_method=method, n_jobs=-1, random_state=seed)
    done, total = 0, EXAGGERATED + PLAIN
    for iterations, exaggeration, momentum in ((EXAGGERATED, 12, 0.5), (PLAIN, 1, 0.8)):
        for _ in range(iterations // STRIDE):
            embedding = embedding.optimize(n_iter=STRIDE, exaggeration=exaggeration, momentum=momentum)
            done += STRIDE
            yield Progress("t-SNE", done, total)
    return np.asarray(embedding, dtype=np.float32), {"kl_divergence": float(embedding.kl_divergence)}


def _tsne_3d(graph: Graph, dims: int, perplexity: float, seed: int, start: np.ndarray) -> Reduced:
    from sklearn.manifold import TSNE

    rows, apart = graph.with_self()  # scikit-learn counts a point among its own neighbours
    sparse = Graph(-apart, rows, "euclidean").csr()
    model = TSNE(dims, perplexity=perplexity, metric="precomputed", init=start, random_state=seed, n_jobs=-1)  # type: ignore[arg-type]
    points = yield from _beside("t-SNE", lambda: model.fit_transform(sparse))
    return np.asarray(points, dtype=np.float32), {"kl_divergence": float(model.kl_divergence_)}


def _start(vectors: np.ndarray, dims: int, seed: int) -> Generator[Progress, None, np.ndarray]:
    """PCA with a standard deviation of 1 along the first axis, and a little noise to part points that coincide."""
    points, _ = yield from pca(vectors, dims)
    spread = float(points[:, 0].std())
    noise = np.random.default_rng(seed).standard_normal(points.shape) * 1e-3
    return (points / spread if spread > 0 else points) + noise.astype(np.float32)


def _beside(stage: str, work: Any) -> Generator[Progress, None, Any]:
    """Run work that cannot be cut into steps in a thread, and yield meanwhile."""
    result: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            with warnings.catch_warnings():
                # Of umap-learn: that new points cannot be placed, that a seed means one thread, that parts of the graph
                # are not connected. None of them is news to us.
                warnings.simplefilter("ignore")
                result.append(work())
        except BaseException as error:
            failure.append(error)

    # A daemon, so that Ctrl-C ends the program without waiting for it.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(HEARTBEAT_S)
        yield Progress(stage, 0, 0)
    if failure:
        raise failure[0]
    return result[0]
