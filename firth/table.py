"""Rows of a table as vectors: numbers scaled, categories one-hot, dates and texts too, every column with the same say.

One-hot times a matrix is a look-up, and the dot product of two one-hot vectors asks whether two rows have the same value: so a
row of anything becomes a vector, and two rows are compared by a dot product like two words (see `firth.ops.one_hot`).

Frames of pandas, polars and pyarrow come through narwhals; what is done, is done to Arrow's columns, a batch at a time.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from firth._check import ArgumentError, check_choice, check_int, check_number
from firth.views import filled_view

Kind = Literal["number", "category", "date", "text"]
OTHER, MISSING = "(other)", "(missing)"
MOST_DISTINCT = 200_000  # values of a column that are counted at a time; beyond, the rarest are forgotten
BATCH_ROWS = 1 << 15  # at a time
SAMPLE = 1 << 20  # numbers that medians are taken of; of more rows a regular sample
SIF = 1e-3  # Arora, Liang and Ma 2017, section 3: a in a / (a + p(word))
WORDS = re.compile(r"\w+(?:['’]\w+)*")
YEAR_S = 365.2425 * 86400
FARTHEST = 5.0  # standard deviations: what is further out counts as so far; of any column at most 4% is (Chebyshev)
LEAST_APART = 0.25  # how often two rows differ: where they rarely do, the common value would be in every product
QUARTILES = 1.3489795  # between the quartiles of a normal distribution lie so many standard deviations


@dataclass(frozen=True, slots=True)
class Column:
    """What is known of a column, and how it is written as numbers.

    Attributes
    ----------
    name, kind
        Of the table.
    centre, scale
        Of numbers: (x - centre) * scale. Of categories the scale stands in the place of the value.
    spread
        Of numbers and dates (in seconds): the standard deviation, by which outliers are told. Times it, a date's scale is that
        of the season: sine and cosine have together variance 1, as time divided by it has.
    values
        Of categories: those with a place of their own.
    mean
        Of texts: what is taken off.
    """

    name: str
    kind: Kind
    scale: float
    centre: float = 0.0
    spread: float = 0.0
    values: list[str] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)

    @property
    def dimensions(self) -> list[str]:
        """Names of its dimensions: the column's, then what it is about."""
        if self.kind == "number":
            return [self.name]
        if self.kind == "date":
            return [f"{self.name}: time", f"{self.name}: season, sine", f"{self.name}: season, cosine"]
        if self.kind == "text":
            return [f"{self.name}: {i}" for i in range(len(self.mean))]
        return [f"{self.name}={value}" for value in (*self.values, OTHER, MISSING)]


