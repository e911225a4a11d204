"""Sequences of items to the core: lists, arrays and Arrow columns, where possible without a look at each from Python.

An item is its label, which is its `str`; two items with one label that are not equal, such as 1 and "1", are an error. What
is missing (None, a null) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from firth._check import ArgumentError
from firth.views import filled_view, number_view

ROWS = 1_024  # sequences taken from an iterable at once
ITEMS = 1 << 20  # a step numbers about so many; Ctrl-C waits for it
TEXT, INTEGER, OTHER = range(3)  # kinds of items, as the core wants them
ALL = np.empty(0, np.bool_)  # which items are there, if all are
PLAIN = (str, int, type(None))


class Items:
    """Feeds sequences of items to a reader of the core; each method yields now and then.

    >>> from firth import _core
    >>> reader = _core.TextReader(True, False, False, 1, 1 << 20, 1 << 30)
    >>> for _ in Items(reader).feed([["tea", "milk"], (1, 2, 1), np.array([3])]):
    ...     pass
    >>> reader.tokens()
    6
    """

    def __init__(self, reader: Any) -> None:
        self.reader = reader
        self.others: dict[str, Any] = {}  # items that are neither strings nor integers, by label

    def feed(self, source: Iterable[Any]) -> Iterator[None]:
        """Number the items of whatever holds sequences of them."""
        if isinstance(source, np.ndarray) and source.ndim == 2 and source.dtype.kind in "iu":
            return self._matrix(source)
        arrow = _arrow(source)
        return self._rows(source) if arrow is None else self.column(arrow)

    def column(self, chunks: Iterable[Any]) -> Iterator[None]:
        """Number the items of Arrow arrays of lists."""
        position = 0
        for chunk in chunks:
            items = max(len(chunk.flatten()), 1)
            rows = max(1, len(chunk) * ITEMS // items)
            for start in range(0, len(chunk), rows):
                self._lists(chunk.slice(start, rows), position + start)
                yield
            position += len(chunk)

    def clash(self, label: str, kinds: Sequence[str]) -> ArgumentError:
        """The error for two items of these kinds that have one label."""
        shown = {"text": repr(label), "integer": label, "other": repr(self.others.get(label))}
        first, second = (shown[kind] for kind in sorted(kinds))
        return _clash(label, first, second)

    def _matrix(self, rows: np.ndarray) -> Iterator[None]:
        width = rows.shape[1]
        step = max(1, ITEMS // max(width, 1))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            self._integers(part.reshape(-1), np.full(len(part), width), start)
            yield

    def _rows(self, source: Iterable[Any]) -> Iterator[None]:
        iterator, position = iter(source), 0
        while batch := list(islice(iterator, ROWS)):
            yield from self._batch(batch, position)
            position += len(batch)
        self.reader.take()
        yield

    def _batch(self, batch: list[Any], position: int) -> Iterator[None]:
        """Number the items of some sequences; the first one is the source's `position`-th."""
        row = item = 0
        while row < len(batch):
            try:
                row, item = self.reader.collect(batch, row, item, ITEMS)
            except UnicodeEncodeError as error:
                raise _not_text(error) from None
            if self.reader.collected() >= ITEMS:
                self.reader.take()
                yield
            elif row == len(batch):
                return
            elif type(batch[row]) in (list, tuple):  # with an item that the core does not know
                self.reader.take()
                rest = [batch[row][item:], *(_list(batch[i], position + i) for i in range(row + 1, len(batch)))]
                self._items(rest, position + row)
                yield
                return
            elif all(isinstance(one, np.ndarray) and one.ndim == 1 and one.dtype.kind in "iu" for one in batch[row:]):
                self.reader.take()
                lengths = np.array([len(one) for one in batch[row:]])
                self._integers(np.concatenate(batch[row:]), lengths, position + row)
                yield
                return
            else:
                batch[row:] = [_list(batch[i], position + i) for i in range(row, len(batch))]

    def _items(self, batch: list[Any], position: int, valid: np.ndarray = ALL) -> None:
        """Number any hashable items; `position` is that of the first sequence."""
        rows: dict[Any, int] = {}
        numbers: list[int] = []
        for number, items in enumerate(batch, position):
            try:  # of equal items of two types, such as 1 and True, each has its own label
                numbers.extend(
                    [rows.setdefault(item if type(item) in PLAIN else (type(item), item), len(rows)) for item in items]
                )
            except TypeError as error:
                raise ArgumentError(f"sequence {number} of the source: items must be hashable ({error})") from None
        found = np.array(numbers, np.uint32)
        labels, kinds = [], bytearray()
        for key in rows:
            item = key[1] if type(key) not in PLAIN else key
            label, kind = str(item), OTHER
            if isinstance(item, str) and item == label:
                kind = TEXT
            elif isinstance(item, (int, np.integer)) and label == str(int(item)):
                kind = INTEGER
            elif item is not None and (seen := self.others.setdefault(label, item)) != item:
                raise _clash(label, repr(seen), repr(item))
            labels.append(label)
            kinds.append(kind)
        if None in rows:
            valid = found != rows[None]
        data, starts = _strings(labels)
        lengths = np.array([len(items) for items in batch])
        self.reader.numbers(found, data, starts, bytes(kinds), valid, np.cumsum(lengths, dtype=np.int64))

    def _integers(self, values: np.ndarray, lengths: np.ndarray, position: int, valid: np.ndarray = ALL) -> None:
        ends = np.cumsum(lengths, dtype=np.int64)
        if values.dtype == np.uint64 and len(values) and values.max() > np.iinfo(np.int64).max:
            self._items([part.tolist() for part in np.split(values, ends)[:-1]], position, valid)
        else:
            self.reader.integers(np.ascontiguousarray(values, np.int64), valid, ends)

    def _lists(self, lists: Any, position: int) -> None:
        """Number the items of an Arrow array of lists, the first one the source's `position`-th."""
        import pyarrow as pa
        import pyarrow.compute as pc

        values = lists.flatten()
        lengths = filled_view(pc.call_function("list_value_length", [lists]), 0)
        if pa.types.is_fixed_size_list(lists.type):  # whose nulls have places, too
            lengths = np.where(number_view(lists.is_valid()), lists.type.list_size, 0)
        ends = np.cumsum(lengths, dtype=np.int64)
        valid = number_view(values.is_valid()) if values.null_count else ALL
        if pa.types.is_dictionary(values.type):
            dictionary = values.dictionary
            kinds = bytes([TEXT]) * len(dictionary)
            if pa.types.is_integer(dictionary.type):
                dictionary, kinds = pc.cast(dictionary, pa.string()), bytes([INTEGER]) * len(dictionary)
            if (text := _text(dictionary)) is not None and not dictionary.null_count:
                numbers = filled_view(values.indices, 0).astype(np.uint32)
                self.reader.numbers(numbers, *text, kinds, valid, ends)
                return
            values = values.dictionary_decode()
        if (text := _text(values)) is not None:
            self.reader.strings(*text, valid, ends)
        elif pa.types.is_integer(values.type):
            self._integers(filled_view(values, 0), lengths, position, valid)
        else:
            self._items([row or [] for row in lists.to_pylist()], position)


