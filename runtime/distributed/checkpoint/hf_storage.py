"""Hugging Face's files, `*.safetensors`, written and read by all processes together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...core.tensor import Tensor
from ...errors import CheckpointError
from ...serialization import load as load_file
from ...serialization import save as save_file
from ..tensor.dtensor import DTensor
from .filesystem import agreed
from .parts import Part, is_first

__all__ = ["HuggingFaceStorageReader", "HuggingFaceStorageWriter"]


class HuggingFaceStorageWriter:
    """Writes `model.safetensors` into the folder `path`: the first process, the whole tensors."""

    wants_whole = True

    def __init__(self, path: str | os.PathLike[str], *args: Any, **options: Any) -> None:
        self.path = Path(path)

    def write(self, parts: dict[str, Part], values: dict[str, Any], group: Any) -> None:
        """Write whole tensors. Raises: CheckpointError everywhere if it fails."""
        agreed(self.path, lambda: self._written(parts) if is_first(group) else None, group)

    def _written(self, parts: dict[str, Part]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        tensors = {name: part.tensor for name, part in parts.items()}
        save_file(tensors, self.path / "model.safetensors")


class HuggingFaceStorageReader:
    """Reads the `*.safetensors` of the folder `path`, each process what it keeps of the tensors."""

    def __init__(self, path: str | os.PathLike[str], **options: Any) -> None:
        self.path = Path(path)
        self.values: dict[str, Any] = {}

    def open(self) -> None:
        """Find the tensors. Raises: CheckpointError without files."""
        files = sorted(self.path.glob("*.safetensors"))
        if not files:
            raise CheckpointError(f"checkpoint: expected *.safetensors in {self.path}. Got none.")
        self._tensors: dict[str, Tensor] = {}
        for file in files:
            self._tensors |= load_file(file)

    def names(self) -> set[str]:
        """What tensors there are."""
        return set(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """The whole shape of a tensor."""
        return tuple(self._tensors[name].shape)

    def pieces(self, name: str, part: Part) -> Iterator[tuple[tuple[slice, ...], Tensor]]:
        """All of `part` at once."""
        where = zip(part.offsets, part.tensor.shape, strict=True)
        there = tuple(slice(start, start + size) for start, size in where)
        yield tuple(slice(None) for _ in there), self._tensors[name][there]


def whole(value: Any) -> Any:
    """All of a tensor of which processes have parts; they call this together."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    return value.gathered() if getattr(value, "shard_group", None) is not None else value
