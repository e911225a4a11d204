"""A decoder-only transformer: it reads tokens, and at each of them predicts the next.

A model is a dictionary, and matrices stand as they multiply rows from the right:

    embedding (v, d)                            a row a token; the output's matrix too (tied, Press and Wolf 2017)
    positions (t, d)                            only where places are learned; by default queries and keys are rotated (RoPE)
    blocks, a list of
        attention_norm (d,)                     scale of the norm before attention (pre-norm: Xiong et al. 2020)
        queries, keys, values, mix (d, d)       of all heads side by side; what brings the heads together again
        feed_norm (d,)
        gate, up (d, m), down (m, d)            SwiGLU: Shazeer 2020
    norm (d,)                                   before the output

Norms are RMSNorm (Zhang and Sennrich 2019), and nothing has a bias: LLaMA's design (Touvron et al. 2023), with a tied table. The
same lines run on numpy and on JAX, whose arrays come in and go out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from firth import cost
from firth._check import ArgumentError, check_choice, check_int
from firth.ops import attention, lookup

Array = Any  # of numpy or JAX
Model = dict[str, Any]
Positions = Literal["rope", "learned"]
POSITIONS = ("rope", "learned")
EPSILON = 1e-5  # of RMSNorm, as in LLaMA
ROPE_BASE = 10_000.0  # Su et al. 2021, section 3.2.2
DEVIATION = 0.02  # of the first embedding: Radford et al. 2019


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a transformer is made of.

    Attributes
    ----------
    dim
        Numbers a token: d.
    layers, heads
        Blocks, and heads of attention in each.
    context
        Tokens it sees at once: t.
    hidden
        Neurons of the feed-forward layers; by default 8/3 dim, rounded up to a multiple of 32: three matrices then are as many
        parameters as two of 4 dim (Shazeer 2020).
    positions
        "rope": queries and keys are turned by their place. "learned": a vector a place is added.
    """

    dim: int = 96
    layers: int = 4
    heads: int = 4
    context: int = 64
    hidden: int | None = None
    positions: Positions = "rope"

    def __post_init__(self) -> None:
        check_int("dim", self.dim, 1, 65_536)
        check_int("layers", self.layers, 1, 1_000)
        check_int("heads", self.heads, 1, self.dim)
        check_int("context", self.context, 2, 1 << 20)
        check_choice("positions", self.positions, POSITIONS)
        if self.hidden is not None:
            check_int("hidden", self.hidden, 1)
        if self.dim % self.heads:
            near = [n for n in range(1, self.dim + 1) if self.dim % n == 0]
            raise ArgumentError(
                f"heads must divide dim; got {self.heads} heads and dim {self.dim}, which {', '.join(map(str, near))} divide"
            )
        if self.positions == "rope" and self.dim // self.heads % 2:
            raise ArgumentError(
                f"a head must have an even width to be rotated; got dim {self.dim} / {self.heads} heads ="
                f" {self.dim // self.heads}; choose others, or positions='learned'"
            )

    @property
    def neurons(self) -> int:
        """Of a feed-forward layer: m."""
        return self.hidden or -(-8 * self.dim // 96) * 32

    def cost(self, v: int) -> cost.Transformer:
        """What `firth.cost` counts, with v tokens in the vocabulary."""
        return cost.Transformer(
            "transformer", self.layers, self.dim, self.heads, self.context, v, hidden=self.neurons, gated=True,
            biases=False, learned_positions=self.positions == "learned", tied=True,
        )  # fmt: skip


def start(architecture: Architecture, v: int, seed: int = 0) -> Model:
    """Draw the weights to begin with, float32: normal over sqrt(rows); what is added to the stream also over sqrt(2 layers).

    Examples
    --------
    >>> small = Architecture(dim=8, layers=2, heads=2, context=4)
    >>> sum(weights.size for _, weights in named(start(small, 50))) == small.cost(50).parameters
    True
    """
    random = np.random.default_rng(seed)
    d, m, added = architecture.dim, architecture.neurons, (2 * architecture.layers) ** -0.5

    def normal(shape: tuple[int, int], deviation: float) -> np.ndarray:
        return random.normal(0.0, deviation, shape).astype(np.float32)

    def block() -> dict[str, np.ndarray]:
        return {
            "attention_norm": np.ones(d, np.float32),
            "queries": normal((d, d), d**-0.5),
            "keys": normal((d, d), d**-0.5),
            "values": normal((d, d), d**-0.5),
            "mix": normal((d, d), added * d**-0.5),
            "feed_norm": np.ones(d, np.float32),
            "gate": normal((d, m), d**-0.5),
            "up": normal((d, m), d**-0.5),
            "down": normal((m, d), added * m**-0.5),
        }

    model: Model = {"embedding": normal((v, d), DEVIATION)}
    if architecture.positions == "learned":
        model["positions"] = normal((architecture.context, d), DEVIATION)
    return model | {"blocks": [block() for _ in range(architecture.layers)], "norm": np.ones(d, np.float32)}


def named(model: Model) -> Iterator[tuple[str, Array]]:
    """Names and matrices, those of block 0 as "blocks.0.queries"."""
    for name, weights in model.items():
        if name != "blocks":
            yield name, weights
    for number, block in enumerate(model["blocks"]):
        for name, weights in block.items():
            yield f"blocks.{number}.{name}", weights


def from_named(weights: dict[str, Array]) -> Model:
    """The model of such names."""
    model: Model = {name: array for name, array in weights.items() if not name.startswith("blocks.")}
    model["blocks"] = []
    for name, array in weights.items():
        if name.startswith("blocks."):
            _, number, own = name.split(".")
            model["blocks"].extend({} for _ in range(len(model["blocks"]), int(number) + 1))
            model["blocks"][int(number)][own] = array
    return model


class Stream(NamedTuple):
    """The residual stream after the embedding, or after a block: (b, t, d); and by what queries and keys the block attended."""

    stream: Array
    queries: Array | None = None
    keys: Array | None = None


def streams(model: Model, tokens: Array, architecture: Architecture) -> Iterator[Stream]:
    """Read tokens (b, t): what they become, layer by layer.

    All rows of all texts stand below each other where matrices are multiplied: over three axes XLA takes 1.6 times as long on
    processors (bench/LOG.md).
    """
    b, t = tokens.shape
    d, h, rope = architecture.dim, architecture.heads, architecture.positions == "rope"
    if t > architecture.context:
        raise ArgumentError(f"the model sees {architecture.context} tokens at once; got {t}")

    def texts(x: Array) -> Array:
        return x.reshape(b, t, d)  # (b t, d) -> (b, t, d)

    x = lookup(model["embedding"], tokens)  # (b, t) -> (b, t, d)
    x = (x if rope else x + model["positions"][:t]).reshape(b * t, d)
    yield Stream(texts(x))
    for block in model["blocks"]:
        seen = rms_norm(x, block["attention_norm"])
        queries, keys, values = (texts(seen @ block[name]) for name in ("queries", "keys", "values"))
        if rope:
            queries, keys = rotate(queries, h), rotate(keys, h)
        mixed = attention(queries, keys, values, causal=True, heads=h)  # (b, t, d)
        x = x + mixed.reshape(b * t, d) @ block["mix"]
        seen = rms_norm(x, block["feed_norm"])
        x = x + (silu(seen @ block["gate"]) * (seen @ block["up"])) @ block["down"]  # (b t, d) -> (b t, m) -> (b t, d)
        yield Stream(texts(x), queries, keys)


def forward(model: Model, tokens: Array, architecture: Architecture) -> Array:
    """What the output is made of: tokens (b, t) -> (b, t, d), at each token of it and those before it alone."""
    *_, last = streams(model, tokens, architecture)
    return rms_norm(last.stream, model["norm"])


def logits(model: Model, tokens: Array, architecture: Architecture) -> Array:
    """How well each token of the vocabulary comes next: tokens (b, t) -> (b, t, v)."""
    return forward(model, tokens, architecture) @ model["embedding"].T  # (b, t, d) x (d, v)


def rms_norm(x: Array, scale: Array) -> Array:
    """Divide by the root of the mean square, and scale: (..., d). In float32 where x is narrower."""
    xp = array_namespace(x)
    wide = xp.astype(x, xp.float32, copy=False) if x.dtype.itemsize < 4 else x
    return (
        xp.astype(wide / xp.sqrt(xp.mean(wide * wide, axis=-1, keepdims=True) + EPSILON), x.dtype, copy=False) * scale
    )


def silu(x: Array) -> Array:
    """X sigmoid(x)."""
    xp = array_namespace(x)
    return x * (0.5 + 0.5 * xp.tanh(0.5 * x))


def rotate(x: Array, heads: int, first: int = 0) -> Array:
    """Turn pairs of numbers by angles that grow with the place, so that a dot product depends on how far apart two places are.

    Number i of a head of width w goes with number i + w/2, and at place p they turn by p base^(-2i/w).

    Parameters
    ----------
    x : (..., t, d)
    heads
        Side by side in d.
    first
        The place of the first row; the others follow.

    Notes
    -----
    J. Su et al.: RoFormer: enhanced transformer with rotary position embedding. 2021.
    """
    xp = array_namespace(x)
    *_, t, d = x.shape
    half = d // heads // 2
    angles = np.arange(first, first + t)[:, None, None] * ROPE_BASE ** (-np.arange(half) / half)  # (t, 1, w/2)
    cos, sin = (xp.asarray(turn, dtype=x.dtype) for turn in (np.cos(angles), np.sin(angles)))
    split = xp.reshape(x, (*x.shape[:-1], heads, 2 * half))  # (..., t, h, w)
    x, y = split[..., :half], split[..., half:]
    turned = xp.concat([x * cos - y * sin, x * sin + y * cos], axis=-1)
    return xp.reshape(turned, (*turned.shape[:-2], d))


def patterns(queries: Array, keys: Array, heads: int) -> Array:
    """The share of each earlier place in what a head sees: (b, t, d) twice -> (b, h, t, t).

    What `firth.attention` mixes values by, and found by it: the values are one-hot, so that the mixture shows its weights.
    """
    xp = array_namespace(queries)
    *_, t, d = queries.shape
    own = [slice(head * d // heads, (head + 1) * d // heads) for head in range(heads)]
    eye = xp.eye(t, dtype=queries.dtype)
    return xp.stack([attention(queries[..., one], keys[..., one], eye, causal=True) for one in own], axis=1)
