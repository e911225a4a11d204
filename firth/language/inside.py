"""What a language model makes of a text: which earlier tokens each head looks at, and what would come next after each layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from firth._check import ArgumentError
from firth.atomic import atomic_write

SUFFIXES = (".html", ".png", ".svg", ".json")


class Layer(NamedTuple):
    """After the embedding, or after a block.

    Attributes
    ----------
    pattern
        (h, t, t): the share of each place, in a row, for each place that looks; None of the embedding.
    nearest
        For each place the tokens that would come next, best first, with their probabilities.
    """

    pattern: np.ndarray | None
    nearest: list[list[tuple[str, float]]]


class Inside(NamedTuple):
    """A text as a model sees it.

    Attributes
    ----------
    text
    tokens
        Of it, (t,).
    layers
        The embedding, then each block.
    """

    text: str
    tokens: list[str]
    layers: list[Layer]

    @property
    def patterns(self) -> np.ndarray:
        """All heads' patterns of attention: (layers, h, t, t)."""
        return np.stack([layer.pattern for layer in self.layers if layer.pattern is not None])

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "text": self.text,
            "tokens": self.tokens,
            "patterns": np.round(self.patterns, 5).tolist(),
            "lens": [layer.nearest for layer in self.layers],
        }

    def save(self, path: str | Path) -> None:
        """Write it, whole or not at all: .html, a page that works offline; .png or .svg, a picture; .json, all figures."""
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise ArgumentError(f"attention is saved as {', '.join(SUFFIXES)}; got {path.name}")
        with atomic_write(path) as temporary:
            if suffix == ".json":
                temporary.write_text(json.dumps(self.as_dict(), ensure_ascii=False), encoding="utf-8")
            elif suffix == ".html":
                from firth.language.draw import page

                temporary.write_text(page(self), encoding="utf-8")
            else:
                from firth.language.draw import draw

                draw(self, temporary, suffix[1:])
