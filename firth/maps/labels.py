"""Putting words on a picture so that none lies on another: the densest that stays readable."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

GAP = 4  # pixels kept free round a label


class Placed(NamedTuple):
    """A label that found its place: its number, and the left and the lower edge of its box in pixels."""

    label: int
    x: float
    y: float


def place(
    points: np.ndarray, sizes: np.ndarray, width: int, height: int, *, gap: int = GAP, limit: int | None = None
) -> list[Placed]:
    """Choose places for labels, in order, each beside its point and over no other label.

    Greedy: the first labels, the most important ones, choose first; one that finds no free place among eight is left out.
    O(n x area of a label).

    Parameters
    ----------
    points : (n, 2)
        In pixels, y upwards.
    sizes : (n, 2)
        Width and height of each label.
    width, height
        Of the picture; no label crosses its edge.
    limit
        Stop after so many.

    Examples
    --------
    >>> place(np.array([[50.0, 50.0], [51.0, 50.0]]), np.array([[30.0, 10.0], [300.0, 10.0]]), 100, 100)
    [Placed(label=0, x=54.0, y=45.0)]
    """
    taken = np.zeros((height, width), dtype=bool)
    placed: list[Placed] = []
    for label, ((x, y), (w, h)) in enumerate(zip(points.tolist(), sizes.tolist(), strict=True)):
        off = 4.0  # from the point to the label
        right, left, middle = x + off, x - off - w, x - w / 2
        above, below, level = y + off, y - off - h, y - h / 2
        spots = [(right, level), (left, level), (middle, above), (middle, below)]
        spots += [(right, above), (right, below), (left, above), (left, below)]
        for spot_x, spot_y in spots:
            x0, y0, x1, y1 = int(spot_x - gap), int(spot_y - gap), int(spot_x + w + gap) + 1, int(spot_y + h + gap) + 1
            if spot_x - gap < 0 or spot_y - gap < 0 or x1 > width or y1 > height or taken[y0:y1, x0:x1].any():
                continue
            taken[y0:y1, x0:x1] = True
            placed.append(Placed(label, spot_x, spot_y))
            break
        if limit is not None and len(placed) == limit:
            break
    return placed
