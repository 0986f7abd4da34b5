"""The cross entropy of a linear map's results."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..core.tensor import Tensor
from ..errors import ShapeError
from .cross_entropy import cross_entropy
from .linalg import linear


@dataclass(frozen=True, slots=True)
class LinearCrossEntropyOptions:
    """How PyTorch computes `linear_cross_entropy` in pieces. The results do not depend on it; here
    the whole is computed at once, and the options are only kept."""

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: Any = None


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Tensor:
    """`cross_entropy(linear(input, linear_weight, linear_bias), target, ...)`.

    input is (N, in) or (in,), linear_weight (C, in) or (C, d1, ..., in), linear_bias as that
    without its last size, target as `cross_entropy` takes it for logits (N, C, d1, ...).
    Raises: RuntimeError for shapes that do not fit, or an ignore_index with probabilities.
    """
    _check(input, linear_weight, linear_bias)
    features = input.shape[-1]
    sizes = tuple(linear_weight.shape[:-1])
    shape = (*input.shape[:-1], *sizes)
    if tuple(target.shape) == shape and ignore_index is not None:
        raise ShapeError(
            "linear_cross_entropy: expected no ignore_index with probabilities as target. Got "
            f"{ignore_index}."
        )
    flat = linear_weight.reshape(math.prod(sizes), features)
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    return cross_entropy(
        linear(input, flat, bias).reshape(shape),
        target,
        weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def _check(input: Tensor, linear_weight: Tensor, linear_bias: Tensor | None) -> None:
    if input.ndim not in (1, 2) or linear_weight.ndim < 2:
        raise ShapeError(
            "linear_cross_entropy: expected input (N, in) or (in,) and linear_weight (C, ..., in). "
            f"Got {tuple(input.shape)} and {tuple(linear_weight.shape)}."
        )
    if input.shape[-1] != linear_weight.shape[-1]:
        raise ShapeError(
            "linear_cross_entropy: expected input and linear_weight with one last size. Got "
            f"{tuple(input.shape)} and {tuple(linear_weight.shape)}."
        )
    if linear_bias is not None and linear_bias.shape != linear_weight.shape[:-1]:
        raise ShapeError(
            f"linear_cross_entropy: expected linear_bias {tuple(linear_weight.shape[:-1])}. Got "
            f"{tuple(linear_bias.shape)}."
        )
    if linear_weight.ndim > 2 and input.ndim == 1:
        raise ShapeError(
            f"linear_cross_entropy: expected input (N, in), as linear_weight is "
            f"{tuple(linear_weight.shape)}. Got {tuple(input.shape)}."
        )
