"""How elements lie in memory: layouts, and the memory formats of dense tensors."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from .spec import contiguous_strides

__all__ = [
    "channels_last", "channels_last_3d", "contiguous_format", "layout", "legacy_contiguous_format",
    "memory_format", "preserve_format", "sparse_bsc", "sparse_bsr", "sparse_coo", "sparse_csc",
    "sparse_csr", "strided",
]  # fmt: skip


class _Name:
    """One of a few names, the same object wherever it appears."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name  # pickled as the module's attribute

    def __copy__(self) -> _Name:
        return self

    def __deepcopy__(self, memo: Any) -> _Name:
        return self


class layout(_Name):
    """Whether a tensor is dense (`strided`) or keeps only some elements (`sparse_coo`, ...)."""


class memory_format(_Name):
    """The order of dimensions in memory: row-major (`contiguous_format`), with channels innermost
    (`channels_last` for 4 dimensions, `channels_last_3d` for 5), or as in the input
    (`preserve_format`)."""


strided = layout("strided")
sparse_coo = layout("sparse_coo")
sparse_csr, sparse_csc = layout("sparse_csr"), layout("sparse_csc")
sparse_bsr, sparse_bsc = layout("sparse_bsr"), layout("sparse_bsc")

contiguous_format = memory_format("contiguous_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
preserve_format = memory_format("preserve_format")
legacy_contiguous_format = contiguous_format

Permutation = tuple[int, ...]

_CHANNELS_LAST: dict[Any, Permutation] = {
    channels_last: (0, 2, 3, 1),
    channels_last_3d: (0, 2, 3, 4, 1),
}


def order_of(format: memory_format | None, shape: Any, strides: Any = ()) -> Permutation:
    """The dimensions of a tensor of `shape` from the outermost in memory to the innermost.

    `preserve_format` takes the order from `strides`.
    Raises: ShapeError if a channels-last format meets another number of dimensions.
    """
    if format is preserve_format:
        return order_in_memory(shape, strides)
    if format is None or format is contiguous_format:
        return tuple(range(len(shape)))
    if not isinstance(format, memory_format):
        raise TypeError(f"Expected a memory format such as torch.channels_last. Got {format!r}.")
    order = _CHANNELS_LAST[format]
    if len(order) != len(shape):
        raise ShapeError(
            f"{format.name}: expected a tensor with {len(order)} dimensions. Got shape "
            f"{tuple(shape)}. Use {channels_last if len(shape) == 4 else contiguous_format}."
        )
    return order


def order_in_memory(shape: Any, strides: Any) -> Permutation:
    """The dimensions from the outermost in memory to the innermost; row-major where strides do not
    tell, as for expanded dimensions."""
    if any(s == 0 and n > 1 for n, s in zip(shape, strides, strict=True)):
        return tuple(range(len(shape)))
    return tuple(sorted(range(len(shape)), key=lambda k: -strides[k]))


def strides_of(order: Permutation, shape: Any) -> tuple[int, ...]:
    """Strides, in elements, of a tensor of `shape` without gaps whose dimensions lie in `order`."""
    if order == tuple(range(len(shape))):
        return contiguous_strides(tuple(shape))
    strides, step = [0] * len(shape), 1
    for d in reversed(order):
        strides[d] = step
        step *= max(shape[d], 1)
    return tuple(strides)


def is_laid_out(format: memory_format | None, shape: Any, strides: Any) -> bool:
    """Whether a tensor of `shape` with `strides` lies in memory as `format` says."""
    if format in _CHANNELS_LAST and len(shape) != len(_CHANNELS_LAST[format]):
        return False
    expected = strides_of(order_of(format, shape, strides), shape)
    pairs = zip(shape, strides, expected, strict=True)
    return 0 in shape or all(n == 1 or s == e for n, s, e in pairs)


def empty_in_order(xp: Any, shape: Any, dtype: Any, order: Permutation, make: str = "empty") -> Any:
    """An array of `shape` whose dimensions lie in memory in `order`; `make`: empty, zeros, ones."""
    new = getattr(xp, make)
    if order == tuple(range(len(shape))):
        return new(tuple(shape), dtype)
    made = new(tuple(shape[d] for d in order), dtype)
    inverse = [0] * len(order)
    for place, d in enumerate(order):
        inverse[d] = place
    return made.transpose(inverse)
