"""Deferral: how a region of code hands its operations to a compiler instead of computing them.

While a region runs in a thread, the general path of every operation (see `ops.general`) offers the
call to it, and whoever is about to write into a tensor's memory first has it compute what waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from . import observers
from .locks import module_lock

if TYPE_CHECKING:
    from ..ops.operation import Operation
    from .dispatch import DispatchKey
    from .tensor import Tensor


class Region(Protocol):
    """What a compiler runs in a thread."""

    def capture(self, operation: Operation, arguments: dict[str, Any], key: DispatchKey) -> Any:
        """The deferred results, or NotImplemented for what must be computed at once."""

    def reads(self, tensor: Tensor) -> bool:
        """Whether something that waits reads the memory of `tensor`."""

    def may_rename(self, tensor: Tensor) -> bool:
        """Whether `tensor` is lazy, and nothing else shows its memory."""

    def rename(self, tensor: Tensor, result: Tensor, operation: str) -> bool:
        """Whether the lazy `tensor` now stands for what `result` does, which is lazy too."""

    def flush(self, reason: str, is_break: bool = False) -> None:
        """Compute all that waits; `is_break` if Python itself wants to know values."""


class _State(threading.local):
    region: Region | None = None


state = _State()
in_use = 0
"""How many regions run, in whatever threads."""
_lock = module_lock()


def enter(region: Region | None) -> Region | None:
    """Make `region` that of this thread, or none; the one before."""
    global in_use
    before, state.region = state.region, region
    change = (region is not None) - (before is not None)
    if change:
        with _lock:
            in_use += change
            observers.watch(change)
    return before


def settle(reason: str, tensor: Tensor | None = None) -> None:
    """Compute what waits in this thread, before something that it reads is changed: `tensor`, or
    who knows what."""
    region = state.region
    if region is not None and (tensor is None or region.reads(tensor)):
        region.flush(reason)


def renamed(
    tensor: Tensor, function: Callable[..., Tensor], args: Any, kwargs: Any, operation: str
) -> Tensor | None:
    """What `function` makes of a lazy tensor nobody else sees, as its new value: `tensor` itself if
    it now stands for that, else the result, to be written. None for other tensors, with all that
    reads them computed."""
    region = state.region
    if region is None:
        return None
    if not region.may_rename(tensor):
        settle(f"{operation} wrote in place", tensor)
        return None
    result = function(tensor, *args, **kwargs)
    return tensor if region.rename(tensor, result, operation) else result