class Encoder:
    """Learns from a table how its columns become numbers, and applies that to its rows or to new ones.

    Every column has the same say: two rows that are drawn at random differ by as much in each, squared distance 2, whether it is
    a number or has 500 categories. `weights` says otherwise: a column of weight 2 counts as two would.

    numbers
        (x - mean) / standard deviation, or by median and quartiles, within -5..5; a missing one is the mean, or the median.
    categories
        One place a value, and one for rare and for unknown values, one for missing ones; booleans too. A column where nearly all
        rows are equal has less say, lest rows be alike for what all of them have.
    dates
        Time as a number, and the season as a point on a circle.
    texts
        The mean of their words' vectors in a space, frequent words weighted down (SIF); the mean of all texts is taken off.

    Follows the protocol of scikit-learn's transformers.

    Parameters
    ----------
    numeric
        "standard" or "robust".
    rare
        Categories with a smaller share of the rows are pooled.
    most
        Categories of a column at most; the others are pooled.
    categories
        Columns to take as categories, numbers or not.
    text
        Columns to take as texts.
    space
        For texts: a Space of words.
    ignore
        Columns to leave out.
    weights
        Column -> how much it counts; by default 1.

    Raises
    ------
    ArgumentError
        If an option is out of range, or a column that is named is not there.

    Examples
    --------
    >>> table = pa.table({"rooms": [2, 4, 6], "kind": ["flat", "house", "house"]})
    >>> encoder = Encoder().fit(table)
    >>> encoder.dimensions
    ['rooms', 'kind=house', 'kind=flat', 'kind=(other)', 'kind=(missing)']
    >>> encoder.transform(table)[0].round(2)
    array([-1.22,  0.  ,  1.5 ,  0.  ,  0.  ], dtype=float32)
    """

    def __init__(
        self,
        *,
        numeric: str = "standard",
        rare: float = 0.001,
        most: int = 200,
        categories: Iterable[str] = (),
        text: Iterable[str] = (),
        space: Any = None,
        ignore: Iterable[str] = (),
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.numeric = numeric
        self.rare = rare
        self.most = most
        self.categories = categories
        self.text = text
        self.space = space
        self.ignore = ignore
        self.weights = weights

    # Fit

    def fit(self, table: Any, y: Any = None) -> Encoder:
        """Learn from a frame of pandas, polars or pyarrow; `y` is not looked at."""
        for _ in self.fit_steps(as_batches(table)):
            pass
        return self

    def fit_steps(self, batches: Iterable[pa.RecordBatch]) -> Iterator[int]:
        """Learn from record batches; tells after each how many rows there were."""
        check_choice("numeric", self.numeric, ("standard", "robust"))
        check_number("rare", self.rare, 0, 1)
        check_int("most", self.most, 1)
        if tuple(self.text) and self.space is None:
            raise ArgumentError("text columns need a space of words; give space= (--text-space)")
        seen: dict[str, _Seen] = {}
        n = 0
        for batch in batches:
            if not n:
                seen = self._begin(batch.schema)
            n += batch.num_rows
            for name, one in seen.items():
                one.add(batch.column(name))
            yield n
        if not n:
            raise ArgumentError("the table must have at least one row; got none")
        self.columns_: list[Column] = []
        self.left_out_: dict[str, str] = dict(self._unknown)
        for name, one in seen.items():
            weight = float((self.weights or {}).get(name, 1.0))
            column = one.column(name, n, self)
            if isinstance(column, str):
                self.left_out_[name] = column
            else:
                scale = column.scale * math.sqrt(weight)
                self.columns_.append(replace(column, scale=scale))
        if not self.columns_:
            why = "; ".join(f"{name}: {reason}" for name, reason in self.left_out_.items())
            del self.columns_
            raise ArgumentError(f"no column is left to encode: {why}")

    def _begin(self, schema: pa.Schema) -> dict[str, _Seen]:
        for option in ("categories", "text", "ignore", "weights"):
            for name in getattr(self, option) or ():
                if name not in schema.names:
                    raise ArgumentError(f"{option}: there is no column {name!r}; there are {', '.join(schema.names)}")
        for name, weight in (self.weights or {}).items():
            check_number(f"weight of {name}", weight, 0, float("inf"), above=True)
        seen: dict[str, _Seen] = {}
        self._unknown: dict[str, str] = {}
        for name, kind in zip(schema.names, schema.types, strict=True):
            if name in tuple(self.ignore):
                continue
            if name in tuple(self.text):
                seen[name] = _Texts(self.space)
            elif name in tuple(self.categories) or _is_text(kind) or pa.types.is_boolean(kind):
                seen[name] = _Categories()
            elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
                seen[name] = _Numbers(sampled=self.numeric == "robust")
            elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
                seen[name] = _Dates()
            else:
                self._unknown[name] = f"{kind} is not taken"
        return seen

    # Transform

    def transform(self, table: Any) -> np.ndarray:
        """Rows of a frame as vectors (n, d) of float32, by what was learned.

        Raises
        ------
        ArgumentError
            If nothing was learned yet, or a column is missing or of another kind.
        """
        found = [self.transform_batch(batch) for batch in as_batches(table)]
        return np.concatenate(found) if found else np.zeros((0, len(self.dimensions)), np.float32)

    def fit_transform(self, table: Any, y: Any = None) -> np.ndarray:
        """`fit`, then `transform`."""
        return self.fit(table).transform(table)

    def transform_batch(self, batch: pa.RecordBatch, out: np.ndarray | None = None) -> np.ndarray:
        """The same of one record batch; written into `out`, zeros (n, d) of float32, where that is given."""
        out = np.zeros((batch.num_rows, len(self.dimensions)), np.float32) if out is None else out
        start = 0
        for column in self.columns_:
            if column.name not in batch.schema.names:
                raise ArgumentError(f"column {column.name!r} is missing; there are {', '.join(batch.schema.names)}")
            end = start + len(column.dimensions)
            self._write(column, batch.column(column.name), out[:, start:end])
            start = end
        return out

    def _write(self, column: Column, values: pa.Array, out: np.ndarray) -> None:
        if column.kind == "category":
            other, missing = len(column.values), len(column.values) + 1
            places = {value: place for place, value in enumerate(column.values)} | {None: missing}
            rows, names = _coded(values)
            out[np.arange(len(out)), np.array([*(places.get(name, other) for name in names), missing])[rows]] = (
                column.scale
            )
        elif column.kind == "text":
            vectors, some = _text_vectors(values, self.space)
            if vectors.shape[1] != len(column.mean):
                raise ArgumentError(
                    f"the space has width {vectors.shape[1]}; texts were learned with {len(column.mean)}"
                )
            out[some] = ((vectors - np.array(column.mean)) * column.scale)[some]
        else:
            numbers = _times(values) if column.kind == "date" else _numbers(column.name, values)
            known = np.isfinite(numbers)
            reach = FARTHEST * column.spread or math.inf  # recipes of before have none
            out[known, 0] = np.clip(numbers[known] - column.centre, -reach, reach) * column.scale
            if column.kind == "date":
                angle = numbers[known] * (2 * math.pi / YEAR_S)
                share = column.scale * column.spread
                out[known, 1], out[known, 2] = share * np.sin(angle), share * np.cos(angle)

    # What it is

    @property
    def dimensions(self) -> list[str]:
        """A name for each dimension."""
        if not hasattr(self, "columns_"):
            raise ArgumentError("the encoder has learned nothing yet: call fit first")
        return [name for column in self.columns_ for name in column.dimensions]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The same, as scikit-learn asks for them."""
        return np.array(self.dimensions, dtype=object)

    def as_dict(self) -> dict[str, Any]:
        """What was learned, as JSON has it."""
        return {"columns": [asdict(column) for column in self.columns_], "left_out": self.left_out_}

    @classmethod
    def from_dict(cls, learned: Mapping[str, Any], *, space: Any = None) -> Encoder:
        """An encoder that has learned this, for instance `space.recipe["encoder"]`; with texts it needs their space of words.

        >>> encoder = Encoder().fit(pa.table({"rooms": [2, 4, 6]}))
        >>> Encoder.from_dict(encoder.as_dict()).transform(pa.table({"rooms": [4]}))
        array([[0.]], dtype=float32)
        """
        encoder = cls(space=space)
        try:
            encoder.columns_ = [Column(**column) for column in learned["columns"]]
            encoder.left_out_ = dict(learned["left_out"])
        except (KeyError, TypeError):
            raise ArgumentError(
                "this is nothing that an encoder has learned; it stands in a recipe as 'encoder'"
            ) from None
        if space is None and any(column.kind == "text" for column in encoder.columns_):
            raise ArgumentError("text columns need their space of words; give space=")
        return encoder

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The options."""
        names = ("numeric", "rare", "most", "categories", "text", "space", "ignore", "weights")
        return {name: getattr(self, name) for name in names}

    def set_params(self, **params: Any) -> Encoder:
        """Change options."""
        for name, value in params.items():
            if name not in self.get_params():
                raise ArgumentError(f"there is no option {name!r}; there are {', '.join(self.get_params())}")
            setattr(self, name, value)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "columns_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(),
            input_tags=InputTags(two_d_array=False, string=True, categorical=True, allow_nan=True),
        )


