"""The ladder: from multiply-accumulate to attention, each rung a few lines over the one below.

Written once over the array API standard: arrays of numpy, JAX, torch, CuPy and others alike, and of that library comes the
result. Functions of their arguments alone, so `jax.jit`, `jax.grad`, `jax.vmap` and torch's autograd go through them.

Lists count as arrays of their companions' library, numpy if there is none. Integers count as floats of the library's default
type. Half precision (float16, bfloat16) is multiplied and summed in float32, and the result is half precision again.

J. Dongarra et al., Python array API standard, 2024.12, https://data-apis.org/array-api/.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from array_api_compat import array_namespace, device, is_array_api_obj

from firth._check import ArgumentError, ShapeError, check_choice, check_int

Array = Any  # of any library that follows the standard
Activation = Literal["identity", "relu", "tanh", "sigmoid", "gelu"]
SIMILARITIES = ("dot", "cosine", "scaled", "euclidean")
REAL = ("float", "int", "bool")  # in the names of types that are taken
NARROW = ("float16", "float8", "float4")  # in the names of types whose sums are kept in float32; bfloat16 is among them


def dot(x: Array, y: Array) -> Array:
    """Sum the products of what stands in the same place: d multiply-accumulates.

    Parameters
    ----------
    x, y : (..., d)
        Axes before the last are broadcast.

    Returns
    -------
    (...)
        2 d operations each: d products, d sums.

    Raises
    ------
    ShapeError
        If x and y disagree on d, or cannot be broadcast.

    Examples
    --------
    >>> float(dot([1, 2, 3], [4, 5, 6]))
    32.0
    """
    xp, (x, y), dtype = _floats(x=x, y=y)
    _check_last("x", x, "y", y)
    return xp.astype(xp.vecdot(x, y), dtype, copy=False)


def matmul(a: Array, b: Array) -> Array:
    """Multiply matrices: the dot product of every row of a with every column of b.

    Parameters
    ----------
    a : (..., n, d)
    b : (..., d, m)

    Returns
    -------
    (..., n, m)
        2 n d m operations.

    Raises
    ------
    ShapeError
        If the columns of a do not match the rows of b.

    Examples
    --------
    >>> matmul([[1, 2]], [[3, 4], [5, 6]]).tolist()
    [[13.0, 16.0]]
    """
    xp, (a, b), dtype = _floats(a=a, b=b)
    _check_axes("a", a, 2)
    _check_axes("b", b, 2)
    _check_product("a", a, "b", b)
    return xp.astype(xp.matmul(a, b), dtype, copy=False)


def cosine(x: Array, y: Array) -> Array:
    """Compare directions: the dot product of x and y at length 1, in -1..1. That of a vector of zeros is 0.

    6 d operations, two thirds of them for the lengths.

    Parameters
    ----------
    x, y : (..., d)
        As in `dot`. Their squares may be too large or too small for the type.

    Examples
    --------
    >>> float(cosine([3, 4], [30, 40])), float(cosine([3, 4], [0, 0]))
    (1.0, 0.0)
    """
    xp, (x, y), dtype = _floats(x=x, y=y)
    _check_last("x", x, "y", y)
    return xp.astype(xp.vecdot(_unit(xp, x), _unit(xp, y)), dtype, copy=False)


def scaled_dot(x: Array, y: Array) -> Array:
    """The dot product over sqrt(d): of independent numbers of variance 1 it has variance 1, whatever d is.

    Parameters
    ----------
    x, y : (..., d)
        As in `dot`.

    Notes
    -----
    A. Vaswani et al.: Attention is all you need. 2017, section 3.2.1.

    Examples
    --------
    >>> float(scaled_dot([1, 1, 1, 1], [1, 2, 3, 4]))
    5.0
    """
    xp, (x, y), dtype = _floats(x=x, y=y)
    _check_last("x", x, "y", y)
    return xp.astype(xp.vecdot(x, y) / math.sqrt(x.shape[-1]), dtype, copy=False)


def similarity(x: Array, y: Array, metric: Literal["dot", "cosine", "scaled", "euclidean"] = "dot") -> Array:
    """Compare every x with every y: one matrix product, whatever the metric.

    Parameters
    ----------
    x : (..., n, d)
    y : (..., m, d)
    metric
        "dot", "cosine", "scaled" (dot / sqrt(d)) or "euclidean" (minus the distance, so that larger is nearer).

    Returns
    -------
    (..., n, m)
        2 n m d operations, and some n m.

    Notes
    -----
    Euclidean distances come of |x|² + |y|² - 2 x.y: those much smaller than |x| lose digits, a distance of 0 may come out as
    |x| sqrt(eps).

    Examples
    --------
    >>> similarity([[3, 4]], [[3, 4], [4, 3]], "cosine").round(3).tolist()
    [[1.0, 0.96]]
    """
    check_choice("metric", metric, SIMILARITIES)
    xp, (x, y), dtype = _floats(x=x, y=y)
    _check_axes("x", x, 2, "; for single vectors there are dot, cosine and scaled_dot")
    _check_axes("y", y, 2, "; for single vectors there are dot, cosine and scaled_dot")
    if x.shape[-1] != y.shape[-1]:
        raise ShapeError(f"x and y must agree on d, the last axis; got {_told(x)} and {_told(y)}")
    _check_broadcast("x", x, "y", y, 2)
    if metric == "cosine":
        x, y = _unit(xp, x), _unit(xp, y)
    scores = xp.matmul(x, xp.matrix_transpose(y))  # (..., n, d) x (..., d, m) -> (..., n, m)
    if metric == "scaled":
        scores = scores / math.sqrt(x.shape[-1])
    if metric == "euclidean":
        squares = xp.vecdot(x, x)[..., :, None] + xp.vecdot(y, y)[..., None, :] - 2 * scores
        apart = squares > 0  # the root has no slope at 0; there 1 stands in
        scores = xp.where(apart, -xp.sqrt(xp.where(apart, squares, xp.ones_like(squares))), xp.zeros_like(squares))
    return xp.astype(scores, dtype, copy=False)


def neuron(
    x: Array, weights: Array, bias: Array = 0.0, activation: Activation | Callable[[Array], Array] = "relu"
) -> Array:
    """A neuron: a dot product with its weights, a bias, a bend.

    Parameters
    ----------
    x : (..., d)
    weights : (d,)
    bias
        A number.
    activation
        "relu", "tanh", "sigmoid", "gelu" (by tanh, as in GPT-2; Hendrycks and Gimpel 2016), "identity", or a function.

    Returns
    -------
    (...)
        2 d + 1 operations and the bend.

    Examples
    --------
    >>> float(neuron([1, 2], [3, 4], -1))
    10.0
    """
    bend = _activation(activation)
    xp, (x, weights, bias), dtype = _floats(x=x, weights=weights, bias=bias)
    _check_axes("weights", weights, 1, exactly=True)
    _check_last("x", x, "weights", weights)
    if bias.ndim:
        raise ShapeError(f"bias must be one number; got {_told(bias)}; many neurons are a layer")
    return xp.astype(bend(xp.vecdot(x, weights) + bias), dtype, copy=False)


def layer(
    x: Array, weights: Array, bias: Array | None = None, activation: Activation | Callable[[Array], Array] = "relu"
) -> Array:
    """A layer: m neurons at once, whose weights are the columns of a matrix. Of many x it is one matrix product.

    Parameters
    ----------
    x : (..., d)
    weights : (d, m)
    bias : (m,)
        By default none.
    activation
        As in `neuron`.

    Returns
    -------
    (..., m)
        2 d m operations each, m for the biases, and the bends.

    Examples
    --------
    >>> layer([[1, 2]], [[1, -1], [1, -1]], [0.5, 0.5]).tolist()
    [[3.5, 0.0]]
    """
    bend = _activation(activation)
    given = {"x": x, "weights": weights} | ({} if bias is None else {"bias": bias})
    xp, (x, weights, *biases), dtype = _floats(**given)
    _check_axes("x", x, 1)
    _check_axes("weights", weights, 2, exactly=True)
    if x.shape[-1] != weights.shape[0]:
        raise ShapeError(f"the columns of x must match the rows of weights; got {_told(x)} and {_told(weights)}")
    sums = xp.matmul(x, weights)  # (..., d) x (d, m) -> (..., m)
    if biases:
        if biases[0].shape != weights.shape[1:]:
            raise ShapeError(f"bias must be one number a neuron, {weights.shape[1]}; got {_told(biases[0])}")
        sums = sums + biases[0]
    return xp.astype(bend(sums), dtype, copy=False)


def softmax(scores: Array, *, axis: int = -1) -> Array:
    """Turn scores into shares that sum to 1: exp(s) over the sum of all exp(s).

    The largest score is taken off first, so that no exponential overflows. Of scores that are all -inf the shares are 0.

    Parameters
    ----------
    scores
        Of any shape.
    axis
        Along which shares sum to 1.

    Examples
    --------
    >>> softmax([1000.0, 1000.0, -1000.0]).tolist()
    [0.5, 0.5, 0.0]
    """
    xp, (scores,), dtype = _floats(scores=scores)
    check_int("axis", axis, -scores.ndim, scores.ndim - 1, meaning="the axes of scores")
    return xp.astype(_softmax(xp, scores, axis), dtype, copy=False)


def attention(
    queries: Array,
    keys: Array,
    values: Array,
    *,
    mask: Array | None = None,
    causal: bool = False,
    heads: int = 1,
    scale: float | None = None,
) -> Array:
    """Look values up by the likeness of queries and keys: each query gets the mean of the values, weighted by softmax.

    A soft look-up: with one key its value, with a huge scale the value of the nearest key (top-1), with queries of zeros the
    plain mean. 2 q n (d + e) operations and a softmax of h q n scores.

    Parameters
    ----------
    queries : (..., q, d)
    keys : (..., n, d)
    values : (..., n, e)
    mask : (..., q, n)
        Booleans that are broadcast: true where a query may see a key. The same for all heads.
    causal
        Queries are the last q of n places, and see no key after their own.
    heads
        d and e are cut into so many equal parts, each of which attends by itself; side by side they are the result.
    scale
        Scores are the dot products times this; by default 1 / sqrt(d), d that of a head.

    Returns
    -------
    (..., q, e)
        Zeros for a query that may see no key.

    Raises
    ------
    ShapeError
        If queries and keys disagree on d, keys and values on n, or heads do not divide d and e.

    Notes
    -----
    A. Vaswani et al.: Attention is all you need. 2017, equation 1.

    Examples
    --------
    >>> attention([[10.0, 0.0]], [[10.0, 0.0], [0.0, 10.0]], [[1.0], [2.0]]).round(6).tolist()
    [[1.0]]
    """
    xp, (queries, keys, values), dtype = _floats(queries=queries, keys=keys, values=values)
    for name, array in (("queries", queries), ("keys", keys), ("values", values)):
        _check_axes(name, array, 2)
    if queries.shape[-1] != keys.shape[-1]:
        raise ShapeError(f"queries and keys must agree on d, the last axis; got {_told(queries)} and {_told(keys)}")
    if keys.shape[-2] != values.shape[-2]:
        raise ShapeError(f"keys and values must agree on n, a value a key; got {_told(keys)} and {_told(values)}")
    _check_broadcast("queries", queries, "keys", keys, 2)
    _check_broadcast("keys", keys, "values", values, 2)
    check_int("heads", heads, 1)
    for name, array in (("d", queries), ("e", values)):
        if array.shape[-1] % heads:
            raise ShapeError(f"heads must divide {name}; got {heads} heads and {name} = {array.shape[-1]}")

    q, n, d = queries.shape[-2], keys.shape[-2], queries.shape[-1] // heads
    queries, keys, values = (
        _split(xp, array, heads) for array in (queries, keys, values)
    )  # (..., t, d) -> (..., h, t, d/h)
    scale = 1 / math.sqrt(d) if scale is None else scale
    scores = xp.matmul(queries * scale, xp.matrix_transpose(keys))  # (..., h, q, d) x (..., h, d, n) -> (..., h, q, n)
    allowed = None
    if causal:
        places = xp.arange(max(q, n), device=device(scores))
        allowed = places[None, :n] <= places[:q, None] + (n - q)
    if mask is not None:
        mask = _mask(xp, mask, (q, n), scores)
        allowed = mask if allowed is None else xp.logical_and(allowed, mask)
    if allowed is not None:
        scores = xp.where(allowed, scores, xp.full_like(scores, -math.inf))
    mixed = xp.matmul(_softmax(xp, scores, -1), values)  # (..., h, q, n) x (..., h, n, e) -> (..., h, q, e)
    return xp.astype(_join(xp, mixed), dtype, copy=False)  # -> (..., q, h e)


def one_hot(rows: Array, n: int, *, dtype: Any = None) -> Array:
    """Write each row number as a vector of n numbers: 1 in its own place, 0 elsewhere.

    One-hot vectors are orthonormal keys: their dot product is 1 for equal numbers, 0 for others. So one-hot x table is a look-up
    by key, what a hash map does, written as a matrix product: see `lookup`.

    Parameters
    ----------
    rows : (...)
        Whole numbers in 0..n - 1. Within `jax.jit`, where they cannot be looked at, others give zeros.
    n
        How many there are.
    dtype
        By default the library's default floating type.

    Returns
    -------
    (..., n)

    Examples
    --------
    >>> one_hot([2, 0], 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    check_int("n", n, 1)
    xp, rows = _row_numbers(rows, n)
    hot = rows[..., None] == xp.arange(n, dtype=rows.dtype, device=device(rows))  # (..., 1) with (n,) -> (..., n)
    return xp.astype(hot, xp.asarray(0.0).dtype if dtype is None else dtype)


def lookup(table: Array, rows: Array) -> Array:
    """Take rows of a table by number: `matmul(one_hot(rows, n), table)` without the 2 n d operations a row.

    Parameters
    ----------
    table : (n, d)
    rows : (...)
        As in `one_hot`; others give what the library's `take` gives within `jax.jit`.

    Returns
    -------
    (..., d)
        No operation at all: d numbers are read and written.

    Raises
    ------
    ArgumentError
        If a row is not in the table.

    Examples
    --------
    >>> lookup([[1, 2], [3, 4], [5, 6]], [2, 0]).tolist()
    [[5, 6], [1, 2]]
    """
    xp, (table, rows) = _arrays(table=table, rows=rows)
    _check_axes("table", table, 2, exactly=True)
    xp, rows = _row_numbers(rows, table.shape[0])
    taken = xp.take(table, xp.reshape(rows, (-1,)), axis=0)
    return xp.reshape(taken, (*rows.shape, table.shape[1]))


# What the rungs share


def _softmax(xp: Any, scores: Array, axis: int) -> Array:
    largest = xp.max(scores, axis=axis, keepdims=True)
    # -inf - -inf is NaN: where nothing may be seen, 0 is taken off, and all exponentials are 0.
    largest = xp.where(largest == -math.inf, xp.zeros_like(largest), largest)
    shares = xp.exp(scores - largest)
    total = xp.sum(shares, axis=axis, keepdims=True)
    return shares / xp.where(total == 0, xp.ones_like(total), total)


def _unit(xp: Any, x: Array) -> Array:
    """Vectors at length 1; zeros stay zeros. The largest number is divided by first, lest squares overflow or vanish."""
    largest = xp.max(xp.abs(x), axis=-1, keepdims=True)
    some = largest != 0  # and NaN goes through
    x = x / xp.where(some, largest, xp.ones_like(largest))
    squares = xp.sum(x * x, axis=-1, keepdims=True)
    return x / xp.sqrt(xp.where(some, squares, xp.ones_like(squares)))


def _activation(activation: Any) -> Callable[[Array], Array]:
    if callable(activation):
        return activation
    return BENDS[check_choice("activation", activation, tuple(BENDS))]


def _relu(x: Array) -> Array:
    xp = array_namespace(x)
    return xp.maximum(x, xp.zeros_like(x))


def _tanh(x: Array) -> Array:
    return array_namespace(x).tanh(x)


def _sigmoid(x: Array) -> Array:
    return 0.5 + 0.5 * _tanh(0.5 * x)  # 1 / (1 + exp(-x)), which would overflow


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + _tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


BENDS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda x: x,
    "relu": _relu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "gelu": _gelu,
}


