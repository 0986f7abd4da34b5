"""Indices outside of their range on a GPU: noted by a kernel, told when the GPU is next waited for.

To look at the indices before they are used would have the CPU wait for the GPU in every step.
Kernels that use them read or write nothing outside of arrays meanwhile.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import numpy as np

from ...errors import OutOfBoundsError
from .copies import empty_pinned
from .launch import Template

THREADS, MOST_BLOCKS = 256, 1024

OUTSIDE = Template("bounds", "note_outside", "PPqqqqq", T=("int32", "int64"))

MOST_CHECKS = 4_096
"""Checks whose words are kept; sizes of ragged inputs never repeat."""

_numbers = itertools.count(1)
_checks: dict[tuple[str, int, int] | str, int] = {}
"""By operation and range, or by what was expected in words."""
_faults: dict[tuple[int, int], Any] = {}
"""By library and device: the number of the check that found something, and what it found."""


def place(cupy: Any, low: int, high: int, operation: str) -> tuple[int, int]:
    """Where a kernel notes numbers of an operation outside of `low` to `high` - 1, and as what: the
    words of `struct Note`."""
    return _place(cupy, (operation, low, high))


def place_saying(cupy: Any, expected: str) -> tuple[int, int]:
    """The same for what the words `expected` tell; a RuntimeError follows."""
    return _place(cupy, expected)


def _place(cupy: Any, what: tuple[str, int, int] | str) -> tuple[int, int]:
    here = id(cupy), cupy.cuda.runtime.getDevice()
    fault = _faults.get(here)
    if fault is None:
        fault = _faults[here] = empty_pinned(cupy, np.zeros(2, np.int64))
        fault[...] = 0
    check = _checks.get(what)
    if check is None:
        if len(_checks) >= MOST_CHECKS:
            del _checks[next(iter(_checks))]
        check = _checks[what] = next(_numbers)
    return fault.ctypes.data, check


def note(cupy: Any, numbers: Any, low: int, high: int, exempt: int, operation: str) -> bool:
    """Have the GPU note a number that is not from `low` to `high` - 1, nor `exempt`; False if it
    cannot.
    """
    name = numbers.dtype.name
    if name not in OUTSIDE.parameters["T"]:
        return False
    flat = numbers if numbers.flags.c_contiguous else cupy.ascontiguousarray(numbers)
    blocks = min(-(-flat.size // THREADS), MOST_BLOCKS)
    where = place(cupy, low, high, operation)
    OUTSIDE[name](blocks, THREADS, flat.data.ptr, *where, flat.size, low, high, exempt)
    return True


def tell_if_blocking(cupy: Any) -> None:
    """Wait for what was launched and tell, if CUDA_LAUNCH_BLOCKING=1 is in the environment.

    Raises: IndexError.
    """
    from .. import cuda

    if os.environ.get("CUDA_LAUNCH_BLOCKING") == "1" and not cuda.is_recording:
        cupy.cuda.get_current_stream().synchronize()
        raise_noted()


def raise_noted() -> None:
    """Raises: IndexError for a number that a kernel has noted since the last time, RuntimeError for
    what `place_saying` described."""
    for fault in _faults.values():
        if fault[0]:
            check, number = map(int, fault)
            fault[...] = 0
            what = next((k for k, v in _checks.items() if v == check), None)
            told = (
                "the GPU found some calls ago. Set CUDA_LAUNCH_BLOCKING=1 to have it told at once."
            )
            if isinstance(what, str):
                raise RuntimeError(f"{what} Got others, which {told}")
            if what is None:
                raise OutOfBoundsError(
                    f"Expected numbers in their range. Got {number}, which {told}"
                )
            operation, low, high = what
            raise OutOfBoundsError(
                f"{operation}: expected numbers from {low} to {high - 1}. Got {number}, which "
                f"{told}"
            )
