"""Reductions over any dimensions, always in the same order on a device.

Memory is read in order, whichever dimensions go: where the innermost one is reduced, threads of a
warp or a block share a result; where it stays, they have neighbouring results. Where there are too
few results for all multiprocessors, each is reduced in chunks first.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from . import counters, launch, memory
from .launch import Kernel, Template
from .pointwise import divisor
from .registry import FLOATS, kernel
from .rows import VECTOR_BYTES, WARP, wide

KINDS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("SumOf", "ProductOf", "MaximumOf", "MinimumOf"): (*FLOATS, "int64"),
    ("IndexOfMaximum", "IndexOfMinimum"): (*FLOATS, "int64"),
    ("AbsoluteSum", "EuclideanNorm", "LogSumExp"): FLOATS,
    ("AnyOf", "AllOf"): ("bool",),
    ("Moments", "ShiftedProducts"): FLOATS,
}
"""Reducers and the dtypes that they are compiled for; others are left to CuPy."""

IN_FLIGHT = 4
"""Vectors that a thread reads before it adds the first; `reductions.cu` has the same."""
COLUMN_BLOCK = 256
MOST_DIMENSIONS = 6
STATE_BYTES = 32
"""Of the largest state: four doubles."""
PARTS = {"Moments": 2, "ShiftedProducts": 3}
"""How many numbers a result is, where it is several."""
BLOCKS_PER_MULTIPROCESSOR = 8
COLUMN_BLOCKS_PER_MULTIPROCESSOR = 4
"""Of 256 threads with results side by side, whose registers let 3 be there at a time: more would
only leave more states to put together."""
MOST_LENGTH = 2**31 - 1
MOST_CHUNKS = 65_535


class Templates(NamedTuple):
    """The kernels for some reducers and dtypes."""

    rows: Template
    columns: Template


def _templates(of: tuple[str, ...], dtypes: tuple[str, ...]) -> Templates:
    path = "q" + "2Qq" * MOST_DIMENSIONS
    shared: dict[str, Any] = {"Of": of, "T": dtypes}
    wide = {**shared, "IS_WIDE": (True, False)}
    words = "PPPPPqqqqd" + path + path
    return Templates(
        Template("reductions", "reduce_rows", words, **wide),
        Template("reductions", "reduce_columns", words, **wide),
    )


_KERNELS: dict[str, Templates] = {}
for _reducers, _dtypes in KINDS.items():
    _KERNELS.update(dict.fromkeys(_reducers, _templates(_reducers, _dtypes)))

Dimensions = list[tuple[int, int]]
"""Sizes and steps, from the outermost on."""


def _merged(dimensions: Dimensions) -> Dimensions:
    """Without dimensions of size 1, and those joined that memory goes through evenly."""
    result: Dimensions = []
    for size, step in dimensions:
        if size == 1:
            continue
        if result and result[-1][1] == size * step:
            result[-1] = (result[-1][0] * size, step)
        else:
            result.append((size, step))
    return result or [(1, 0)]


def _path(dimensions: Dimensions) -> list[int]:
    """The words of `Path` in reductions.cu."""
    words = [len(dimensions)]
    for size, step in reversed(dimensions):
        magic, shift = divisor(max(size, 1))
        words += [size | magic << 32, shift, step]
    return words + [0] * (3 * (MOST_DIMENSIONS - len(dimensions)))


class Reading(NamedTuple):
    """How a reduction goes through an array: which dimensions stay and go, and whether its
    innermost dimension, which vectors lie along, stays."""

    kept: Dimensions
    gone: Dimensions
    along_kept: bool
    is_wide: bool


def _reading(x: Any, dims: tuple[int, ...], ordered: bool, is_aligned: bool) -> Reading | None:
    """None for what goes through too many dimensions. With `ordered`, elements are counted in the
    array's own order."""
    steps = [s // x.itemsize for s in x.strides]
    all_dims = list(zip(x.shape, steps, strict=True))
    kept = _merged([d for k, d in enumerate(all_dims) if k not in dims])
    gone = [d for k, d in enumerate(all_dims) if k in dims]
    gone = _merged(gone if ordered else sorted(gone, key=lambda d: -abs(d[1])))
    if max(len(kept), len(gone)) > MOST_DIMENSIONS:
        return None
    nearest_gone = abs(gone[-1][1]) if gone != [(1, 0)] else math.inf
    along_kept = kept[-1] != (1, 0) and kept[-1][1] == 1 and nearest_gone > 1
    inner = kept if along_kept else gone
    width = VECTOR_BYTES // x.itemsize
    others = [step for _, step in kept + gone if step != 1]
    is_wide = (
        inner[-1][1] == 1
        and inner[-1][0] % width == 0
        and is_aligned
        and all(step % width == 0 for step in others)
    )
    return Reading(kept, gone, along_kept, is_wide)


def reduced(
    of: str,
    x: Any,
    dims: tuple[int, ...],
    out_dtype: Any,
    number: float = 1.0,
    ordered: bool = False,
    other: Any = None,
) -> Any:
    """The results of reducer `of` over the dimensions `dims` (not negative), which are left out of
    the shape; where they have several parts, those come first. A reducer of two inputs has `other`,
    which lies in memory as x does. None for what the kernels do not have."""
    place, second = x.data.ptr, 0 if other is None else other.data.ptr
    is_aligned = not (place | second) % VECTOR_BYTES
    units = launch.driver.multiprocessors()
    situation = of, x.shape, x.strides, x.dtype.char, is_aligned, dims, out_dtype, ordered, units
    plan = _plans.get(situation)
    if plan is None:
        if len(_plans) >= MOST_PLANS:
            _plans.clear()
        plan = _plans[situation] = _plan(of, x, dims, out_dtype, ordered, is_aligned) or ()
    if not plan:
        return None
    shape, dtype, size, chosen, work, kept = plan
    out = memory.current.empty(shape, dtype, size)
    if chosen is None:
        return out
    states = counted = 0
    if kept:
        between = memory.current.empty((kept,), np.dtype("u1"), kept)
        states, counted = between.data.ptr, counters.address(work.grid[0])
    words = (place, second, out.data.ptr, states, counted, *work.sizes, number, *work.paths)
    chosen.run(work.grid, work.threads, words)
    return out


class Plan(NamedTuple):
    """The launch of a reduction: the results' shape, dtype and bytes; the kernel (None without
    results) and its work; the bytes of what chunks come to, if there are several."""

    shape: tuple[int, ...]
    dtype: Any
    size: int
    kernel: Kernel | None
    work: Any
    kept: int


MOST_PLANS = 4_096
"""Plans that are kept; ragged inputs never repeat."""

_plans: dict[Any, Plan | tuple[()]] = {}
"""By what a plan depends on; () for what the kernels do not have."""


def _plan(
    of: str, x: Any, dims: tuple[int, ...], out_dtype: Any, ordered: bool, is_aligned: bool
) -> Plan | None:
    sort = np.dtype(out_dtype)
    shape = tuple([n for k, n in enumerate(x.shape) if k not in dims])
    count = math.prod(shape)
    whole = (PARTS[of], *shape) if of in PARTS else shape
    size = math.prod(whole) * sort.itemsize
    if not count:
        return Plan(whole, sort, size, None, None, 0)
    how = _reading(x, dims, ordered, is_aligned)
    gone = math.prod([x.shape[k] for k in dims])
    if how is None or gone > MOST_LENGTH or count > MOST_LENGTH:
        return None
    width = VECTOR_BYTES // x.itemsize if how.is_wide else 1
    work = (_columns if how.along_kept else _rows)(how, width, count, gone)
    kernels, chunks = _KERNELS[of], work.grid[1]
    chosen = kernels.columns if how.along_kept else kernels.rows
    kept = count * chunks * STATE_BYTES if chunks > 1 else 0
    return Plan(whole, sort, size, chosen[of, x.dtype.name, how.is_wide], work, kept)


def _chunks(blocks: int, length: int, least: int, per_multiprocessor: int) -> tuple[int, int]:
    """Into how many chunks, and of what length, so that the multiprocessors have enough blocks
    but a chunk at least `least` elements."""
    wanted = launch.driver.multiprocessors() * per_multiprocessor
    count = max(1, min(wanted // blocks, length // least, MOST_CHUNKS))
    size = -(-length // count)
    return max(1, -(-length // max(size, 1))), size


class Work(NamedTuple):
    """A launch: its grid (of which the second number counts chunks), threads, and the words before
    and behind `number`."""

    grid: tuple[int, int, int]
    threads: int
    sizes: list[int]
    paths: list[int]


def _rows(how: Reading, width: int, results: int, gone: int) -> Work:
    *outer, (size, step) = how.gone
    path = [*outer, (size // width, step * width)]
    length = gone // width
    if length <= WARP * IN_FLIGHT:
        per_result = 1 << max(0, -(-length // IN_FLIGHT) - 1).bit_length()
        threads, chunks, chunk = 128, 1, length
        blocks = -(-results * per_result // threads)
    else:
        per_result = threads = 128 if length <= 128 * 4 * IN_FLIGHT else 256
        blocks = results
        chunks, chunk = _chunks(blocks, length, threads * IN_FLIGHT, BLOCKS_PER_MULTIPROCESSOR)
    sizes = [results, length, chunk, per_result]
    return Work((blocks, chunks, 1), threads, sizes, _path(how.kept) + _path(path))


def _columns(how: Reading, width: int, results: int, gone: int) -> Work:
    *rows, (columns, _) = how.kept
    groups = -(-columns // width)
    across = min(32, 1 << (groups - 1).bit_length())
    blocks = results // columns * -(-columns // (across * width))
    least = COLUMN_BLOCK // across * IN_FLIGHT
    chunks, chunk = _chunks(blocks, gone, least, COLUMN_BLOCKS_PER_MULTIPROCESSOR)
    sizes = [columns, gone, chunk, across]
    paths = _path(rows or [(1, 0)]) + _path(how.gone)
    return Work((blocks, chunks, 1), COLUMN_BLOCK, sizes, paths)


# -- operations ------------------------------------------------------------------------------------


def _dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """The dimensions counted from the front; None and () mean all."""
    if isinstance(dim, int):
        return (dim % ndim,) if ndim else ()
    return tuple([d % ndim for d in dim]) if dim and ndim else tuple(range(ndim))


def _over(of: str, x: Any, dim: Any, keepdim: bool, out_dtype: Any = None, **how: Any) -> Any:
    dims = _dims(dim, x.ndim)
    out = reduced(of, x, dims, x.dtype if out_dtype is None else out_dtype, **how)
    return out.reshape(_kept(x.shape, dims)) if keepdim and out is not None else out


def _kept(shape: tuple[int, ...], dims: tuple[int, ...]) -> list[int]:
    """The shape with `dims` of size 1."""
    return [1 if k in dims else n for k, n in enumerate(shape)]


@kernel("sum_over", (*FLOATS, "int64"))
def sum_over(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The sum; of halves in float32."""
    return _over("SumOf", input, dim, keepdim)


@kernel("sum_to", (*FLOATS, "int64"))
def sum_to(input: Any, like: tuple[int, ...]) -> Any:
    """The sum over what broadcasting repeated."""
    if input.shape == like:
        return input
    extra = input.ndim - len(like)
    dims = [k + extra for k, n in enumerate(like) if n == 1 and input.shape[k + extra] != 1]
    out = reduced("SumOf", input, (*range(extra), *dims), input.dtype)
    return None if out is None else out.reshape(like)


@kernel("channel_sum")
def channel_sum(input: Any) -> Any:
    """The sum over all dimensions but 1, of images in either layout."""
    return reduced("SumOf", input, (0, *range(2, input.ndim)), input.dtype)


@kernel("mean_over")
def mean_over(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The sum divided by the count."""
    count = math.prod([input.shape[k] for k in _dims(dim, input.ndim)])
    return _over("SumOf", input, dim, keepdim, number=count)


@kernel("var_over")
def var_over(input: Any, dim: Any = None, keepdim: bool = False, freedom: float = 1.0) -> Any:
    """The squared distances from the mean, in one pass, divided by `freedom`."""
    dims = _dims(dim, input.ndim)
    moments = reduced("Moments", input, dims, wide(input), number=freedom)
    if moments is None:
        return None
    out = moments[1].astype(input.dtype, copy=False)
    return out.reshape(_kept(input.shape, dims)) if keepdim else out


@kernel("prod_over", (*FLOATS, "int64"))
def prod_over(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The product."""
    return _over("ProductOf", input, dim, keepdim)


@kernel("amax", (*FLOATS, "int64"))
def amax(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element."""
    return _over("MaximumOf", input, dim, keepdim)


@kernel("amin", (*FLOATS, "int64"))
def amin(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element."""
    return _over("MinimumOf", input, dim, keepdim)


def _index(of: str, input: Any, dim: int | None, keepdim: bool) -> Any:
    return _over(of, input, dim, keepdim, "int64", ordered=True)


@kernel("argmax", (*FLOATS, "int64"))
def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The first place of the largest element."""
    return _index("IndexOfMaximum", input, dim, keepdim)


@kernel("argmin", (*FLOATS, "int64"))
def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The first place of the smallest element."""
    return _index("IndexOfMinimum", input, dim, keepdim)


@kernel("all", ("bool",))
def all_over(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether no element is 0."""
    return _over("AllOf", input, dim, keepdim, "bool")


@kernel("any", ("bool",))
def any_over(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether some element is not 0."""
    return _over("AnyOf", input, dim, keepdim, "bool")


@kernel("euclidean_norm")
def euclidean_norm(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The root of the sum of squares."""
    return _over("EuclideanNorm", input, dim, keepdim)


@kernel("power_norm")
def power_norm(input: Any, ord: float, dim: Any, keepdim: bool) -> Any:
    """Of order 1 or 2."""
    of = {1: "AbsoluteSum", 2: "EuclideanNorm"}.get(ord)
    return None if of is None else _over(of, input, dim, keepdim)


@kernel("logsumexp_over")
def logsumexp_over(input: Any, dim: Any, keepdim: bool = False) -> Any:
    """log(sum(exp(input))), in one pass."""
    return _over("LogSumExp", input, dim, keepdim)
