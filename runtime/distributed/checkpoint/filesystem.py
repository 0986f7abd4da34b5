"""A checkpoint as a folder: a file of bytes from each process, and one that tells what is where.

The one that tells is written last and replaced in one step, so that a reader, or whoever comes
after a crash, finds the old checkpoint or the new one whole.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.creation import from_numpy
from ...core.tensor import Tensor
from ...errors import CheckpointError
from ...serialization import load as load_file
from ...serialization import save as save_file
from ...serialization.replacing import replace_file
from ..group import get_rank, get_world_size, is_initialized
from ..objects import all_gather_object
from .parts import Part, is_first

__all__ = ["FileSystemReader", "FileSystemWriter"]

INDEX = ".metadata.json"
VERSION = 1


def agreed(path: Path, step: Callable[[], Any], group: Any) -> list[Any]:
    """What `step`, a part of writing to `path`, gave in each process.

    Raises: CheckpointError in all of them if it failed in one.
    """
    result: Any = None
    failure: OSError | None = None
    try:
        result = step()
    except OSError as error:
        failure = error
    outcomes: list[Any] = [(result, None if failure is None else repr(failure))]
    if is_initialized():
        own, outcomes = outcomes[0], [None] * get_world_size(group)
        all_gather_object(outcomes, own, group)
    if faults := [fault for _, fault in outcomes if fault]:
        raise CheckpointError(
            f"checkpoint: {path} could not be written: {faults[0]}. What was there before is as it "
            "was."
        ) from failure
    return [result for result, _ in outcomes]


class FileSystemWriter:
    """Writes into the folder `path`, which is made if it is not there; other options of PyTorch's
    are taken and change nothing."""

    def __init__(self, path: str | os.PathLike[str], **options: Any) -> None:
        self.path = Path(path)

    def write(self, parts: dict[str, Part], values: dict[str, Any], group: Any) -> None:
        """Each process writes its parts, the first one the `values` that are no tensors."""
        begins = is_first(group)
        token = agreed(self.path, lambda: self._folder() if begins else None, group)[0]
        name = f"{token}.{get_rank(group) if is_initialized() else 0}.bin"
        found = agreed(self.path, lambda: self._written(name, parts), group)
        chunks = [chunk for own in found for chunk in own]
        agreed(self.path, lambda: self._index(token, chunks, values) if begins else None, group)

    def _folder(self) -> str:
        """Make the folder; a word by which new files differ from old ones."""
        self.path.mkdir(parents=True, exist_ok=True)
        return secrets.token_hex(4)

    def _written(self, name: str, parts: dict[str, Part]) -> list[dict[str, Any]]:
        chunks: list[dict[str, Any]] = []

        def write(file: Any) -> None:
            for key, part in parts.items():
                if part.is_written:
                    here = {"name": key, "file": name, "at": file.tell()}
                    place = {"offsets": part.offsets, "sizes": tuple(part.tensor.shape)}
                    kind = {"shape": part.shape, "dtype": part.tensor.dtype.name}
                    chunks.append({**here, **place, **kind})
                    file.write(_bytes(part.tensor).tobytes())

        replace_file(self.path / name, write)
        return chunks

    def _index(self, token: str, chunks: list[dict[str, Any]], values: dict[str, Any]) -> None:
        save_file(values, self.path / f"{token}.values.safetensors")
        index = {"version": VERSION, "token": token, "chunks": chunks}
        replace_file(self.path / INDEX, lambda file: file.write(json.dumps(index).encode()))
        for old in [*self.path.glob("*.bin"), *self.path.glob("*.values.safetensors")]:
            if not old.name.startswith(token):
                old.unlink(missing_ok=True)


class FileSystemReader:
    """Reads from the folder `path`. Raises: CheckpointError if it is none that was written so."""

    def __init__(self, path: str | os.PathLike[str], **options: Any) -> None:
        self.path = Path(path)

    def open(self) -> None:
        """Read what is where."""
        try:
            index = json.loads((self.path / INDEX).read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"checkpoint: expected a folder that distributed.checkpoint.save wrote. Got "
                f"{self.path}: {error}."
            ) from error
        if index.get("version") != VERSION:
            raise CheckpointError(f"checkpoint: {self.path} is of version {index.get('version')}.")
        self.values = load_file(self.path / f"{index['token']}.values.safetensors")
        self._chunks: dict[str, list[dict[str, Any]]] = {}
        for chunk in index["chunks"]:
            self._chunks.setdefault(chunk["name"], []).append(chunk)

    def names(self) -> set[str]:
        """What tensors there are."""
        return set(self._chunks)

    def shape(self, name: str) -> tuple[int, ...]:
        """The whole shape of a tensor."""
        return tuple(self._chunks[name][0]["shape"])

    def pieces(self, name: str, part: Part) -> Iterator[tuple[tuple[slice, ...], Tensor]]:
        """Where in `part` to put what, until it is full."""
        for chunk in self._chunks[name]:
            here, there = [], []
            for start, size, at, length in zip(
                part.offsets, part.tensor.shape, chunk["offsets"], chunk["sizes"], strict=True
            ):
                low, high = max(start, at), min(start + size, at + length)
                here.append(slice(low - start, max(high, low) - start))
                there.append(slice(low - at, max(high, low) - at))
            yield tuple(here), self._read(chunk, tuple(there))

    def _read(self, chunk: dict[str, Any], where: tuple[slice, ...]) -> Tensor:
        dtype = dtypes.by_name(chunk["dtype"])
        shape = (*chunk["sizes"], dtype.itemsize)
        if 0 in shape:
            return from_numpy(np.empty((0,), np.uint8)).view(dtype)
        path = self.path / chunk["file"]
        stored = np.memmap(path, np.uint8, "r", offset=chunk["at"], shape=shape)
        piece = np.array(stored[where])
        return from_numpy(piece.reshape(-1)).view(dtype).reshape(piece.shape[:-1])


def _bytes(tensor: Tensor) -> Any:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(dtypes.uint8).numpy()
