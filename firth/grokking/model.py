"""A transformer of one layer that adds two numbers modulo p: Nanda et al. 2023, in three forms of the same function.

It reads three tokens, a, b and =, and at = predicts c. A model is a dictionary of matrices under the paper's names:

    W_E (p + 1, d), W_pos (3, d)                embedding of the numbers and of =; of the three places
    W_Q, W_K, W_V, W_O (d, d)                   queries, keys, values of all heads side by side; their output
    W_in (d, m), b_in (m,), W_out (m, d), b_out (d,)   m neurons, rectified
    W_U (d, p + 1)                              from the residual stream to a logit for each token

There is no normalisation of layers. Each form takes tokens (b, 3) and returns logits (b, p + 1) and what the neurons did (b, m).

N. Nanda, L. Chan, T. Lieberum, J. Smith, J. Steinhardt: Progress measures for grokking via mechanistic interpretability. 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from firth.ops import attention, layer, lookup, matmul

Array = Any  # of numpy, JAX or torch alike
Model = dict[str, Array]
HEADS = 4  # appendix A of the paper, as are the widths of `start`


def start(p: int, seed: int = 0, *, d: int = 128, neurons: int = 512) -> Model:
    """Draw the weights to begin with: normal over sqrt(d), and W_U over sqrt(p + 1); biases 0. float32.

    Examples
    --------
    >>> sum(weights.size for weights in start(113).values())
    226816
    """
    shapes = {"W_E": (p + 1, d), "W_pos": (3, d), "W_Q": (d, d), "W_K": (d, d), "W_V": (d, d), "W_O": (d, d)}
    shapes |= {"W_in": (d, neurons), "b_in": (neurons,), "W_out": (neurons, d), "b_out": (d,), "W_U": (d, p + 1)}
    random = np.random.default_rng(seed)
    model = {}
    for name, shape in shapes.items():
        deviation = 0.0 if name.startswith("b_") else (p + 1 if name == "W_U" else d) ** -0.5
        model[name] = random.normal(0.0, deviation, shape).astype(np.float32)
    return model


def pairs(p: int) -> np.ndarray:
    """Tokens of all sums, (p p, 3) int32: a, b and =, which is token p."""
    a, b = np.divmod(np.arange(p * p, dtype=np.int32), p)
    return np.stack([a, b, np.full_like(a, p)], axis=1)


def plain(model: Model, tokens: Array) -> tuple[Array, Array]:
    """The transformer as it is drawn in textbooks: every place goes through everything."""
    stream = lookup(model["W_E"], tokens) + model["W_pos"]  # (b, 3, d)
    queries, keys, values = (matmul(stream, model[name]) for name in ("W_Q", "W_K", "W_V"))
    mixed = attention(queries, keys, values, causal=True, heads=HEADS)  # (b, 3, d)
    logits, hidden = _neurons(model, stream + matmul(mixed, model["W_O"]))
    return logits[:, -1], hidden[:, -1]


def last(model: Model, tokens: Array) -> tuple[Array, Array]:
    """Only at = is anything predicted: queries, neurons and logits of that place alone."""
    stream = lookup(model["W_E"], tokens) + model["W_pos"]  # (b, 3, d)
    end = stream[:, -1:]  # (b, 1, d)
    keys, values = matmul(stream, model["W_K"]), matmul(stream, model["W_V"])
    mixed = attention(matmul(end, model["W_Q"]), keys, values, heads=HEADS)  # (b, 1, d)
    logits, hidden = _neurons(model, end + matmul(mixed, model["W_O"]))
    return logits[:, 0], hidden[:, 0]


def fast(model: Model, tokens: Array) -> tuple[Array, Array]:
    """A token at a place has one score a head and one value, in whichever sum it stands: computed once, then looked up.

    Softmax is exp(score) over the sum of all three, so values are looked up times exp(score), added and divided once. Of matrices
    that follow each other with no bend between them the product is computed once. What is left for each sum are three
    products: from the mixed values to the neurons and to the logits, and from the neurons to the logits.
    """
    v, d = model["W_E"].shape
    h, e = HEADS, d // HEADS
    known = model["W_E"] + model["W_pos"][:2, None]  # (2, v, d)
    end = model["W_E"][-1:] + model["W_pos"][2]  # (1, d)
    query = matmul(end, model["W_Q"]).reshape(h, e) / e**0.5
    scores = (matmul(known, model["W_K"]).reshape(2, v, h, e) * query).sum(-1)  # (2, v, h)
    scores = scores - (matmul(end, model["W_K"]).reshape(h, e) * query).sum(-1)  # over that of =, whose exp is then 1
    parts = array_namespace(scores).exp(scores)  # (2, v, h); inf from 88 on: learned ones are below 10
    values = (parts[..., None] * matmul(known, model["W_V"]).reshape(2, v, h, e)).reshape(2, v, d)
    a, b = tokens[:, 0], tokens[:, 1]
    added = lookup(values[0], a) + lookup(values[1], b) + matmul(end, model["W_V"])  # (b, d)
    whole = lookup(parts[0], a) + lookup(parts[1], b) + 1  # (b, h)
    mixed = (added.reshape(-1, h, e) / whole[..., None]).reshape(-1, d)

    bias = matmul(end, model["W_in"])[0] + model["b_in"]
    hidden = layer(mixed, matmul(model["W_O"], model["W_in"]), bias, "relu")  # (b, d) x (d, m) -> (b, m)
    logits = matmul(mixed, matmul(model["W_O"], model["W_U"]))  # (b, d) x (d, v) -> (b, v)
    bias = matmul(end + model["b_out"], model["W_U"])[0]
    return logits + layer(hidden, neuron_map(model), bias, "identity"), hidden  # (b, m) x (m, v) -> (b, v)


def neuron_map(model: Model) -> Array:
    """W_L, from neurons to logits, (m, p + 1): W_out W_U."""
    return matmul(model["W_out"], model["W_U"])


FORMS: dict[str, Callable[[Model, Array], tuple[Array, Array]]] = {"plain": plain, "last": last, "fast": fast}


def _neurons(model: Model, stream: Array) -> tuple[Array, Array]:
    """What the neurons make of the residual stream (..., d): logits (..., p + 1), and what they did (..., m)."""
    hidden = layer(stream, model["W_in"], model["b_in"], "relu")
    stream = stream + layer(hidden, model["W_out"], model["b_out"], "identity")
    return matmul(stream, model["W_U"]), hidden
