"""GGUF files, as llama.cpp's programs write them: tensors, also in blocks of few bits.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from ..core.creation import from_numpy
from ..core.dtypes import bfloat16
from ..core.tensor import Tensor
from ..errors import CheckpointError
from .gguf_blocks import BLOCKS

MAGIC = b"GGUF"
VERSIONS = (2, 3)
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q",
           11: "<q", 12: "<d"}  # fmt: skip
"""How the types of metadata are stored; 8 is text, 9 a list."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 4

    def take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self.data):
            raise CheckpointError(f"load: the GGUF file ends before byte {end}.")
        found = self.data[self.position : end]
        self.position = end
        return found

    def number(self, format: str) -> Any:
        return struct.unpack(format, self.take(struct.calcsize(format)))[0]

    def text(self) -> str:
        return self.take(self.number("<Q")).decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind in SCALARS:
            return self.number(SCALARS[kind])
        if kind == 8:
            return self.text()
        if kind != 9 or depth > 4:
            raise CheckpointError(f"load: expected metadata of a known type. Got type {kind}.")
        inner, count = self.number("<I"), self.number("<Q")
        if inner in SCALARS:
            step = struct.calcsize(SCALARS[inner])
            return list(struct.unpack(f"<{count}{SCALARS[inner][1]}", self.take(step * count)))
        if count > len(self.data):
            raise CheckpointError("load: a list in the GGUF file is longer than the file.")
        return [self.value(inner, depth + 1) for _ in range(count)]


def read(data: bytes) -> dict[str, Tensor]:
    """The tensors by name; blocks of few bits become float32. Raises: CheckpointError."""
    return contents(data)[1]


def contents(data: bytes, keeps_codes: bool = False) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The metadata by key, and what `read` gives; with `keeps_codes` matrices in blocks as the
    tensors that `ops.grouped` computes with: `x.codes`, `x.scales` and perhaps `x.offsets` for
    `x.weight`. Raises: CheckpointError."""
    try:
        return _contents(data, keeps_codes)
    except (struct.error, MemoryError, OverflowError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"load: expected a GGUF file that is whole. {error}") from None


def metadata(data: bytes) -> dict[str, Any]:
    """The metadata by key, without the tensors. Raises: CheckpointError."""
    try:
        return _metadata(_Reader(data))[0]
    except (struct.error, MemoryError, OverflowError) as error:
        raise CheckpointError(f"load: expected a GGUF file that is whole. {error}") from None


def _metadata(reader: _Reader) -> tuple[dict[str, Any], int]:
    """The metadata, and how many tensors are described behind it."""
    version = reader.number("<I")
    if version not in VERSIONS:
        raise CheckpointError(f"load: expected GGUF of version 2 or 3. Got {version}.")
    count, pairs = reader.number("<Q"), reader.number("<Q")
    if count + pairs > len(reader.data):
        raise CheckpointError("load: the GGUF file promises more than it can hold.")
    found = {}
    for _ in range(pairs):
        name = reader.text()
        found[name] = reader.value(reader.number("<I"))
    return found, count


def _contents(data: bytes, keeps_codes: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    reader = _Reader(data)
    metadata, count = _metadata(reader)
    described = []
    for _ in range(count):
        name, rank = reader.text(), reader.number("<I")
        if rank > 8:
            raise CheckpointError(f"load: expected at most 8 dimensions. {name} has {rank}.")
        sizes = [reader.number("<Q") for _ in range(rank)]  # the innermost comes first
        described.append((name, tuple(reversed(sizes)), reader.number("<I"), reader.number("<Q")))
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment <= 0:
        raise CheckpointError(f"load: expected an alignment. Got {alignment!r}.")
    start = -(-reader.position // alignment) * alignment
    tensors: dict[str, Tensor] = {}
    for name, shape, kind, offset in described:
        tensors |= _tensors(data, start + offset, name, shape, kind, keeps_codes)
    return metadata, tensors


def _tensors(
    data: bytes, start: int, name: str, shape: tuple[int, ...], kind: int, keeps_codes: bool
) -> dict[str, Tensor]:
    """The tensor under its name, or its codes, scales and offsets under the stem of its name."""
    if kind in PLAIN:
        _, dtype = PLAIN[kind]
        elements, size = 1, np.dtype(dtype).itemsize
    elif kind in BLOCKS:
        _, elements, size, groups_of = BLOCKS[kind]
    else:
        known = ", ".join(label for label, *_ in (*PLAIN.values(), *BLOCKS.values()))
        raise CheckpointError(f"load: expected {name} as one of {known}. Got GGML type {kind}.")
    count = math.prod(shape)
    length = count // elements * size
    if count % elements or start + length > len(data):
        raise CheckpointError(f"load: expected {count} elements of {name} in the file.")
    stored = np.frombuffer(data, np.uint8, length, start)
    if kind in PLAIN:
        return {name: from_numpy(stored.view(dtype).copy().reshape(shape))}
    groups = groups_of(stored.reshape(-1, size))
    if not keeps_codes or len(shape) != 2:
        return {name: from_numpy(groups.values().reshape(shape))}
    stem = name.removesuffix(".weight")
    parts = groups.packed(shape[0])
    return {f"{stem}.{part}": from_numpy(array) for part, array in parts.items()}


PLAIN = {
    0: ("F32", "<f4"),
    1: ("F16", "<f2"),
    24: ("I8", "<i1"),
    25: ("I16", "<i2"),
    26: ("I32", "<i4"),
    27: ("I64", "<i8"),
    28: ("F64", "<f8"),
    30: ("BF16", bfloat16.numpy),
}
"""By GGML type: name and NumPy's type of tensors that are stored as they are."""
