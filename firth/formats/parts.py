"""Parts: what every reader returns and every writer takes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Parts(NamedTuple):
    """The parts of a space, as read from or written to a file, not yet checked."""

    labels: list[str]
    vectors: np.ndarray  # (n, d) float32
    columns: dict[str, np.ndarray]  # each (n,), or (n, m) numbers
    recipe: dict[str, Any]
