"""Arrays as they come - numpy, bfloat16, torch, JAX, CuPy, Arrow, anything with DLPack - and the vectors made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from firth import _core
from firth._check import ArgumentError, ShapeError, available_threads
from firth.views import number_view


def as_array(name: str, array: Any) -> np.ndarray:
    """Return `array` as a numpy array of real numbers; not copied where it lies in memory as one already.

    Takes what numpy takes; bfloat16 and the other small floats of ml_dtypes, as JAX gives them; tensors of torch, on any
    device, with a gradient or without; arrays of CuPy; Arrow arrays and columns of fixed-size lists; all else by DLPack.

    Raises
    ------
    ArgumentError
        If it does not hold numbers, or an Arrow array lacks some.

    Examples
    --------
    >>> as_array("keys", [[1, 2]])
    array([[1, 2]])
    """
    if hasattr(array, "detach"):  # torch: numpy knows neither gradients nor other devices nor torch's bfloat16
        array = array.detach().cpu()
        array = array.float() if str(array.dtype) == "torch.bfloat16" else array
    elif hasattr(array, "__cuda_array_interface__") and hasattr(array, "get"):  # CuPy copies when asked, never unasked
        array = array.get()
    elif hasattr(array, "type") and hasattr(array.type, "list_size"):
        array = _fixed_size_lists(name, array)
    elif hasattr(array, "__dlpack__") and not hasattr(array, "__array__"):
        array = np.from_dlpack(array)
    try:
        array = np.asarray(array)
    except (TypeError, ValueError) as error:  # rows of different lengths, a library that refuses
        raise ArgumentError(f"{name} must be an array of numbers: {str(error).splitlines()[0]}") from None
    if array.dtype.kind == "V" and np.can_cast(array.dtype, np.float32):  # types that ml_dtypes taught numpy
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        raise ArgumentError(f"{name} must be numbers; got an array of {array.dtype}")
    return array


def as_vectors(name: str, array: Any, *, keep_float64: bool = False) -> np.ndarray:
    """Return `array` as finite vectors (n, d) of float32, or float64 if they come so and that is wanted.

    Not copied where they are contiguous float32 already, a memory map included.
    """
    array = as_array(name, array)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ShapeError(f"{name} must have the shape (n, d), d at least 1; got {array.shape}")
    wide = keep_float64 and array.dtype.itemsize > 4
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array, dtype=np.float64 if wide else np.float32)
    if not (np.isfinite(numbers).all() if wide else _core.all_finite(numbers, available_threads())):
        row, column = np.argwhere(~np.isfinite(numbers))[0].tolist()
        raise ArgumentError(f"{name} must be finite; row {row}, dimension {column} is {array[row, column]}")
    return numbers


def as_mask(name: str, array: Any, n: int) -> np.ndarray:
    """Return `array` as n booleans."""
    mask = np.asarray(array)
    if mask.dtype != np.bool_ or mask.shape != (n,):
        raise ShapeError(f"{name} must be {n} booleans, one for each row; got {mask.dtype} {mask.shape}")
    return np.ascontiguousarray(mask)


def _fixed_size_lists(name: str, array: Any) -> np.ndarray:
    """Arrow's fixed-size lists as (n, d)."""
    if hasattr(array, "chunks"):
        array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
    values = array.flatten()
    if array.null_count or values.null_count:
        raise ArgumentError(f"{name} must be numbers; an Arrow value is missing: fill it or leave its row out")
    return number_view(values).reshape(len(array), array.type.list_size)
