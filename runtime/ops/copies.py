"""Copies: clones, casts, and constants in the shape of a tensor."""

from __future__ import annotations

from typing import Any

from .declare import Spec, primitive
from .shapes import Shape

__all__ = ["clone"]


@primitive(node_name="Clone")
def copied(input: Spec) -> Spec:
    """The same values in new memory."""
    return Spec(input.shape, input.dtype)


@copied.array
def copied_array(xp: Any, input: Any) -> Any:
    """Row-major."""
    return input.copy()


@copied.vjp()
def copied_vjp(F: Any, g: Any, needs: Any, input: Any) -> Any:
    """g itself."""
    return g


def clone(input: Spec, *, memory_format: Any = None) -> Spec:
    """The same values in new row-major memory; recorded."""
    return copied(input)


def contiguous(input: Spec, memory_format: Any = None) -> Spec:
    """The tensor itself if its memory is row-major, else a copy that is."""
    return input if input.is_contiguous() else copied(input)


@primitive(node_name="ToCopy", promotes=True)
def cast(input: Spec, *, dtype: Any) -> Spec:
    """input converted to `dtype`."""
    return Spec(input.shape, dtype)


@cast.array
def cast_array(xp: Any, input: Any, dtype: Any) -> Any:
    """Converts as C does; complex to real drops the imaginary part."""
    if input.dtype.kind == "c" and not dtype.is_complex:
        input = input.real
    return xp.asarray(input).astype(dtype.numpy)


@cast.vjp()
def cast_vjp(F: Any, g: Any, needs: Any, input: Any, dtype: Any) -> Any:
    """g in the input's dtype."""
    return F.cast(g, dtype=input.dtype)


@primitive
def zeros_of(input: Spec, *, shape: Shape) -> Spec:
    """Zeros of `shape` where input lies, in its dtype."""
    return Spec(shape, input.dtype)


@zeros_of.array
def zeros_of_array(xp: Any, input: Any, shape: Shape) -> Any:
    """New memory."""
    return xp.zeros(shape, input.dtype)


@primitive
def ones_of(input: Spec, *, shape: Shape) -> Spec:
    """Ones of `shape` where input lies, in its dtype."""
    return Spec(shape, input.dtype)


@ones_of.array
def ones_of_array(xp: Any, input: Any, shape: Shape) -> Any:
    """New memory."""
    return xp.ones(shape, input.dtype)
