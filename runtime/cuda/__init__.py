"""The GPU: whether there is one, which one is current, its memory, streams and graphs.

Without a GPU questions are answered with False or 0 and `empty_cache` does nothing.
"""

from __future__ import annotations

from typing import Any

from ..errors import OutOfMemoryError
from ..ops.tensor_types import _BY_NAME, tensor_type
from . import amp, devices, graphs, memory, nvtx, random, streams
from .devices import *
from .graphs import *
from .memory import *
from .random import *
from .streams import *

__all__ = [
    "OutOfMemoryError", "amp", "memory", "nvtx", *devices.__all__, *graphs.__all__,
    *memory.__all__, *random.__all__, *streams.__all__,
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """`FloatTensor` and its like: the types of tensors on the GPU."""
    found = _BY_NAME.get(name)
    if found is not None:
        return tensor_type(name, found.dtype, "cuda")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
