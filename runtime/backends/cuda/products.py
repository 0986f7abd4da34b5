"""Matrix products by NVIDIA's libraries, for each type on the units that are made for it.

Half types are multiplied on tensor cores and added up in float32; float32 too, if rounding to TF32
is allowed (`torch.set_float32_matmul_precision("high")` or
`torch.backends.cuda.matmul.allow_tf32`). Operands may lie transposed, or with gaps between their
rows. A bias is added, and its gradient summed, in the launch of the product where cuBLASLt has an
algorithm for it.

How a product is computed is found out once for each way in which its operands lie; from then on it
is looked up by their shapes and strides.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from . import cublas, cublaslt, memory
from .matrices import (
    COMPUTE_32F,
    COMPUTE_32F_FAST_TF32,
    COMPUTE_64F,
    REAL,
    Operand,
    Problem,
    Shape,
    all_rows,
    broadcast,
    is_empty,
    operand,
    turned,
)

ALIGNED = 256
"""Bytes: from which on the alignment of operands makes no difference."""
MOST_PLANS = 4_096
"""Ways to lie that are kept; shapes that never repeat must not fill memory."""


class Rounding:
    """How products may be rounded, and which library computes them; `code` tells settings apart."""

    precision = "highest"  # of float32, as `torch.set_float32_matmul_precision` was told
    fp16_sums = True  # whether parts of sums may be added up in float16
    bf16_sums = True  # the same of bfloat16
    library = "default"  # "cublas", "cublaslt", or either
    code = 0
    _codes: dict[tuple[Any, ...], int]

    def __init__(self) -> None:
        object.__setattr__(self, "_codes", {})

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        chosen = self.precision, self.fp16_sums, self.bf16_sums, self.library
        object.__setattr__(self, "code", self._codes.setdefault(chosen, len(self._codes) + 1))

    def sums(self, dtype: str) -> int:
        """The type to add up in, of cublasComputeType_t."""
        if dtype == "float64":
            return COMPUTE_64F
        is_rounded = dtype == "float32" and self.precision != "highest"
        return COMPUTE_32F_FAST_TF32 if is_rounded else COMPUTE_32F

    def rounds_sums(self, dtype: str) -> bool:
        """Whether parts of sums may be added up in the type of the result."""
        return {"float16": self.fp16_sums, "bfloat16": self.bf16_sums}.get(dtype, True)


rounding = Rounding()


def is_available(cupy: Any) -> bool:
    """Whether there is a library."""
    return cublas.library(cupy.cuda) is not None or cublaslt.is_available()


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
    the product; the epilogue "bias" adds a vector, and "bgrad" ones write one. One object for equal
    ones, by `extras`: they are compared by identity."""

    def __init__(self, epilogue: str, alpha: float, beta: float) -> None:
        self.epilogue, self.alpha, self.beta = epilogue, alpha, beta
        self.has_vector = cublaslt.has_vector(epilogue)


@lru_cache
def extras(epilogue: str = "", alpha: float = 1.0, beta: float = 0.0) -> Extras:
    """What goes beyond a product."""
    return Extras(epilogue, alpha, beta)


class _Way:
    """How one product is computed: by `plan`, into an array of `shape` and so many bytes; or, if
    one of the operands is `copied` first, with leading dimensions `shape`, as that of those."""

    __slots__ = ("copied", "plan", "shape", "size")

    def __init__(
        self, plan: Any, shape: Shape, size: int = 0, copied: tuple[bool, bool] | None = None
    ) -> None:
        self.plan, self.shape, self.size, self.copied = plan, shape, size, copied