def _split(xp: Any, array: Array, heads: int) -> Array:
    """(..., t, h d) -> (..., h, t, d)."""
    array = xp.reshape(array, (*array.shape[:-1], heads, array.shape[-1] // heads))
    return xp.moveaxis(array, -2, -3)


def _join(xp: Any, array: Array) -> Array:
    """(..., h, t, d) -> (..., t, h d)."""
    array = xp.moveaxis(array, -3, -2)
    return xp.reshape(array, (*array.shape[:-2], array.shape[-2] * array.shape[-1]))


# Arrays as they come


def _arrays(**given: Any) -> tuple[Any, list[Array]]:
    """The namespace of arrays, and the arrays; lists become arrays of it, on the same device."""
    arrays = [array for array in given.values() if is_array_api_obj(array)]
    if not arrays:
        import numpy as np

        arrays = [np.empty(0)]
    try:
        xp = array_namespace(*arrays)
    except TypeError:
        kinds = " and ".join(dict.fromkeys(type(array).__module__.partition(".")[0] for array in arrays))
        raise ArgumentError(f"{_names(given)} must be arrays of one library; got {kinds}") from None
    where = device(arrays[0]) if len(arrays) < len(given) else None
    made = []
    for name, array in given.items():
        try:
            made.append(array if is_array_api_obj(array) else xp.asarray(array, device=where))
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"{name} must be an array of numbers: {str(error).splitlines()[0]}") from None
    return xp, made


def _floats(**given: Any) -> tuple[Any, list[Array], Any]:
    """The namespace, the arrays in the type to compute in (at least float32), and the type of the result."""
    xp, arrays = _arrays(**given)
    plain = xp.asarray(0.0).dtype
    for name, array in zip(given, arrays, strict=True):
        if not any(kind in str(array.dtype) for kind in REAL):
            raise ArgumentError(f"{name} must be real numbers; got {array.dtype}")
    # Numbers and lists follow the arrays' type, as a Python number does in the standard.
    own = [array for array, name in zip(arrays, given, strict=True) if is_array_api_obj(given[name])] or arrays
    kinds = [array.dtype for array in own if "float" in str(array.dtype)] or [plain]
    dtype = xp.result_type(*kinds)
    wide = xp.float32 if any(name in str(dtype) for name in NARROW) else dtype
    return xp, [xp.astype(array, wide, copy=False) for array in arrays], dtype


def _row_numbers(rows: Any, n: int) -> tuple[Any, Array]:
    xp, (rows,) = _arrays(rows=rows)
    if "int" not in str(rows.dtype):
        raise ArgumentError(f"rows must be whole numbers in 0..{n - 1}; got {rows.dtype}")
    try:
        wrong = 0 not in rows.shape and bool(xp.any((rows < 0) | (rows >= n)))
    except (TypeError, RuntimeError):  # traced by jax.jit or mapped by torch: there is nothing to look at yet
        wrong = False
    if wrong:
        low, high = int(xp.min(rows)), int(xp.max(rows))
        raise ArgumentError(f"rows must be in 0..{n - 1}; got {low if low < 0 else high}")
    return xp, rows


def _mask(xp: Any, mask: Array, shape: tuple[int, int], scores: Array) -> Array:
    """A mask that goes with scores (..., h, q, n)."""
    own = is_array_api_obj(mask) and array_namespace(mask) is xp  # not a list, nor numpy's among others' arrays
    mask = mask if own else xp.asarray(mask, device=device(scores))
    if "bool" not in str(mask.dtype):
        raise ArgumentError(f"mask must be booleans, true where a query may see a key; got {mask.dtype}")
    wanted = (*scores.shape[:-3], *shape)
    tail = mask.shape[-len(wanted) :]
    if mask.ndim > len(wanted) or any(a not in (1, b) for a, b in zip(tail[::-1], wanted[::-1], strict=False)):
        raise ShapeError(f"mask must go with {wanted}, queries by keys; got {_told(mask)}")
    return mask[..., None, :, :] if mask.ndim > 2 else mask


# Checks


def _told(array: Array) -> str:
    return str(tuple(array.shape))


def _names(given: dict[str, Any]) -> str:
    return " and ".join(given)


def _check_axes(name: str, array: Array, axes: int, hint: str = "", *, exactly: bool = False) -> None:
    if array.ndim < axes or (exactly and array.ndim > axes):
        what = f"{axes} {'axis' if axes == 1 else 'axes'}" + ("" if exactly else " or more")
        raise ShapeError(f"{name} must have {what}; got {_told(array)}{hint}")


def _check_last(name: str, x: Array, other: str, y: Array) -> None:
    _check_axes(name, x, 1)
    _check_axes(other, y, 1)
    if x.shape[-1] != y.shape[-1]:
        raise ShapeError(f"{name} and {other} must agree on d, the last axis; got {_told(x)} and {_told(y)}")
    _check_broadcast(name, x, other, y, 1)


def _check_product(name: str, a: Array, other: str, b: Array) -> None:
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"the columns of {name} must match the rows of {other}; got {_told(a)} and {_told(b)}:"
            f" {a.shape[-1]} columns, {b.shape[-2]} rows"
        )
    _check_broadcast(name, a, other, b, 2)


def _check_broadcast(name: str, x: Array, other: str, y: Array, own: int) -> None:
    """The axes before the last `own` ones are equal, or 1, or missing."""
    pairs = zip(x.shape[:-own][::-1], y.shape[:-own][::-1], strict=False)
    if any(a != b and 1 not in (a, b) for a, b in pairs):
        last = "the last" if own == 1 else f"the last {own}"
        raise ShapeError(
            f"{name} and {other} must agree on the axes before {last}, or have 1 there; got {_told(x)} and {_told(y)}"
        )
