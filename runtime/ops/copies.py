"""Copies: clones, casts, and constants in the shape of a tensor."""

from __future__ import annotations

from typing import Any

from ..backends.halves import converted
from ..core import dtypes
from ..core.layouts import (
    empty_in_order,
    is_laid_out,
    order_of,
    preserve_format,
    strides_of,
)
from .declare import Spec, pointwise, primitive
from .shapes import Shape

__all__ = ["clone"]


@primitive(node_name="Clone", moves=True)
def copied(input: Spec, *, memory_format: Any = None) -> Spec:
    """The same values in new memory, row-major unless a memory format is given."""
    if memory_format is None:
        return Spec(input.shape, input.dtype)
    order = order_of(memory_format, input.shape, input.stride())
    return Spec(input.shape, input.dtype, strides_of(order, input.shape))


@copied.array
def copied_array(xp: Any, input: Any, memory_format: Any = None) -> Any:
    """Written in the order of the format."""
    if memory_format is None:
        return input.copy()
    strides = [s // input.itemsize for s in input.strides]
    order = order_of(memory_format, input.shape, strides)
    out = empty_in_order(xp, input.shape, input.dtype, order)
    out[...] = input
    return out


@copied.vjp()
def copied_vjp(F: Any, g: Any, needs: Any, input: Any, memory_format: Any) -> Any:
    """g itself."""
    return g


def clone(input: Spec, *, memory_format: Any = None) -> Spec:
    """The same values in new memory, in the order of the input's unless a format is given;
    recorded."""
    if memory_format is None and input.is_contiguous():
        return copied(input)
    return copied(input, memory_format=memory_format or preserve_format)


def contiguous(input: Spec, memory_format: Any = None) -> Spec:
    """The tensor itself if its memory is row-major (or in the order of the format given), else a
    copy that is."""
    if input.is_contiguous(memory_format):
        return input
    return copied(input, memory_format=memory_format)


def is_contiguous(self: Any, memory_format: Any = None) -> bool:
    """Whether the elements lie in memory without gaps, in row-major order or that of the format."""
    if memory_format is None and not self.is_meta:
        return bool(self._array.flags.c_contiguous) or self._key.is_concealed
    if memory_format is preserve_format:
        raise RuntimeError("is_contiguous: expected a memory format other than preserve_format.")
    return is_laid_out(memory_format, self.shape, self.stride())


@primitive(node_name="ToCopy", promotes=True, moves=True)
def cast(input: Spec, *, dtype: Any) -> Spec:
    """input converted to `dtype`."""
    return Spec(input.shape, dtype)


@cast.array
def cast_array(xp: Any, input: Any, dtype: Any) -> Any:
    """Converts as C does; complex to real drops the imaginary part."""
    if input.dtype.kind == "c" and not dtype.is_complex:
        input = input.real
    if dtype is dtypes.float8_e4m3fn:  # it has no infinities: what is too large saturates
        input = xp.clip(input, -448.0, 448.0)
    return converted(xp.asarray(input), dtype.numpy)


@cast.vjp()
def cast_vjp(F: Any, g: Any, needs: Any, input: Any, dtype: Any) -> Any:
    """g in the input's dtype."""
    return F.cast(g, dtype=input.dtype)


def as_dtype(F: Any, x: Any, dtype: Any) -> Any:
    """x of a rule in another dtype, if it has not that one; either may be NumPy's."""
    names = [getattr(d, "numpy", d) for d in (x.dtype, dtype)]
    if names[0] == names[1]:
        return x
    return F.cast(x, dtype=dtypes.from_numpy(names[1]) if dtype is names[1] else dtype)


def widened(F: Any, x: Any) -> Any:
    """x of a rule in float32, if it is a half."""
    return as_dtype(F, x, dtypes.float32) if x.dtype.itemsize == 2 else x


@primitive(moves=True)
def zeros_of(input: Spec, *, shape: Shape) -> Spec:
    """Zeros of `shape` where input lies, in its dtype."""
    return Spec(shape, input.dtype)


@zeros_of.array
def zeros_of_array(xp: Any, input: Any, shape: Shape) -> Any:
    """New memory."""
    return xp.zeros(shape, input.dtype)


@pointwise(name="zeros_as", node_name="Zeros")
def zeros_as(m: Any, input: Spec) -> Spec:
    """Zeros in the shape and dtype of input."""
    return 0.0


@primitive(moves=True)
def ones_of(input: Spec, *, shape: Shape) -> Spec:
    """Ones of `shape` where input lies, in its dtype."""
    return Spec(shape, input.dtype)


@ones_of.array
def ones_of_array(xp: Any, input: Any, shape: Shape) -> Any:
    """New memory."""
    return xp.ones(shape, input.dtype)