class _Ways(threading.local):
    """What a thread knows; plans are changed by each run."""

    def __init__(self) -> None:
        self.known: dict[Any, _Way] = {}


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
    bits, beside = x_at | y_at, None
    if third is not None and third is not out:
        third_at = third.data.ptr
        bits |= third_at
        beside = third.shape, third.strides, third.dtype
    key = (
        kind, like, how, x.shape, x.strides, x.dtype, y.shape, y.strides, y.dtype, beside,
        bits & (ALIGNED - 1), x_data.device_id, rounding.code,
    )  # fmt: skip
    known = _ways.known
    way = known.get(key)
    if way is None:
        if len(known) >= MOST_PLANS:
            known.clear()
        way = known[key] = _found_way(cupy, *key)
    plan = way.plan
    if plan is None:
        if way.copied is None:
            return None
        x, y = (
            _copy(cupy, a, way.shape) if is_copied else a
            for a, is_copied in zip((x, y), way.copied, strict=True)
        )
        return product(cupy, kind, x, y, like, how, third, out)
    if out is None:
        out = memory.current.empty(way.shape, x.dtype, way.size)
    place = out.data.ptr
    if beside is None:
        plan(x_at, y_at, place, place)
    elif how.has_vector:
        plan(x_at, y_at, place, place, third_at)
    elif plan.works_in_place:
        out[...] = third
        plan(x_at, y_at, place, place)
    else:
        plan(x_at, y_at, third_at, place)
    return out


def _copy(cupy: Any, x: Any, batch: Shape) -> Any:
    shape = (*batch, *x.shape[-2:]) if batch else x.shape
    return cupy.ascontiguousarray(cupy.broadcast_to(x, shape))


IMPOSSIBLE = _Way(None, ())


def _found_way(
    cupy: Any, kind: Callable[..., Any], like: Any, how: Extras, x_shape: Shape, x_strides: Shape,
    dtype: Any, y_shape: Shape, y_strides: Shape, other: Any,
    beside: tuple[Shape, Shape, Any] | None, bits: int, device: int, code: int,
) -> _Way:  # fmt: skip
    name, size = dtype.name, dtype.itemsize
    if dtype != other or name not in REAL or is_empty(x_shape, y_shape):
        return IMPOSSIBLE
    sides = kind(Lying(x_shape, x_strides, size), Lying(y_shape, y_strides, size), like)
    if sides is None:
        return IMPOSSIBLE
    left, right, count, shape = sides
    if left is None or right is None:
        return _Way(None, shape, copied=(left is None, right is None))
    addend = None
    if beside is not None:
        if how.has_vector:
            length = left.rows if how.epilogue == "bgrad left" else right.columns
            fits = beside[0] == (length,) and (beside[1] == (size,) or length == 1)
        else:
            fits = beside[0] == shape
            addend = operand(*beside[:2], size, shape[:-2]) if fits else None
            fits = addend is not None and not addend.is_transposed
        if not fits or beside[2] != dtype:
            return IMPOSSIBLE
    if left.columns != right.rows:
        return IMPOSSIBLE
    problem = Problem(
        name, left, right, rounding.sums(name), bits & -bits if bits else ALIGNED, count,
        how.alpha, how.beta, how.epilogue, rounding.rounds_sums(name), addend,
    )  # fmt: skip
    plan: Any = None
    if rounding.library != "cublas" and cublaslt.is_available():
        plan = cublaslt.plan(cupy.cuda, device, problem)
    return _Way(plan or cublas.plan(cupy.cuda, problem), shape, math.prod(shape) * size)


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


def _matmul(x: Lying, y: Lying, like: Any) -> Sides | None:
    return _stacks(x, y)


def _by_input(g: Lying, other: Lying, like: Shape) -> Sides | None:
    if len(like) < 2 or broadcast(g.shape[:-2], other.shape[:-2]) != like[:-2]:
        return None  # a sum over batches follows
    return _stacks(g, other, (False, True))


def _by_other(input: Lying, g: Lying, like: Shape) -> Sides | None:
    if len(like) < 2 or len(g.shape) < 2 or len(input.shape) < 2:
        return None
    if len(like) == 2:  # one product over all batches instead of one each and their sum
        return _over_rows(input, g, like)
    if broadcast(g.shape[:-2], input.shape[:-2]) != like[:-2]:
        return None
    return _stacks(input, g, (True, False))


def _over_rows(x: Lying, y: Lying, like: Shape) -> Sides | None:
    left, right = all_rows(*x), all_rows(*y)
    if left is not None and right is not None and left.rows != right.rows:
        return None  # of broadcast batches
    if left is None or right is None:
        return Sides(left, right, 1, ())
    return Sides(turned(left), right, 1, like)


def _linear(input: Lying, weight: Lying, like: Any) -> Sides | None:
    if not input.shape or len(weight.shape) != 2:
        return None
    left, right = all_rows(*input), operand(*weight)
    if left is None or right is None:
        return Sides(left, right, 1, ())
    return Sides(left, turned(right), 1, (*input.shape[:-1], weight.shape[0]))


