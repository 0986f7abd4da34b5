"""Matrix products by cuBLAS, for each type on the units that are made for it.

Half types are multiplied on tensor cores and added up in float32; float32 too, if rounding to TF32
is allowed (`torch.set_float32_matmul_precision("high")` or
`torch.backends.cuda.matmul.allow_tf32`). CuPy's own product knows neither. Operands may lie
transposed, or with gaps between their rows, in memory.

cuBLAS counts by columns: of row-major arrays it computes y.T @ x.T, which is (x @ y).T.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

REAL = {"float16": 2, "bfloat16": 14, "float32": 0, "float64": 1}
"""CUDA_R_16F, CUDA_R_16BF, CUDA_R_32F and CUDA_R_64F of library_types.h."""
COMPUTE_32F, COMPUTE_32F_FAST_TF32, COMPUTE_64F = 68, 77, 70
"""Of cublasComputeType_t."""
PLAIN, TRANSPOSED = 0, 1
"""Of cublasOperation_t."""
DEFAULT_ALGORITHM = -1
"""Of cublasGemmAlgo_t."""

precision = "highest"
"""How exactly float32 is multiplied, as `torch.set_float32_matmul_precision` was told."""


class Matrix(NamedTuple):
    """How cuBLAS finds a matrix: where, whether transposed, and the elements from row to row."""

    array: Any
    operation: int
    step: int


@cache
def _factor(value: float, dtype: str) -> Any:
    """A number in the memory of the CPU, in the type that products are added up in."""
    return np.array(value, np.float64 if dtype == "float64" else np.float32)


def _library(cupy: Any) -> Any:
    return getattr(cupy.cuda, "cublas", None)


def is_available(cupy: Any) -> bool:
    """Whether CuPy finds cuBLAS."""
    try:
        return _library(cupy) is not None
    except ImportError:
        return False


def product(cupy: Any, x: Any, y: Any, onto: Any = None) -> Any:
    """x @ y of two arrays (n, k) and (k, m), or of stacks (b, n, k) and (b, k, m) of which either
    may be one matrix; added to the array `onto`, which is then written, if given."""
    dtype = x.dtype
    shape = (*(x if x.ndim == 3 else y).shape[:-2], x.shape[-2], y.shape[-1])
    if x.ndim == y.ndim == 3 and x.shape[0] != y.shape[0]:
        shape = (max(x.shape[0], y.shape[0]), *shape[1:])
    out = cupy.empty(shape, dtype) if onto is None else onto
    if not out.size:
        return out
    if not x.shape[-1]:
        if onto is None:
            out.fill(0)
        return out
    left, right = _found(cupy, x), _found(cupy, y)
    n, m, k = x.shape[-2], y.shape[-1], x.shape[-1]
    kind, how = REAL[dtype.name], _compute(dtype.name)
    factors = _factor(1.0, dtype.name).ctypes.data, _factor(float(onto is not None), dtype.name)
    handle, library = cupy.cuda.device.get_cublas_handle(), _library(cupy)
    common = (handle, right.operation, left.operation, m, n, k, factors[0])
    beta = factors[1].ctypes.data
    if out.ndim == 2:
        library.gemmEx(
            *common, right.array.data.ptr, kind, right.step, left.array.data.ptr, kind, left.step,
            beta, out.data.ptr, kind, m, how, DEFAULT_ALGORITHM,
        )  # fmt: skip
        return out
    library.gemmStridedBatchedEx(
        *common, right.array.data.ptr, kind, right.step, _apart(right.array),
        left.array.data.ptr, kind, left.step, _apart(left.array),
        beta, out.data.ptr, kind, m, n * m, out.shape[0], how, DEFAULT_ALGORITHM,
    )  # fmt: skip
    return out


def _compute(dtype: str) -> int:
    if dtype == "float64":
        return COMPUTE_64F
    is_rounded = dtype == "float32" and precision != "highest"
    return COMPUTE_32F_FAST_TF32 if is_rounded else COMPUTE_32F


def _found(cupy: Any, x: Any) -> Matrix:
    """x as cuBLAS finds it; a copy if neither its rows nor its columns lie in one piece."""
    rows, columns = x.shape[-2:]
    size = x.itemsize
    down, right = x.strides[-2:]
    step = down // size if rows > 1 else columns
    if (right == size or columns == 1) and step >= columns and (down % size == 0 or rows == 1):
        return Matrix(x, PLAIN, max(step, 1))
    step = right // size if columns > 1 else rows
    if (down == size or rows == 1) and step >= rows and (right % size == 0 or columns == 1):
        return Matrix(x, TRANSPOSED, max(step, 1))
    return Matrix(cupy.ascontiguousarray(x), PLAIN, max(columns, 1))


def _apart(x: Any) -> int:
    """Elements from one matrix of a stack to the next; 0 where there is one."""
    return x.strides[0] // x.itemsize if x.ndim == 3 and x.shape[0] > 1 else 0


def _stacked(x: Any, batch: tuple[int, ...]) -> Any:
    """x (..., n, k) as a stack of as many matrices as `batch` has, one matrix if it is shared."""
    if all(n == 1 for n in x.shape[:-2]):
        return x.reshape(x.shape[-2:])
    if x.shape[:-2] != batch:
        import cupy

        x = cupy.broadcast_to(x, (*batch, *x.shape[-2:]))
    return x.reshape(math.prod(batch), *x.shape[-2:])


def matmul(cupy: Any, input: Any, other: Any) -> Any:
    """input @ other; None for vectors, and for what has no product on the GPU."""
    if input.ndim < 2 or other.ndim < 2 or input.dtype != other.dtype:
        return None
    if input.dtype.name not in REAL:
        return None
    if input.ndim == other.ndim == 2:
        return product(cupy, input, other)
    batch = np.broadcast_shapes(input.shape[:-2], other.shape[:-2])
    shape = (*batch, input.shape[-2], other.shape[-1])
    y = _stacked(other, batch)
    if y.ndim == 2 and input.flags.c_contiguous:  # one product of all rows
        rows = math.prod(input.shape[:-1])
        return product(cupy, input.reshape(rows, input.shape[-1]), y).reshape(shape)
    return product(cupy, _stacked(input, batch), y).reshape(shape)


def linear(cupy: Any, input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.mT + bias, rounded once; None for what is no such product."""
    fits = input.ndim and weight.ndim == 2 and input.dtype == weight.dtype
    if not fits or input.dtype.name not in REAL:
        return None
    if bias is not None and bias.dtype != input.dtype:
        return None
    rows = input.reshape(math.prod(input.shape[:-1]), input.shape[-1])
    onto = None
    if bias is not None:
        onto = cupy.empty((len(rows), len(weight)), input.dtype)
        onto[...] = bias
    return product(cupy, rows, weight.T, onto).reshape(*input.shape[:-1], len(weight))


