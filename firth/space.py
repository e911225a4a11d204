"""Space: labelled vectors, what is known about them, and what can be asked of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

import firth
from firth._check import ArgumentError, FileFormatError, LabelError, ShapeError, check_choice, check_int
from firth.arrays import as_array, as_mask, as_vectors
from firth.expression import Terms, mark, parse
from firth.formats.parts import Parts
from firth.results import METRICS, Graph, Metric, Pairs, TopK
from firth.search import MOST_PAIRS, Index, duplicates, neighbors

if TYPE_CHECKING:
    from firth.explaining import Explanation
    from firth.health import Health
    from firth.judging import AnalogyReport, SimilarityReport
    from firth.maps import Map, Method

SUGGESTIONS = 3  # labels that an error proposes
CONTEXT = "context"  # the column of output vectors
WORD = re.compile(r""""([^"]+)"(?!\S)|'([^']+)'(?!\S)|(\S+)""")  # of a context: quoted where it has spaces


class Hits(NamedTuple):
    """What a question found, best first: (k,) each, or (q, k) for several questions.

    Attributes
    ----------
    labels, scores, rows
        Of the same shape: strings, float64, rows of the space.
    """

    labels: np.ndarray
    scores: np.ndarray
    rows: np.ndarray


class Found(NamedTuple):
    """All that lies within a score of each query, best first: what belongs to query i lies in starts[i]:starts[i + 1].

    Attributes
    ----------
    labels, scores, rows
        (m,) each: strings, float64, rows of the space.
    starts
        (q + 1,) int64.
    """

    labels: np.ndarray
    scores: np.ndarray
    rows: np.ndarray
    starts: np.ndarray


