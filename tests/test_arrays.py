"""firth.arrays: what counts as vectors."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import firth
from firth._check import ArgumentError
from firth.arrays import as_array, as_vectors

NUMBERS = np.array([[0.5, -1.0, 3.0], [2.0, 0.25, -8.0]], np.float32)  # all exact in eight bits of mantissa


class OnlyDLPack:
    """An array of a library that numpy has never heard of."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class LikeCuPy:
    """CuPy's manners, for machines without a GPU: it refuses to be copied unasked."""

    __cuda_array_interface__ = None

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def get(self):
        return NUMBERS


class LikeTorch:
    """A bfloat16 tensor of torch, on a GPU and with a gradient: numpy gets it after these steps alone."""

    dtype = "torch.bfloat16"

    def detach(self):
        return self

    cpu = detach

    def float(self):
        return NUMBERS


@pytest.mark.parametrize(
    "given",
    [
        NUMBERS.tolist(),
        NUMBERS.astype(np.float16),
        NUMBERS.astype(np.float64),
        NUMBERS.astype(">f4"),
        np.asfortranarray(NUMBERS),
        np.repeat(NUMBERS, 2, axis=1)[:, ::2],
        NUMBERS[::-1][::-1],
        NUMBERS.astype(ml_dtypes.bfloat16),
        NUMBERS.astype(ml_dtypes.float8_e5m2),
        OnlyDLPack(NUMBERS),
        LikeCuPy(),
        LikeTorch(),
        pa.FixedSizeListArray.from_arrays(pa.array(NUMBERS.ravel()), 3),
        pa.chunked_array([pa.FixedSizeListArray.from_arrays(pa.array(row), 3) for row in NUMBERS]),
        pl.Series([*NUMBERS], dtype=pl.Array(pl.Float32, 3)),
        pa.FixedSizeListArray.from_arrays(pa.array(np.tile(NUMBERS.ravel(), 2)), 3).slice(2),
    ],
    ids=lambda given: type(given).__name__ + str(getattr(given, "dtype", "")),
)
def test_vectors_of_every_kind(given):
    found = as_vectors("keys", given)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, NUMBERS)
    np.testing.assert_array_equal(firth.top_k(given, given, 1, metric="euclidean").rows, [[0], [1]])


def test_what_lies_right_is_not_copied(tmp_path):
    assert np.shares_memory(as_vectors("keys", NUMBERS), NUMBERS)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(NUMBERS.ravel()), 3)
    assert np.shares_memory(as_vectors("keys", lists), lists.values.to_numpy())
    np.save(tmp_path / "keys.npy", NUMBERS)
    mapped = np.load(tmp_path / "keys.npy", mmap_mode="r")
    assert np.shares_memory(as_vectors("keys", mapped), mapped)


def test_one_arrow_list_is_one_query():
    np.testing.assert_array_equal(firth.top_k(pa.array([0.0, 1.0, 0.0]), NUMBERS, 1).rows, [1])


@pytest.mark.parametrize("lists", [[[1.0, 2.0], None], [[1.0, None], [2.0, 3.0]]])
def test_missing_arrow_values_are_told(lists):
    with pytest.raises(ArgumentError, match="keys must be numbers; an Arrow value is missing"):
        as_vectors("keys", pa.array(lists, pa.list_(pa.float32(), 2)))


def test_records_and_strings_are_refused():
    for given in (np.zeros(2, "V8"), np.zeros(2, [("x", "f4")]), np.array(["a"]), np.array([1j]), [None]):
        with pytest.raises(ArgumentError, match="keys must be numbers; got an array of"):
            as_array("keys", given)


def test_what_is_no_array_is_refused():
    class Refuses:
        def __array__(self, *_, **__):
            raise TypeError("not today")

    for given, message in (([[1.0], [1.0, 2.0]], "inhomogeneous"), (Refuses(), "not today")):
        with pytest.raises(ArgumentError, match=f"keys must be an array of numbers: .*{message}"):
            as_array("keys", given)


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    for tensor in (
        torch.tensor(NUMBERS),
        torch.tensor(NUMBERS, requires_grad=True),
        torch.tensor(NUMBERS).to(torch.bfloat16),
        torch.tensor(NUMBERS).half(),
        torch.tensor(NUMBERS.T.copy()).T,
    ):
        np.testing.assert_array_equal(as_vectors("keys", tensor), NUMBERS)


def test_jax_arrays():
    numpy = pytest.importorskip("jax.numpy")
    for kind in (numpy.float32, numpy.bfloat16):
        np.testing.assert_array_equal(as_vectors("keys", numpy.asarray(NUMBERS, kind)), NUMBERS)
