"""What `import firth` costs and what it offers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import firth

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"
HEAVY = [
    "numpy",
    "pyarrow",
    "rich",
    "typer",
    "sklearn",
    "umap",
    "openTSNE",
    "matplotlib",
    "jax",
    "array_api_compat",
    "ray",
    "firth._core",
]


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import firth", []),
        ("import firth; firth.Space, firth.top_k, firth.read_corpus", ["numpy", "firth._core"]),
        ("import firth; firth.word2vec, firth.judge, firth.map_space", ["numpy", "firth._core"]),
        ("import firth.cli", ["typer", "rich"]),
    ],
)
def test_importing_loads_nothing_heavy(code, allowed):
    code += f"; import sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(eval(done.stdout)) <= set(allowed)


def test_public_names_are_there_and_in_the_reference():
    assert sorted(firth.__all__) == firth.__all__ == sorted(firth._HOME)
    for name in firth.__all__:
        value = getattr(firth, name)
        assert value.__doc__
        assert value.__module__ == firth._HOME[name]
    assert set(firth.__all__) <= set(dir(firth))
    documented = re.findall(r"^### `firth\.(\w+)", REFERENCE.read_text(), re.MULTILINE)
    assert sorted(documented) == firth.__all__


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'firth' has no attribute 'word3vec'"):
        firth.word3vec  # noqa: B018
