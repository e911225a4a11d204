"""firth learns, searches and shows vector spaces."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> the module it lives in. Nothing is imported before it is used (import firth stays cheap).
_HOME = {
    "Cbow": "firth.learn.word2vec",
    "Encoder": "firth.table",
    "FirthError": "firth._check",
    "GloVe": "firth.learn.glove",
    "Hits": "firth.space",
    "Index": "firth.search",
    "LanguageModel": "firth.language.transformer",
    "Map": "firth.maps",
    "Reading": "firth.text",
    "SkipGram": "firth.learn.word2vec",
    "Space": "firth.space",
    "attention": "firth.ops",
    "cbow": "firth.learn.word2vec",
    "cosine": "firth.ops",
    "dot": "firth.ops",
    "duplicates": "firth.search",
    "encode": "firth.rows",
    "glove": "firth.learn.glove",
    "grok": "firth.grokking.report",
    "judge": "firth.judging",
    "layer": "firth.ops",
    "lookup": "firth.ops",
    "map_space": "firth.maps",
    "matmul": "firth.ops",
    "neighbors": "firth.search",
    "neuron": "firth.ops",
    "one_hot": "firth.ops",
    "read_corpus": "firth.text",
    "scaled_dot": "firth.ops",
    "similarity": "firth.ops",
    "softmax": "firth.ops",
    "top_k": "firth.search",
    "transformer": "firth.language.transformer",
    "within": "firth.search",
    "word2vec": "firth.learn.word2vec",
}

__all__ = [
    "Cbow",
    "Encoder",
    "FirthError",
    "GloVe",
    "Hits",
    "Index",
    "LanguageModel",
    "Map",
    "Reading",
    "SkipGram",
    "Space",
    "attention",
    "cbow",
    "cosine",
    "dot",
    "duplicates",
    "encode",
    "glove",
    "grok",
    "judge",
    "layer",
    "lookup",
    "map_space",
    "matmul",
    "neighbors",
    "neuron",
    "one_hot",
    "read_corpus",
    "scaled_dot",
    "similarity",
    "softmax",
    "top_k",
    "transformer",
    "within",
    "word2vec",
]

if TYPE_CHECKING:
    from firth._check import FirthError
    from firth.grokking.report import grok
    from firth.judging import judge
    from firth.language.transformer import LanguageModel, transformer
    from firth.learn.glove import GloVe, glove
    from firth.learn.word2vec import Cbow, SkipGram, cbow, word2vec
    from firth.maps import Map, map_space
    from firth.ops import (
        attention,
        cosine,
        dot,
        layer,
        lookup,
        matmul,
        neuron,
        one_hot,
        scaled_dot,
        similarity,
        softmax,
    )
    from firth.rows import encode
    from firth.search import Index, duplicates, neighbors, top_k, within
    from firth.space import Hits, Space
    from firth.table import Encoder
    from firth.text import Reading, read_corpus


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'firth' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
