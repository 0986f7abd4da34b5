"""GGUF files, as llama.cpp's programs write them: tensors, also in blocks of few bits.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; the blocks of ggml-common.h.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.creation import from_numpy
from ..core.dtypes import bfloat16
from ..core.tensor import Tensor
from ..errors import CheckpointError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q",
           11: "<q", 12: "<d"}  # fmt: skip
"""How the types of metadata are stored; 8 is text, 9 a list."""
BLOCK = 32
"""Elements that share a scale."""


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


def contents(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The metadata by key, and what `read` gives. Raises: CheckpointError."""
    try:
        return _contents(data)
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


def _contents(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
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
    return metadata, {
        name: _tensor(data, start + offset, name, shape, kind)
        for name, shape, kind, offset in described
    }


def _tensor(data: bytes, start: int, name: str, shape: tuple[int, ...], kind: int) -> Tensor:
    if kind not in KINDS:
        known = ", ".join(label for label, *_ in KINDS.values())
        raise CheckpointError(f"load: expected {name} as one of {known}. Got GGML type {kind}.")
    _, elements, size, decode = KINDS[kind]
    count = math.prod(shape)
    length = count // elements * size
    if count % elements or start + length > len(data):
        raise CheckpointError(f"load: expected {count} elements of {name} in the file.")
    stored = np.frombuffer(data, np.uint8, length, start)
    return from_numpy(decode(stored).reshape(shape))


def _plain(dtype: Any) -> Callable[[Any], Any]:
    return lambda stored: stored.view(dtype).copy()


def _scaled(stored: Any, size: int) -> tuple[Any, Any]:
    """The scales of blocks of `size` bytes, as float32 columns, and the bytes behind them."""
    blocks = stored.reshape(-1, size)
    return blocks[:, :2].copy().view(np.float16).astype(np.float32), blocks[:, 2:]


def _q8_0(stored: Any) -> Any:
    """scale * q, q of 8 bits."""
    scale, rest = _scaled(stored, 34)
    return scale * rest.view(np.int8)


def _nibbles(packed: Any) -> Any:
    """4-bit numbers: the low halves of all bytes, then the high ones."""
    return np.concatenate([packed & 15, packed >> 4], 1).astype(np.float32)


def _q4_0(stored: Any) -> Any:
    """scale * (q - 8), q of 4 bits."""
    scale, rest = _scaled(stored, 18)
    return scale * (_nibbles(rest) - 8)


def _q4_1(stored: Any) -> Any:
    """scale * q + minimum, q of 4 bits."""
    scale, rest = _scaled(stored, 20)
    minimum = rest[:, :2].copy().view(np.float16).astype(np.float32)
    return scale * _nibbles(rest[:, 2:]) + minimum


KINDS: dict[int, tuple[str, int, int, Callable[[Any], Any]]] = {
    0: ("F32", 1, 4, _plain("<f4")),
    1: ("F16", 1, 2, _plain("<f2")),
    2: ("Q4_0", BLOCK, 18, _q4_0),
    3: ("Q4_1", BLOCK, 20, _q4_1),
    8: ("Q8_0", BLOCK, 34, _q8_0),
    24: ("I8", 1, 1, _plain("<i1")),
    25: ("I16", 1, 2, _plain("<i2")),
    26: ("I32", 1, 4, _plain("<i4")),
    27: ("I64", 1, 8, _plain("<i8")),
    28: ("F64", 1, 8, _plain("<f8")),
    30: ("BF16", 1, 2, _plain(bfloat16.numpy)),
}
"""By GGML type: name, elements and bytes of a block, and how to decode blocks."""
