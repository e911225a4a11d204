"""firth.ladder: every rung multiplies the same matrices; the picture is drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from firth import _check, ladder, roofline
from firth.steps import drain


@pytest.fixture
def quick(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(roofline, "STREAM_BYTES", 1 << 16)
    monkeypatch.setattr(roofline, "ROUNDS", 1)
    monkeypatch.setattr(ladder, "TIME_S", 0.0)
    monkeypatch.setattr(ladder, "SLOW", 8)


@pytest.mark.parametrize("n", [64, 200])
def test_every_rung_gives_the_same_product(n, monkeypatch):
    monkeypatch.setattr(ladder, "SLOW", 16)
    ways, _ = ladder._ways(n, 2)
    for name, _why, m, _intensity, prepare in ways:
        a, b = (array.astype(np.float64) for array in ladder._numbers(m))
        if name.startswith("int8"):
            a, b = ((array * 255 - 128).astype(np.int8).astype(np.float64) for array in ladder._numbers(m))
        with prepare() as run:
            # float32 sums of m products below 1; bfloat16 keeps 8 bits of each factor, cut off: up to 2 x 2^-7; a GPU's
            # TF32 keeps 11 of each, rounded: 2 x 2^-11
            coarse = {"bf": 2**-6, "GP": 2**-10}.get(name[:2], 0.0)
            tolerance = coarse + m * np.finfo(np.float32).eps
            np.testing.assert_allclose(
                np.asarray(run()) if not _in_place(name) else _out(prepare), a @ b, rtol=tolerance
            )


def _in_place(name: str) -> bool:
    return "firth's core" in name


def _out(prepare) -> np.ndarray:
    with prepare() as run:
        run()
        arguments = run.__closure__[0].cell_contents
        return arguments[2]


@pytest.mark.slow
def test_a_ladder_is_measured_and_drawn(quick, tmp_path):
    climbed = drain(ladder.ladder_steps(64, threads=1))
    assert roofline.measured(1) == climbed.roofline
    assert [rung.size for rung in climbed.rungs][:2] == [8, 8]
    assert all(rung.flops_per_s > 0 for rung in climbed.rungs)
    first, second = climbed.rungs[:2]
    assert second.speedup == pytest.approx(second.flops_per_s / first.flops_per_s)
    assert any(rung.name.startswith("bfloat16") for rung in climbed.rungs)
    assert json.loads(json.dumps(climbed.as_dict()))["rungs"][0]["name"] == "plain Python, three loops"
    for name, start in (("ladder.png", b"\x89PNG"), ("ladder.svg", b"<?xml")):
        climbed.save(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    with pytest.raises(_check.ArgumentError, match=r"drawn as \.png or \.svg; got ladder\.gif"):
        climbed.save(tmp_path / "ladder.gif")


def test_sizes_are_checked():
    with pytest.raises(_check.ArgumentError, match=r"size must be in 64\.\.8192; got 9"):
        next(ladder.ladder_steps(9))
