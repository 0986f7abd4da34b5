"""The devices that compute: one package or module each, registered here."""

from ..core.dispatch import backends
from .cpu import CPUBackend
from .cuda import CUDABackend
from .meta import MetaBackend

cpu = CPUBackend()
cuda = CUDABackend()
meta = MetaBackend()

for backend in (cpu, cuda, meta):
    backends[backend.type] = backend
