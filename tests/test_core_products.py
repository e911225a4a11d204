"""The core's products of narrow numbers, against numpy."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from firth import _core


def test_codes_of_eight_bits_are_multiplied_exactly():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-128, 128, shape).astype(np.int8) for shape in ((50, 77), (77, 40)))
    out = np.empty((50, 40), np.int32)
    _core.int8_product(a, b, out, 2)
    np.testing.assert_array_equal(out, a.astype(np.int32) @ b.astype(np.int32))
    with pytest.raises(ValueError, match="shapes do not agree"):
        _core.int8_product(a, b, out.T.copy(), 1)


def test_bfloat16_is_summed_in_float32():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(ml_dtypes.bfloat16) for shape in ((50, 77), (77, 40)))
    out = np.empty((50, 40), np.float32)
    _core.bfloat16_product(a.view(np.uint16), b.view(np.uint16), out, 2)
    # sums of 77 products of size 1 in float32
    np.testing.assert_allclose(out, a.astype(np.float64) @ b.astype(np.float64), atol=77 * 8 * np.finfo(np.float32).eps)
