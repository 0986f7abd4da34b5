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
from typing import Any, NamedTuple

from . import cublas, cublaslt
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


class Extras(NamedTuple):
    """What goes beyond a product."""

    epilogue: str = ""
    alpha: float = 1.0
    beta: float = 0.0


class _Way:
    """How one product is computed: by `plan`, into an array of `shape`; or, if one of the operands
    is `copied` first, with leading dimensions `shape`, as the product of those."""

    __slots__ = ("copied", "plan", "shape")

    def __init__(self, plan: Any, shape: Shape, copied: tuple[bool, bool] | None = None) -> None:
        self.plan, self.shape, self.copied = plan, shape, copied


class _Ways(threading.local):
    """What a thread knows; plans are changed by each run."""

    def __init__(self) -> None:
        self.known: dict[Any, _Way] = {}


_ways = _Ways()
PLAIN = Extras()


def forget() -> None:
    """Drop what is known, with the libraries."""
    global _ways
    _ways = _Ways()
    cublaslt.forget()


def product(
    cupy: Any, kind: Callable[..., Any], x: Any, y: Any, like: Any = None, extras: Extras = PLAIN,
    vector: Any = None, addend: Any = None, out: Any = None,
) -> Any:  # fmt: skip
    """The product that `kind` makes of x and y; None for what no library computes.

    `vector` is the bias or becomes its gradient, as `extras` say; `addend`, of the product's shape,
    is added, times beta; `out` is written, if given.
    """
    left, right = x.data, y.data
    at, beside = left.ptr, right.ptr
    bits = at | beside
    if vector is not None:
        bits |= vector.data.ptr
    lies = None
    if addend is not None and addend is not out:
        bits |= addend.data.ptr
        lies = addend.shape, addend.strides
    key = (
        kind, x.shape, x.strides, y.shape, y.strides, x.dtype, y.dtype, like, extras, lies,
        bits & (ALIGNED - 1), left.device_id, rounding.code,
    )  # fmt: skip
    known = _ways.known
    way = known.get(key)
    if way is None:
        if len(known) >= MOST_PLANS:
            known.clear()
        way = known[key] = _found_way(cupy, *key)
    if way.plan is None:
        if way.copied is None:
            return None
        x, y = (
            _copy(cupy, a, way.shape) if is_copied else a
            for a, is_copied in zip((x, y), way.copied, strict=True)
        )
        return product(cupy, kind, x, y, like, extras, vector, addend, out)
    if out is None:
        out = cupy.empty(way.shape, x.dtype)
    place = added = out.data.ptr
    if addend is not None and addend is not out:
        if way.plan.works_in_place:
            out[...] = addend
        else:
            added = addend.data.ptr
    if vector is None:
        way.plan(at, beside, added, place)
    else:
        way.plan(at, beside, added, place, vector.data.ptr)
    return out


def _copy(cupy: Any, x: Any, batch: Shape) -> Any:
    shape = (*batch, *x.shape[-2:]) if batch else x.shape
    return cupy.ascontiguousarray(cupy.broadcast_to(x, shape))


def _found_way(
    cupy: Any, kind: Callable[..., Any], x_shape: Shape, x_strides: Shape,
    y_shape: Shape, y_strides: Shape, dtype: Any, other: Any, like: Any, extras: Extras,
    lies: tuple[Shape, Shape] | None, bits: int, device: int, code: int,
) -> _Way:  # fmt: skip
    impossible = _Way(None, ())
    if dtype != other or dtype.name not in REAL or is_empty(x_shape, y_shape):
        return impossible
    size = dtype.itemsize
    sides = kind(Lying(x_shape, x_strides, size), Lying(y_shape, y_strides, size), like)
    if sides is None:
        return impossible
    left, right, count, shape = sides
    if left is None or right is None:
        return _Way(None, shape, (left is None, right is None))
    if left.columns != right.rows:
        return impossible
    alignment = bits & -bits if bits else ALIGNED
    name = dtype.name
    addend = None if lies is None else operand(*lies, size, sides.shape[:-2])
    if lies is not None and (addend is None or addend.is_transposed):
        return impossible
    problem = Problem(
        name, left, right, rounding.sums(name), alignment, count, extras.alpha, extras.beta,
        extras.epilogue, rounding.rounds_sums(name), addend,
    )  # fmt: skip
    plan: Any = None
    if rounding.library != "cublas" and cublaslt.is_available():
        plan = cublaslt.plan(cupy.cuda, device, problem)
    return _Way(plan or cublas.plan(cupy.cuda, problem), shape)


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

BIAS, ONTO = Extras("bias"), Extras(beta=1.0)
SUM_LEFT, SUM_RIGHT = Extras("bgrad left"), Extras("bgrad right")


def matmul(cupy: Any, input: Any, other: Any) -> Any:
    """input @ other; None for vectors, and for what has no product on the GPU."""
    return product(cupy, _matmul, input, other)


def linear(cupy: Any, input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.mT + bias, rounded once; None for what is no such product."""
    if bias is None:
        return product(cupy, _linear, input, weight)
    if bias.dtype != input.dtype or weight.ndim != 2 or not input.ndim:
        return None
    if bias.shape not in (weight.shape[:1], ()):
        return None
    if bias.ndim and _is_packed(bias):
        out = product(cupy, _linear, input, weight, None, BIAS, bias)
        if out is not None:
            return out
    out = cupy.empty((*input.shape[:-1], weight.shape[0]), input.dtype)
    out[...] = bias
    return product(cupy, _linear, input, weight, None, ONTO, None, out, out)


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
    sums = cupy.empty(bias, g.dtype)
    found = product(cupy, _over_rows, g, input, weight, SUM_LEFT, sums)
    return None if found is None else (found, sums)


def product_sum(
    cupy: Any, input: Any, left: Any, right: Any, beta: float = 1.0, alpha: float = 1.0
) -> Any:
    """beta * input + alpha * (left @ right), rounded once; None for what is no such product."""
    if input.dtype != left.dtype:
        return None
    if input.shape == right.shape[-1:] and beta == alpha == 1 and _is_packed(input):
        out = product(cupy, _matmul, left, right, None, BIAS, input)
        if out is not None:
            return out
    extras = Extras("", float(alpha), float(beta))
    if beta == 0:
        return product(cupy, _matmul, left, right, None, extras)
    shape = (*left.shape[:-1], right.shape[-1])
    if input.shape == shape:
        out = product(cupy, _matmul, left, right, None, extras, None, input)
        if out is not None:
            return out
    out = cupy.empty(shape, left.dtype)
    out[...] = input
    return product(cupy, _matmul, left, right, None, extras, None, out, out)


def _is_packed(vector: Any) -> bool:
    return bool(vector.strides[0] == vector.itemsize or len(vector) == 1)


def _product_gradients(cupy: Any, g: Any, left: Any, like: tuple[Shape, Shape]) -> Any:
    right, added = like
    if added == g.shape:  # whose gradient is g, and must not be g's memory
        found = _other_gradient(cupy, g, left, right)
        return None if found is None else (found, g.copy())
    if len(right) != 2 or added != right[1:]:
        return None
    sums = cupy.empty(added, g.dtype)
    found = product(cupy, _over_rows, left, g, right, SUM_RIGHT, sums)
    return None if found is None else (found, sums)


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
