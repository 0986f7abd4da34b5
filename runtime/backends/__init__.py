"""The devices that compute: one package or module each, registered here."""

import importlib
from typing import Any

from ..core.dispatch import backends
from .cpu import CPUBackend
from .cuda import CUDABackend
from .meta import MetaBackend

cpu = CPUBackend()
cuda = CUDABackend()
meta = MetaBackend()

for backend in (cpu, cuda, meta):
    backends[backend.type] = backend

LIBRARIES = ("cudnn", "mkl", "mkldnn", "mps", "openmp", "quantized")
"""Modules with the switches of libraries, under PyTorch's names."""


def __getattr__(name: str) -> Any:
    if name in LIBRARIES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
