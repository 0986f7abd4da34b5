"""What a teacher gave for each sample, kept in memory or in files, so that it runs once."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from ..core.creation import from_numpy
from ..core.tensor import Tensor
from ..errors import ShapeError

Array = np.ndarray[Any, Any]

FACTS, KNOWN = "cache.json", "known.npy"
"""Files of a folder: size, dtypes and whose outputs they are; which samples are known. Each column
is a file of its number."""


class TeacherCache:
    """Rows of the teacher's values by the number of the sample, from 0 to `size` - 1.

    In memory, or in `folder`, which then serves later programs and all processes of one machine
    (files are mapped into memory: a data set may be larger than it). Good for inputs that are the
    same in each epoch: a sample that is augmented at random is another sample each time.
    Raises: ValueError for a folder that holds the outputs of another teacher, or for other terms,
    or files that are no cache.

    Example:
        >>> cache = distillation.TeacherCache(len(train), "teacher-outputs")
        >>> distiller = distillation.Distiller(teacher, student, term, cache=cache)
        >>> loss = distiller(x, y, ids=ids)
    """

    def __init__(self, size: int, folder: str | os.PathLike[str] | None = None) -> None:
        if size < 1:
            raise ValueError(f"TeacherCache: expected the number of samples as size. Got {size}.")
        self.size, self.folder = size, None if folder is None else Path(folder)
        self._columns: list[Array] = []
        self._known: Array = np.zeros(size, np.uint8)
        self._signature: str | None = None

    def __len__(self) -> int:
        """How many samples are known."""
        return int(np.count_nonzero(self._known))

    def __repr__(self) -> str:
        where = "memory" if self.folder is None else str(self.folder)
        nbytes = sum(column.nbytes for column in self._columns)
        return f"TeacherCache({len(self)} of {self.size} samples in {where}, {nbytes:,} bytes)"

    def clear(self) -> None:
        """Forget all, for another teacher; the cache's files go, and their folder unless it holds
        others."""
        self._columns, self._signature = [], None
        self._known = np.zeros(self.size, np.uint8)
        if self.folder is None or not (self.folder / FACTS).exists():
            return
        (self.folder / FACTS).unlink()  # first: without it there is no cache
        for path in [self.folder / KNOWN, *self.folder.glob("*.npy")]:
            if path.name == KNOWN or path.stem.isdecimal():
                path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def fetch(
        self,
        ids: Any,
        signature: str,
        compute: Callable[[Array], Sequence[Tensor]],
        device: Any,
    ) -> list[Tensor]:
        """The values of samples `ids` (N,), each (N, ...), on `device`; `compute(rows)` gives those
        of the places in the batch that are not known yet."""
        wanted = self._numbers(ids)
        self._open(signature)
        missing = np.flatnonzero(self._known[wanted] == 0)
        if missing.size:
            self._store(wanted[missing], compute(missing), signature)
        return [_tensor(column[wanted]).to(device) for column in self._columns]

    def _numbers(self, ids: Any) -> Array:
        found: Array = np.asarray(ids.cpu().numpy() if isinstance(ids, Tensor) else ids)
        if found.ndim != 1 or found.dtype.kind not in "iu":
            raise ValueError(
                "TeacherCache: expected ids (N,), the integers of the samples. Got "
                f"{found.dtype} {found.shape}."
            )
        if found.size and not 0 <= found.min() <= found.max() < self.size:
            raise IndexError(
                f"TeacherCache: expected ids from 0 to {self.size - 1}. Got {found.min()} to "
                f"{found.max()}."
            )
        return found

    def _open(self, signature: str) -> None:
        """Map what the folder holds, once. Raises: ValueError if another teacher made it."""
        if self._signature is None and self.folder is not None:
            self._read_folder()
        if self._signature not in (None, signature):
            raise ValueError(
                "TeacherCache: expected the teacher, and the terms, of which outputs are kept. Got "
                "others, or the teacher changed since. Call cache.clear(), or use another folder."
            )

    def _read_folder(self) -> None:
        assert self.folder is not None
        if not (self.folder / FACTS).exists():
            return
        try:
            facts = json.loads((self.folder / FACTS).read_text())
            size, signature = facts["size"], facts["signature"]
            opened = [
                np.load(self.folder / f"{k}.npy", mmap_mode="r+").view(_named_dtype(name))
                for k, name in enumerate(facts["dtypes"])
            ]
            known = np.load(self.folder / KNOWN, mmap_mode="r+")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"TeacherCache: expected the files of a cache in {self.folder}. Got some that "
                f"cannot be read: {error}. Call cache.clear() to begin anew."
            ) from error
        if size != self.size:
            raise ValueError(
                f"TeacherCache: expected {size} samples, as {self.folder} holds. Got size "
                f"{self.size}."
            )
        self._columns, self._known, self._signature = opened, known, signature

    def _store(self, ids: Array, values: Sequence[Tensor], signature: str) -> None:
        rows = [np.asarray(value.detach().cpu().numpy()) for value in values]
        for array in rows:
            if array.ndim == 0 or len(array) != len(ids):
                raise ShapeError(
                    f"TeacherCache: expected values (N, ...) of the batch's {len(ids)} samples. "
                    f"Got {array.shape}. Only models with the batch first can be cached."
                )
        if self._signature is None:
            self._create(rows, signature)
        for column, array in zip(self._columns, rows, strict=True):
            if column.shape[1:] != array.shape[1:]:
                raise ShapeError(
                    f"TeacherCache: expected values {column.shape[1:]} for each sample, as the "
                    f"first had. Got {array.shape[1:]}. Pad all batches to one length."
                )
        for column, array in zip(self._columns, rows, strict=True):
            column[ids] = array
        self._known[ids] = 1  # last: an interrupted call leaves no half row behind

    def _create(self, rows: list[Array], signature: str) -> None:
        shapes = [(self.size, *array.shape[1:]) for array in rows]
        if self.folder is None:
            self._columns = [np.empty(s, a.dtype) for s, a in zip(shapes, rows, strict=True)]
            self._signature = signature
            return
        facts = {
            "size": self.size,
            "signature": signature,
            "dtypes": [str(array.dtype) for array in rows],
        }
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}-", dir=self.folder.parent))
        try:
            for k, (shape, array) in enumerate(zip(shapes, rows, strict=True)):
                _new_file(made / f"{k}.npy", shape, _plain_dtype(array.dtype))
            _new_file(made / KNOWN, (self.size,), np.dtype(np.uint8))
            (made / FACTS).write_text(json.dumps(facts))
            _put(made, self.folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        self._open(signature)


def _put(made: Path, folder: Path) -> None:
    """Move a new cache to its place at once: of several processes the first one makes it."""
    try:
        made.rename(folder)
    except OSError as error:
        if not (folder / FACTS).exists():
            raise ValueError(
                f"TeacherCache: expected a folder that is empty or not there yet. Got {folder}, "
                f"which holds something else ({error.strerror}). Name a folder of the cache's own."
            ) from error


def _new_file(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()


def _plain_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What a .npy file can name: bfloat16 is written as its bits."""
    return np.dtype(np.uint16) if dtype == ml_dtypes.bfloat16 else dtype


def _named_dtype(name: str) -> np.dtype[Any]:
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def _tensor(array: Array) -> Tensor:
    return from_numpy(np.ascontiguousarray(array))
