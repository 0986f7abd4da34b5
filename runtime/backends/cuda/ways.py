"""How a product of two arrays is computed: found out once for each way in which they lie, and
looked up by their shapes and strides from then on."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from . import cublas, cublaslt, memory
from .matrices import (
    ALIGNED,
    SORTS,
    Operand,
    Problem,
    Shape,
    all_rows,
    broadcast,
    is_empty,
    operand,
    turned,
)
from .precision import rounding

MOST_PLANS = 4_096
"""Ways to lie that are kept; shapes that never repeat must not fill memory."""
MANY_TERMS = 2_048
"""Terms of a sum that take an H100's multiprocessor as long as a launch and a pass over memory do:
11 us, at 128 x 128 sums and 6 TFLOP/s of bfloat16."""
FILLED = 0.7
"""Which part of the multiprocessors that the product alone fills must work with an epilogue too."""
AMPERE = 0.63
"""How fast Ampere's tensor instructions are on an H100, next to its own (arXiv:2402.13499). By the
names of its kernels, cuBLASLt 13.10 has only those for sums of an operand in bfloat16, and no
kernel for such sums in float32; that they cost large products more than they save was met before
(NVIDIA/CUDALibrarySamples, issue 90)."""
HALF = 2
"""Bytes of a half."""
FLOPS, READ, LAUNCH = 7e14, 3e12, 4e-6
"""What an H100 multiplies, in FLOP/s of halves, and reads, in bytes/s; the seconds of a launch."""
INTEGERS = frozenset({"int8"})
REAL = frozenset(SORTS) - INTEGERS


class Lying(NamedTuple):
    """How an array lies in memory."""

    shape: Shape
    strides: Shape
    itemsize: int


class Sides(NamedTuple):
    """The operands of `count` products that make an array of `shape`; None for one that must be
    copied first, `shape` then being the leading dimensions that a copy has."""

    left: Operand | None
    right: Operand | None
    count: int
    shape: Shape


class Extras:
    """What goes beyond a product, with a third array: `addend` times beta is added to alpha times
    the product; the epilogue "bias" adds a vector, and the others write one. One object for equal
    ones, by `extras`: they are compared by identity."""

    def __init__(self, epilogue: str, alpha: float, beta: float) -> None:
        self.epilogue, self.alpha, self.beta = epilogue, alpha, beta


@lru_cache
def extras(epilogue: str = "", alpha: float = 1.0, beta: float = 0.0) -> Extras:
    """What goes beyond a product."""
    return Extras(epilogue, alpha, beta)


class _Way:
    """How one product is computed: by `plan`, into an array of `shape` and `dtype`; or, if one of
    the operands is `copied` first, with leading dimensions `shape`, as that of those."""

    __slots__ = ("copied", "dtype", "plan", "shape", "size")

    def __init__(
        self, plan: Any, shape: Shape, dtype: Any = None, copied: tuple[bool, bool] | None = None
    ) -> None:
        self.plan, self.shape, self.dtype, self.copied = plan, shape, dtype, copied
        self.size = math.prod(shape) * dtype.itemsize if dtype is not None else 0


class _Ways(threading.local):
    """What a thread knows, by key; plans are changed by each run."""

    def __init__(self) -> None:
        self.known: dict[Any, _Way] = {}
        self.refused: set[Any] = set()  # by cuBLASLt, when they ran


_ways = _Ways()
PLAIN = extras()


def forget() -> None:
    """Drop what is known, with the libraries."""
    global _ways
    _ways = _Ways()
    cublaslt.forget()


def product(
    cupy: Any, kind: Callable[..., Any], x: Any, y: Any, like: Any = None, how: Extras = PLAIN,
    third: Any = None, out: Any = None,
) -> Any:  # fmt: skip
    """The product that `kind` makes of x and y, with what `how` says of a third array, which may be
    `out`, where it is written; None for what no library computes."""
    x_data, y_data = x.data, y.data
    x_at, y_at = x_data.ptr, y_data.ptr
    beside = None
    if third is not None and third is not out:
        third_at = third.data.ptr
        beside = third.shape, third.strides, third.dtype, third_at % ALIGNED
    key = (
        kind, like, how, x.shape, x.strides, x.dtype, y.shape, y.strides, y.dtype, beside,
        (x_at | y_at) % ALIGNED, x_data.device_id, rounding.code,
    )  # fmt: skip
    way = _ways.known.get(key) or _learnt(cupy, key)
    plan = way.plan
    if plan is None:
        if way.copied is None:
            return None
        of_x, of_y = way.copied
        x = _copy(cupy, x, way.shape) if of_x else x
        y = _copy(cupy, y, way.shape) if of_y else y
        return product(cupy, kind, x, y, like, how, third, out)
    if out is None:
        out = memory.current.empty(way.shape, way.dtype, way.size)
    place = out.data.ptr
    try:
        if beside is None:
            plan(x_at, y_at, place, place)
        elif how.epilogue:
            plan(x_at, y_at, place, place, third_at)
        elif plan.works_in_place:
            out[...] = third
            plan(x_at, y_at, place, place)
        else:
            plan(x_at, y_at, third_at, place)
    except cublaslt.Refused as error:
        _refuse(key, error)
        return product(cupy, kind, x, y, like, how, third, out)
    return out


def _learnt(cupy: Any, key: tuple[Any, ...]) -> _Way:
    if len(_ways.known) >= MOST_PLANS:
        _ways.known.clear()
    try:
        way = _found_way(cupy, key in _ways.refused, *key)
    except cublaslt.Refused as error:
        _refuse(key, error)
        way = _found_way(cupy, True, *key)
    _ways.known[key] = way
    return way


def _refuse(key: tuple[Any, ...], error: Exception) -> None:
    warnings.warn(f"{error} cuBLAS computes such products from now on.", stacklevel=3)
    _ways.refused.add(key)
    _ways.known.pop(key, None)


def _copy(cupy: Any, x: Any, batch: Shape) -> Any:
    shape = (*batch, *x.shape[-2:]) if batch else x.shape
    return cupy.ascontiguousarray(cupy.broadcast_to(x, shape))


def _alignment(bits: int) -> int:
    """The alignment of addresses that end in these bits."""
    return bits & -bits if bits else ALIGNED


IMPOSSIBLE = _Way(None, ())


def _found_way(
    cupy: Any, is_refused: bool, kind: Callable[..., Any], like: Any, how: Extras,
    x_shape: Shape, x_strides: Shape, dtype: Any, y_shape: Shape, y_strides: Shape, other: Any,
    beside: tuple[Shape, Shape, Any, int] | None, bits: int, device: int, code: int,
) -> _Way:  # fmt: skip
    name, size = dtype.name, dtype.itemsize
    known = INTEGERS if kind is int_matmul else REAL
    if dtype != other or name not in known or is_empty(x_shape, y_shape):
        return IMPOSSIBLE
    sides = kind(Lying(x_shape, x_strides, size), Lying(y_shape, y_strides, size), like)
    if sides is None:
        return IMPOSSIBLE
    left, right, count, shape = sides
    if left is None or right is None:
        return _Way(None, shape, copied=(left is None, right is None))
    addend, third_alignment = None, ALIGNED
    if beside is not None:
        lies, third_alignment = Lying(*beside[:2], size), _alignment(beside[3])
        addend = None if how.epilogue else _addend(lies, shape)
        fits = addend is not None or _is_vector(lies, how, left.rows, right.columns)
        if not fits or beside[2] != dtype:
            return IMPOSSIBLE
    if left.columns != right.rows:
        return IMPOSSIBLE
    problem = Problem(
        name, left, right, rounding.sums(name), _alignment(bits), third_alignment, count,
        how.alpha, how.beta, how.epilogue, rounding.schemes(name), addend,
    )  # fmt: skip
    plan: Any = None
    if rounding.library != "cublas" and not is_refused and cublaslt.is_available():
        plan = _worthwhile_plan(cupy.cuda, device, problem)
    result = np.dtype("int32") if name == "int8" else dtype
    return _Way(plan or cublas.plan(cupy.cuda, problem), shape, result)


def _worthwhile_plan(cuda: Any, device: int, problem: Problem) -> Any:
    """cuBLASLt's plan; None if what goes with the product costs more in its launch than apart.

    A sum of many terms into a small matrix is computed in parts, by multiprocessors that would
    idle otherwise; with an epilogue the library may have no such algorithm.
    """
    if "sums" in problem.epilogue and not _sums_pay(problem):
        return None
    plan = cublaslt.plan(cuda, device, problem)
    if plan is None or not problem.epilogue or problem.left.columns < MANY_TERMS:
        return plan
    plain = cublaslt.plan(cuda, device, problem._replace(epilogue=""))
    return None if plain is not None and plan.waves < FILLED * plain.waves else plan


def _sums_pay(problem: Problem) -> bool:
    """Whether to sum an operand takes longer by itself than the product takes longer with it."""
    left, right = problem.left, problem.right
    product = 2 * left.rows * left.columns * right.columns / FLOPS
    summed = left if problem.epilogue == "sums left" else right
    read = summed.rows * summed.columns * HALF / READ
    return product * (1 / AMPERE - 1) <= LAUNCH + read


def _addend(lies: Lying, shape: Shape) -> Operand | None:
    """A third array that is added, if it is of the product's shape and lies row by row."""
    found = operand(*lies, shape[:-2]) if lies.shape == shape and len(shape) > 1 else None
    return None if found is None or found.is_transposed else found


