"""firth.explaining: a score is the sum of its parts."""

from __future__ import annotations

import json

import numpy as np
import pytest

import firth
from firth import _check
from tests.test_cli import run
from tests.test_table import houses


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_the_parts_sum_to_the_score(metric):
    space = firth.encode(houses(50))
    told = space.explain("3", "4", k=5, metric=metric)
    x, y = space[["3", "4"]].astype(np.float64)
    assert told.score == pytest.approx(x @ y if metric == "dot" else x @ y / np.sqrt((x @ x) * (y @ y)))
    assert sum(part.share for part in told.parts) + told.rest == pytest.approx(told.score)
    assert sum(part.share for part in told.columns) == pytest.approx(told.score)
    assert told.cosine * told.norms[0] * told.norms[1] == pytest.approx(x @ y, rel=1e-6)
    assert {part.name for part in told.columns} == {"price", "rooms", "kind", "street", "sold", "garden"}
    assert abs(told.parts[0].share) >= abs(told.parts[-1].share)


def test_learned_dimensions_are_told_by_the_labels_at_their_ends():
    space = firth.Space(["cold", "cool", "warm", "hot"], [[-2.0, 1], [-1, 1], [1, 1], [2, 1]])
    assert space.explain("cold", "hot", k=1).parts[0].name == "0: cold, cool, warm ... hot, warm, cool"
    with pytest.raises(_check.LabelError, match="did you mean"):
        space.explain("colt", "hot")


def test_a_vector_of_zeros_has_no_angle():
    told = firth.Space(["a", "b"], [[0.0, 0], [1, 2]]).explain("a", "b")
    assert (told.score, told.cosine) == (0, 0)


def test_bars_are_drawn(tmp_path):
    told = firth.encode(houses(50)).explain("3", "4", k=3)
    told.save(tmp_path / "bars.svg")
    text = (tmp_path / "bars.svg").read_text()
    assert (
        text.count("<!-- +") + text.count("<!-- −") + text.count("<!-- -") >= 7
    )  # labels of 3 + 3 bars and their rests
    words = firth.Space(["$a_1$", "b" * 99, "c"], np.eye(3) + 1)
    words.explain("$a_1$", "b" * 99).save(tmp_path / "bars.png")
    assert (tmp_path / "bars.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(_check.ArgumentError, match=r"\.png or \.svg; got bars\.txt"):
        told.save(tmp_path / "bars.txt")


def test_the_command_explains(tmp_path):
    firth.encode(houses(50)).save(tmp_path / "h.space")
    out, _ = run("explain", tmp_path / "h.space", "3", "4", "-k", 3)
    assert "by column" in out
    assert "by dimension" in out
    told = json.loads(run("explain", tmp_path / "h.space", "3", "4", "--json", "-o", tmp_path / "b.png")[0])
    assert (tmp_path / "b.png").exists()
    assert "drawn as .png or .svg" in run("explain", tmp_path / "h.space", "3", "4", "-o", "b.txt", code=1)[1]
    assert told["first"] == "3"
    assert "is not in the space" in run("explain", tmp_path / "h.space", "3", "none", code=1)[1]
