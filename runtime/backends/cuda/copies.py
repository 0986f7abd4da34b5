"""Copies between the CPU and GPUs, and the page-locked memory that lets them go on beside other
work."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from ...errors import DeviceError
from . import waits

_sources: deque[tuple[Any, Any]] = deque()
"""Arrays of the CPU that copies still read: the event behind the copy, the array."""


class _Locked:
    """Page-locked memory of CuPy's pool, as NumPy finds it; the base of every array that shows
    it."""

    def __init__(self, memory: Any, size: int) -> None:
        self.memory = memory  # which goes back to the pool with this object
        self.__array_interface__ = {
            "shape": (size,), "typestr": "|u1", "data": (int(memory.ptr), False), "version": 3,
        }  # fmt: skip


def empty_pinned(cupy: Any, like: Any) -> Any:
    """A NumPy array in page-locked memory, of the shape, dtype and order of `like`."""
    if not like.nbytes:
        return np.empty(like.shape, like.dtype)
    memory = cupy.cuda.alloc_pinned_memory(like.nbytes)
    held = np.asarray(_Locked(memory, like.nbytes))
    order = "C" if like.flags.c_contiguous or not like.flags.f_contiguous else "F"
    return np.ndarray(like.shape, like.dtype, held, order=order)


def is_pinned(array: Any) -> bool:
    """Whether a NumPy array lies in page-locked memory of `empty_pinned`."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, _Locked)


def _as_it_lies(array: Any) -> tuple[Any, list[int]] | None:
    """An array that lies without gaps but not row by row, such as images with their channels
    innermost, with its axes in the order of memory, and the order back; None for others."""
    if array.flags.c_contiguous or array.ndim < 2:
        return None
    order = sorted(range(array.ndim), key=lambda k: -array.strides[k])
    laid = array.transpose(order)
    return (laid, sorted(order, key=order.__getitem__)) if laid.flags.c_contiguous else None


def to_gpu(cupy: Any, array: Any, index: int, non_blocking: bool) -> Any:
    """The values of a NumPy array on the GPU `index`; with `non_blocking` from page-locked memory
    without waiting."""
    lying = _as_it_lies(array)  # which CuPy would lay row by row
    if lying is not None:
        found = to_gpu(cupy, lying[0], index, non_blocking)
        with cupy.cuda.Device(index):
            return found.transpose(lying[1])
    with cupy.cuda.Device(index):
        if not (non_blocking and is_pinned(array) and array.flags.c_contiguous):
            waits.note("copy from memory that is not pinned")
            return cupy.asarray(array)
        out, stream = cupy.empty(array.shape, array.dtype), cupy.cuda.get_current_stream()
        cuda = cupy.cuda.runtime
        cuda.memcpyAsync(
            out.data.ptr, array.ctypes.data, array.nbytes, cuda.memcpyHostToDevice, stream.ptr
        )
        while _sources and _sources[0][0].done:
            _sources.popleft()
        _sources.append((stream.record(cupy.cuda.Event(disable_timing=True)), array))
        return out


def to_cpu(cupy: Any, array: Any, non_blocking: bool) -> Any:
    """The values of a CuPy array as a NumPy array; with `non_blocking` in page-locked memory, there
    once the current stream has been waited for."""
    with cupy.cuda.Device(array.data.device_id):
        lying = _as_it_lies(array)
    if lying is not None:
        return to_cpu(cupy, lying[0], non_blocking).transpose(lying[1])
    with cupy.cuda.Device(array.data.device_id):
        if not non_blocking:
            waits.note("copy to the CPU")
            waits.wait_for_values(cupy)
            return cupy.asnumpy(array)
        laid = array if array.flags.c_contiguous else cupy.ascontiguousarray(array)
        return laid.get(out=empty_pinned(cupy, laid), blocking=False)


def to_other_gpu(cupy: Any, array: Any, index: int) -> Any:
    """A copy of a CuPy array on the GPU `index`, after the work that makes its values and before
    later work that changes them."""
    with cupy.cuda.Device(array.data.device_id):
        lying = _as_it_lies(array)
    if lying is not None:
        found = to_other_gpu(cupy, lying[0], index)
        with cupy.cuda.Device(index):
            return found.transpose(lying[1])
    with cupy.cuda.Device(array.data.device_id):
        made = cupy.cuda.get_current_stream()
        ready = made.record(cupy.cuda.Event(disable_timing=True))
        laid = array if array.flags.c_contiguous else cupy.ascontiguousarray(array)
    with cupy.cuda.Device(index):
        stream = cupy.cuda.get_current_stream()
        stream.wait_event(ready)
        out = cupy.empty(laid.shape, laid.dtype)
        cupy.cuda.runtime.memcpyPeerAsync(
            out.data.ptr, index, laid.data.ptr, laid.data.device_id, laid.nbytes, stream.ptr
        )
        made.wait_event(stream.record(cupy.cuda.Event(disable_timing=True)))
    return out


def refuse_in_recording(array: Any) -> None:
    """Say why a graph cannot hold a copy from the CPU: a replay would read memory long gone.

    Raises: DeviceError.
    """
    raise DeviceError(
        "CUDAGraph: expected tensors that are on the GPU already. Got one that comes from the CPU "
        f"while a graph is recorded, of shape {np.shape(array)}. Make it before the recording, and "
        "fill it with copy_() before a replay."
    )
