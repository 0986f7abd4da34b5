"""Conversions among floating-point types."""

from __future__ import annotations

from typing import Any

from .launch import Template
from .registry import FLOATS, kernel
from .rows import empty

THREADS = 256
VECTOR_BYTES = 16

CAST = Template("casts", "cast", "PPqq", FROM=FLOATS, TO=FLOATS)


@kernel("cast")
def cast(input: Any, dtype: Any) -> Any:
    """Each element read and written once, in the order of memory if it has no gaps."""
    known = dtype.name in FLOATS and input.dtype.name in FLOATS
    if not known or not input.flags.c_contiguous:
        return None
    out = empty(input.shape, dtype.numpy)
    lanes = VECTOR_BYTES // max(input.itemsize, out.itemsize)
    is_aligned = input.data.ptr % VECTOR_BYTES == 0
    blocks = -(-input.size // (lanes * THREADS))
    chosen = CAST[input.dtype.name, dtype.name]
    chosen(blocks, THREADS, input.data.ptr, out.data.ptr, input.size, int(is_aligned))
    return out
