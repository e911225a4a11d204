"""NumPy's .npy: the vectors alone, their labels in a text file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from firth._check import FileFormatError
from firth.atomic import atomic_write
from firth.formats.checks import as_vectors, labels_beside, lost, one_line, read_labels, write_labels
from firth.formats.parts import Parts

MAGIC = b"\x93NUMPY"


def read_npy(path: str | Path, *, labels: str | Path | Sequence[str] | None = None) -> Parts:
    """Read a 2-d .npy and its labels, from x.labels.txt beside x.npy unless given. Never unpickles."""
    vectors = as_vectors(path, open_npy(path))
    return Parts(read_labels(path, labels, len(vectors)), vectors, {}, {})


def open_npy(path: str | Path) -> np.ndarray:
    """Map the array of a .npy file into memory."""
    with open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:  # np.load would try other formats
            raise FileFormatError(f"{path}: not a .npy file: it does not begin with {MAGIC!r}")
    try:
        # By memory map: numpy then compares the promised shape with the size of the file before it asks for memory.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # numpy's header parser raises what Python's tokenizer and literal_eval do
        if "Python objects" in str(error):
            raise FileFormatError(
                f"{path}: the array holds Python objects, pickled, which firth never opens; save numbers:"
                " np.save(path, array.astype('float32'))"
            ) from None
        raise FileFormatError(f"{path}: not a readable .npy file ({one_line(error)})") from None
    size, expected = Path(path).stat().st_size, getattr(array, "offset", 0) + array.nbytes
    if size != expected:
        raise FileFormatError(f"{path}: {expected:,} bytes expected for {array.shape} {array.dtype}, found {size:,}")
    return array


def write_npy(parts: Parts, path: str | Path) -> list[str]:
    """Write x.npy and x.labels.txt: the labels first, so that a new .npy never stands beside old ones."""
    with atomic_write(labels_beside(path)) as temporary:
        write_labels(parts.labels, temporary)
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.save(file, np.ascontiguousarray(parts.vectors, dtype=np.float32), allow_pickle=False)
    return lost(parts)
