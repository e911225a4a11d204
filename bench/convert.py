"""firth against gensim: reading and writing 400,000 x 50 vectors as word2vec text and binary, in turn, one process.

.venv/bin/python bench/convert.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import spread, write_result
from gensim.models import KeyedVectors

from firth.formats import Parts, read, write

ROUNDS = 3
N, D = 400_000, 50


def main() -> None:
    vectors = np.random.default_rng(0).standard_normal((N, D), dtype=np.float32)
    labels = [f"word{i}" for i in range(N)]
    parts, keyed = Parts(labels, vectors, {}, {}), KeyedVectors(D)
    keyed.add_vectors(labels, vectors)
    taken: dict[str, dict[str, list[float]]] = {}

    def measure(what: str, name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        taken.setdefault(what, {}).setdefault(name, []).append(time.perf_counter() - began)
        return result

    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for format, binary in (("word2vec", False), ("word2vec-binary", True)):
                ours, theirs = Path(folder) / "firth", str(Path(folder) / "gensim")
                measure(f"write {format}", "firth", lambda p=ours, f=format: write(parts, p, format=f))
                measure(f"write {format}", "gensim", lambda p=theirs, b=binary: keyed.save_word2vec_format(p, binary=b))
                found = measure(f"read {format}", "firth", lambda p=theirs, f=format: read(p, format=f))
                other = measure(
                    f"read {format}",
                    "gensim",
                    lambda p=ours, b=binary: KeyedVectors.load_word2vec_format(str(p), binary=b),
                )
                # Each reads what the other wrote, and to the last bit.
                assert found.labels == other.index_to_key == labels
                assert found.vectors.tobytes() == other.vectors.tobytes() == vectors.tobytes()
    write_result(
        "convert",
        {
            "what": f"{N:,} x {D}; each reads what the other wrote, {ROUNDS} rounds in turn, seconds",
            "gensim_over_firth": {
                what: spread([a / b for a, b in zip(names["gensim"], names["firth"], strict=True)], 1)
                for what, names in taken.items()
            },
            "seconds": {
                what: {name: spread(values, 2) for name, values in names.items()} for what, names in taken.items()
            },
        },
        ["firth", "gensim", "numpy"],
    )


if __name__ == "__main__":
    main()