def _is_vector(lies: Lying, how: Extras, rows: int, columns: int) -> bool:
    """Whether a third array is a vector as the epilogue needs it: as long as that, and packed."""
    length = rows if how.epilogue == "sums left" else columns
    is_packed = length == 1 or lies.strides == (lies.itemsize,)
    return bool(how.epilogue) and lies.shape == (length,) and is_packed


# -- kinds of products -----------------------------------------------------------------------------


def _stacks(x: Lying, y: Lying, is_turned: tuple[bool, bool] = (False, False)) -> Sides | None:
    """x @ y of arrays (..., n, k) and (..., k, m) whose leading dimensions broadcast, of which
    either may be turned."""
    if len(x.shape) < 2 or len(y.shape) < 2:
        return None
    batch = broadcast(x.shape[:-2], y.shape[:-2])
    if batch is None:
        return None
    count, right = math.prod(batch), operand(*y, batch)
    if right is not None and is_turned[1]:
        right = turned(right)
    left = None
    if right is not None and right.count == 1 and not is_turned[0]:
        left = all_rows(*x)  # one product of all rows
        if left is not None and left.rows == count * x.shape[-2]:
            return Sides(left, right, 1, (*batch, x.shape[-2], right.columns))
    left = operand(*x, batch)
    if left is None or right is None:
        return Sides(left, right, count, batch)
    if is_turned[0]:
        left = turned(left)
    return Sides(left, right, count, (*batch, left.rows, right.columns))


