"""What things cost: operations, bytes and parameters of each rung of the ladder and of whole transformers, by formulas.

A multiply-accumulate (MAC) is two operations (FLOPs). An exponential, a root, a comparison count as one. Traffic is what must
go over the bus at least: every operand read once, every result written once.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from firth._check import ArgumentError, check_choice, check_int

ADAM_BYTES = (
    16  # a parameter: weights and gradient in two bytes, weights, mean and variance in four (ZeRO, 2020, section 3.1)
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a computation costs.

    Attributes
    ----------
    name
        What it is.
    macs
        Multiply-accumulates.
    flops
        Operations, the two of each multiply-accumulate among them.
    traffic_bytes
        Operands and results.
    parameters
        Numbers that are learned.
    """

    name: str
    macs: int
    flops: int
    traffic_bytes: int
    parameters: int = 0

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flops / self.traffic_bytes if self.traffic_bytes else 0.0

    def times(self, n: int, name: str | None = None) -> Cost:
        """The same n times, with parameters of its own each time."""
        return Cost(name or self.name, n * self.macs, n * self.flops, n * self.traffic_bytes, n * self.parameters)


class Operation(NamedTuple):
    """A rung of the ladder: which sizes it has, what they mean, and from them MACs, other operations, numbers, parameters."""

    sizes: str
    meaning: str
    formula: Callable[..., tuple[int, int, int, int]]


OPERATIONS = {
    "dot": Operation("d", "two vectors of d numbers", lambda d: (d, 0, 2 * d + 1, 0)),
    "cosine": Operation("d", "two vectors of d numbers", lambda d: (3 * d, 4, 2 * d + 1, 0)),
    "scaled_dot": Operation("d", "two vectors of d numbers", lambda d: (d, 1, 2 * d + 1, 0)),
    "neuron": Operation("d", "d inputs", lambda d: (d, 2, 2 * d + 2, d + 1)),
    "matmul": Operation("nxdxm", "(n, d) by (d, m)", lambda n, d, m: (n * d * m, 0, n * d + d * m + n * m, 0)),
    "similarity": Operation(
        "nxmxd", "n vectors with m, of d numbers", lambda n, m, d: (n * m * d, 0, n * d + m * d + n * m, 0)
    ),
    "layer": Operation(
        "nxdxm",
        "n inputs of d numbers, m neurons",
        lambda n, d, m: (n * d * m, 2 * n * m, n * (d + m) + m * (d + 1), m * (d + 1)),
    ),
    "softmax": Operation("nxm", "n rows of m scores", lambda n, m: (0, 5 * n * m, 2 * n * m, 0)),
    "attention": Operation(
        "hxqxnxd",
        "h heads of width d, q queries, n keys",
        lambda h, q, n, d: (2 * h * q * n * d, 6 * h * q * n, 2 * h * (q + n) * d, 0),
    ),
    "one_hot": Operation("nxv", "n rows of v numbers", lambda n, v: (0, 0, n * (v + 1), 0)),
    "lookup": Operation("nxd", "n rows of d numbers", lambda n, d: (0, 0, n * (2 * d + 1), 0)),
}  # fmt: skip


def operation(name: str, *sizes: int, number_bytes: int = 4) -> Cost:
    """Count one operation of `firth.ops`.

    Parameters
    ----------
    name
        One of `OPERATIONS`, which tells its sizes.
    sizes
        In that order, for instance n, d, m of a matrix product (n, d) x (d, m).
    number_bytes
        What a number takes: 4 for float32, 2 for bfloat16.

    Raises
    ------
    ArgumentError
        If there is no such operation, or the sizes are not as many as it has, or not positive.

    Examples
    --------
    >>> operation("matmul", 4096, 4096, 4096).flops
    137438953472
    >>> round(operation("dot", 768).intensity, 2)
    0.25
    """
    if name not in OPERATIONS:
        raise ArgumentError(f"there is no operation {name!r}: {_near(name, OPERATIONS)}")
    kind = OPERATIONS[name]
    letters = kind.sizes.split("x")
    if len(sizes) != len(letters):
        example = "x".join(["1024"] * len(letters))
        raise ArgumentError(
            f"{name} takes {kind.sizes} ({kind.meaning}), such as {example}; got {'x'.join(map(str, sizes)) or 'nothing'}"
        )
    for letter, size in zip(letters, sizes, strict=True):
        check_int(f"{letter} of {name}", size, 1)
    check_int("number_bytes", number_bytes, 1)
    macs, others, numbers, parameters = kind.formula(*sizes)
    shown = "x".join(map(str, sizes))
    return Cost(f"{name} {shown}", macs, 2 * macs + others, number_bytes * numbers, parameters)


