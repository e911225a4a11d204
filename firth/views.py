"""Arrow's memory as numpy arrays. pyarrow's own `to_numpy` and `fill_null` import pandas, which takes long and loses a Ctrl-C."""

from __future__ import annotations

from typing import Any

import numpy as np


def number_view(array: Any) -> np.ndarray:
    """A view of an Arrow array of numbers, a copy of one of booleans; what stands in the place of a null may be anything.

    >>> import pyarrow as pa
    >>> number_view(pa.array([1.0, 2.0, 3.0])[1:]), number_view(pa.array([True, False]))
    (array([2., 3.]), array([ True, False]))
    """
    name, start, end = str(array.type), array.offset, array.offset + len(array)
    if name == "bool":
        bits = np.frombuffer(array.buffers()[1] or b"", np.uint8)[start // 8 : -(-end // 8)]
        return np.unpackbits(bits, bitorder="little")[start % 8 :][: len(array)].view(np.bool_)
    kind = np.dtype({"halffloat": "float16", "float": "float32", "double": "float64"}.get(name, name))
    return np.frombuffer(array.buffers()[1] or b"", kind)[start:end]


def filled_view(array: Any, missing: float) -> np.ndarray:
    """The same, with a number in the place of nulls; a copy where there are any.

    >>> import pyarrow as pa
    >>> filled_view(pa.array([1, None, 3]), 0)
    array([1, 0, 3])
    """
    numbers = number_view(array)
    return np.where(number_view(array.is_valid()), numbers, missing) if array.null_count else numbers