def as_batches(table: Any) -> Iterator[pa.RecordBatch]:
    """Record batches of a frame of pandas, polars or pyarrow, or of anything that narwhals knows."""
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    if not isinstance(table, pa.Table):
        import narwhals as nw

        try:
            table = nw.from_native(table, eager_only=True).to_arrow()
        except TypeError:
            kind = type(table).__name__
            raise ArgumentError(f"a table must be a DataFrame of pandas, polars or pyarrow; got {kind}") from None
    yield from table.to_batches(max_chunksize=BATCH_ROWS)


# What is seen of a column, batch after batch


class _Numbers:
    """Count, mean and squares (Chan, Golub and LeVeque 1979), and where medians are wanted a regular sample."""

    def __init__(self, *, sampled: bool) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.sampled, self.every, self.sample = sampled, 1, np.zeros(0)

    def add(self, values: pa.Array) -> None:
        self.add_numbers(_numbers("", values))

    def add_numbers(self, numbers: np.ndarray) -> None:
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            return
        if self.sampled:
            self.sample = np.concatenate([self.sample, numbers[(-self.count) % self.every :: self.every]])
            while len(self.sample) > SAMPLE:
                self.sample, self.every = self.sample[::2], 2 * self.every
        mean = float(numbers.mean())
        both = self.count + len(numbers)
        apart = mean - self.mean
        self.squares += float(((numbers - mean) ** 2).sum()) + apart * apart * self.count * len(numbers) / both
        self.mean += apart * len(numbers) / both
        self.count = both

    def column(self, name: str, n: int, options: Encoder) -> Column | str:
        spread, centre = math.sqrt(self.squares / max(1, self.count)), self.mean
        if self.sampled and self.count:
            low, centre, high = np.quantile(self.sample, [0.25, 0.5, 0.75]).tolist()
            # Where half of the rows are equal the quartiles tell nothing, and the deviation stands in.
            spread = (high - low) / QUARTILES or spread
        if not spread > 1e-12 * abs(centre):
            return "it has one value alone" if self.count else "nothing but missing values"
        return Column(name, "number", 1 / spread, centre, spread)