class Space(Mapping[str, np.ndarray]):
    """Labels and their vectors, with columns of anything else and the recipe of how they were made. Never changes.

    It acts as a read-only mapping from labels to vectors.

    Parameters
    ----------
    labels
        n distinct strings.
    vectors : (n, d)
        Finite numbers, kept as float32.
    columns
        Name -> n values (counts, categories, anything), or n rows of numbers, (n, m), kept as float32. `count`, where there
        is one, orders labels by frequency; `context`, (n, d), holds the output vectors of word2vec, for `predict`.
    recipe
        How the space was made; kept in the file as JSON.

    Raises
    ------
    ShapeError
        If labels, vectors and columns disagree on n.
    ArgumentError
        If a label comes twice or is not a string, or a number of the vectors or of a column with a width is NaN or infinite.

    Examples
    --------
    >>> space = Space(["tea", "milk", "nail"], [[1.0, 0.2], [0.9, 0.4], [0.0, 1.0]])
    >>> space["milk"]
    array([0.9, 0.4], dtype=float32)
    >>> space.ask("tea", k=1).labels
    array(['milk'], dtype=object)
    """

    __slots__ = (
        "_columns",
        "_index",
        "_labels",
        "_names",
        "_norms",
        "_output_keys",
        "_recipe",
        "_vector_keys",
        "_vectors",
    )

    def __init__(
        self,
        labels: Iterable[str],
        vectors: Any,
        *,
        columns: Mapping[str, Any] | None = None,
        recipe: Mapping[str, Any] | None = None,
    ) -> None:
        names = list(labels)
        array = as_vectors("vectors", vectors)
        if len(names) != len(array):
            raise ShapeError(f"labels and vectors must agree on n; got {len(names)} labels and vectors {array.shape}")
        if not names:
            raise ShapeError("a space needs at least one row; got none")
        kept = {name: _as_column(name, column, len(names)) for name, column in (columns or {}).items()}
        self._fill(Parts(names, array, kept, dict(recipe or {})))
        self._check_labels()

    def _fill(self, parts: Parts) -> None:
        self._names: list[str] = parts.labels
        self._vectors = parts.vectors.view()
        self._vectors.flags.writeable = False
        self._columns = {name: column.view() for name, column in parts.columns.items()}
        for column in self._columns.values():
            column.flags.writeable = False
        self._recipe = {"firth": firth.__version__, **parts.recipe}
        self._labels: np.ndarray | None = None
        self._index: dict[str, int] | None = None
        self._norms: np.ndarray | None = None
        self._vector_keys: Index | None = None
        self._output_keys: Index | None = None

    def _check_labels(self) -> None:
        for row, label in enumerate(self._names):
            if not isinstance(label, str):
                raise ArgumentError(f"labels must be strings; row {row} is {label!r}; use str() on them")
        if len(self.index) < len(self._names):
            seen: dict[str, int] = {}
            for row, label in enumerate(self._names):
                if label in seen:
                    raise ArgumentError(f"labels must be distinct; {label!r} stands in rows {seen[label]} and {row}")
                seen[label] = row

    # What it holds

    @property
    def labels(self) -> np.ndarray:
        """The n labels, an array of strings."""
        if self._labels is None:
            self._labels = np.array(self._names, dtype=object)
            self._labels.flags.writeable = False
        return self._labels

    @property
    def vectors(self) -> np.ndarray:
        """The vectors, (n, d) float32, read-only; for a file a view of the memory map."""
        return self._vectors

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """The other columns by name, (n,) or (n, m) float32 each, read-only; for a file views of the memory map."""
        return MappingProxyType(self._columns)

    @property
    def recipe(self) -> Mapping[str, Any]:
        """How the space was made."""
        return MappingProxyType(self._recipe)

    @property
    def index(self) -> Mapping[str, int]:
        """Row of each label."""
        if self._index is None:
            self._index = dict(zip(self._names, range(len(self._names)), strict=True))
        return self._index

    @property
    def norms(self) -> np.ndarray:
        """Euclidean norm of each vector, (n,) float64."""
        if self._norms is None:
            norms = np.sqrt(np.einsum("ij,ij->i", self._vectors, self._vectors, dtype=np.float64))
            norms.flags.writeable = False
            self._norms = norms
            return norms
        return self._norms

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, label: object) -> bool:
        return label in self.index

    def __getitem__(self, label: str | Sequence[str]) -> np.ndarray:  # type: ignore[override]
        """Return the vector of a label (d,), or of several (q, d)."""
        if isinstance(label, str):
            return self._vectors[self.rows([label])[0]]
        return self._vectors[self.rows(label)]

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        some = ", ".join(self._names[:3]) + (", ..." if len(self) > 3 else "")
        method = f" by {self._recipe['method']}" if "method" in self._recipe else ""
        return f"<Space: {len(self):,} labels x {self._vectors.shape[1]} dimensions{method} ({some})>"

    def rows(self, labels: Iterable[str]) -> np.ndarray:
        """Rows of labels, (q,) int64; LabelError, with what is near, if one is not in the space."""
        index = self.index
        try:
            return np.array([index[label] for label in labels], dtype=np.int64)
        except KeyError as error:
            raise LabelError(self._missing(error.args[0])) from None

    def mask(self, where: Any) -> np.ndarray:
        """Tell which rows a filter allows, (n,) booleans.

        Parameters
        ----------
        where
            n booleans; or a string over `label` and the columns of values, such as "count > 100 and kind in ('a', 'b')", read
            by the rules of `firth.where`; or a pyarrow.compute.Expression over them.

        Raises
        ------
        ExpressionError
            If the string cannot be read, or names an unknown column.
        ArgumentError
            If it cannot be evaluated on these columns.

        Examples
        --------
        >>> space = Space(["tea", "nail"], [[1.0, 0.2], [0.0, 1.0]], columns={"count": [9, 5]})
        >>> space.mask("count > 5")
        array([ True, False])
        """
        given = np.asarray(where)
        if not isinstance(where, str) and given.dtype != object:
            return as_mask("where", given, len(self))
        from firth.where import rows_where

        values = {name: column for name, column in self._columns.items() if column.ndim == 1}
        return rows_where(where, {"label": self._names, **values}, len(self))

    def take(self, rows: Any) -> Space:
        """A space of these rows (row numbers, or a filter as `mask` takes it), columns and recipe with it."""
        given = np.asarray(rows)
        rows = given.astype(np.int64) if given.dtype.kind in "iuf" else np.flatnonzero(self.mask(rows))
        names = [self._names[row] for row in rows.tolist()]
        columns = {name: column[rows] for name, column in self._columns.items()}
        return Space(names, self._vectors[rows], columns=columns, recipe=self._recipe)

    def most_frequent(self, n: int) -> np.ndarray:
        """Rows of the n labels with the largest `count`, largest first; without that column the first n rows."""
        n = min(check_int("n", n, 1), len(self))
        count = self._columns.get("count")
        if count is None or count.ndim > 1 or count.dtype.kind not in "iuf":
            return np.arange(n)
        return np.argsort(-count.astype(np.float64), kind="stable")[:n]

    # What it answers

    def vector(self, expression: str | Terms, *, metric: Metric = "cosine") -> np.ndarray:
        """The vector (d,) float64 that an expression stands for.

        With the metric "cosine" a label stands for its vector at length 1, as in 3CosAdd (Levy and Goldberg 2014), so that
        frequent words do not weigh more; with the others for the vector as it is.
        """
        terms = parse(expression) if isinstance(expression, str) else expression
        rows = self._term_rows(terms)
        weights = np.array(list(terms.weights.values()))
        if metric == "cosine":
            norms = self.norms[rows]
            weights = np.divide(weights, norms, out=np.zeros_like(weights), where=norms > 0)
        return weights @ self._vectors[rows].astype(np.float64)

    def ask(
        self,
        expression: str,
        k: int = 10,
        *,
        metric: Metric = "cosine",
        include_question: bool = False,
        exclude: Iterable[str] = (),
        where: Any = None,
    ) -> Hits:
        """Find the k labels whose vectors score highest with an expression such as 'king - man + woman'.

        Exact, as `firth.top_k` is; 2 n d operations.

        Parameters
        ----------
        expression
            Labels with + - * / and numbers; see `firth.expression`.
        k
            How many to return; fewer where the space has no more.
        metric
            "cosine", "dot", "scaled" (dot / sqrt(d)) or "euclidean" (scores are minus the distance).
        include_question
            Let the labels of the expression be answers too.
        exclude
            Further labels that may not be answers.
        where
            Which rows may be answers, as `mask` takes it; by default all.

        Raises
        ------
        ExpressionError
            If the expression or the filter cannot be read.
        LabelError
            If a label is not in the space; the message names near ones.

        Examples
        --------
        >>> space = Space(["man", "woman", "king", "queen"], [[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1]])
        >>> space.ask("king - man + woman", k=1).labels[0]
        'queen'
        """
        check_choice("metric", metric, METRICS)
        terms = parse(expression)
        left_out = set(self.rows(exclude).tolist())
        if not include_question:
            left_out |= set(self._term_rows(terms).tolist())
        return self._best(self.vector(terms, metric=metric), self._keys(), k, metric, left_out, where)

    def between(self, first: str, second: str, steps: int = 7, *, metric: Metric = "cosine", where: Any = None) -> Hits:
        """Find the nearest label at each step of the way from one label to another.

        By cosine the way is the great circle, in equal angles (Shoemake 1985: slerp); by the other metrics the straight line.
        Both ends are steps, and on the way no answers. Exact, as `firth.top_k` is; 2 steps n d operations.

        Parameters
        ----------
        first, second
            Labels, or expressions as `ask` takes them.
        steps
            How many, with the ends: 2 or more.
        metric, where
            As in `ask`.

        Raises
        ------
        ExpressionError, LabelError
            As in `ask`.
        ArgumentError
            If by cosine the ends are opposite, for then every great circle leads from one to the other; or one of them is zero.

        Examples
        --------
        >>> space = Space(["cold", "cool", "warm", "hot"], [[1, 0], [0.9, 0.4], [0.4, 0.9], [0, 1]])
        >>> space.between("cold", "hot", steps=4).labels.tolist()
        ['cold', 'cool', 'warm', 'hot']
        """
        check_choice("metric", metric, METRICS)
        shares = np.linspace(0, 1, check_int("steps", steps, 2))
        ends = np.stack([self.vector(first, metric=metric), self.vector(second, metric=metric)])
        weights = np.stack([1 - shares, shares], axis=1)
        if metric == "cosine":
            norms = np.linalg.norm(ends, axis=1, keepdims=True)
            if not norms.all():
                raise ArgumentError(f"{first!r} or {second!r} is zero: it has no direction; use another metric")
            ends /= norms
            angle = 2 * math.atan2(np.linalg.norm(ends[0] - ends[1]), np.linalg.norm(ends[0] + ends[1]))  # Kahan
            if math.pi - angle < 1e-6:
                raise ArgumentError(
                    f"{first!r} and {second!r} are opposite: no way is the shortest; use another metric"
                )
            if angle > 1e-6:  # nearer, the straight line is the same
                weights = np.sin(weights * angle) / math.sin(angle)
        queries = weights @ ends  # (steps, 2) x (2, d) -> (steps, d)
        left_out = set(self._term_rows(parse(first)).tolist()) | set(self._term_rows(parse(second)).tolist())
        found = [
            self._best(query, self._keys(), 1, metric, set() if step in (0, steps - 1) else left_out, where)
            for step, query in enumerate(queries)
        ]
        return Hits(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def predict(self, context: str | Sequence[str], k: int = 10, *, include_context: bool = False) -> Hits:
        """Find the k labels that fit best among the words of a context.

        The score of a label is h . o: h the mean of the context's vectors, o the label's output vector, its row of the column
        `context`. That is what CBOW is trained on, and for skip-gram the mean of the pairs' scores (as of a pair, so of its
        mirror image: every word stands in the context of its own). Exact, as `firth.top_k` is; 2 n d operations.

        Parameters
        ----------
        context
            Words split at white space, those with spaces in them quoted; or a list of labels. One that comes twice counts
            twice; their order does not matter.
        k
            How many to return; fewer where the space has no more.
        include_context
            Let the labels of the context be answers too.

        Raises
        ------
        LabelError
            If a word is not in the space; the message names near ones.
        ArgumentError
            If the context is empty, or the space was learned without `keep_context`.

        Notes
        -----
        T. Mikolov, K. Chen, G. Corrado and J. Dean: Efficient estimation of word representations in vector space. 2013.

        Examples
        --------
        >>> vectors = [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]]
        >>> space = Space(["tea", "milk", "nail", "hammer"], vectors, columns={"context": vectors})
        >>> space.predict("tea", k=1).labels[0]
        'milk'
        """
        output = self._output()
        rows = self._context_rows(context)
        left_out = set() if include_context else set(rows.tolist())
        if self._output_keys is None:
            self._output_keys = Index(output)
        return self._best(self._vectors[rows].mean(axis=0, dtype=np.float64), self._output_keys, k, "dot", left_out)

    def score(self, label: str, context: str | Sequence[str]) -> float:
        """Tell how well a label fits into a context: a share between 0 and 1.

        sigmoid(h . o), the sigmoid of its score in `predict`: what the model takes for the probability that the text put the
        label there, and not a draw of the noise words it was trained against (Mikolov et al. 2013b, equation 4). It orders
        labels as `predict` does, and for skip-gram its odds are the geometric mean of the odds of the pairs. It is no
        probability among all labels: those do not sum to 1. Frequent words do not weigh more, for noise words are frequent
        too: h . o estimates the pointwise mutual information, less the logarithm of `negatives` (Levy and Goldberg 2014).

        Parameters
        ----------
        label
            Of the space.
        context
            As in `predict`.

        Raises
        ------
        LabelError, ArgumentError
            As in `predict`.

        Examples
        --------
        >>> vectors = [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]]
        >>> space = Space(["tea", "milk", "nail", "hammer"], vectors, columns={"context": vectors})
        >>> space.score("milk", "tea") > space.score("hammer", "tea")
        True
        """
        output = self._output()
        row, rows = self.rows([label])[0], self._context_rows(context)
        score = float(self._vectors[rows].mean(axis=0, dtype=np.float64) @ output[row])
        small = math.exp(-abs(score))  # never overflows
        return (1.0 if score >= 0 else small) / (1.0 + small)

    def nearest(self, queries: Any, k: int = 10, *, metric: Metric = "cosine", where: Any = None) -> Hits:
        """Find the k labels nearest to each query. Exact, as `firth.top_k` is; 2 q n d operations.

        Parameters
        ----------
        queries
            A label, a list of labels, or vectors (d,) or (q, d). A label finds itself first: `ask` leaves it out.
        k
            How many to return, 1 <= k <= n.
        metric, where
            As in `ask`.

        Raises
        ------
        LabelError, ShapeError, ArgumentError
            If a label is not in the space, the width is not the space's, or k is out of range.
        """
        given, mask = self._queries(queries), None if where is None else self.mask(where)
        return self._hits(self._keys().top_k(given, k, metric=metric, where=mask))

    def within(
        self,
        queries: Any,
        score: float | None = None,
        *,
        radius: float | None = None,
        metric: Metric = "cosine",
        where: Any = None,
    ) -> Found:
        """Find all labels with this score or a larger one, or with the metric "euclidean" all within a radius.

        Exact, as `firth.top_k` is; 2 q n d operations.

        Parameters
        ----------
        queries, metric, where
            As in `nearest`.
        score, radius
            As in `firth.within`: one of them.

        Raises
        ------
        LabelError, ShapeError, ArgumentError
            As in `nearest` and `firth.within`.

        Examples
        --------
        >>> space = Space(["tea", "milk", "nail"], [[1.0, 0.2], [0.9, 0.4], [0.0, 1.0]])
        >>> space.within("tea", score=0.9).labels
        array(['tea', 'milk'], dtype=object)
        """
        given, mask = self._queries(queries), None if where is None else self.mask(where)
        found = self._keys().within(given, score, radius=radius, metric=metric, where=mask)
        return Found(self._labels_of(found.rows), *found)

    def neighbors(self, k: int = 15, *, metric: Metric = "cosine") -> Graph:
        """Find the k nearest others of every row: see `firth.neighbors`. Of some rows: `space.take(where).neighbors()`."""
        return neighbors(self._vectors, k, metric=metric)

    def duplicates(
        self,
        score: float | None = None,
        *,
        radius: float | None = None,
        metric: Metric = "cosine",
        most: int = MOST_PAIRS,
    ) -> Pairs:
        """Find all pairs of rows with this score or a larger one, or within this radius: see `firth.duplicates`.

        Examples
        --------
        >>> space = Space(["tea", "nail", "Tea"], [[1.0, 0.2], [0.0, 1.0], [1.0, 0.21]])
        >>> [space.labels[group].tolist() for group in space.duplicates(score=0.99).groups()]
        [['tea', 'Tea']]
        """
        return duplicates(self._vectors, score, radius=radius, metric=metric, most=most)

    def _queries(self, queries: Any) -> np.ndarray:
        """The vectors of labels, or those that are given, (d,) or (q, d)."""
        if isinstance(queries, str) or (isinstance(queries, (list, tuple)) and queries and isinstance(queries[0], str)):
            queries = self[queries]
        given = as_array("queries", queries)
        if given.shape[-1:] != self._vectors.shape[1:]:
            raise ShapeError(f"queries and the space must agree on d; got {given.shape} and {self._vectors.shape}")
        return given

    def _keys(self) -> Index:
        """The vectors, ready to be searched."""
        if self._vector_keys is None:
            self._vector_keys = Index(self._vectors)
        return self._vector_keys

    def _best(
        self, query: np.ndarray, keys: Index, k: int, metric: Metric, left_out: set[int], where: Any = None
    ) -> Hits:
        """The k labels whose keys score highest with a query (d,), without the rows that are left out."""
        allowed = np.ones(len(self), dtype=bool) if where is None else self.mask(where).copy()
        allowed[list(left_out)] = False
        k = min(check_int("k", k, 1), int(np.count_nonzero(allowed)))
        if k == 0:
            raise ArgumentError(
                f"nothing is left to answer with: all {len(self)} labels are in the question, excluded or filtered out"
            )
        return self._hits(keys.top_k(query, k, metric=metric, where=allowed))

    def _hits(self, found: TopK) -> Hits:
        return Hits(self._labels_of(found.rows), *found)

    def _labels_of(self, rows: np.ndarray) -> np.ndarray:
        # Labels of the answers alone: an array of all of them is not needed to answer one question.
        return np.array([self._names[row] for row in rows.ravel().tolist()], dtype=object).reshape(rows.shape)

    def _output(self) -> np.ndarray:
        """The output vectors, (n, d)."""
        output = self._columns.get(CONTEXT)
        if output is None:
            raise ArgumentError(
                f"the space has no column {CONTEXT!r}, the output vectors that words are predicted by; learn it with"
                " keep_context=True (--keep-context)"
            )
        if output.shape != self._vectors.shape:
            raise ShapeError(f"column {CONTEXT!r} must be as the vectors, {self._vectors.shape}; got {output.shape}")
        return output

    def _context_rows(self, context: str | Sequence[str]) -> np.ndarray:
        if isinstance(context, str):
            context = split_words(context)
        rows = self.rows(context)
        if not len(rows):
            raise ArgumentError("context must be one word or more; got none")
        return rows

    def map(self, method: Method = "umap", **options: Any) -> Map:
        """Draw the space in two or three dimensions: see `firth.map_space`, whose options these are."""
        from firth.maps import map_space

        return map_space(self, method, **options)

    def judge(self, path: str | Path, *, restrict: int = 30_000) -> AnalogyReport | SimilarityReport:
        """Measure the space on a set of analogies or similarities: see `firth.judge`."""
        from firth.judging import judge

        return judge(self, path, restrict=restrict)

    def explain(
        self, first: str, second: str, *, k: int = 10, metric: Literal["cosine", "dot"] = "cosine"
    ) -> Explanation:
        """Tell which dimensions make two labels alike: see `firth.explaining.explain`."""
        from firth.explaining import explain

        return explain(self, first, second, k=k, metric=metric)

    def health(self, *, rows: int = 50_000, seed: int = 0) -> Health:
        """Measure what may be wrong with its dot products: see `firth.health.health`."""
        from firth.health import health

        return health(self, rows=rows, seed=seed)

    def repair(self, *, centre: float | None = None, components: int = 0, normalise: bool = False) -> Space:
        """Take off what all rows have in common, into a new space: see `firth.health.repair`."""
        from firth.health import repair

        return repair(self, centre=centre, components=components, normalise=normalise)

    # Its file

    @classmethod
    def open(cls, path: str | Path) -> Space:
        """Open a .space file by memory map, or read any other format that `firth convert` knows.

        Raises
        ------
        FileFormatError
            If the file is foreign, cut short, damaged, or holds what a space refuses.
        """
        from firth.formats.arrow import MAGIC, read_arrow

        with open(path, "rb") as file:
            head = file.read(len(MAGIC))
        if head != MAGIC and not str(path).endswith(".space"):
            from firth.formats import read

            parts, checked = read(path), False
        else:
            parts, checked = read_arrow(path)
        if not checked:
            try:
                return cls(parts.labels, parts.vectors, columns=parts.columns, recipe=parts.recipe)
            except (ShapeError, ArgumentError) as error:
                raise FileFormatError(f"{path}: {error}") from None
        space = cls.__new__(cls)
        space._fill(parts)
        return space

    def save(self, path: str | Path) -> None:
        """Write the space as one Arrow IPC file, whole or not at all: an interrupted save leaves an older file as it was.

        Raises
        ------
        OSError
            If the folder is missing, full or may not be written to.
        """
        from firth.formats.arrow import write_arrow

        write_arrow(self.parts, path)

    @property
    def parts(self) -> Parts:
        """What a writer of files takes."""
        return Parts(self._names, self._vectors, self._columns, self._recipe)

    # Errors

    def _term_rows(self, terms: Terms) -> np.ndarray:
        """Rows of an expression's labels; an error marks the place."""
        for label in terms.weights:
            if label not in self.index:
                start, end = terms.places[label]
                note = self._missing(label)
                around = self._hyphenated(terms.text, start, end)
                if around:
                    note = f'{label!r} is not in the space, but {around!r} is: quote it: "{around}"'
                raise LabelError(f"{note}\n{mark(terms.text, start, end)}")
        return self.rows(terms.weights)

    def _hyphenated(self, text: str, start: int, end: int) -> str | None:
        """The label with operators in it, such as well-known, that surrounds a place in an expression."""
        while start > 0 and not text[start - 1].isspace():
            start -= 1
        while end < len(text) and not text[end].isspace():
            end += 1
        return text[start:end] if text[start:end] in self.index else None

    def _missing(self, label: object) -> str:
        near = self._near(label) if isinstance(label, str) else []
        return f"{label!r} is not in the space" + (f": did you mean {', '.join(map(repr, near))}?" if near else "")

    def _near(self, label: str) -> list[str]:
        """Labels that differ in case, or by one or two edits (Norvig 2007), the most frequent first."""
        index = self.index
        cases = dict.fromkeys([label.lower(), label.capitalize(), label.upper(), label.title()])
        found = [case for case in cases if case in index]
        letters = "".join(dict.fromkeys("abcdefghijklmnopqrstuvwxyz0123456789'-_" + label))
        once = _edits(label, letters)
        found += sorted((index.keys() & once) - set(found), key=index.__getitem__)
        if not found and 3 < len(label) < 25:
            twice = (edit for first in once for edit in _edits(first, letters) if edit in index)
            found = sorted(set(twice), key=index.__getitem__)
        return found[:SUGGESTIONS]


def split_words(text: str) -> list[str]:
    """Words of a context, apart by white space; quoted ones may hold some."""
    return [found[1] or found[2] or found[3] for found in WORD.finditer(text)]


def _as_column(name: str, column: Any, n: int) -> np.ndarray:
    """A column as an array of n values, or of n rows of float32."""
    if name in ("label", "vector"):
        raise ArgumentError(f"a column cannot be called {name!r}; choose another name")
    try:
        array = np.asarray(column)
    except ValueError:  # rows of different lengths
        raise ShapeError(f"column {name!r} must have one value, or one row of m numbers, for each label") from None
    if array.ndim not in (1, 2) or len(array) != n:
        raise ShapeError(
            f"column {name!r} must have one value, or one row of m numbers, for each of the {n} labels; got {array.shape}"
        )
    return array if array.ndim == 1 else as_vectors(f"column {name!r}", array)


def _edits(word: str, letters: str) -> set[str]:
    """All strings one deletion, transposition, replacement or insertion away."""
    splits = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    return {
        *(a + b[1:] for a, b in splits if b),
        *(a + b[1] + b[0] + b[2:] for a, b in splits if len(b) > 1),
        *(a + c + b[1:] for a, b in splits if b for c in letters),
        *(a + c + b for a, b in splits for c in letters),
    }
