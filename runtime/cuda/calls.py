"""Calls of CUDA's own runtime under the names that it has in C."""

from __future__ import annotations

from typing import Any

from ..backends import cuda as _backend
from .devices import _index

__all__ = ["CudaError", "check_error", "cudaStatus", "cudart"]


class cudaStatus:
    """Results of calls that programs compare with."""

    SUCCESS = 0
    ERROR_NOT_READY = 600


class CudaError(RuntimeError):
    """A call of CUDA that failed; `code` is its number."""

    def __init__(self, code: int) -> None:
        super().__init__(f"CUDA: a call failed with error {code}.")
        self.code = code


def check_error(res: int) -> None:
    """Raises: CudaError for a result that is not 0."""
    if int(res) != cudaStatus.SUCCESS:
        raise CudaError(int(res))


class _Runtime:
    """Some calls of CUDA's runtime; each returns 0, or a value behind it, and raises what CuPy
    does."""

    cudaError = cudaStatus

    def _runtime(self) -> Any:
        _index()  # explains a missing GPU
        return _backend.xp.cuda.runtime

    def cudaProfilerStart(self) -> int:
        """Begin to be watched by Nsight."""
        self._runtime().profilerStart()
        return 0

    def cudaProfilerStop(self) -> int:
        """End it."""
        self._runtime().profilerStop()
        return 0

    def cudaDeviceSynchronize(self) -> int:
        """Wait for the current GPU."""
        self._runtime().deviceSynchronize()
        return 0

    def cudaMemGetInfo(self, device: Any = None) -> tuple[int, int]:
        """Free and all bytes of a GPU."""
        with _backend.xp.cuda.Device(_index(device)):
            free, total = self._runtime().memGetInfo()
        return int(free), int(total)

    def cudaHostRegister(self, ptr: int, size: int, flags: int = 0) -> int:
        """Lock pages of the CPU's memory, so that copies from it go on beside other work."""
        self._runtime().hostRegister(ptr, size, flags)
        return 0

    def cudaHostUnregister(self, ptr: int) -> int:
        """Release them."""
        self._runtime().hostUnregister(ptr)
        return 0

    def cudaGetErrorString(self, error: int) -> str:
        """What an error's number means."""
        return str(_backend.xp.cuda.runtime.CUDARuntimeError(int(error)))


def cudart() -> _Runtime:
    """CUDA's runtime, such as `cudart().cudaProfilerStart()`. Raises: DeviceError without a GPU."""
    _index()
    return _Runtime()
