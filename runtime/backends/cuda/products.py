"""Matrix products by NVIDIA's libraries, for each type on the units that are made for it.

Half types are multiplied on tensor cores and added up in float32; float32 too, if rounding to TF32
is allowed (`torch.set_float32_matmul_precision("high")` or
`torch.backends.cuda.matmul.allow_tf32`). Operands may lie transposed, or with gaps between their
rows. A bias is added in the launch of the product where cuBLASLt has an algorithm for it, and its
gradient summed in one where that takes less time than apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import cublas, cublaslt, memory, ways
from .matrices import Shape
from .ways import HALF, extras, product


def is_available(cupy: Any) -> bool:
    """Whether there is a library."""
    return cublas.library(cupy.cuda) is not None or cublaslt.is_available()


BIAS, ONTO = extras("bias"), extras(beta=1.0)
SUM_LEFT, SUM_RIGHT = extras("sums left"), extras("sums right")


def matmul(cupy: Any, input: Any, other: Any) -> Any:
    """input @ other; None for two vectors, and for what has no product on the GPU."""
    return product(cupy, ways.matmul, input, other)


def linear(cupy: Any, input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.mT + bias, rounded once; None for what is no such product."""
    if bias is None:
        return product(cupy, ways.linear, input, weight)
    out = product(cupy, ways.linear, input, weight, None, BIAS, bias)
    if out is not None or bias.dtype != input.dtype or weight.ndim != 2 or not input.ndim:
        return out
    if bias.shape not in (weight.shape[:1], ()):
        return None
    out = cupy.empty((*input.shape[:-1], weight.shape[0]), input.dtype)
    out[...] = bias
    return product(cupy, ways.linear, input, weight, None, ONTO, out, out)


def _input_gradient(cupy: Any, g: Any, other: Any, like: Shape) -> Any:
    return product(cupy, ways.by_input, g, other, like)


def _other_gradient(cupy: Any, g: Any, input: Any, like: Shape) -> Any:
    return product(cupy, ways.by_other, input, g, like)


def _weight_gradient(cupy: Any, g: Any, input: Any, like: Shape) -> Any:
    return product(cupy, ways.over_rows, g, input, like)


def _linear_gradients(
    cupy: Any, key: Any, g: Any, input: Any, like: tuple[Shape, Shape]
) -> tuple[Any, Any]:
    weight, bias = like
    found = None
    if g.ndim > 1 and bias == weight[:1]:
        found = _with_sums(cupy, g, input, weight, SUM_LEFT, bias)
    if found is not None:
        return found
    by_bias = g.copy() if g.shape == bias else key.sum_to(g, like=bias)  # not the memory of g
    return key.linear_weight_gradient(g, input, like=weight), by_bias


def _with_sums(
    cupy: Any, x: Any, y: Any, like: Shape, how: ways.Extras, length: Shape
) -> tuple[Any, Any] | None:
    """The product over all rows, and the sums over them that `how` says."""
    if x.itemsize != HALF:  # for others there is no such algorithm
        return None
    sums = memory.current.empty(length, x.dtype, length[0] * HALF)
    found = product(cupy, ways.over_rows, x, y, like, how, sums)
    return None if found is None else (found, sums)


def product_sum(
    cupy: Any, input: Any, left: Any, right: Any, beta: float = 1.0, alpha: float = 1.0
) -> Any:
    """beta * input + alpha * (left @ right), rounded once; None for what is no such product."""
    if beta == alpha == 1 and input.ndim == 1:
        out = product(cupy, ways.matmul, left, right, None, BIAS, input)
        if out is not None:
            return out
    if input.dtype != left.dtype or alpha == 0:  # which must drop NaN: nobody says that it does
        return None
    if beta == 0:
        return product(cupy, ways.matmul, left, right, None, extras(alpha=float(alpha)))
    how = extras(alpha=float(alpha), beta=float(beta))
    out = product(cupy, ways.matmul, left, right, None, how, input)
    if out is not None:
        return out
    out = cupy.empty((*left.shape[:-1], right.shape[-1]), left.dtype)
    out[...] = input
    return product(cupy, ways.matmul, left, right, None, how, out, out)


def _product_gradients(
    cupy: Any, key: Any, g: Any, left: Any, like: tuple[Shape, Shape]
) -> tuple[Any, Any]:
    right, added = like
    found = None
    if len(right) == 2 and added == right[1:]:
        found = _with_sums(cupy, left, g, right, SUM_RIGHT, added)
    if found is not None:
        return found
    by_input = g.copy() if g.shape == added else key.sum_to(g, like=added)  # not the memory of g
    return key.matmul_other_gradient(g, left, like=right), by_input


def int_matmul(cupy: Any, self: Any, mat2: Any) -> Any:
    """The product of matrices of int8 in int32; None for what tensor cores do not take."""
    if mat2.dtype.name != "int8" or mat2.ndim != 2 or self.ndim != 2:
        return None
    if mat2.strides[0] != 1:
        mat2 = cupy.ascontiguousarray(mat2.T).T
    return product(cupy, ways.int_matmul, self, mat2)


class CuPyWithProducts:
    """The module cupy with these products for its own, for array kernels that are made of them."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.cupy, name)
        setattr(self, name, found)  # which is found at once from now on
        return found

    def matmul(self, x: Any, y: Any) -> Any:
        """x @ y as `cupy.matmul` defines it."""
        out = matmul(self.cupy, x, y)
        return self.cupy.matmul(x, y) if out is None else out


KERNELS: dict[str, Callable[..., Any]] = {
    "matmul": matmul,
    "linear": linear,
    "_int_mm": int_matmul,
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
"""The same of operations that are made of others elsewhere; these take the dispatch key too."""
