"""cuDNN, NVIDIA's library of layers, through ctypes and its graph API: convolutions and attention.

`library` finds and loads it, `descriptors` tells it of tensors and operations, `plans` has it
choose how to compute a graph of them, `computations` keeps what was chosen. `convolution` and
`attention` put the graphs together. Nothing is loaded before an operation on a GPU asks for it.

Batch norm is ours: forward it reads its input twice and writes once. cuDNN reads it once only where
a channel's share stays on the chip, that is of small images, whose second reading comes from the L2
cache anyway: those below its 50 MB are 28 of ResNet-50's 53 at batch 128 in half types, but 17% of
their bytes. What would save a passage over memory is a ReLU in the same launch.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..registry import FLOATS
from . import library

HALVES = ("float16", "bfloat16")

KERNELS = {
    "convolution": ("convolution", FLOATS),
    "convolution_input": ("convolution", FLOATS),
    "convolution_weight": ("convolution", FLOATS),
    "tiled_attention": ("attention", HALVES),
    "tiled_attention_gradient": ("attention", HALVES),
}
"""The modules that compute operations, and for which dtypes."""


def kernel(operation: str, dtype: str) -> Callable[..., Any] | None:
    """What computes an operation by cuDNN, or gives None for what it leaves to others; None where
    the library is not installed or has nothing for it."""
    module, dtypes = KERNELS.get(operation, ("", ()))
    if dtype not in dtypes or library.loaded() is None:
        return None
    found: Callable[..., Any] = getattr(import_module(f".{module}", __package__), operation)
    return found
