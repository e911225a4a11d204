"""What was grokked as a page: one HTML file that works offline."""

from __future__ import annotations

import base64
import json
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from firth.grokking.report import plane

if TYPE_CHECKING:
    from firth.grokking.report import Grokked

PLACE = "/*DATA*/"  # in the template: where the data go


def write(grokked: Grokked, path: Path) -> None:
    """Write the table, the picture, and circles that add any two numbers."""
    from firth.grokking.draw import draw

    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "grok.svg"
        draw(grokked, picture, "svg")
        drawn = base64.b64encode(picture.read_bytes()).decode()
    found = grokked.opened
    data = {
        "p": grokked.options.p,
        "steps": grokked.steps,
        "seed": grokked.options.seed,
        "table": grokked.table,
        "frequencies": found.frequencies,
        "amplitudes": found.amplitudes,
        "circles": [np.round(plane(grokked.trained.model["W_E"], key), 4).tolist() for key in found.frequencies],
        "picture": drawn,
    }
    before, after = resources.files("firth.grokking").joinpath("page.html").read_text(encoding="utf-8").split(PLACE)
    path.write_text(before + json.dumps(data) + after, encoding="utf-8")
