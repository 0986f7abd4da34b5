"""What the families share: broadcasting of parameters, probabilities and logits."""

from __future__ import annotations

import math
from functools import cached_property as lazy_property
from typing import Any

import numpy as np

from ..core.creation import scalar_tensor
from ..core.dtypes import get_default_dtype
from ..core.tensor import Size, Tensor
from ..ops.sampling import rand, randn

__all__ = [
    "broadcast_all", "clamp_probs", "euler_constant", "lazy_property", "logits_to_probs",
    "probs_to_logits",
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


def shape_of(size: Any) -> Size:
    """`size` as a Size."""
    return size if isinstance(size, Size) else Size(size)


SQRT_2 = math.sqrt(2)
LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
