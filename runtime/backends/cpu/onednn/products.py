"""Matrix products of float32 by oneDNN, and of everything else by NumPy.

oneDNN's product runs at the rate of the widest vector units where NumPy's and PyTorch's libraries
do not on every processor (2 Zen 5 cores: 435 to 495 GFLOP/s against 230 and 205). Operands may lie
transposed in memory, or with gaps between their rows.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np

from .. import loops
from .layouts import FLOAT32, steps
from .library import Library, library
from .primitives import (
    BIAS,
    DST,
    SRC,
    WEIGHTS,
    Description,
    Descriptor,
    Primitive,
    address,
    kept_if_repeated,
)

LEAST = 1 << 19
"""Multiplications from which on oneDNN is called. Its call and the preparation cost as much as
NumPy's product saves up to about twice as many; but from here on (measured with OpenBLAS 0.3)
NumPy's library takes threads of its own, which spin for a while afterwards and hold up oneDNN's:
with two busy cores a training step of an MLP 784-512-512-10 took 20 ms of processor time, without
them 7."""

FEW = 256
"""Elements of the left matrix up to which NumPy's product is taken without a further look."""

FEW_ROWS = 4
"""Below, a product is as good as one of a matrix and a vector, which only reads the matrix;
oneDNN and NumPy's library rearrange it first (3 x 576 x 49,152: 25 ms, with loops of ours 5.4)."""

LEAST_WEIGHTS = 1 << 16
"""Elements of a matrix from which on its product with a few rows is worth a loop, whose call takes
6 us, and NumPy's library would take threads."""

LEAST_ROWS = 64
"""Rows of a matrix from which on products one by one are as fast as one of all after a copy (128 x
8 x 256 with its dimensions exchanged: 7.9 ms one by one, 1.3 as one; 8 x 128 x 256: the same)."""

N, T = ctypes.c_char(b"N"), ctypes.c_char(b"T")
ONE, ZERO = ctypes.c_float(1.0), ctypes.c_float(0.0)
Dimension = ctypes.c_int64


def matmul(x: Any, y: Any) -> Any:
    """x @ y as `numpy.matmul` defines it, for arrays of at least one dimension."""
    if x.ndim == 2 and y.ndim == 2:
        if x.size > FEW and x.size * y.shape[1] >= LEAST and x.dtype == FLOAT32 == y.dtype:
            return product(x, y)
        return x.dot(y)  # the same product, with less to find out first
    if x.ndim >= 2 and y.ndim >= 2 and x.dtype == FLOAT32 == y.dtype:
        multiplications = max(x.size * y.shape[-1], y.size * x.shape[-2])
        if multiplications >= LEAST:
            return _batched(x, y)
    return np.matmul(x, y)


def product(x: Any, y: Any, bias: Any = None) -> Any:
    """x @ y + bias for float32 matrices (n, k), (k, m) and a vector (m,)."""
    found = library()
    fits = x.shape[1] == y.shape[0]
    if fits and len(x) < FEW_ROWS and y.flags.forc and loops.is_available():
        return of_few_rows(x, y.T, bias)
    if found is None or not fits or min(len(x), y.shape[1]) < FEW_ROWS:
        out = x.dot(y)
        if bias is not None:
            out += bias
        return out
    x, y = dense_rows(x), dense_rows(y)
    out = np.empty((x.shape[0], y.shape[1]), FLOAT32)
    rows = () if bias is None else (np.ascontiguousarray(np.broadcast_to(bias, out.shape[1:])),)
    identity = ("product", x.shape, x.strides, y.shape, y.strides, len(rows))
    multiply = kept_if_repeated(identity, lambda: compiled(found, x, y, out, len(rows) > 0))
    if multiply is not None:
        multiply.run(x, y, *rows, out)
        return out
    if bias is not None:
        out[...] = bias
    _sgemm(found, x, y, out, ZERO if bias is None else ONE)
    return out


def is_large_for_few(rows: Any, weight: Any) -> bool:
    """Whether `rows` (n, k) are so few and `weight` (m, k) is so large that reading it from memory
    sets the time of their product."""
    return (
        weight.size >= LEAST_WEIGHTS
        and rows.ndim == 2
        and len(rows) < FEW_ROWS
        and rows.shape[1] == weight.shape[1]
        and weight.flags.forc
        and loops.is_available()
    )


def of_few_rows(rows: Any, weight: Any, bias: Any) -> Any:
    """rows @ weight.T + bias in float32 for `rows` of it; weight may be bfloat16, and lie row by
    row or column by column."""
    from ..loops import few_rows

    if bias is not None:
        bias = np.ascontiguousarray(np.broadcast_to(bias, len(weight)))
    return few_rows.product(np.ascontiguousarray(rows), weight, bias)


def _sgemm(found: Library, x: Any, y: Any, out: Any, beta: Any) -> None:
    """out = x @ y + beta * out, row-major `out`."""
    x, x_mode, x_step = _laid_out(x)
    y, y_mode, y_step = _laid_out(y)
    (n, k), m = x.shape, y.shape[1]
    found.call(
        "sgemm",
        x_mode,
        y_mode,
        Dimension(n),
        Dimension(m),
        Dimension(k),
        ONE,
        address(x),
        Dimension(x_step),
        address(y),
        Dimension(y_step),
        beta,
        address(out),
        Dimension(m),
    )


