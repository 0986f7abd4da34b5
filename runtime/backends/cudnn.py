"""Switches of cuDNN, NVIDIA's library of layers, which computes convolutions and attention on the
GPU where it is installed; our own kernels serve elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.tensor import Tensor

enabled = True
"""Whether it may be used."""
benchmark = False
"""Whether several ways of computing are measured for each new shape, and the fastest is kept."""
benchmark_limit = 10
"""How many of them, the most promising first; 0 for all."""
deterministic = False
"""Whether ways of computing whose results differ from run to run are left out."""
allow_tf32 = True
"""Whether convolutions may round float32 factors to TF32 (10 bits instead of 23)."""

all_deterministic = False
"""What `torch.use_deterministic_algorithms` was told last."""


def is_deterministic() -> bool:
    """Whether results must be the same at each run."""
    return deterministic or all_deterministic


def is_available() -> bool:
    """Whether the library is installed and loads."""
    from .cuda.cudnn.library import loaded

    return loaded() is not None


def version() -> int | None:
    """Its version, such as 91900 for 9.19.0; None where it is not installed."""
    from .cuda.cudnn.library import loaded

    found = loaded()
    return None if found is None else found.version


def is_acceptable(tensor: Tensor) -> bool:
    """Whether a tensor is one for cuDNN: on the GPU, of a floating type, with the library there."""
    return enabled and tensor.is_cuda and tensor.dtype.is_floating_point and is_available()


def set_flags(
    _enabled: bool | None = None,
    _benchmark: bool | None = None,
    _benchmark_limit: int | None = None,
    _deterministic: bool | None = None,
    _allow_tf32: bool | None = None,
) -> tuple[bool, bool, int, bool, bool]:
    """Set the switches that are not None; returns what they were."""
    names = globals()
    given = {
        "enabled": _enabled, "benchmark": _benchmark, "benchmark_limit": _benchmark_limit,
        "deterministic": _deterministic, "allow_tf32": _allow_tf32,
    }  # fmt: skip
    before = tuple(names[name] for name in given)
    names.update((name, value) for name, value in given.items() if value is not None)
    return before


@contextmanager
def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
) -> Iterator[None]:
    """A block in which the switches are these; as in PyTorch, cuDNN is off unless `enabled`."""
    before = set_flags(enabled, benchmark, benchmark_limit, deterministic, allow_tf32)
    try:
        yield
    finally:
        set_flags(*before)
