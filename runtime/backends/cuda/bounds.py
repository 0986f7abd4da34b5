"""Indices outside of their range on a GPU: noted by a kernel, told when the GPU is next waited for.

To look at the indices before they are used would have the CPU wait for the GPU in every step.
Kernels that use them read or write nothing outside of arrays meanwhile.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ...errors import OutOfBoundsError
from .copies import empty_pinned
from .launch import Template

THREADS, MOST_BLOCKS = 256, 1024

OUTSIDE = Template("bounds", "note_outside", "PPqqqqq", T=("int32", "int64"))

_numbers = itertools.count(1)
_checks: dict[tuple[str, int, int], int] = {}
_faults: dict[tuple[int, int], Any] = {}
"""By library and device: the number of the check that found something, and what it found."""


def note(cupy: Any, numbers: Any, low: int, high: int, exempt: int, operation: str) -> bool:
    """Have the GPU note a number that is not from `low` to `high` - 1, nor `exempt`; False if it
    cannot.
    """
    name = numbers.dtype.name
    if name not in OUTSIDE.parameters["T"]:
        return False
    fault, check = fault_of(cupy), number_of(operation, low, high)
    flat = numbers if numbers.flags.c_contiguous else cupy.ascontiguousarray(numbers)
    blocks = min(-(-flat.size // THREADS), MOST_BLOCKS)
    places = flat.data.ptr, fault.ctypes.data
    OUTSIDE[name](blocks, THREADS, *places, flat.size, low, high, exempt, check)
    return True


def fault_of(cupy: Any) -> Any:
    """The two numbers, in page-locked memory, in which the current device notes what it finds."""
    place = id(cupy), cupy.cuda.runtime.getDevice()
    fault = _faults.get(place)
    if fault is None:
        fault = _faults[place] = empty_pinned(cupy, np.zeros(2, np.int64))
        fault[...] = 0
    return fault


def number_of(operation: str, low: int, high: int) -> int:
    """The number under which a kernel notes what is not from `low` to `high` - 1."""
    check = _checks.get((operation, low, high))
    if check is None:
        check = _checks[operation, low, high] = next(_numbers)
    return check


def raise_noted() -> None:
    """Raises: IndexError for a number that a kernel has noted since the last time."""
    for fault in _faults.values():
        if fault[0]:
            check, number = map(int, fault)
            fault[...] = 0
            operation, low, high = next(k for k, v in _checks.items() if v == check)
            raise OutOfBoundsError(
                f"{operation}: expected numbers from {low} to {high - 1}. Got {number}, which the "
                "GPU found some calls ago. Set CUDA_LAUNCH_BLOCKING=1 to have it told at once."
            )
