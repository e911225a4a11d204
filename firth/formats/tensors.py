"""safetensors: the vectors as a 2-d tensor, numeric columns as further tensors, labels and recipe in the metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from firth._check import ArgumentError, FileFormatError
from firth.atomic import atomic_write
from firth.formats.checks import as_vectors, check_labels, one_line, read_labels, read_recipe
from firth.formats.parts import Parts

VECTORS = "vectors"
MOST_HEADER_BYTES = 100_000_000  # the safetensors library refuses longer headers


def read_safetensors(
    path: str | Path, *, labels: str | Path | Sequence[str] | None = None, tensor: str | None = None
) -> Parts:
    """Read the 2-d tensor, or the one named, and as columns the 1-d tensors of as many rows.

    Of a file that firth wrote, further 2-d tensors of as many rows are columns too; those of a model are other matrices.
    Labels are given, or a JSON list `labels` in the metadata, or stand in x.labels.txt beside x.safetensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            name = _choose(path, shapes, tensor)
            vectors = as_vectors(path, _tensor(path, file, name), f"tensor {name!r}")
            n = len(vectors)
            metadata = file.metadata() or {}
            columns = {}
            for other, shape in shapes.items():
                if shape == (n,) and other != name:
                    columns[other] = _tensor(path, file, other)
                elif shape[:1] == (n,) and len(shape) == 2 and other != name and "recipe" in metadata:
                    columns[other] = as_vectors(path, _tensor(path, file, other), f"tensor {other!r}")
    except SafetensorError as error:
        raise FileFormatError(f"{path}: not a readable safetensors file ({one_line(error)})") from None
    if labels is None and "labels" in metadata:
        names = _metadata_labels(path, metadata["labels"], n)
    else:
        names = read_labels(path, labels, n)
    return Parts(names, vectors, columns, read_recipe(path, metadata.get("recipe")))


def _choose(path: str | Path, shapes: dict[str, tuple[int, ...]], tensor: str | None) -> str:
    told = ", ".join(f"{name!r} {shape}" for name, shape in list(shapes.items())[:20]) or "none"
    if tensor is not None:
        if tensor not in shapes:
            raise ArgumentError(f"{path}: there is no tensor {tensor!r}; its tensors are {told}")
        return tensor
    flat = [name for name, shape in shapes.items() if len(shape) == 2]
    if len(flat) > 1 and VECTORS in flat:
        return VECTORS
    if len(flat) != 1:
        raise FileFormatError(
            f"{path}: one 2-d tensor expected, found {len(flat)}; choose one with tensor=; its tensors are {told}"
        )
    return flat[0]


def _tensor(path: str | Path, file: Any, name: str) -> np.ndarray:
    kind = file.get_slice(name).get_dtype()
    if kind == "BF16":
        return _bfloat16(path, name)
    try:
        return file.get_tensor(name)
    except (TypeError, AttributeError, ValueError, KeyError):  # types that numpy has not, such as 8-bit floats
        raise FileFormatError(f"{path}: tensor {name!r} holds {kind}, which firth does not read; use float32") from None


def _bfloat16(path: str | Path, name: str) -> np.ndarray:
    """Read a tensor of bfloat16, which numpy has not: the upper half of a float32. The library has checked the header."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[name]
        start, end = entry["data_offsets"]
        file.seek(8 + length + start)
        halves = np.frombuffer(file.read(end - start), dtype="<u2")
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])


def _metadata_labels(path: str | Path, text: str, n: int) -> list[str]:
    try:
        names = json.loads(text)
    except ValueError as error:
        raise FileFormatError(f"{path}: labels in the metadata must be a JSON list; {one_line(error)}") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FileFormatError(f"{path}: labels in the metadata must be a JSON list of strings")
    if len(names) != n:
        raise FileFormatError(f"{path}: {n} labels expected in the metadata, one for each row; found {len(names)}")
    check_labels(path, names)
    return names


def write_safetensors(parts: Parts, path: str | Path) -> list[str]:
    """Write tensor `vectors`, numeric columns as tensors of their names, labels and recipe as JSON in the metadata."""
    from safetensors.numpy import save_file

    kept = {name: column for name, column in parts.columns.items() if column.dtype.kind in "fiub" and name != VECTORS}
    tensors = {name: np.ascontiguousarray(column) for name, column in kept.items()}
    tensors[VECTORS] = np.ascontiguousarray(parts.vectors, dtype=np.float32)
    metadata = {"labels": json.dumps(parts.labels, ensure_ascii=False), "recipe": json.dumps(parts.recipe)}
    size = len(json.dumps(metadata, ensure_ascii=False).encode())
    if size > MOST_HEADER_BYTES - 1_000_000:
        raise ArgumentError(
            f"{path}: safetensors cannot hold {size:,} bytes of labels; write .space or .parquet instead"
        )
    with atomic_write(path) as temporary:
        save_file(tensors, str(temporary), metadata=metadata)
    return [f"column {name!r}" for name in parts.columns if name not in kept]
