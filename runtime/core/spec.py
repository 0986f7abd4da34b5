"""Spec: what is known of an array without its values. Shape rules map Specs to Specs."""

from __future__ import annotations

from . import dtypes


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides, in elements, of a row-major array of `shape`."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


class Spec:
    """Shape, dtype and strides (in elements) of an array; the array of the meta device.

    A Spec has no operators, no truth value and no items, so that running a gradient rule on Specs
    finds every place where it would compute outside the operations.
    """

    __slots__ = ("dtype", "shape", "strides")

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: dtypes.dtype,
        strides: tuple[int, ...] | None = None,
    ) -> None:
        self.shape = tuple(shape)
        self.dtype = dtype
        self.strides = contiguous_strides(self.shape) if strides is None else strides

    def stride(self) -> tuple[int, ...]:
        """Steps between neighbours of each dimension, in elements, as tensors tell them."""
        return self.strides

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for n in self.shape:
            size *= n
        return size

    @property
    def nbytes(self) -> int:
        """Bytes that an array of this shape and type takes."""
        return self.size * self.dtype.itemsize

    def __bool__(self) -> bool:
        raise TypeError("A Spec has no value: it only knows shape and dtype.")

    __eq__ = None  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Spec({self.shape}, {self.dtype})"
