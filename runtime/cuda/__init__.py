"""The GPU: whether there is one, which one is current, its memory, streams and graphs.

Without a GPU questions are answered with False or 0 and `empty_cache` does nothing.
"""

from __future__ import annotations

from typing import Any

from ..backends import cuda as _backend
from ..core.devices import device as _Device
from ..errors import OutOfMemoryError
from ..ops.tensor_types import _BY_NAME, tensor_type
from ..random import generator_for as _generator_for
from . import (
    amp,
    calls,
    comm,
    devices,
    graphs,
    memory,
    monitoring,
    nccl,
    nvtx,
    profiler,
    random,
    streams,
)
from .calls import *
from .devices import *
from .devices import _index
from .graphs import *
from .memory import *
from .monitoring import *
from .random import *
from .streams import *

__all__ = [
    "OutOfMemoryError", "amp", "comm", "current_blas_handle", "has_half", "has_magma", "memory",
    "nccl", "nvtx", "profiler", *calls.__all__, *devices.__all__, *graphs.__all__,
    *memory.__all__, *monitoring.__all__, *random.__all__, *streams.__all__,
]  # fmt: skip

has_half, has_magma = True, False

_ABSENT = {
    "jiterator": "Formulas become kernels by themselves: use operations of tensors.",
    "tunable": "Matrix products have no switches beyond torch.set_float32_matmul_precision.",
    "gds": "Use torch.load, and non_blocking copies from pinned memory.",
    "green_contexts": "Use torch.cuda.Stream(priority=...).",
    "GreenContext": "Use torch.cuda.Stream(priority=...).",
}
"""What PyTorch has and this runtime has not, and what to do."""


def current_blas_handle() -> int:
    """The address of cuBLAS's handle on the current GPU. Raises: DeviceError without one."""
    with _backend.xp.cuda.Device(_index()):
        return int(_backend.xp.cuda.device.get_cublas_handle())


def _lazy_init() -> None:
    """What programs call before they use CUDA by themselves. Raises: DeviceError without a GPU."""
    init()


def __getattr__(name: str) -> Any:
    """`FloatTensor` and its like: the types of tensors on the GPU. `default_generators`, one for
    each GPU. `AcceleratorError`: what a failed call of CUDA raises."""
    found = _BY_NAME.get(name)
    if found is not None:
        return tensor_type(name, found.dtype, "cuda")
    if name == "default_generators":
        return tuple(_generator_for(_Device("cuda", k)) for k in range(device_count()))
    if name == "AcceleratorError":
        return _backend.xp.cuda.runtime.CUDARuntimeError if is_available() else CudaError
    if name in _ABSENT:
        raise AttributeError(f"torch.cuda.{name} is not there. {_ABSENT[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
