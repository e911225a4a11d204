"""firth.ops: the ladder, on every array library that is installed."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from array_api_compat import array_namespace
from hypothesis import given
from hypothesis import strategies as st

from firth import _check, ops

LIBRARIES = ["numpy", "array_api_strict", "jax.numpy", "torch", "cupy"]
EPS = float(np.finfo(np.float32).eps)


@pytest.fixture(params=LIBRARIES)
def xp(request):
    library = pytest.importorskip(request.param)
    if request.param != "jax.numpy":
        yield library
        return
    import jax

    with jax.default_matmul_precision("highest"):  # on a GPU the default keeps 11 bits of each factor
        yield library


def arrays(*shapes, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def back(array) -> np.ndarray:
    if hasattr(array, "get"):
        array = array.get()
    return np.asarray(array)  # of jax's on a GPU too, which numpy's from_dlpack refuses


# What each rung means, in plain numpy of float64


def softmax_plain(scores):
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def attention_plain(queries, keys, values, allowed=None, scale=None):
    out = np.zeros((len(queries), values.shape[1]))
    for i, query in enumerate(queries):
        seen = np.ones(len(keys), bool) if allowed is None else allowed[i]
        if seen.any():
            scores = keys[seen] @ query * (scale or 1 / math.sqrt(len(query)))
            out[i] = softmax_plain(scores) @ values[seen]
    return out


def cosine_plain(x, y):
    return x @ y / math.sqrt((x @ x) * (y @ y))


Q, K, V, W, B = arrays((5, 8), (7, 8), (7, 6), (8, 4), (4,))
MASK = np.random.default_rng(1).random((5, 7)) < 0.6
MASK[2] = False  # a query that may see nothing
RUNGS = {
    "dot": (lambda o, a: o.dot(a(Q[0]), a(K)), lambda f: f(K) @ f(Q[0])),
    "matmul": (lambda o, a: o.matmul(a(Q), a(W)), lambda f: f(Q) @ f(W)),
    "cosine": (lambda o, a: o.cosine(a(Q[0]), a(K[0])), lambda f: cosine_plain(f(Q[0]), f(K[0]))),
    "scaled_dot": (lambda o, a: o.scaled_dot(a(Q[0]), a(K[0])), lambda f: f(Q[0]) @ f(K[0]) / math.sqrt(8)),
    "similarity, cosine": (
        lambda o, a: o.similarity(a(Q), a(K), "cosine"),
        lambda f: np.array([[cosine_plain(x, y) for y in f(K)] for x in f(Q)]),
    ),
    "similarity, scaled": (lambda o, a: o.similarity(a(Q), a(K), "scaled"), lambda f: f(Q) @ f(K).T / math.sqrt(8)),
    "similarity, euclidean": (
        lambda o, a: o.similarity(a(Q), a(K), "euclidean"),
        lambda f: -np.linalg.norm(f(Q)[:, None] - f(K), axis=2),
    ),
    "neuron": (
        lambda o, a: o.neuron(a(Q), a(W[:, 0]), 0.5, "tanh"),
        lambda f: np.tanh(f(Q) @ f(W[:, 0]) + 0.5),
    ),
    "layer": (lambda o, a: o.layer(a(Q), a(W), a(B)), lambda f: np.maximum(f(Q) @ f(W) + f(B), 0)),
    "layer, sigmoid": (
        lambda o, a: o.layer(a(Q), a(W), activation="sigmoid"),
        lambda f: 1 / (1 + np.exp(-(f(Q) @ f(W)))),
    ),
    "softmax": (lambda o, a: o.softmax(a(Q)), lambda f: softmax_plain(f(Q))),
    "attention": (lambda o, a: o.attention(a(Q), a(K), a(V)), lambda f: attention_plain(f(Q), f(K), f(V))),
    "attention, masked": (
        lambda o, a: o.attention(a(Q), a(K), a(V), mask=a(MASK)),
        lambda f: attention_plain(f(Q), f(K), f(V), MASK),
    ),
    "attention, causal": (
        lambda o, a: o.attention(a(Q), a(K), a(V), causal=True, scale=0.7),
        lambda f: attention_plain(f(Q), f(K), f(V), np.tri(5, 7, 2, dtype=bool), 0.7),
    ),
    "attention, heads": (
        lambda o, a: o.attention(a(Q), a(K), a(V), heads=2),
        lambda f: np.hstack([
            attention_plain(f(Q)[:, :4], f(K)[:, :4], f(V)[:, :3]),
            attention_plain(f(Q)[:, 4:], f(K)[:, 4:], f(V)[:, 3:]),
        ]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("rung", RUNGS)
def test_every_library_agrees_with_the_plain_twin(xp, rung):
    run, plain = RUNGS[rung]
    result = run(ops, xp.asarray)
    assert array_namespace(result) is array_namespace(xp.asarray(Q))  # the library's own
    assert result.dtype == xp.asarray(Q).dtype
    expected = plain(lambda array: array.astype(np.float64))
    # sums of 8 products and a few functions of them; the numbers are of size 1 to 10
    np.testing.assert_allclose(back(result), expected, rtol=64 * EPS, atol=64 * EPS)


def test_leading_axes_are_batches(xp):
    q, k, v = arrays((3, 1, 5, 8), (2, 7, 8), (3, 2, 7, 6))
    mask = np.random.default_rng(2).random((2, 5, 7)) < 0.7
    a = xp.asarray
    batched = back(ops.attention(a(q), a(k), a(v), mask=a(mask), heads=2))
    assert batched.shape == (3, 2, 5, 6)
    for i in range(3):
        for j in range(2):
            alone = ops.attention(a(q[i, 0]), a(k[j]), a(v[i, j]), mask=a(mask[j]), heads=2)
            np.testing.assert_allclose(batched[i, j], back(alone), rtol=64 * EPS, atol=8 * EPS)


# Identities


def test_one_hot_times_a_table_is_a_look_up(xp):
    # A hash map in linear algebra: one-hot rows are orthonormal keys, so a dot product asks "the same key?"
    (table,) = arrays((9, 4))
    rows = np.array([[3, 0, 8], [8, 8, 1]])
    hot = ops.one_hot(xp.asarray(rows), 9, dtype=xp.float32)
    product = back(ops.matmul(hot, xp.asarray(table)))
    np.testing.assert_array_equal(product, table[rows])  # to the bit: products with 1 and 0
    np.testing.assert_array_equal(back(ops.lookup(xp.asarray(table), xp.asarray(rows))), table[rows])
    gram = back(ops.similarity(hot[0, ...], hot[0, ...]))
    np.testing.assert_array_equal(gram, np.eye(3))


def test_attention_with_a_huge_scale_is_top_1(xp):
    a = xp.asarray
    sharp = back(ops.attention(a(Q), a(K), a(V), scale=1e6))
    np.testing.assert_allclose(sharp, V[(Q @ K.T).argmax(1)], rtol=EPS)


def test_attention_over_one_hot_keys_with_a_huge_scale_is_a_look_up(xp):
    keys = ops.one_hot(xp.asarray(np.arange(7)), 7, dtype=xp.float32)
    found = ops.attention(keys[2:4, ...], keys, xp.asarray(V), scale=1e4)
    np.testing.assert_array_equal(back(found), V[2:4])


def test_attention_with_one_key_returns_its_value(xp):
    a = xp.asarray
    np.testing.assert_array_equal(back(ops.attention(a(Q), a(K[:1]), a(V[:1]))), np.repeat(V[:1], 5, axis=0))


def test_attention_of_zero_queries_is_the_mean(xp):
    a = xp.asarray
    np.testing.assert_allclose(
        back(ops.attention(a(0 * Q), a(K), a(V))), np.tile(V.mean(0), (5, 1)), rtol=32 * EPS, atol=8 * EPS
    )


def test_causal_attention_of_a_longer_cache_is_the_end_of_the_whole(xp):
    a = xp.asarray
    whole = back(ops.attention(a(K), a(K), a(V), causal=True))
    np.testing.assert_array_equal(whole[0], V[0])  # the first sees itself alone
    np.testing.assert_allclose(back(ops.attention(a(K[5:]), a(K), a(V), causal=True)), whole[5:], rtol=32 * EPS)
    assert np.all(
        back(ops.attention(a(K), a(K[:2]), a(V[:2]), causal=True))[:5] == 0
    )  # five queries come before any key


def test_a_layer_is_its_neurons(xp):
    a = xp.asarray
    rows = [back(ops.neuron(a(Q), a(W[:, j]), float(B[j]), "gelu")) for j in range(4)]
    np.testing.assert_allclose(
        back(ops.layer(a(Q), a(W), a(B), "gelu")), np.stack(rows, 1), rtol=32 * EPS, atol=8 * EPS
    )


# Numerical safety


def test_softmax_neither_overflows_nor_forgets_nan(xp):
    scores = xp.asarray(np.array([[3e38, 3e38], [-1e38, 1e38], [-np.inf, 0], [-np.inf, -np.inf]], np.float32))
    np.testing.assert_array_equal(back(ops.softmax(scores)), [[0.5, 0.5], [0, 1], [0, 1], [0, 0]])
    assert np.isnan(back(ops.softmax(xp.asarray(np.array([np.nan, 1], np.float32))))).all()


def test_cosine_of_huge_tiny_and_zero_vectors(xp):
    x = np.array([[3, 4], [4, 3], [0, 0]], np.float32)
    for size in (1e-30, 1, 1e30):  # of the smallest and the largest the squares are out of range
        scaled = xp.asarray(x * np.float32(size))
        assert back(ops.cosine(scaled[0, ...], scaled[1, ...])) == pytest.approx(0.96, rel=1e-5)
    assert back(ops.cosine(xp.asarray(x[2]), xp.asarray(x[0]))) == 0
    assert np.isnan(back(ops.cosine(xp.asarray(np.array([np.nan, 1], np.float32)), xp.asarray(x[0]))))


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("library", ["numpy", "jax.numpy", "torch"])
def test_half_precision_accumulates_in_float32(library, kind):
    xp = pytest.importorskip(library)
    dtype = getattr(xp, np.dtype(kind).name, kind)
    ones = xp.ones(5000, dtype=dtype)
    summed = ops.dot(ones, ones)  # in float16 itself, sums of ones end at 2048; in bfloat16 at 256
    assert summed.dtype == ones.dtype
    assert float(summed) == float(np.asarray(5000).astype(kind))
    assert float(ops.matmul(ones[None, :], ones[:, None])[0, 0]) == float(summed)
    big = xp.full((1, 2), 300.0, dtype=dtype)  # whose squares float16 has no room for
    assert float(ops.attention(big, big, big)[0, 0]) == float(big[0, 0])


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_matmul_is_the_dot_of_rows_and_columns(n, d, m, seed):
    a, b = arrays((n, d), (d, m), seed=seed, dtype=np.float64)
    np.testing.assert_allclose(ops.matmul(a, b), ops.dot(a[:, None, :], b.T), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ops.similarity(a, b.T), ops.matmul(a, b), rtol=1e-12, atol=1e-12)


# Through JAX and torch

FUNCTIONS = {
    "cosine": lambda w: ops.cosine(w[0], w[1]),
    "scaled_dot": lambda w: ops.scaled_dot(w[0], w[1]),
    "euclidean": lambda w: ops.similarity(w[:2], w[2:], "euclidean"),
    "neuron": lambda w: ops.neuron(w, w[0], w[0, 0], "sigmoid"),
    "layer": lambda w: ops.layer(w, w[:, :3], w[0, :3], "gelu"),
    "softmax": lambda w: ops.softmax(w) ** 2,
    "attention": lambda w: ops.attention(w, w * 2, w * w, causal=True, heads=2),
    "masked": lambda w: ops.attention(w, w, w, mask=np.zeros((4, 4), bool)) + w,  # nothing seen: no NaN in gradients
    "lookup": lambda w: ops.lookup(w, [1, 1, 3]) ** 2,
    "matmul": lambda w: ops.matmul(w, [[1.0], [0.0], [2.0], [0.0]]) ** 2,
}


def differences(function, at, step=1e-5):
    """Central differences in float64: errors of step² and eps / step."""
    slope = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        moved = at.copy()
        moved[place] += step
        up = function(moved)
        moved[place] -= 2 * step
        slope[place] = (up - function(moved)) / (2 * step)
    return slope


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_of_jax_agree_with_central_differences(name):
    jax = pytest.importorskip("jax")
    (at,) = arrays((4, 4), dtype=np.float64)

    def total(w):
        return FUNCTIONS[name](w).sum()

    with jax.enable_x64():
        slope = jax.jit(jax.grad(total))(jax.numpy.asarray(at))
        assert slope.dtype == np.float64
        np.testing.assert_allclose(np.asarray(slope), differences(total, at), rtol=1e-6, atol=1e-8)
        stacked = jax.jit(jax.vmap(jax.grad(total)))(jax.numpy.stack([jax.numpy.asarray(at)] * 2))
        np.testing.assert_allclose(np.asarray(stacked[1]), np.asarray(slope), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_of_torch_agree_with_central_differences(name):
    torch = pytest.importorskip("torch")
    (at,) = arrays((4, 4), dtype=np.float64)
    w = torch.tensor(at, requires_grad=True)
    FUNCTIONS[name](w).sum().backward()
    expected = differences(lambda w: FUNCTIONS[name](w).sum(), at)
    np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-6, atol=1e-8)


def test_rows_cannot_be_checked_within_jit_and_give_zeros():
    jax = pytest.importorskip("jax")
    hot = jax.jit(lambda rows: ops.one_hot(rows, 3))(jax.numpy.asarray([1, 3]))
    np.testing.assert_array_equal(hot, [[0, 1, 0], [0, 0, 0]])


# Errors in words


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ops.matmul(np.ones((3, 4)), np.ones((5, 6))),
            r"the columns of a must match the rows of b; got \(3, 4\) and \(5, 6\): 4 columns, 5 rows",
        ),
        (lambda: ops.matmul(np.ones(3), np.ones((3, 2))), r"a must have 2 axes or more; got \(3,\)"),
        (lambda: ops.dot([1, 2], [1, 2, 3]), r"x and y must agree on d, the last axis; got \(2,\) and \(3,\)"),
        (lambda: ops.dot(1, [1]), r"x must have 1 axis or more; got \(\)"),
        (lambda: ops.dot(np.ones((2, 3)), np.ones((4, 3))), r"agree on the axes before the last, or have 1 there"),
        (lambda: ops.similarity(np.ones(3), np.ones((2, 3))), "for single vectors there are dot"),
        (lambda: ops.similarity([[1]], [[1]], "manhattan"), "metric must be one of dot, cosine, scaled, euclidean"),
        (lambda: ops.layer(np.ones((2, 3)), np.ones((4, 2))), "columns of x must match the rows of weights"),
        (lambda: ops.layer(np.ones(3), np.ones((3, 2)), np.ones(3)), r"bias must be one number a neuron, 2; got \(3,\)"),
        (lambda: ops.layer(np.ones(3), np.ones((3, 2)), activation="swish"), "activation must be one of identity, relu"),
        (lambda: ops.neuron(np.ones(3), np.ones((3, 2))), r"weights must have 1 axis; got \(3, 2\)"),
        (lambda: ops.neuron(np.ones(3), np.ones(3), np.ones(3)), "bias must be one number"),
        (lambda: ops.attention(Q, Q[:, :4], V), r"queries and keys must agree on d"),
        (lambda: ops.attention(Q, K, V[:3]), r"keys and values must agree on n, a value a key"),
        (lambda: ops.attention(Q, K, V, heads=4), "heads must divide e; got 4 heads and e = 6"),
        (lambda: ops.attention(Q, K, V, heads=0), "heads must be at least 1; got 0"),
        (lambda: ops.attention(Q, K, V, mask=MASK.T), r"mask must go with \(5, 7\), queries by keys; got \(7, 5\)"),
        (lambda: ops.attention(Q, K, V, mask=np.ones((5, 7))), "mask must be booleans"),
        (lambda: ops.one_hot([0, 3], 3), r"rows must be in 0\.\.2; got 3"),
        (lambda: ops.one_hot([0.5], 3), "rows must be whole numbers in 0..2; got float64"),
        (lambda: ops.lookup(K, [-1]), r"rows must be in 0\.\.6; got -1"),
        (lambda: ops.softmax(["a"]), "scores must be real numbers"),
        (lambda: ops.softmax([[1], [1, 2]]), "scores must be an array of numbers"),
        (lambda: ops.softmax(np.ones(2) * 1j), "scores must be real numbers; got complex128"),
        (lambda: ops.softmax([1.0], axis=1), "axis must be in -1..0"),
    ],
)  # fmt: skip
def test_errors_are_in_words(call, message):
    with pytest.raises(_check.ArgumentError, match=message):
        call()


def test_two_libraries_do_not_mix():
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(_check.ArgumentError, match="x and y must be arrays of one library; got numpy and jax"):
        ops.dot(np.ones(2), jnp.ones(2))
    assert float(ops.dot([1, 2], jnp.ones(2))) == 3  # a list becomes an array of the other's library
