"""Values that Python comes to know while a model is traced, and the lines where it does."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from ..core import callsite
from ..core.tensor import Tensor

__all__ = ["TracerWarning", "current_place", "reads_told", "warn_at", "warn_of_read"]


class TracerWarning(UserWarning):
    """A value that the trace holds as a constant, though it may depend on the inputs."""


class Reader(Protocol):
    """What is told of values that are read."""

    def value_read(self, tensor: Tensor) -> None:
        """Python reads the value of `tensor`."""


def current_place() -> Any:
    """The innermost place that is not the runtime's own; models it brings along are not."""
    frame: Any = sys._getframe(2)
    while frame is not None and _is_inner(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    return None if frame is None else (frame.f_code, frame.f_lasti)


MODELS = ("flambeau.text.", "flambeau.vision.")
"""Packages whose code is shown like the user's."""


def _is_inner(name: str) -> bool:
    return name.startswith("flambeau.") and not name.startswith(MODELS)


READS = ("item", "numpy_values")
"""The methods of tensors by which Python comes to know their values."""


_reading: list[Reader] = []
_originals: dict[str, Callable[[Tensor], Any]] = {}
_lock = threading.Lock()


@contextmanager
def reads_told(reader: Reader) -> Iterator[None]:
    """In this block, values that Python reads are told about; several threads may be in one."""
    with _lock:
        if not _reading:
            for name in READS:
                _originals[name] = getattr(Tensor, name)
                setattr(Tensor, name, _telling(_originals[name]))
        _reading.append(reader)
    try:
        yield
    finally:
        with _lock:
            _reading.remove(reader)
            if not _reading:
                for name in READS:
                    setattr(Tensor, name, _originals[name])


def _telling(original: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    def read(self: Tensor) -> Any:
        for reader in tuple(_reading):
            reader.value_read(self)
        return original(self)

    return read


def warn_of_read(tensor: Tensor, place: Any) -> None:
    where = "" if place is None else f" at {callsite.shown(place)}"
    warn_at(
        place,
        f"Export: the value of a tensor of shape {tuple(tensor.shape)} is read{where}. It becomes "
        "a constant of the exported model, and what depends on it is as it was in this run. Use "
        "torch.where or another operation on tensors instead.",
    )


def warn_at(place: Any, message: str) -> None:
    """Warn of a constant, at a place of the user's program."""
    code, instruction = place or (warn_at.__code__, 0)
    line = list(code.co_positions())[instruction // 2][0] or code.co_firstlineno
    warnings.warn_explicit(message, TracerWarning, code.co_filename, line)