class _Dates(_Numbers):
    def __init__(self) -> None:
        super().__init__(sampled=False)

    def add(self, values: pa.Array) -> None:
        self.add_numbers(_times(values))

    def column(self, name: str, n: int, options: Encoder) -> Column | str:
        column = super().column(name, n, options)
        if isinstance(column, str):
            return column
        # Time and season have half of the say each.
        return replace(column, kind="date", scale=math.sqrt(0.5) * column.scale)


class _Categories:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.missing = 0
        self.many = False

    def add(self, values: pa.Array) -> None:
        rows, names = _coded(values)
        for name, count in zip([*names, None], np.bincount(rows, minlength=len(names) + 1).tolist(), strict=True):
            if name is None:
                self.missing += count
            elif count:
                self.counts[name] += count
        if len(self.counts) > MOST_DISTINCT:
            self.many = True
            self.counts = Counter(dict(self.counts.most_common(MOST_DISTINCT // 2)))

    def column(self, name: str, n: int, options: Encoder) -> Column | str:
        known = n - self.missing
        if not known:
            return "nothing but missing values"
        if (self.many or len(self.counts) > max(50, known / 2)) and name not in tuple(options.categories):
            return "its values are nearly all different: text, or the name of the row"
        ranked = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        kept = [(value, count) for value, count in ranked[: options.most] if count >= options.rare * n]
        pooled = known - sum(count for _, count in kept)
        shares = np.array([*(count for _, count in kept), pooled, self.missing]) / n
        apart = 1 - float(np.square(shares).sum())  # how often two rows differ: half their squared distance
        if not apart > 1e-9:
            return "it has one value alone"
        return Column(name, "category", 1 / math.sqrt(max(apart, LEAST_APART)), values=[value for value, _ in kept])


class _Texts:
    def __init__(self, space: Any) -> None:
        self.space, self.count = space, 0
        self.sum, self.squares = np.zeros(space.vectors.shape[1]), 0.0

    def add(self, values: pa.Array) -> None:
        vectors, some = _text_vectors(values, self.space)
        self.count += int(some.sum())
        self.sum += vectors[some].sum(axis=0)
        self.squares += float(np.square(vectors[some]).sum())

    def column(self, name: str, n: int, options: Encoder) -> Column | str:
        mean = self.sum / max(1, self.count)
        spread = self.squares / max(1, self.count) - float(mean @ mean)
        if not spread > 1e-12:
            return "no word of it is in the space" if not self.count else "it has one value alone"
        return Column(name, "text", 1 / math.sqrt(spread), mean=mean.tolist())


_Seen = _Numbers | _Categories | _Texts


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _coded(values: pa.Array) -> tuple[np.ndarray, list[str | None]]:
    """Values as rows of a list of names; what is missing as the row after its last."""
    if not pa.types.is_dictionary(values.type):
        values = values.cast(pa.string()).dictionary_encode()
    names = values.dictionary.cast(pa.string()).to_pylist()
    return filled_view(values.indices, len(names)), names


def _numbers(name: str, values: pa.Array) -> np.ndarray:
    """As float64, NaN where a number is missing."""
    try:
        return filled_view(values.cast(pa.float64()), math.nan)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise ArgumentError(
            f"column {name!r} must be numbers, as it was when they were learned; got {values.type}"
        ) from None


def _times(values: pa.Array) -> np.ndarray:
    """Seconds since 1970 as float64, NaN where a date is missing."""
    kind = pa.timestamp("ms", tz=values.type.tz if pa.types.is_timestamp(values.type) else None)
    try:
        times = values.cast(kind, safe=False).cast(pa.int64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise ArgumentError(f"dates are expected, as when they were learned; got {values.type}") from None
    return filled_view(times.cast(pa.float64(), safe=False), math.nan) / 1000


def _text_vectors(values: pa.Array, space: Any) -> tuple[np.ndarray, np.ndarray]:
    """The weighted mean of each text's words, (n, d), and which texts have any that the space knows."""
    index, counts = space.index, space.columns.get("count")
    total = float(np.sum(counts)) if counts is not None else 0.0
    rows, owners = [], []
    for place, text in enumerate(values.cast(pa.string()).to_pylist()):
        found = [row for word in WORDS.findall((text or "").lower()) if (row := index.get(word)) is not None]
        rows += found
        owners += [place] * len(found)
    out, weight = np.zeros((len(values), space.vectors.shape[1])), np.zeros(len(values))
    if rows:
        shares = np.ones(len(rows)) if counts is None else SIF / (SIF + np.asarray(counts)[rows] / total)
        np.add.at(out, owners, space.vectors[rows] * shares[:, None])
        np.add.at(weight, owners, shares)
    some = weight > 0
    out[some] /= weight[some, None]
    return out, some