def _list(items: Any, position: int) -> list[Any]:
    """A sequence of items as a list."""
    if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
        what = "a string" if isinstance(items, (str, bytes)) else type(items).__name__
        raise ArgumentError(
            f"sequence {position} of the source is {what}; a list of tokens is expected, such as {['the', 'cat']}"
        )
    return items.tolist() if isinstance(items, np.ndarray) else list(items)


def _not_text(error: UnicodeEncodeError) -> ArgumentError:
    return ArgumentError(f"item {error.object!r:.60} is not valid text ({error.reason})")


def _clash(label: str, first: str, second: str) -> ArgumentError:
    return ArgumentError(
        f"two different items have the same label {label!r}: {first} and {second}; make them strings that differ"
    )


def _arrow(source: Any) -> Any:
    """The chunks of an Arrow array of lists, or of what hands one over; None for anything else."""
    if not is_arrow(source) or getattr(source, "dtype", None) == np.object_:  # pandas: lists as Python has them
        return None
    import pyarrow as pa

    if hasattr(source, "to_arrow"):  # polars, which otherwise gives views of strings
        source = source.to_arrow()
    array = source if isinstance(source, pa.ChunkedArray) else None
    if array is None:
        array = (
            pa.chunked_array(source) if hasattr(source, "__arrow_c_stream__") else pa.chunked_array([pa.array(source)])
        )
    if not is_list(array.type):
        raise ArgumentError(f"source must be a column of lists; got one of {str(array.type)[:60]}")
    return array.chunks


def is_arrow(source: Any) -> bool:
    """Whether an object can hand over Arrow arrays."""
    return hasattr(source, "__arrow_c_array__") or hasattr(source, "__arrow_c_stream__")


def is_list(type: Any) -> bool:
    """Whether an Arrow type is that of lists."""
    import pyarrow as pa

    return pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type)


def _text(values: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Bytes and starts of an Arrow array of strings; None if it is another one."""
    import pyarrow as pa

    if values.type == pa.large_string():
        offset = np.int64
    elif values.type == pa.string():
        offset = np.int32
    else:
        return None
    _, starts, data = values.buffers()
    if not len(values):
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    starts = np.frombuffer(starts, offset)[values.offset : values.offset + len(values) + 1]
    return np.frombuffer(data or b"", np.uint8), starts.astype(np.int64, copy=False)


def _strings(labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Bytes and starts of a list of strings."""
    try:
        encoded = [label.encode() for label in labels]
    except UnicodeEncodeError as error:
        raise _not_text(error) from None
    starts = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), starts