def _laid_out(x: Any) -> tuple[Any, Any, int]:
    """The matrix x (copied if its elements lie apart in both dimensions), whether it lies
    transposed, and the elements between its rows (or columns)."""
    (rows, columns), (down, right) = x.shape, x.strides
    if right == 4 and down >= 4 * columns and not down % 4:
        return x, N, down // 4
    if down == 4 and right >= 4 * rows and not right % 4:
        return x, T, right // 4
    return np.ascontiguousarray(x), N, max(columns, 1)


def _batched(x: Any, y: Any) -> Any:
    """x @ y for operands of which one at least has more than two dimensions."""
    if y.ndim == 2 and (x.flags.c_contiguous or x.shape[-2] < LEAST_ROWS):
        # One product over all leading dimensions, of a copy if need be.
        return matmul(x.reshape(-1, x.shape[-1]), y).reshape(*x.shape[:-1], y.shape[1])
    found = library()
    if found is None or x.shape[-1] != y.shape[-2] or 0 in x.shape or 0 in y.shape:
        return np.matmul(x, y)
    if x.shape[:-2] != y.shape[:-2]:
        batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        x = np.broadcast_to(x, (*batch, *x.shape[-2:]))
        y = np.broadcast_to(y, (*batch, *y.shape[-2:]))
    batch = x.shape[:-2]
    count = math.prod(batch)
    out = np.empty((count, x.shape[-2], y.shape[-1]), FLOAT32)
    left, right = (a.reshape(count, *a.shape[-2:]) for a in (x, y))
    left, right = (dense_rows(a) for a in (left, right))
    identity = ("matmul", left.shape, left.strides, right.shape, right.strides)
    multiply = kept_if_repeated(identity, lambda: compiled(found, left, right, out))
    if multiply is None:
        return np.matmul(x, y)
    multiply.run(left, right, out)
    return out.reshape(*batch, *out.shape[1:])


def dense_rows(x: Any) -> Any:
    """x (..., n, k), copied unless rows or columns lie without gaps between elements."""
    size = x.itemsize
    is_strided = min(x.strides) > 0 and not any(s % size for s in x.strides)
    return x if is_strided and size in x.strides[-2:] else np.ascontiguousarray(x)


def compiled(found: Library, x: Any, y: Any, out: Any, has_bias: bool = False) -> Primitive:
    """The product of arrays that lie as these do; of matrices or batches of them."""
    kind = x.dtype.name
    layouts = [Descriptor(found, a.shape, steps(a), kind) for a in (x, y, out)]
    bias = Descriptor(found, (1, out.shape[1]), (out.shape[1], 1), kind) if has_bias else None
    description = Description(found, "matmul", *layouts[:2], bias, layouts[2])
    return Primitive(description, (SRC, WEIGHTS, *([BIAS] if has_bias else []), DST))


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.T + bias: (..., in), (out, in), (out,) -> (..., out)."""
    if weight.ndim != 2 or not input.ndim:
        raise ValueError("no matrix product")
    rows = input
    if input.ndim > 2:
        rows = input.reshape(math.prod(input.shape[:-1]), input.shape[-1])
    is_large = rows.size > FEW and rows.size * len(weight) >= LEAST
    if is_large_for_few(rows, weight) and rows.dtype == FLOAT32 == weight.dtype:
        out = of_few_rows(rows, weight, bias)
    elif is_large and rows.ndim == 2 and rows.dtype == FLOAT32 == weight.dtype:
        out = product(rows, weight.T, bias)
    else:
        out = rows.dot(weight.T)
        if bias is not None:
            out += bias
    return out if input.ndim <= 2 else out.reshape(*input.shape[:-1], weight.shape[0])


def product_sum(input: Any, left: Any, right: Any) -> Any:
    """input + left @ right."""
    is_large = left.ndim == 2 and left.size * right.shape[-1] >= LEAST
    is_bias = input.shape == right.shape[-1:] and left.dtype == FLOAT32 == input.dtype
    if is_large and is_bias and right.ndim == 2:
        return product(left, right, input)
    return with_term(matmul(left, right), input)


def scaled_product_sum(input: Any, left: Any, right: Any, beta: float = 1, alpha: float = 1) -> Any:
    """beta * input + alpha * (left @ right)."""
    return with_term(matmul(left, right), input, beta, alpha)


def with_term(out: Any, input: Any, beta: float = 1, alpha: float = 1) -> Any:
    """beta * input + alpha * out, in the memory of `out`; a factor of 0 drops NaN and all."""
    if np.broadcast_shapes(input.shape, out.shape) != out.shape:
        raise ValueError("no sum of the product's shape")
    if alpha == 0:
        out[...] = 0
    elif alpha != 1:
        out *= np.array(alpha).astype(out.dtype)  # -1 of unsigned numbers wraps
    if beta != 0:
        out += input if beta == 1 else input * np.array(beta).astype(input.dtype)
    return out


class _NumPyWithProducts:
    """The module numpy with this module's product for its own, for array kernels made of them."""

    matmul = staticmethod(matmul)

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        setattr(self, name, found)  # which is found at once from now on
        return found


numpy_with_products = _NumPyWithProducts()
