"""Conversions among floating-point types."""

from __future__ import annotations

from typing import Any

from .launch import Template
from .pointwise import memory_order
from .registry import FLOATS, kernel
from .rows import empty

THREADS = 256
VECTOR_BYTES = 16

CAST = Template("casts", "cast", "PPqq", FROM=FLOATS, TO=FLOATS)


@kernel("cast")
def cast(input: Any, dtype: Any) -> Any:
    """Each element read and written once, in the order of memory, which must have no gaps."""
    order = memory_order([input], input.shape)
    input = input if order is None else input.transpose(order)
    if dtype.name not in FLOATS or not input.flags.c_contiguous:
        return None
    out = empty(input.shape, dtype.numpy)
    lanes = VECTOR_BYTES // max(input.itemsize, out.itemsize)
    is_aligned = input.data.ptr % VECTOR_BYTES == 0
    blocks = -(-input.size // (lanes * THREADS))
    chosen = CAST[input.dtype.name, dtype.name]
    chosen(blocks, THREADS, input.data.ptr, out.data.ptr, input.size, int(is_aligned))
    return out if order is None else out.transpose(sorted(range(out.ndim), key=order.__getitem__))
