"""Rows and elements read from places that arrays name, or written there, in one launch that also
notes places that are not there."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...core import dtypes
from . import bounds
from .launch import Template
from .pointwise import divisor, merged
from .registry import kernel
from .rows import empty
from .segments import NUMBERS as SUMMED
from .segments import add_rows

THREADS = 256
MOST_INDICES = 4
MOST_DIMENSIONS = 6
"""Of `Paths` in words.cuh."""
MOST_WORDS = 2**31 - 1
INTEGERS = ("int64", "int32")
EVERY = tuple(d.name for d in dtypes.ALL)
WHOLE = slice(None)
WORDS = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64", 16: "Wide"}
"""What elements of so many bytes are moved as."""

INDICES = f"{MOST_INDICES}P{MOST_INDICES}q{MOST_INDICES}q" + "Pq" * MOST_INDICES + "q"
"""`struct Indices` in gathers.cu."""
MOVED: dict[str, Any] = {"W": tuple(WORDS.values()), "I": INTEGERS}


def paths_words(operands: int) -> str:
    """The letters of `struct Paths` in words.cuh."""
    return "q" + f"2Q{operands}q" * MOST_DIMENSIONS


TAKE_ROWS = Template("gathers", "take_rows", "PPqqqq" + INDICES, **MOVED)
PUT_ROWS = Template("gathers", "put_rows", "PPqqqqq" + INDICES, **MOVED)
FIND_ROWS = Template("gathers", "find_rows", "Pqqq" + INDICES, I=INTEGERS)
TAKE_ALONG = Template("gathers", "take_along", "PPPqqqPq" + paths_words(2), **MOVED)
PUT_ALONG = Template("gathers", "put_along", "PPPqqqPq" + paths_words(3), **MOVED)
FIND_ALONG = Template("gathers", "find_along", "PPqqqPq" + paths_words(2), I=INTEGERS)


def paths(shape: Sequence[int], steps: Sequence[Sequence[int]]) -> list[int] | None:
    """The words of `struct Paths` for arrays with `steps` along the dimensions of `shape`; None if
    there are too many dimensions."""
    sizes, joined = merged(shape, steps)
    if len(sizes) > MOST_DIMENSIONS:
        return None
    words = [len(sizes)]
    for size, step in zip(sizes, joined, strict=True):
        magic, shift = divisor(max(size, 1))
        words += [size | magic << 32, shift, *step]
    return words + [0] * ((2 + len(steps)) * (MOST_DIMENSIONS - len(sizes)))


def _blocks(threads: int) -> int:
    return -(-threads // THREADS)


def _cupy() -> Any:
    return sys.modules["cupy"]


# -- rows ------------------------------------------------------------------------------------------


class Rows(NamedTuple):
    """What an index of integer arrays selects of an array (*outer, *sizes, *inner)."""

    arrays: list[Any]  # contiguous, of one shape and dtype
    dim: int  # the first that they index
    low: list[int]  # the least number of each

    def indices(self, x: Any, operation: str) -> list[int]:
        """The words of `struct Indices`."""
        cupy = _cupy()
        sizes = x.shape[self.dim : self.dim + len(self.arrays)]
        notes = [
            bounds.place(cupy, low, n, operation) for low, n in zip(self.low, sizes, strict=True)
        ]
        missing = [0] * (MOST_INDICES - len(sizes))
        places = [a.data.ptr for a in self.arrays]
        words = [*places, *missing, *sizes, *missing, *self.low, *missing]
        return [*words, *[w for n in notes for w in n], *missing, *missing, len(sizes)]


class Shape(NamedTuple):
    """The sizes of `take_rows`, in bytes where they are said so."""

    outer: int
    rows: int
    inner_bytes: int
    result: tuple[int, ...]


def _shape(x: Any, how: Rows) -> Shape:
    first, behind = how.dim, how.dim + len(how.arrays)
    return Shape(
        math.prod(x.shape[:first]),
        math.prod(x.shape[first:behind]),
        math.prod(x.shape[behind:]) * x.itemsize,
        (*x.shape[:first], *how.arrays[0].shape, *x.shape[behind:]),
    )


def _rows(x: Any, index: Any) -> Rows | None:
    """None for an index that has anything but integer arrays side by side, and whole dimensions."""
    items = list(_as_tuple(index))
    arrays = [k for k, i in enumerate(items) if getattr(i, "dtype", None) is not None]
    if not 0 < len(arrays) <= MOST_INDICES or arrays[-1] - arrays[0] >= len(arrays):
        return None
    before, behind = items[: arrays[0]], items[arrays[-1] + 1 :]
    others = before + behind
    if any(i is not Ellipsis and not (isinstance(i, slice) and i == WHOLE) for i in others):
        return None
    dim = len(before)
    if Ellipsis in before:  # which stands for what the others leave
        dim = x.ndim - len(behind) - len(arrays)
    return _aligned_rows([items[k] for k in arrays], dim, x.shape)


def _aligned_rows(arrays: list[Any], dim: int, shape: tuple[int, ...]) -> Rows | None:
    cupy = _cupy()
    dtype = arrays[0].dtype
    if dtype.name not in INTEGERS or any(a.dtype != dtype for a in arrays):
        return None
    if len(arrays) > 1 and any(a.shape != arrays[0].shape for a in arrays):
        arrays = cupy.broadcast_arrays(*arrays)
    low = [-n for n in shape[dim : dim + len(arrays)]]
    return Rows([cupy.ascontiguousarray(a) for a in arrays], dim, low)


def word_of(size: int, *addresses: int) -> int:
    """The largest word that divides a size in bytes and all addresses."""
    word = 16
    while any(n % word for n in (size, *addresses)):
        word //= 2
    return word


def take_rows(x: Any, how: Rows, operation: str) -> Any:
    """A copy of the rows of x that the index names; None for what is too large."""
    x = _cupy().ascontiguousarray(x)
    sizes = _shape(x, how)
    out = empty(sizes.result, x.dtype)
    if not out.size:
        return out
    word = word_of(sizes.inner_bytes, x.data.ptr, out.data.ptr)
    words, count = sizes.inner_bytes // word, how.arrays[0].size
    threads = sizes.outer * count * words
    if threads > MOST_WORDS:
        return None
    TAKE_ROWS[WORDS[word], how.arrays[0].dtype.name](
        _blocks(threads), THREADS, x.data.ptr, out.data.ptr, threads, count, sizes.rows, words,
        *how.indices(x, operation),
    )  # fmt: skip
    bounds.tell_if_blocking(_cupy())
    return out


def put_rows(out: Any, how: Rows, values: Any, operation: str) -> Any:
    """Contiguous `out`, its rows replaced by `values`, which are broadcast, or by 0 if None."""
    sizes = _shape(out, how)
    if not out.size or not math.prod(sizes.result):
        return out
    is_one = values is not None and values.size == 1
    if values is not None and not is_one:
        values = values.reshape(values.shape[max(values.ndim - len(sizes.result), 0) :])
        values = _cupy().ascontiguousarray(_cupy().broadcast_to(values, sizes.result))
    place = 0 if values is None else values.data.ptr
    word = out.itemsize if is_one else word_of(sizes.inner_bytes, out.data.ptr, place)
    words, count = sizes.inner_bytes // word, how.arrays[0].size
    threads = sizes.outer * count * words
    if threads > MOST_WORDS:
        return None
    PUT_ROWS[WORDS[word], how.arrays[0].dtype.name](
        _blocks(threads), THREADS, place, out.data.ptr, threads, count, sizes.rows, words,
        int(is_one), *how.indices(out, operation),
    )  # fmt: skip
    bounds.tell_if_blocking(_cupy())
    return out


def add_rows_at(out: Any, index: Any, values: Any) -> bool:
    """out[index] += values, repeated places repeatedly, in their order if algorithms are to be
    deterministic; False for what the kernels do not take."""
    from ...settings import are_deterministic_algorithms_enabled

    if out.dtype.kind == "c" and values.dtype == out.dtype and out.flags.c_contiguous:
        items = _as_tuple(index)
        rest = (WHOLE,) if any(i is Ellipsis for i in items) else (Ellipsis, WHOLE)
        return add_rows_at(_parts(out), (*items, *rest), _parts(values))
    how = _rows(out, index)
    is_fit = out.dtype == values.dtype and out.dtype.name in SUMMED and out.flags.c_contiguous
    if how is None or not is_fit:
        return False
    sizes = _shape(out, how)
    inner = sizes.inner_bytes // out.itemsize
    # Values may have more dimensions than what they are added to, of size 1.
    values = values.reshape(values.shape[max(values.ndim - len(sizes.result), 0) :])
    values = _cupy().broadcast_to(values, sizes.result).reshape(-1, inner)
    count = how.arrays[0].size
    places = empty((sizes.outer * count,), "int64")
    FIND_ROWS[how.arrays[0].dtype.name](
        _blocks(places.size), THREADS, places.data.ptr, places.size, count, sizes.rows,
        *how.indices(out, "index"),
    )  # fmt: skip
    bounds.tell_if_blocking(_cupy())
    is_ordered = are_deterministic_algorithms_enabled()
    add_rows(out.reshape(-1, inner), places, values, is_ordered=is_ordered)
    return True


def _parts(array: Any) -> Any:
    """Complex numbers as pairs along a last dimension."""
    laid = _cupy().ascontiguousarray(array)
    return laid.view(laid.real.dtype).reshape(*array.shape, 2)


def _as_tuple(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def write(out: Any, index: Any, values: Any) -> bool:
    """out[index] = values; False for what the kernel does not take."""
    how = _rows(out, index) if out.flags.c_contiguous and out.dtype == values.dtype else None
    return how is not None and put_rows(out, how, values, "setitem") is not None


@kernel("embedding_lookup", EVERY)
def embedding_lookup(weight: Any, input: Any, **options: Any) -> Any:
    """Rows in words of up to 16 bytes."""
    if weight.ndim != 2 or input.dtype.name not in INTEGERS:
        return None
    return take_rows(weight, Rows([_cupy().ascontiguousarray(input)], 0, [0]), "embedding")


@kernel("index_elements", EVERY)
def index_elements(input: Any, index: Any) -> Any:
    """Integer arrays side by side, whole dimensions around them."""
    how = _rows(input, index)
    return None if how is None else take_rows(input, how, "index")


@kernel("index_put_values", EVERY)
def index_put_values(input: Any, values: Any, index: Any, accumulate: bool) -> Any:
    """A copy, then the rows."""
    if accumulate:
        out = input.copy()
        return out if add_rows_at(out, index, values) else None
    how = _rows(input, index) if values.dtype == input.dtype else None
    return None if how is None else put_rows(input.copy(), how, values, "index_put")


@kernel("index_embed", EVERY)
def index_embed(g: Any, like: tuple[int, ...], index: Any, unique: bool) -> Any:
    """Zeros, to which rows are added; what comes once is written."""
    out = _cupy().zeros(like, g.dtype)
    kinds = [i.dtype.kind for i in _as_tuple(index) if hasattr(i, "dtype")]
    if not unique and any(kind != "b" for kind in kinds):
        return out if add_rows_at(out, index, g) else None
    out[index] = g
    return out


@kernel("zero_at", EVERY)
def zero_at(g: Any, index: Any) -> Any:
    """A copy, then zeros."""
    how = _rows(g, index)
    return None if how is None else put_rows(g.copy(), how, None, "index")


# -- elements along a dimension --------------------------------------------------------------------


class Line(NamedTuple):
    """An array with places that an index names along a dimension."""

    size: int
    step: int
    note: tuple[int, int]
    words: list[int]


def _line(x: Any, index: Any, dim: int, *others: Any) -> Line | None:
    """How kernels go through the places of `index` in x, and through other arrays of its shape."""
    if index.dtype.name not in INTEGERS or not x.ndim or x.ndim != index.ndim:
        return None
    if index.size > MOST_WORDS:
        return None
    dim %= x.ndim
    steps = [[s // a.itemsize for s in a.strides] for a in (x, index, *others)]
    step = steps[0][dim]
    steps[0][dim] = 0
    words = paths(index.shape, steps)
    if words is None:
        return None
    note = bounds.place(_cupy(), 0, x.shape[dim], "gather or scatter")
    return Line(x.shape[dim], step, note, words)


@kernel("gather", EVERY)
def gather(input: Any, index: Any, dim: int, sparse_grad: bool = False) -> Any:
    """Both arrays as they lie."""
    how = _line(input, index, dim)
    if how is None:
        return None
    out = empty(index.shape, input.dtype)
    TAKE_ALONG[WORDS[input.itemsize], index.dtype.name](
        _blocks(out.size), THREADS, input.data.ptr, index.data.ptr, out.data.ptr, out.size,
        how.size, how.step, *how.note, *how.words,
    )  # fmt: skip
    bounds.tell_if_blocking(_cupy())
    return out


def _put_along(out: Any, index: Any, source: Any, dim: int) -> Any:
    others = [] if source is None else [source[tuple(map(slice, index.shape))]]
    how = _line(out, index, dim, *(others or [index]))
    if how is None:
        return None
    place = others[0].data.ptr if others else 0
    PUT_ALONG[WORDS[out.itemsize], index.dtype.name](
        _blocks(index.size), THREADS, place, index.data.ptr, out.data.ptr, index.size,
        how.size, how.step, *how.note, *how.words,
    )  # fmt: skip
    bounds.tell_if_blocking(_cupy())
    return out


@kernel("scatter_values", EVERY)
def scatter_values(input: Any, index: Any, src: Any, dim: int) -> Any:
    """A copy, then the elements."""
    if src.ndim != index.ndim or src.dtype != input.dtype:
        return None
    return _put_along(input.copy(), index, src, dim)


@kernel("zero_along", EVERY)
def zero_along(g: Any, index: Any, dim: int) -> Any:
    """A copy, then zeros."""
    return _put_along(g.copy(), index, None, dim)


def _combine_along(out: Any, index: Any, src: Any, dim: int, operation: str) -> bool:
    """Contiguous `out` with `src` combined into it where `index` says; False for what the kernels
    do not take. The order of sums may be any, unless algorithms are to be deterministic."""
    from ...settings import are_deterministic_algorithms_enabled

    cupy = _cupy()
    if src.ndim != index.ndim or src.dtype != out.dtype:
        return False
    dim %= max(out.ndim, 1)
    src = src[tuple(map(slice, index.shape))]
    columns = 1
    if dim == 0 and _is_of_rows(index) and index.shape[1:] == out.shape[1:]:
        columns, index = math.prod(out.shape[1:]), index[(slice(None), *[0] * (out.ndim - 1))]
    how = _line(out.reshape(len(out), columns)[:, 0] if columns > 1 else out, index, dim)
    if how is None:
        return False
    places = empty(index.shape, "int64")
    step = 1 if columns > 1 else how.step
    FIND_ALONG[index.dtype.name](
        _blocks(index.size), THREADS, index.data.ptr, places.data.ptr, index.size, how.size, step,
        *how.note, *how.words,
    )  # fmt: skip
    bounds.tell_if_blocking(cupy)
    rows = cupy.ascontiguousarray(src).reshape(-1, columns)
    is_ordered = are_deterministic_algorithms_enabled()
    table = out.reshape(-1, columns)
    add_rows(table, places.reshape(-1), rows, operation=operation, is_ordered=is_ordered)
    return True


def _is_of_rows(index: Any) -> bool:
    """Whether an index has the same number all along each row, by how it lies."""
    return index.ndim > 1 and index.size > 0 and not any(index.strides[1:])


@kernel("scatter_add_zeros", SUMMED)
def scatter_add_zeros(g: Any, index: Any, like: tuple[int, ...], dim: int) -> Any:
    """Places first, then sums by place."""
    out = _cupy().zeros(like, g.dtype)
    return out if like and _combine_along(out, index, g, dim, "Sum") else None


@kernel("scatter_reduced", SUMMED)
def scatter_reduced(input: Any, index: Any, src: Any, dim: int, reduce: str) -> Any:
    """A copy, into which what belongs to each place is combined in order."""
    operation = {"prod": "Product", "amax": "Maximum", "amin": "Minimum"}[reduce]
    out = input.copy()
    return out if _combine_along(out, index, src, dim, operation) else None
