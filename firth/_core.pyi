"""Types of the compiled core (core/src/lib.rs)."""

__version__: str

import numpy as np

def simd_level() -> str: ...

class SkipGram:
    def __init__(
        self,
        counts: np.ndarray,
        dim: int,
        window: int,
        negatives: int,
        sample: float,
        alpha: float,
        epochs: int,
        seed: int,
        threads: int,
        /,
    ) -> None: ...
    @staticmethod
    def chunks(ids: int, /) -> int: ...
    def run(self, ids: np.ndarray, from_: int, to: int, /) -> tuple[int, int, int, float, int]: ...
    def copy_to(self, out: np.ndarray, context: bool, /) -> None: ...