def _input_gradient(cupy: Any, g: Any, other: Any, like: Any) -> Any:
    batch = np.broadcast_shapes(g.shape[:-2], other.shape[:-2])
    if len(like) < 2 or g.ndim < 2 or other.ndim < 2 or batch != like[:-2]:
        return None
    return matmul(cupy, g, other.swapaxes(-1, -2))


def _other_gradient(cupy: Any, g: Any, input: Any, like: Any) -> Any:
    if len(like) < 2 or g.ndim < 2 or input.ndim < 2:
        return None
    if len(like) == 2:  # one product over all batches instead of one each and their sum
        rows = math.prod(input.shape[:-1])
        input, g = input.reshape(rows, input.shape[-1]), g.reshape(rows, like[1])
    elif np.broadcast_shapes(g.shape[:-2], input.shape[:-2]) != like[:-2]:
        return None
    return matmul(cupy, input.swapaxes(-1, -2), g)


def _weight_gradient(cupy: Any, g: Any, input: Any, like: Any) -> Any:
    rows = math.prod(g.shape[:-1])
    return matmul(cupy, g.reshape(rows, like[0]).T, input.reshape(rows, like[1]))


KERNELS: dict[str, Callable[..., Any]] = {
    "matmul": matmul,
    "linear": linear,
    "matmul_input_gradient": _input_gradient,
    "matmul_other_gradient": _other_gradient,
    "linear_weight_gradient": _weight_gradient,
}
"""What computes an operation on CuPy's arrays, or gives None."""
