"""Saving and loading.

`save` writes safetensors, or what PyTorch reads where the file's name says so; `load` tells by the
content: safetensors, PyTorch's files of any age, GGUF, NumPy's npz. Nothing in a file is ever
executed. A file is written beside its name and then renamed: whoever reads, or is interrupted,
finds the old one or the new one whole.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ..core.devices import device
from ..ops.transfer import resolve
from . import gguf, pytorch_files, safetensors_files
from .allowed import Builder
from .replacing import replace_file

__all__ = [
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "load",
    "safe_globals",
    "save",
]

MAP_LOCATION: TypeAlias = "Callable[[Any, str], Any] | device | str | dict[str, str] | None"
"""What `load` takes as `map_location`."""

PYTORCH_SUFFIXES = {".pt", ".pth", ".bin", ".ckpt", ".tar"}
"""Names that promise a file of PyTorch's own format."""


def save(obj: Any, f: Any, **unused: Any) -> None:
    """Write `obj` to the path or binary file `f`: in PyTorch's format if its name ends in .pt,
    .pth, .bin, .ckpt or .tar or if `obj` is no matter of tensors and plain values alone, else as
    safetensors.

    `obj` is a tensor, a plain value, or dicts, lists and tuples of them: state dicts of modules and
    optimizers, checkpoints made of those. Also NumPy arrays and, by the names of their classes,
    whole modules and objects of the program's own classes; `load` then wants `weights_only=False`.
    Raises: TypeError for anything else.
    """
    is_path = isinstance(f, str | os.PathLike)
    suffix = Path(f if is_path else str(getattr(f, "name", ""))).suffix
    content = None if suffix in PYTORCH_SUFFIXES else _packed(obj)

    def write(file: Any) -> None:
        if content is None:
            pytorch_files.write_zip(obj, file)
        else:
            file.write(content)

    if is_path:
        replace_file(Path(f), write)
    else:
        write(f)


def _packed(obj: Any) -> bytes | None:
    """`obj` as safetensors; None if only PyTorch's format can hold it. Raises: TypeError if none
    can."""
    try:
        return safetensors_files.packed(obj)
    except TypeError:
        try:
            pytorch_files.write_zip(obj, io.BytesIO())
        except TypeError:
            pass
        else:
            return None
        raise


# -- loading ---------------------------------------------------------------------------------------


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool = True,
    mmap: bool | None = None,
    **unused: Any,
) -> Any:
    """What the path or binary file `f` holds: what `save` wrote, or PyTorch's; from an npz or GGUF
    file or another writer's safetensors, a dict of tensors.

    `map_location` says where tensors go: a device, a dict of device names, or a function of
    storage and name; else where they came from, or to the CPU if that device is not here.
    `weights_only=False` lets a file also name classes and functions that this program has
    imported, to rebuild modules and other objects that were saved whole: without a call of theirs
    but `__setstate__`. `pickle_module` changes nothing: no file can run code here.
    Raises: FileNotFoundError, or CheckpointError for a file that cannot be read, or not so.
    """
    if isinstance(f, str | os.PathLike):
        with open(f, "rb") as file:
            data, name = file.read(), os.fspath(f)
    else:
        data, name = f.read(), "the file"
    place = _placement(map_location)
    if data[:4] == gguf.MAGIC:
        return {k: t.to(place("cpu")) for k, t in gguf.read(data).items()}
    if data[:4] == pytorch_files.ZIP:
        return pytorch_files.read_zip(data, _builder(map_location, weights_only))
    # The length that a safetensors file begins with may look like the first bytes of a pickle.
    if data[:1] == b"\x80" and not safetensors_files.is_likely(data):
        return pytorch_files.read_legacy(data, _builder(map_location, weights_only))
    return safetensors_files.read(data, str(name), place)


def _builder(map_location: Any, weights_only: bool) -> Builder:
    if not callable(map_location):
        place = _placement(map_location)
        return Builder(lambda storage, name: place(name), _safe_globals, weights_only)

    def chosen(storage: Any, name: str) -> Any:
        found = map_location(storage, name)
        return "cpu" if found is None or found is storage else found

    return Builder(chosen, _safe_globals, weights_only)


def _placement(map_location: Any) -> Callable[[str], Any]:
    """From the device that a tensor was saved on, the one it goes to."""
    if map_location is None or callable(map_location):
        return _original_or_cpu
    if isinstance(map_location, Mapping):
        table = {str(k): v for k, v in map_location.items()}
        return lambda name: table.get(name, _original_or_cpu(name))
    return lambda name: map_location


def _original_or_cpu(name: str) -> Any:
    try:
        return resolve(name)
    except RuntimeError:
        return "cpu"


# -- classes that the user vouches for -------------------------------------------------------------

_safe_globals: list[Any] = []


def add_safe_globals(safe_globals: Iterable[Any]) -> None:
    """Let files from now on build objects of these classes, and call these functions: each as it
    is, or with the name under which files know it, `(function, "module.name")`."""
    _safe_globals.extend(safe_globals)


def get_safe_globals() -> list[Any]:
    """What files may build beyond tensors and plain values."""
    return list(_safe_globals)


def clear_safe_globals() -> None:
    """Back to tensors and plain values."""
    _safe_globals.clear()


class safe_globals:
    """`add_safe_globals` for the length of a `with` block."""

    def __init__(self, safe_globals: Iterable[Any]) -> None:
        self._added = list(safe_globals)

    def __enter__(self) -> safe_globals:
        self._before = get_safe_globals()
        add_safe_globals(self._added)
        return self

    def __exit__(self, *exception: object) -> None:
        _safe_globals[:] = self._before