# -- operations ------------------------------------------------------------------------------------

BIAS, ONTO = extras("bias"), extras(beta=1.0)
SUM_LEFT, SUM_RIGHT = extras("bgrad left"), extras("bgrad right")


def matmul(cupy: Any, input: Any, other: Any) -> Any:
    """input @ other; None for vectors, and for what has no product on the GPU."""
    return product(cupy, _matmul, input, other)


def linear(cupy: Any, input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.mT + bias, rounded once; None for what is no such product."""
    if bias is None:
        return product(cupy, _linear, input, weight)
    out = product(cupy, _linear, input, weight, None, BIAS, bias)
    if out is not None or bias.dtype != input.dtype or weight.ndim != 2 or not input.ndim:
        return out
    if bias.shape not in (weight.shape[:1], ()):
        return None
    out = cupy.empty((*input.shape[:-1], weight.shape[0]), input.dtype)
    out[...] = bias
    return product(cupy, _linear, input, weight, None, ONTO, out, out)


def _input_gradient(cupy: Any, g: Any, other: Any, like: Shape) -> Any:
    return product(cupy, _by_input, g, other, like)


def _other_gradient(cupy: Any, g: Any, input: Any, like: Shape) -> Any:
    return product(cupy, _by_other, input, g, like)


def _weight_gradient(cupy: Any, g: Any, input: Any, like: Shape) -> Any:
    return product(cupy, _over_rows, g, input, like)


def _linear_gradients(cupy: Any, g: Any, input: Any, like: tuple[Shape, Shape]) -> Any:
    weight, bias = like
    if g.ndim == 1:  # one row, which is the sum
        found = product(cupy, _over_rows, g, input, weight)
        return None if found is None else (found, g.copy())
    if bias != weight[:1]:
        return None
    return _with_sums(cupy, g, input, weight, SUM_LEFT, bias)


def _with_sums(cupy: Any, x: Any, y: Any, like: Shape, how: Extras, length: Shape) -> Any:
    """The product over all rows, and the sums over them that `how` says."""
    sums = memory.current.empty(length, x.dtype, length[0] * x.itemsize)
    found = product(cupy, _over_rows, x, y, like, how, sums)
    return None if found is None else (found, sums)


def product_sum(
    cupy: Any, input: Any, left: Any, right: Any, beta: float = 1.0, alpha: float = 1.0
) -> Any:
    """beta * input + alpha * (left @ right), rounded once; None for what is no such product."""
    if beta == alpha == 1:
        out = product(cupy, _matmul, left, right, None, BIAS, input)
        if out is not None:
            return out
    if input.dtype != left.dtype:
        return None
    if beta == 0:
        return product(cupy, _matmul, left, right, None, extras(alpha=float(alpha)))
    how = extras(alpha=float(alpha), beta=float(beta))
    out = product(cupy, _matmul, left, right, None, how, input)
    if out is not None:
        return out
    out = cupy.empty((*left.shape[:-1], right.shape[-1]), left.dtype)
    out[...] = input
    return product(cupy, _matmul, left, right, None, how, out, out)


def _product_gradients(cupy: Any, g: Any, left: Any, like: tuple[Shape, Shape]) -> Any:
    right, added = like
    if added == g.shape:  # whose gradient is g, and must not be g's memory
        found = _other_gradient(cupy, g, left, right)
        return None if found is None else (found, g.copy())
    if len(right) != 2 or added != right[1:]:
        return None
    return _with_sums(cupy, left, g, right, SUM_RIGHT, added)


KERNELS: dict[str, Callable[..., Any]] = {
    "matmul": matmul,
    "linear": linear,
    "product_sum": product_sum,
    "scaled_product_sum": product_sum,
    "matmul_input_gradient": _input_gradient,
    "matmul_other_gradient": _other_gradient,
    "linear_weight_gradient": _weight_gradient,
}
"""What computes an operation on CuPy's arrays, or gives None."""
TOGETHER: dict[str, Callable[..., Any]] = {
    "linear_gradients": _linear_gradients,
    "product_gradients": _product_gradients,
}
"""The same of operations that are made of others elsewhere."""
