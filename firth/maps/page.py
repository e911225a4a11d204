"""Maps as a page: one HTML file that works offline."""

from __future__ import annotations

import base64
import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firth.maps.colours import GREY, PALETTE

if TYPE_CHECKING:
    from firth.maps import Map

PLACE = "/*DATA*/"  # in the template: where the data go


def write(drawn: Map, path: Path) -> None:
    """Write a map as a page."""
    template = resources.files("firth.maps").joinpath("page.html").read_text(encoding="utf-8")
    before, after = template.split(PLACE)
    path.write_text(before + script(_data(drawn)) + after, encoding="utf-8")


def _data(drawn: Map) -> dict[str, Any]:
    from firth.maps.draw import heading

    colours = drawn.colours
    found = drawn.neighbours()
    # Neighbours that are not on the map are numbered behind its points, and bring their labels.
    number = np.full(len(drawn.space), -1, np.int64)
    number[drawn.rows] = np.arange(len(drawn.rows))
    strangers = np.unique(found.rows[number[found.rows] < 0])
    number[strangers] = len(drawn.rows) + np.arange(len(strangers))
    count = drawn.space.columns.get("count")
    data: dict[str, Any] = {
        "title": heading(drawn),
        "subtitle": drawn.summary,
        "labels": drawn.labels,
        "strangers": drawn.space.labels[strangers].tolist(),
        "dims": drawn.points.shape[1],
        "points": packed(drawn.points, "<f4"),
        "k": found.rows.shape[1],
        "neighbours": packed(number[found.rows], "<i4"),
        "scores": packed(found.scores, "<f4"),
        "metric": drawn.recipe["metric"],
        "colours": {"kind": colours.kind, "title": colours.title, "names": colours.names, "log": colours.log},
    }
    data["colours"]["palette"] = [*PALETTE, GREY]
    data["colours"]["values"] = packed(colours.values, "<f4" if colours.kind == "number" else "<i4")
    if count is not None and count.dtype.kind in "iu":
        data["counts"] = packed(np.minimum(count[drawn.rows], 2**31 - 1), "<i4")
    return data


def packed(array: np.ndarray, kind: str) -> str:
    """Numbers as text for a page."""
    return base64.b64encode(np.ascontiguousarray(array, dtype=kind).tobytes()).decode()


def script(data: dict[str, Any]) -> str:
    """JSON that is safe inside a script element, whatever the labels are."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
