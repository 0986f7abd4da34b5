"""Pooling and its gradients, in one launch each, for images row by row or channels-last."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..layout import is_channels_last
from .launch import Template
from .reductions import reduced
from .registry import FLOATS, kernel
from .rows import VECTOR_BYTES, empty

THREADS = 256
MOST_ELEMENTS = 2**31 - 1
"""Elements of an array, whose places are counted in 32 bits."""
WINDOWS = "18q"
"""`struct Windows` in pooling.cu."""

VECTORS: dict[str, Any] = {"T": FLOATS, "IS_VECTOR": (True, False)}
KINDS = ("Sliding", "Even")
MAX = Template("pooling", "max_pool", "PPqq" + WINDOWS, **VECTORS)
MAX_GRADIENT = Template("pooling", "max_pool_gradient", "PPPPqq" + WINDOWS, **VECTORS)
PLACES = Template("pooling", "max_pool_places", "PPPPPqq" + WINDOWS, T=FLOATS)
MEAN = Template("pooling", "average", "PPqq" + WINDOWS + "qq", **VECTORS, KIND=KINDS)
MEAN_GRADIENT = Template(
    "pooling", "average_gradient", "PPqq" + WINDOWS + "qq", **VECTORS, KIND=KINDS
)


def _words(
    sizes: Sequence[int],
    counts: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> list[int]:
    """The words of `struct Windows`, with dimensions of one element before those there are."""
    axes = list(zip(sizes, counts, kernel, stride, padding, dilation, strict=True))
    return [n for axis in [(1, 1, 1, 1, 0, 1)] * (3 - len(axes)) + axes for n in axis]


class Images(NamedTuple):
    """Arrays (N, C, ...) that lie alike: row by row, or with the channels innermost."""

    arrays: list[Any]
    is_last: bool

    @property
    def columns(self) -> int:
        """Elements of a place that lie side by side."""
        return int(self.arrays[0].shape[1]) if self.is_last else 1

    def width(self) -> int:
        """Columns that a thread takes."""
        lanes = VECTOR_BYTES // self.arrays[0].itemsize
        is_aligned = not any(a.data.ptr % VECTOR_BYTES for a in self.arrays)
        return lanes if is_aligned and self.columns % lanes == 0 else 1

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array that lies as these do."""
        if not self.is_last:
            return empty(shape, dtype)
        n, channels, *sizes = shape
        return _moved(empty((n, *sizes, channels), dtype), -1, 1)


def _moved(array: Any, source: int, target: int) -> Any:
    return sys.modules["cupy"].moveaxis(array, source, target)


def images(decisive: Any, *others: Any) -> Images:
    """The arrays, copied where they do not lie as `decisive` does, or in no known way."""
    cupy = sys.modules["cupy"]
    is_last = not decisive.flags.c_contiguous and is_channels_last(cupy, decisive)
    found = []
    for array in (decisive, *others):
        if is_last:
            laid = cupy.ascontiguousarray(cupy.moveaxis(array, 1, -1))
            found.append(cupy.moveaxis(laid, -1, 1))
        else:
            found.append(cupy.ascontiguousarray(array))
    return Images(found, is_last)


def _is_too_large(*shapes: tuple[int, ...]) -> bool:
    return any(math.prod(shape) > MOST_ELEMENTS for shape in shapes)


