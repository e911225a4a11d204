"""firth learns, searches and shows vector spaces."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> the module it lives in. Nothing is imported before it is used (import firth stays cheap).
_HOME = {
    "Map": "firth.maps",
    "map_space": "firth.maps",
    "Hits": "firth.space",
    "SkipGram": "firth.learn.word2vec",
    "Space": "firth.space",
    "neighbors": "firth.search",
    "read_corpus": "firth.text",
    "top_k": "firth.search",
    "word2vec": "firth.learn.word2vec",
}

__all__ = sorted(_HOME)

if TYPE_CHECKING:
    pass


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'firth' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
