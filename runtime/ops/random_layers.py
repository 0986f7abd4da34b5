"""Layers that draw numbers and keep the statistics of their input."""

from __future__ import annotations

import math
from typing import Any

from ..core import dtypes
from ..core.creation import empty, full
from ..core.dispatch import key_of
from ..core.tensor import Tensor, wrap
from .activations import leaky_relu
from .inplace import overwrite
from .sampling import bernoulli_, drawn

__all__ = ["alpha_dropout", "feature_alpha_dropout", "feature_dropout", "rrelu"]

SELU_LIMIT = 1.7580993408473766
"""scale * alpha of SELU, whose negative is its value at minus infinity."""


def _alpha_dropout(
    name: str, input: Tensor, p: float, training: bool, inplace: bool, shape: tuple[int, ...]
) -> Tensor:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: expected a probability from 0 to 1. Got {p}.")
    if not training or p == 0.0 or not input.numel():
        return input
    if p == 1.0:
        result = input * 0.0
        return overwrite(input, result, f"{name}_") if inplace else result
    kept = bernoulli_(empty(shape, dtype=input.dtype, device=input.device), 1.0 - p)
    a = 1.0 / math.sqrt((SELU_LIMIT**2 * p + 1.0) * (1.0 - p))
    shift = (kept - 1.0) * (SELU_LIMIT * a) + SELU_LIMIT * a * p
    result = input * (kept * a) + shift
    return overwrite(input, result, f"{name}_") if inplace else result


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Elements set to SELU's lowest value with probability `p`, all then scaled and shifted so
    that mean and variance stay. Source: arXiv:1706.02515, section "New dropout technique"."""
    shape = tuple(input.shape)
    return _alpha_dropout("alpha_dropout", input, p, training, inplace, shape)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels of (N, C, ...)."""
    shape = (*input.shape[:2], *[1] * (input.ndim - 2))
    return _alpha_dropout("feature_alpha_dropout", input, p, training, inplace, shape)


def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`dropout` of whole channels of (N, C, ...)."""
    if not train or p == 0.0:
        return input
    shape = (*input.shape[:2], *[1] * (input.ndim - 2))
    kept = bernoulli_(empty(shape, dtype=input.dtype, device=input.device), 1.0 - p)
    return input * (kept / (1.0 - p) if p < 1.0 else kept)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """input where positive, elsewhere times a slope drawn from [lower, upper), or their mean unless
    `training`. Source: arXiv:1505.00853."""
    if lower > upper:
        raise RuntimeError(f"rrelu: expected lower not above upper. Got {lower} and {upper}.")
    if training:
        result = input * _slopes(input.detach(), lower, upper)
    else:
        result = leaky_relu(input, (lower + upper) / 2)
    return overwrite(input, result, "rrelu_") if inplace else result


def _slopes(input: Tensor, lower: float, upper: float) -> Tensor:
    """1 where the input is positive, elsewhere numbers drawn one after the other."""
    slopes = full(tuple(input.shape), 1.0, dtype=input.dtype, device=input.device)
    if input.is_meta:
        return slopes
    negative = input <= 0
    count = int(negative.sum())
    wide = key_of(input.device, dtypes.float64)
    draws: Any = wrap(drawn("uniform", wide, (count,), None, lower, upper), wide)
    slopes[negative] = draws.to(input.dtype)
    return slopes
