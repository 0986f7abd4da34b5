"""What the families share: broadcasting of parameters, probabilities and logits."""

from __future__ import annotations

import math
from functools import cached_property as lazy_property
from typing import Any

import numpy as np

from ..core.creation import from_numpy, scalar_tensor
from ..core.dtypes import get_default_dtype
from ..core.tensor import Size, Tensor
from ..ops.sampling import rand, randn

__all__ = [
    "broadcast_all", "clamp_probs", "euler_constant", "lazy_property", "logits_to_probs",
    "probs_to_logits", "tril_matrix_to_vec", "vec_to_tril_matrix",
]  # fmt: skip

euler_constant = 0.57721566490153286060  # Euler and Mascheroni's


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """`values`, tensors and numbers, as tensors of one shape.

    Numbers take the dtype and device of the first tensor, or the default ones.
    Raises: ValueError for anything else, or for shapes that do not broadcast.
    """
    like = next((v for v in values if isinstance(v, Tensor)), None)
    place: dict[str, Any] = {"dtype": get_default_dtype()}
    if like is not None:
        place = {"dtype": like.dtype, "device": like.device}
    tensors = []
    for value in values:
        if not isinstance(value, Tensor | int | float | np.number):
            raise ValueError(
                f"Expected tensors or numbers as parameters. Got {type(value).__name__}. Use "
                "torch.tensor(...)."
            )
        tensors.append(value if isinstance(value, Tensor) else scalar_tensor(value, **place))
    shape = common_shape(*(t.shape for t in tensors))
    return tuple(t if tuple(t.shape) == shape else t.expand(shape) for t in tensors)


def common_shape(*shapes: Any) -> tuple[int, ...]:
    """The shape that all broadcast to. Raises: ValueError if there is none."""
    try:
        return tuple(np.broadcast_shapes(*map(tuple, shapes)))
    except ValueError:
        listed = " and ".join(str(tuple(s)) for s in shapes)
        raise ValueError(f"Expected shapes that broadcast. Got {listed}.") from None


def floating(like: Tensor) -> dict[str, Any]:
    """dtype and device for samples of a distribution with the parameter `like`."""
    return {"dtype": like.dtype, "device": like.device}


def smallest(like: Tensor) -> float:
    """The smallest normal number of like's dtype."""
    return float(np.finfo(like.dtype.numpy).tiny)


def epsilon(like: Tensor) -> float:
    """The distance from 1 to the next number of like's dtype."""
    return float(np.finfo(like.dtype.numpy).eps)


def lowest(like: Tensor) -> float:
    """The most negative number of like's dtype."""
    return float(np.finfo(like.dtype.numpy).min)


def uniform(shape: Any, like: Tensor) -> Tensor:
    """Uniform numbers in [0, 1), in like's dtype."""
    return rand(tuple(shape), **floating(like))


def standard_normal(shape: Any, like: Tensor) -> Tensor:
    """Standard normal numbers, in like's dtype."""
    return randn(tuple(shape), **floating(like))


def _standard_normal(shape: Any, dtype: Any, device: Any) -> Tensor:
    """Standard normal numbers; by this name other libraries import it."""
    return randn(tuple(shape), dtype=dtype, device=device)


def constant(like: Tensor, value: float) -> Tensor:
    """`value` in the shape, dtype and device of `like`."""
    return like.new_full(tuple(like.shape), value)


def sum_rightmost(value: Tensor, count: int) -> Tensor:
    """`value` summed over its last `count` dimensions."""
    return value if count == 0 else value.sum(tuple(range(-count, 0)))


def clamp_probs(probs: Tensor) -> Tensor:
    """`probs` kept away from 0 and 1 by the dtype's epsilon, so that their logits are finite."""
    return probs.clamp(min=epsilon(probs), max=1 - epsilon(probs))


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Logarithms of `probs`, or for two outcomes the logarithms of their odds."""
    clamped = clamp_probs(probs)
    return clamped.log() - (-clamped).log1p() if is_binary else clamped.log()


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities of `logits`: by softmax over the last dimension, or by sigmoid."""
    return logits.sigmoid() if is_binary else logits.softmax(-1)


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), without overflow."""
    return x.clamp(min=0) + (-x.abs()).exp().log1p()


def log_factorial(x: Tensor) -> Tensor:
    """log x!"""
    return (x + 1).lgamma()


def one_of_two(name: str, probs: Any, logits: Any) -> None:
    """Raises: ValueError unless one of `probs` and `logits` is given."""
    if (probs is None) == (logits is None):
        found = "neither" if probs is None else "both"
        raise ValueError(f"{name}: expected either probs or logits. Got {found}.")


def _triangle(n: int, diag: int) -> tuple[Any, Any]:
    """Rows and columns of an n by n matrix's elements up to diagonal `diag`, row after row."""
    rows, columns = np.tril_indices(n, diag)
    return from_numpy(rows), from_numpy(columns)


def _triangle_size(n: int, diag: int) -> int:
    """How many elements an n by n matrix has up to diagonal `diag`."""
    return sum(min(max(k + diag + 1, 0), n) for k in range(n))


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """(..., k) numbers as the lower triangles, up to diagonal `diag`, of (..., n, n) matrices.

    Raises: ValueError if no n has triangles of k elements.
    """
    count = vec.shape[-1]
    n = next((n for n in range(count + abs(diag) + 2) if _triangle_size(n, diag) == count), None)
    if n is None:
        raise ValueError(
            f"vec_to_tril_matrix: expected as many numbers as a triangle has elements. Got {count}."
        )
    rows, columns = _triangle(n, diag)
    empty = vec.new_zeros((*vec.shape[:-1], n * n))
    places = (rows * n + columns).to(vec.device).expand(tuple(vec.shape))
    return empty.scatter(-1, places, vec).reshape((*vec.shape[:-1], n, n))


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The lower triangles, up to diagonal `diag`, of (..., n, n) matrices, as (..., k) numbers.

    Raises: ValueError for a diagonal outside the matrices.
    """
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"tril_matrix_to_vec: expected a diag from {-n} to {n - 1}. Got {diag}.")
    rows, columns = _triangle(n, diag)
    return mat[..., rows, columns]


def shape_of(size: Any) -> Size:
    """`size` as a Size."""
    return size if isinstance(size, Size) else Size(size)


SQRT_2 = math.sqrt(2)
LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