@dataclass(frozen=True, slots=True)
class Transformer:
    """A transformer that predicts the next token.

    Attributes
    ----------
    layers, width, heads, context, vocabulary
        As the papers have them: blocks, numbers a token, heads of attention, tokens at once, tokens there are.
    kv_heads
        Heads of keys and values, as many as queries' by default (fewer: grouped queries, Ainslie et al. 2023).
    head_width
        width / heads by default.
    hidden
        Neurons of the feed-forward layer, 4 width by default.
    gated
        It has three matrices (SwiGLU, Shazeer 2020), not two.
    biases
        Matrices have them; and norms have a shift (LayerNorm), not only a scale (RMSNorm).
    learned_positions
        They are a table, context x width, not rotations (Su et al. 2021).
    tied
        The output takes the table of the tokens.
    tokens
        It was trained on; 0 where nobody tells.
    published
        Parameters as its authors tell; 0 if none.
    source
        Where all that is from.
    """

    name: str
    layers: int
    width: int
    heads: int
    context: int
    vocabulary: int = 50_257
    kv_heads: int = 0
    head_width: int = 0
    hidden: int = 0
    gated: bool = False
    biases: bool = True
    learned_positions: bool = True
    tied: bool = True
    tokens: float = 0.0
    published: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("layers", "width", "heads", "context", "vocabulary"):
            check_int(name, getattr(self, name), 1)
        for name in ("kv_heads", "head_width", "hidden"):
            check_int(name, getattr(self, name), 0)
        if not self.head_width and self.width % self.heads:
            raise ArgumentError(
                f"heads must divide width; got {self.heads} heads and width {self.width}; or give head_width"
            )
        if self.kv_heads and self.heads % self.kv_heads:
            raise ArgumentError(f"kv_heads must divide heads; got {self.kv_heads} and {self.heads}")
        if not self.tokens >= 0:
            raise ArgumentError(f"tokens must be 0 or more; got {self.tokens}")

    @property
    def attention_width(self) -> int:
        """Of all heads' queries together."""
        return self.heads * (self.head_width or self.width // self.heads)

    @property
    def kv_width(self) -> int:
        """Of all heads' keys together."""
        return self.attention_width // self.heads * (self.kv_heads or self.heads)

    @property
    def parameters(self) -> int:
        """Numbers that are learned."""
        return total(parts(self, 1)).parameters

    @property
    def kv_bytes(self) -> int:
        """Bytes a token that its keys and values take, in numbers of two bytes."""
        return 2 * 2 * self.layers * self.kv_width


def parts(model: Transformer, tokens: int | None = None, *, number_bytes: int = 2) -> list[Cost]:
    """Count what a transformer does to a text, part by part; each matrix is read once, for all tokens.

    Every token attends to all others: the half that a causal mask leaves out is counted, as is usual (Chowdhery et al. 2022,
    appendix B).

    Parameters
    ----------
    model
        Of `MODELS`, or one of your own.
    tokens
        Of the text; by default as many as the context holds.
    number_bytes
        What a number takes.

    Examples
    --------
    >>> [part.name for part in parts(MODELS["gpt-2"])][:3]
    ['embedding', 'queries, keys, values', 'scores and mixtures']
    """
    t = model.context if tokens is None else check_int("tokens", tokens, 1)
    w, a, kv, hidden = model.width, model.attention_width, model.kv_width, model.hidden or 4 * model.width

    def matrix(name: str, d: int, m: int) -> Cost:
        macs, bias = t * d * m, m if model.biases else 0
        numbers = t * (d + m) + d * m + bias
        return Cost(name, macs, 2 * macs + t * bias, number_bytes * numbers, d * m + bias)

    def norm(name: str) -> Cost:
        own = w * (2 if model.biases else 1)
        return Cost(name, 0, (7 if model.biases else 4) * t * w, number_bytes * (2 * t * w + own), own)

    rows = model.vocabulary * w + (model.context * w if model.learned_positions else 0)
    added = t * w if model.learned_positions else 0
    embedding = Cost("embedding", 0, added, number_bytes * (t * w + added) + 4 * t + number_bytes * t * w, rows)
    scores = operation("attention", model.heads, t, t, a // model.heads, number_bytes=number_bytes)
    scores = replace(scores, traffic_bytes=number_bytes * t * 2 * (a + kv))
    first, second = (2 if model.gated else 1), matrix("", hidden, w)
    forward = matrix("", w, first * hidden)
    bend = (8 + (first - 1)) * t * hidden  # the bend of `firth.ops` by tanh, and the gate's product
    feed = Cost(
        "feed-forward",
        forward.macs + second.macs,
        forward.flops + second.flops + bend,
        forward.traffic_bytes + second.traffic_bytes,
        forward.parameters + second.parameters,
    )
    output = matrix("output", w, model.vocabulary)
    # No bias, and if it is tied no parameters of its own.
    own = 0 if model.tied else w * model.vocabulary
    output = replace(output, flops=2 * output.macs, parameters=own)
    each = model.layers
    return [
        embedding,
        matrix("queries, keys, values", w, a + 2 * kv).times(each),
        scores.times(each, "scores and mixtures"),
        matrix("attention's output", a, w).times(each),
        feed.times(each),
        norm("norms").times(2 * each + 1),
        output,
    ]


def generation(model: Transformer, *, number_bytes: int = 2) -> Cost:
    """Count one token that is written after a full context: all matrices are read for it, and the keys and values before.

    Examples
    --------
    >>> round(generation(MODELS["gpt-3"]).intensity, 1)
    1.0
    """
    t, a, kv = model.context, model.attention_width, model.kv_width
    seen = Cost("", 2 * a * t, 4 * a * t + 6 * model.heads * t, number_bytes * 2 * (a + kv * t)).times(model.layers)
    each = [seen if part.name == "scores and mixtures" else part for part in parts(model, 1, number_bytes=number_bytes)]
    return total(each, "one token")


def total(each: Iterable[Cost], name: str = "total") -> Cost:
    """The sum of costs."""
    each = list(each)
    return Cost(
        name,
        sum(one.macs for one in each),
        sum(one.flops for one in each),
        sum(one.traffic_bytes for one in each),
        sum(one.parameters for one in each),
    )


TRAINING = {
    "6ND": "6 N D: Kaplan et al. 2020, section 2.1; Brown et al. 2020, table D.1",
    "PaLM": "(6 N + 12 L a t) D, with attention: Chowdhery et al. 2022, appendix B",
}


def training_flops(model: Transformer, tokens: float | None = None, *, formula: str = "6ND") -> float:
    """Operations to train a transformer: two a parameter and token forward, four backward.

    Parameters
    ----------
    model
        Of `MODELS`, or one of your own.
    tokens
        To be trained on; by default those the model was.
    formula
        One of `TRAINING`.

    Raises
    ------
    ArgumentError
        If nobody tells the tokens.

    Examples
    --------
    >>> f"{training_flops(MODELS['gpt-3']):.2e}"
    '3.14e+23'
    """
    check_choice("formula", formula, tuple(TRAINING))
    tokens = model.tokens if tokens is None else tokens
    if not tokens > 0:
        raise ArgumentError(f"tokens must be given for {model.name}: how many it was trained on is not published")
    attention = 12 * model.layers * model.attention_width * model.context if formula == "PaLM" else 0
    return (6 * model.parameters + attention) * tokens


_GPT2 = "Radford et al. 2019, table 2; parameters of the released weights"
_GPT3 = "Brown et al. 2020, tables 2.1 and D.1"
_LLAMA2 = "Touvron et al. 2023; parameters of the released weights"
_LLAMA3 = "Grattafiori et al. 2024, table 3; parameters of the released weights"


def _gpt2(name: str, layers: int, width: int, heads: int, published: float) -> Transformer:
    return Transformer(name, layers, width, heads, 1024, published=published, source=_GPT2)


def _gpt3(name: str, layers: int, width: int, heads: int, head_width: int, published: float) -> Transformer:
    return Transformer(
        name, layers, width, heads, 2048, head_width=head_width, tokens=300e9, published=published, source=_GPT3
    )


def _llama(version: int, size: str, layers: int, width: int, heads: int, kv_heads: int, hidden: int, published: float,
           tokens: float) -> Transformer:  # fmt: skip
    return Transformer(
        f"llama-{version}-{size}", layers, width, heads, 4096 if version == 2 else 8192,
        vocabulary=32_000 if version == 2 else 128_256, kv_heads=kv_heads, hidden=hidden, gated=True, biases=False,
        learned_positions=False, tied=False, tokens=tokens, published=published,
        source=_LLAMA2 if version == 2 else _LLAMA3,
    )  # fmt: skip


MODELS = {
    model.name: model
    for model in (
        _gpt2("gpt-2", 12, 768, 12, 124.4e6),
        _gpt2("gpt-2-medium", 24, 1024, 16, 354.8e6),
        _gpt2("gpt-2-large", 36, 1280, 20, 774.0e6),
        _gpt2("gpt-2-xl", 48, 1600, 25, 1557.6e6),
        _gpt3("gpt-3", 96, 12_288, 96, 128, 174.6e9),
        _gpt3("gpt-3-13b", 40, 5120, 40, 128, 12.85e9),  # table 2.1 has width 5140, and 40 heads of 128, which are 5120
        _gpt3("gpt-3-6.7b", 32, 4096, 32, 128, 6.66e9),
        _gpt3("gpt-3-2.7b", 32, 2560, 32, 80, 2.65e9),
        _gpt3(
            "gpt-3-xl", 24, 2048, 16, 128, 1.32e9
        ),  # table 2.1 has 24 heads; table D.1's 1.32 G parameters are those of 16
        _gpt3("gpt-3-large", 24, 1536, 16, 96, 760e6),
        _gpt3("gpt-3-medium", 24, 1024, 16, 64, 356e6),
        _gpt3("gpt-3-small", 12, 768, 12, 64, 125e6),
        _llama(2, "7b", 32, 4096, 32, 32, 11_008, 6.738e9, 2e12),
        _llama(2, "13b", 40, 5120, 40, 40, 13_824, 13.016e9, 2e12),
        _llama(2, "70b", 80, 8192, 64, 8, 28_672, 68.977e9, 2e12),
        _llama(3, "8b", 32, 4096, 32, 8, 14_336, 8.030e9, 15e12),
        _llama(3, "70b", 80, 8192, 64, 8, 28_672, 70.554e9, 15e12),
        _llama(3, "405b", 126, 16_384, 128, 8, 53_248, 405.9e9, 15.6e12),
    )
}


def find_model(name: str) -> Transformer:
    """A model by its name; an error names near ones.

    >>> find_model("GPT3").width
    12288
    """
    plain = {_plain(known): known for known in MODELS}
    known = plain.get(_plain(name))
    if known is None:
        raise ArgumentError(f"there is no model {name!r}: {_near(name, MODELS)}")
    return MODELS[known]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _near(name: str, known: dict) -> str:
    """Names like one, or all."""
    near = difflib.get_close_matches(name.lower(), known, 3, 0.5)
    return f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(known)}"


def short(number: float, unit: str = "") -> str:
    """A number in three digits.

    >>> short(124_439_808), short(3.14e23, "FLOP"), short(0.0021, "s")
    ('124 M', '3.14e+23 FLOP', '2.1 ms')
    """
    if number == 0 or not math.isfinite(number):
        return f"{number:g} {unit}".rstrip()
    scales = (
        (1e15, "P"),
        (1e12, "T"),
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
        (1, ""),
        (1e-3, "m"),
        (1e-6, "µ"),
        (1e-9, "n"),
    )
    if abs(number) >= 1e18:
        return f"{number:.3g} {unit}".rstrip()
    size, letter = next(((size, letter) for size, letter in scales if abs(number) >= 0.9995 * size), scales[-1])
    return f"{number / size:.3g} {letter}{unit}".rstrip()


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(3.6e9), duration(7200), duration(0.5)
    ('114 years', '2 hours', '500 ms')
    """
    for size, word in ((365.25 * 86400, "years"), (86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.3g} {word}" if seconds / size < 1000 else f"{seconds / size:,.0f} {word}"
    return short(seconds, "s")
