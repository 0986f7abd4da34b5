"""The records of one of PyTorch's files, one at a time."""

from __future__ import annotations

import os
import zipfile
from typing import Any

from ..core.creation import from_numpy
from ..core.tensor import Tensor
from ..errors import CheckpointError

__all__ = ["PyTorchFileReader"]


class PyTorchFileReader:
    """The records of a .pt file that is a zip archive: a path, or an open binary file.

    Raises: CheckpointError for another file.
    """

    def __init__(self, file: Any) -> None:
        try:
            self._archive = zipfile.ZipFile(file)
        except zipfile.BadZipFile as error:
            name = os.fspath(file) if isinstance(file, str | os.PathLike) else "the file"
            raise CheckpointError(f"Expected a zip archive. {name} is none.") from error
        self._root = self._archive.namelist()[0].partition("/")[0]

    def get_all_records(self) -> list[str]:
        """Their names."""
        return [name.removeprefix(f"{self._root}/") for name in self._archive.namelist()]

    def has_record(self, name: str) -> bool:
        """Whether there is one of that name."""
        return f"{self._root}/{name}" in self._archive.namelist()

    def get_record(self, name: str) -> bytes:
        """Its bytes. Raises: CheckpointError if it is not there."""
        if not self.has_record(name):
            raise CheckpointError(f"Expected one of {self.get_all_records()}. Got {name!r}.")
        return self._archive.read(f"{self._root}/{name}")

    def get_storage_from_record(self, name: str, numel: int, dtype: Any) -> Tensor:
        """Its first `numel` bytes, or elements of `dtype`, as a tensor of one dimension."""
        import numpy as np

        if not hasattr(dtype, "itemsize"):  # the class of a storage: bytes
            return from_numpy(np.frombuffer(bytearray(self.get_record(name)), np.uint8)[:numel])
        count = numel * dtype.itemsize
        data = np.frombuffer(bytearray(self.get_record(name)), np.uint8)[:count]
        return from_numpy(data).view(dtype)