def _blocks(threads: int) -> int:
    return -(-threads // THREADS)


# -- the largest -----------------------------------------------------------------------------------


def _counts(
    sizes: Sequence[int], kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[int, ...]:
    from ...ops.windows import pooled_sizes  # which the operations themselves count by

    return pooled_sizes("pool", (0, 0, *sizes), kernel, stride, padding, dilation, ceil_mode)


@kernel("max_pool")
def max_pool(
    input: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Any:
    """Each element is read from memory once and from the cache for the windows that share it."""
    sizes = input.shape[2:]
    counts = _counts(sizes, kernel, stride, padding, dilation, ceil_mode)
    given, shape = images(input), (*input.shape[:2], *counts)
    if _is_too_large(input.shape, shape):
        return None
    out, width = given.empty(shape, input.dtype), given.width()
    threads = math.prod(shape) // width
    MAX[input.dtype.name, width > 1](
        _blocks(threads), THREADS, given.arrays[0].data.ptr, out.data.ptr, threads, given.columns,
        *_words(sizes, counts, kernel, stride, padding, dilation),
    )  # fmt: skip
    return out


@kernel("max_pool_gradient")
def max_pool_gradient(
    g: Any, input: Any, best: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """Each element asks its windows whether it is their first largest."""
    if _is_too_large(input.shape) or any(a.dtype != g.dtype for a in (input, best)):
        return None
    given = images(input, g, best)
    out, width = given.empty(input.shape, g.dtype), given.width()
    threads = input.size // width
    x, by, largest = (a.data.ptr for a in given.arrays)
    MAX_GRADIENT[g.dtype.name, width > 1](
        _blocks(threads), THREADS, by, x, largest, out.data.ptr, threads, given.columns,
        *_words(input.shape[2:], best.shape[2:], kernel, stride, padding, dilation),
    )  # fmt: skip
    return out


def _places(
    h: Any, input: Any, best: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """What h has at the first largest elements, or, if h is None, their places."""
    arrays = [input, best] + ([] if h is None else [h])
    if _is_too_large(input.shape) or any(a.dtype != best.dtype for a in arrays):
        return None
    given = images(*arrays)
    out = given.empty(best.shape, "int64" if h is None else h.dtype)
    x, largest, *rest = (a.data.ptr for a in given.arrays)
    results = (0, 0, out.data.ptr) if h is None else (rest[0], out.data.ptr, 0)
    PLACES[best.dtype.name](
        _blocks(best.size), THREADS, x, largest, *results, best.size, given.columns,
        *_words(input.shape[2:], best.shape[2:], kernel, stride, padding, dilation),
    )  # fmt: skip
    return out


@kernel("max_pool_picks")
def max_pool_picks(
    h: Any, input: Any, best: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """The elements of h there."""
    return _places(h, input, best, kernel, stride, padding, dilation)


@kernel("max_pool_indices")
def max_pool_indices(
    input: Any, best: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """Their places."""
    return _places(None, input, best, kernel, stride, padding, dilation)


# -- means -----------------------------------------------------------------------------------------


def _mean(input: Any, counts: tuple[int, ...], kind: str, words: list[int], *how: int) -> Any:
    given, shape = images(input), (*input.shape[:2], *counts)
    if _is_too_large(input.shape, shape):
        return None
    out, width = given.empty(shape, input.dtype), given.width()
    threads = math.prod(shape) // width
    MEAN[input.dtype.name, width > 1, kind](
        _blocks(threads), THREADS, given.arrays[0].data.ptr, out.data.ptr, threads, given.columns,
        *words, *how,
    )  # fmt: skip
    return out


def _mean_gradient(g: Any, like: tuple[int, ...], kind: str, words: list[int], *how: int) -> Any:
    given = images(g)
    if _is_too_large(like, g.shape):
        return None
    out, width = given.empty(like, g.dtype), given.width()
    threads = math.prod(like) // width
    MEAN_GRADIENT[g.dtype.name, width > 1, kind](
        _blocks(threads), THREADS, given.arrays[0].data.ptr, out.data.ptr, threads, given.columns,
        *words, *how,
    )  # fmt: skip
    return out


@kernel("avg_pool")
def avg_pool(
    input: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """Sums in float32 or wider, divided once."""
    sizes, ones = input.shape[2:], (1,) * len(kernel)
    counts = _counts(sizes, kernel, stride, padding, ones, ceil_mode)
    words = _words(sizes, counts, kernel, stride, padding, ones)
    return _mean(
        input, counts, "Sliding", words, int(count_include_pad), int(divisor_override or 0)
    )


@kernel("avg_pool_gradient")
def avg_pool_gradient(
    g: Any,
    like: tuple[int, ...],
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """Each element adds up what its windows give it."""
    words = _words(like[2:], g.shape[2:], kernel, stride, padding, (1,) * len(kernel))
    return _mean_gradient(
        g, like, "Sliding", words, int(count_include_pad), int(divisor_override or 0)
    )


def _even(sizes: Sequence[int], counts: Sequence[int]) -> list[int]:
    ones = (1,) * len(sizes)
    return _words(sizes, counts, ones, ones, (0,) * len(sizes), ones)


@kernel("adaptive_avg_pool")
def adaptive_avg_pool(input: Any, sizes: tuple[int, ...]) -> Any:
    """Where a single window is all, a reduction."""
    if not input.size:
        return None
    if all(n == 1 for n in sizes):
        dims = tuple(range(2, input.ndim))
        count = math.prod(input.shape[2:])
        out = reduced("SumOf", input, dims, input.dtype, number=count)
        return None if out is None else out.reshape(*input.shape[:2], *sizes)
    return _mean(input, tuple(sizes), "Even", _even(input.shape[2:], sizes), 0, 0)


@kernel("adaptive_avg_pool_like")
def adaptive_avg_pool_like(input: Any, like: tuple[int, ...]) -> Any:
    """The same."""
    return adaptive_avg_pool(input, tuple(like[2:]))


@kernel("adaptive_avg_pool_gradient")
def adaptive_avg_pool_gradient(g: Any, like: tuple[int, ...]) -> Any:
    """A single window's share is written once and seen everywhere."""
    if all(n == 1 for n in g.shape[2:]):
        one, count = _even((1,) * (g.ndim - 2), (1,) * (g.ndim - 2)), math.prod(like[2:])
        share = _mean_gradient(g, g.shape, "Even", one, 0, count)
        return None if share is None else sys.modules["cupy"].broadcast_to(share, like)
    return _mean_gradient(g, like, "Even", _even(like[2:], g.shape[2:]), 0, 0)