def _column(x: Lying) -> Lying:
    """A stack of numbers as one of columns of one."""
    return Lying((*x.shape, 1), (*x.strides, x.itemsize), x.itemsize)


def matmul(x: Lying, y: Lying, like: Any) -> Sides | None:
    """x @ y; one of them may be a vector."""
    is_row, is_column = len(x.shape) == 1, len(y.shape) == 1
    if not (is_row or is_column):
        return _stacks(x, y)
    if is_row and is_column:
        return None
    x = Lying((1, *x.shape), (0, *x.strides), x.itemsize) if is_row else x
    sides = _stacks(x, _column(y) if is_column else y)
    if sides is None or sides.left is None or sides.right is None:
        return None
    *batch, n, m = sides.shape
    return sides._replace(shape=(*batch, m if is_row else n))


def by_input(g: Lying, other: Lying, like: Shape) -> Sides | None:
    """g @ other.mT."""
    if len(like) < 2 or broadcast(g.shape[:-2], other.shape[:-2]) != like[:-2]:
        return None  # a sum over batches follows
    return _stacks(g, other, (False, True))


def by_other(input: Lying, g: Lying, like: Shape) -> Sides | None:
    """input.mT @ g, over all batches that `like` has not."""
    if len(like) == 1 and g.shape == input.shape[:-1] != ():
        return over_rows(input, _column(g), like)
    if len(like) < 2 or len(g.shape) < 2 or len(input.shape) < 2:
        return None
    if len(like) == 2:  # one product over all batches instead of one each and their sum
        return over_rows(input, g, like)
    if broadcast(g.shape[:-2], input.shape[:-2]) != like[:-2]:
        return None
    return _stacks(input, g, (True, False))


def over_rows(x: Lying, y: Lying, like: Shape) -> Sides | None:
    """x.T @ y of arrays (..., n) and (..., m), over all rows at once."""
    left, right = all_rows(*x), all_rows(*y)
    if left is not None and right is not None and left.rows != right.rows:
        return None  # of broadcast batches
    if left is None or right is None:
        return Sides(left, right, 1, ())
    return Sides(turned(left), right, 1, like)


def linear(input: Lying, weight: Lying, like: Any) -> Sides | None:
    """input @ weight.T, of all rows at once."""
    if not input.shape or len(weight.shape) != 2:
        return None
    left, right = all_rows(*input), operand(*weight)
    if left is None or right is None:
        return Sides(left, right, 1, ())
    return Sides(left, turned(right), 1, (*input.shape[:-1], weight.shape[0]))


def int_matmul(x: Lying, y: Lying, like: Any) -> Sides | None:
    """x @ y of matrices of int8, of which y lies transposed: the units for integers take no other
    layout, and lines of 4 bytes."""
    if x.shape[1] % 4 or y.shape[1] % 4:
        return None
    left, right = operand(*x), operand(*y)
    if left is None or left.is_transposed:
        return Sides(None, right, 1, ())
    if right is None or not right.is_transposed or left.step % 4 or right.step % 4:
        return None
    return Sides(left, right, 1, (left.rows, right.columns))
