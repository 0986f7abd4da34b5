"""Conversions among number types."""

from __future__ import annotations

from typing import Any

from .launch import Template
from .registry import FLOATS, kernel
from .rows import VECTOR_BYTES, empty

THREADS = 256
NUMBERS = (*FLOATS, "int8", "uint8", "int32", "int64", "bool")

CAST = Template("casts", "cast", "PPqq", FROM=NUMBERS, TO=NUMBERS)


@kernel("cast", NUMBERS)
def cast(input: Any, dtype: Any) -> Any:
    """Each element read and written once, in the order of memory if it has no gaps."""
    if dtype.name not in NUMBERS or input.dtype.name not in NUMBERS:
        return None
    order = sorted(range(input.ndim), key=lambda k: -input.strides[k])
    laid = input if input.flags.c_contiguous else input.transpose(order)
    if not laid.flags.c_contiguous:
        return None
    out = empty(laid.shape, dtype.numpy)
    lanes = VECTOR_BYTES // max(input.itemsize, out.itemsize)
    is_aligned = input.data.ptr % VECTOR_BYTES == 0
    blocks = -(-input.size // (lanes * THREADS))
    chosen = CAST[input.dtype.name, dtype.name]
    chosen(blocks, THREADS, input.data.ptr, out.data.ptr, input.size, int(is_aligned))
    return out if laid is input else out.transpose(sorted(order, key=order.__getitem__))
