"""Matrix products of bfloat16 on processors that multiply it: summed in float32, rounded once.

That is what widening to float32 first gives too, in twice the time and with copies of all operands.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from ...halves import converted
from .library import library
from .primitives import kept
from .products import LEAST, compiled, dense_rows, is_large_for_few, of_few_rows, with_term

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
NATIVE = 0x80
"""The bit of dnnl_cpu_isa_t that tells processors with instructions for bfloat16."""


def _multiply(x: Any, y: Any, bias: Any = None) -> Any:
    """x @ y + bias for matrices (n, k), (k, m) and a vector (m,)."""
    found = library()
    assert found is not None
    x, y = dense_rows(x), dense_rows(y)
    out = np.empty((x.shape[0], y.shape[1]), BFLOAT16)
    rows = () if bias is None else (np.ascontiguousarray(np.broadcast_to(bias, out.shape[1:])),)
    identity = ("bfloat16 product", x.shape, x.strides, y.shape, y.strides, len(rows))
    primitive = kept(identity, lambda: compiled(found, x, y, out, len(rows) > 0))
    assert primitive is not None
    primitive.run(x, y, *rows, out)
    return out


def _serves(multiplications: int, *arrays: Any) -> bool:
    if multiplications < LEAST or any(a.dtype != BFLOAT16 for a in arrays):
        return False
    found = library()
    return found is not None and bool(found.instructions & NATIVE)


def _rows(x: Any) -> Any:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def serves_matmul(x: Any, y: Any) -> bool:
    """Whether `matmul` can compute this."""
    fits = x.ndim >= 2 and y.ndim == 2 and x.shape[-1] == y.shape[0]
    return fits and _serves(x.size * y.shape[1], x, y)


def matmul(x: Any, y: Any) -> Any:
    """x @ y: (..., n, k) @ (k, m)."""
    return _multiply(_rows(x), y).reshape(*x.shape[:-1], y.shape[1])


def serves_linear(input: Any, weight: Any, bias: Any = None) -> bool:
    """Whether `linear` can compute this."""
    fits = weight.ndim == 2 and input.ndim >= 2 and input.shape[-1] == weight.shape[1]
    biases = () if bias is None else (bias,)
    if fits and input.dtype == weight.dtype == BFLOAT16 and is_large_for_few(_rows(input), weight):
        return True
    return fits and _serves(input.size * weight.shape[0], input, weight, *biases)


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.T + bias."""
    rows = _rows(input)
    if is_large_for_few(rows, weight):
        wide = None if bias is None else converted(bias, np.float32)
        out = converted(of_few_rows(converted(rows, np.float32), weight, wide), BFLOAT16)
    else:
        out = _multiply(rows, weight.T, bias)
    return out.reshape(*input.shape[:-1], weight.shape[0])


def serves_product_sum(input: Any, left: Any, right: Any, **factors: Any) -> bool:
    """Whether `product_sum` can compute this."""
    return left.ndim == 2 and input.dtype == BFLOAT16 and serves_matmul(left, right)


def product_sum(input: Any, left: Any, right: Any) -> Any:
    """input + left @ right."""
    if input.shape == right.shape[1:]:
        return _multiply(left, right, input)
    return scaled_product_sum(input, left, right)


def scaled_product_sum(input: Any, left: Any, right: Any, beta: float = 1, alpha: float = 1) -> Any:
    """beta * input + alpha * (left @ right)."""
    out = converted(_multiply(left, right), np.float32)
    return converted(with_term(out, converted(input, np.float32), beta, alpha), BFLOAT16)


def serves_weight_gradient(g: Any, input: Any, *, like: Any) -> bool:
    """Whether `linear_weight_gradient` can compute this."""
    return input.ndim >= 2 and _serves(g.size * like[1], g, input)


def linear_weight_gradient(g: Any, input: Any, *, like: Any) -> Any:
    """g.T @ input over all leading dimensions."""
    return _multiply(_rows(g).T, _rows(input))


def serves_input_gradient(g: Any, other: Any, *, like: Any) -> bool:
    """Whether `matmul_input_gradient` can compute this."""
    return g.ndim == other.ndim == len(like) == 2 and _serves(g.size * other.shape[0], g, other)


def matmul_input_gradient(g: Any, other: Any, *, like: Any) -> Any:
    """g @ other.T."""
    return _multiply(g, other.T)


def serves_other_gradient(g: Any, input: Any, *, like: Any) -> bool:
    """Whether `matmul_other_gradient` can compute this."""
    return len(like) == 2 and input.ndim >= 2 and _serves(g.size * like[0], g, input)


def matmul_other_gradient(g: Any, input: Any, *, like: Any) -> Any:
    """input.T @ g over all leading dimensions."""
    return _multiply(_rows(input).T, _rows(g))
