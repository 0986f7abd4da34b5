"""Noise in networks: dropout's further forms, and the leaky rectifier with random slopes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core import dtypes
from ..core.dispatch import key_of
from ..core.spec import Spec as _Spec
from ..core.tensor import Tensor, wrap
from ..errors import DTypeError, ShapeError
from ..random import generator_for
from .activations import leaky_relu, prelu_shaped
from .arithmetic import mul
from .declare import Mask, Spec, primitive
from .dropout import dropout, dropout_mask, uniform_numbers, uniform_numbers_like
from .inplace import inplace

__all__ = [
    "alpha_dropout",
    "alpha_dropout_",
    "dropout_",
    "feature_alpha_dropout",
    "feature_alpha_dropout_",
    "feature_dropout",
    "feature_dropout_",
    "native_dropout",
    "native_dropout_backward",
    "rrelu",
    "rrelu_",
]

SELU_FLOOR = 1.7580993408473766
"""What `selu` tends to far below 0, with its sign changed: scale * alpha of arXiv:1706.02515."""


def _require_probability(operation: str, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ShapeError(f"{operation}: expected a probability from 0 to 1. Got {p}.")


def _require_drops(operation: str, input: Tensor) -> None:
    if not input.dtype.is_floating_point:
        raise DTypeError(
            f"{operation}: expected a floating-point input in training. Got {input.dtype}. Convert "
            "it with input.float()."
        )


def _channels(operation: str, input: Tensor) -> tuple[int, ...]:
    """The shape of one draw per channel of (N, C, ...)."""
    if input.ndim < 2:
        raise ShapeError(
            f"{operation}: expected at least 2 dimensions, (N, C, ...). Got shape "
            f"{tuple(input.shape)}."
        )
    return (*input.shape[:2], *[1] * (input.ndim - 2))


# -- dropout ---------------------------------------------------------------------------------------


def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`dropout` of whole channels of (N, C, ...).

    Raises: RuntimeError for fewer than two dimensions or p outside [0, 1].
    """
    _require_probability("feature_dropout", p)
    if not train or p == 0.0 or input.numel() == 0:
        return input
    shape = _channels("feature_dropout", input)
    _require_drops("feature_dropout", input)
    return mul(input, dropout_mask(input, p, shape))


def _kept(input: Tensor, p: float, shape: tuple[int, ...]) -> Tensor:
    """A bool mask that is true with probability 1 - p."""
    key = key_of(input.device, dtypes.bool_)
    if input.is_meta:
        return wrap(_Spec(shape, key.dtype), key)
    whole = shape == tuple(input.shape)
    draws = uniform_numbers_like(input) if whole else uniform_numbers(input.device, shape)
    with key.guard:
        return wrap(draws < 1.0 - p, key)


def _alpha_dropped(
    operation: str, input: Tensor, p: float, train: bool, shape: tuple[int, ...]
) -> Tensor:
    _require_probability(operation, p)
    if not train or p == 0.0 or input.numel() == 0:
        return input
    _require_drops(operation, input)
    if p == 1.0:
        return input * 0.0
    kept = _kept(input, p, shape).to(input.dtype)
    scale = 1.0 / math.sqrt((SELU_FLOOR**2 * p + 1.0) * (1.0 - p))
    shift = (kept - 1.0) * (SELU_FLOOR * scale) + SELU_FLOOR * scale * p
    return input * (kept * scale) + shift


def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Elements set to the lowest value of `selu` with probability `p`, then all scaled and shifted
    so that mean 0 and variance 1 stay. Source: arXiv:1706.02515, section 3.

    Raises: RuntimeError for p outside [0, 1] or, in training, another than a floating dtype.
    """
    return _alpha_dropped("alpha_dropout", input, p, train, tuple(input.shape))


def feature_alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`alpha_dropout` of whole channels of (N, C, ...).

    Raises: RuntimeError for fewer than two dimensions or p outside [0, 1].
    """
    active = train and p != 0.0 and input.numel()
    shape = _channels("feature_alpha_dropout", input) if active else ()
    return _alpha_dropped("feature_alpha_dropout", input, p, train, shape)


dropout_ = inplace(dropout, "dropout_")
feature_dropout_ = inplace(feature_dropout, "feature_dropout_")
alpha_dropout_ = inplace(alpha_dropout, "alpha_dropout_")
feature_alpha_dropout_ = inplace(feature_alpha_dropout, "feature_alpha_dropout_")


@primitive(name="masked_scaled", node_name="NativeDropout")
def masked_scaled(input: Spec, mask: Mask, *, scale: float) -> Spec:
    """input * mask * scale, for a bool mask of the same shape."""
    return Spec(input.shape, input.dtype)


@masked_scaled.array
def masked_scaled_array(xp: Any, input: Any, mask: Any, scale: float) -> Any:
    """The scale in the input's precision."""
    return input * mask * input.dtype.type(scale)


@masked_scaled.vjp(saves="mask")
def masked_scaled_vjp(F: Any, g: Any, needs: Any, input: Any, mask: Any, scale: Any) -> Any:
    """The same map of g."""
    return F.masked_scaled(g, mask, scale=scale), None


def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """`dropout`, and the bool mask of the elements that it kept; `train` None means True.

    Raises: RuntimeError for p outside [0, 1] or, in training, integers.
    """
    if train is False:
        return input.clone(), input.new_ones(tuple(input.shape), dtype=dtypes.bool_)
    _require_probability("native_dropout", p)
    if not (input.dtype.is_floating_point or input.dtype.is_complex):
        _require_drops("native_dropout", input)
    mask = _kept(input, p, tuple(input.shape))
    return masked_scaled(input, mask, scale=_kept_scale(p)), mask


def _kept_scale(p: float) -> float:
    return 0.0 if p == 1.0 else 1.0 / (1.0 - p)


def native_dropout_backward(grad_output: Tensor, mask: Tensor, scale: float) -> Tensor:
    """The gradient of `native_dropout`: grad_output * mask * scale."""
    return mul(mul(grad_output, mask), float(scale))


# -- random slopes ---------------------------------------------------------------------------------


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    generator: Any = None,
) -> Tensor:
    """input where positive, slope * input elsewhere; in training each slope is drawn from
    [lower, upper), else it is their mean. Source: arXiv:1505.00853.

    Raises: RuntimeError if lower is above upper, or for integers.
    """
    if lower > upper:
        raise ShapeError(f"rrelu: expected lower not above upper. Got {lower}, {upper}.")
    _require_drops("rrelu", input)
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    return prelu_shaped(input, _slopes(input, lower, upper, generator))


def _slopes(input: Tensor, lower: float, upper: float, generator: Any) -> Tensor:
    """A draw for each element that is not positive, in order; 1 for the others."""
    key = input._key
    shape = tuple(input.shape)
    if key.device.type == "meta":
        return wrap(_Spec(shape, key.dtype), key)
    if key.device.type != "cpu":
        draws = uniform_numbers(input.device, shape, generator)
        with key.guard:
            return wrap((draws * (upper - lower) + lower).astype(key.array_dtype), key)
    low = input.numpy_values() <= 0
    slopes = np.ones(shape, key.array_dtype)
    draws = generator_for(key.device, generator).uniform(int(low.sum()), np.float64)
    slopes[low] = draws * (upper - lower) + lower
    return wrap(slopes, key)


rrelu_ = inplace(rrelu, "rrelu_")
