"""Operators that do each element by itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ...core.tensor import Tensor
from ...nn import functional as F
from .registry import OPERATORS, operator, torch

PLAIN = """
Abs:abs Neg:neg Sqrt:sqrt Exp:exp Log:log Reciprocal:reciprocal Floor:floor Ceil:ceil Round:round
Sign:sign Sin:sin Cos:cos Tan:tan Asin:asin Acos:acos Atan:atan Sinh:sinh Cosh:cosh Tanh:tanh
Asinh:asinh Acosh:acosh Atanh:atanh Erf:erf Sigmoid:sigmoid Relu:relu IsNaN:isnan Not:logical_not
BitwiseNot:bitwise_not BitwiseAnd:bitwise_and BitwiseOr:bitwise_or BitwiseXor:bitwise_xor
LessOrEqual:le GreaterOrEqual:ge Where:where Det:det Identity:clone
"""
"""Operators that are functions of ours, by name."""
OPERATORS.update({a: getattr(torch, b) for a, b in (p.split(":") for p in PLAIN.split())})
OPERATORS.update(Softsign=F.softsign, HardSwish=F.hardswish, Mish=F.mish, Softplus=F.softplus)


def _broadcasting(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Before opset 7 the second operand could lie at the dimensions from `axis` on."""

    def binary(
        x: Tensor, y: Tensor, *, axis: int | None = None, broadcast: int = 0,
        consumed_inputs: Any = None,
    ) -> Tensor:  # fmt: skip
        if broadcast and axis is not None and y.ndim:
            y = y.reshape(*y.shape, *[1] * (x.ndim - axis % x.ndim - y.ndim))
        return function(x, y)

    binary.__name__ = function.__name__.strip("_")
    return binary


def _quotient(x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _power(x: Tensor, y: Tensor) -> Tensor:
    return (x**y).to(x.dtype)


OPERATORS.update(
    Add=_broadcasting(torch.add), Sub=_broadcasting(torch.sub), Mul=_broadcasting(torch.mul),
    Div=_broadcasting(_quotient), Pow=_broadcasting(_power), Equal=_broadcasting(torch.eq),
    Less=_broadcasting(torch.lt), Greater=_broadcasting(torch.gt),
    And=_broadcasting(torch.logical_and), Or=_broadcasting(torch.logical_or),
    Xor=_broadcasting(torch.logical_xor),
)  # fmt: skip


@operator("Mod")
def modulo(x: Tensor, y: Tensor, *, fmod: int = 0) -> Tensor:
    """The remainder, with the sign of y, or with that of x by `fmod`."""
    return torch.fmod(x, y) if fmod else torch.remainder(x, y)  # type: ignore[no-any-return]


@operator("Max")
def largest(*xs: Tensor) -> Tensor:
    """Of all inputs."""
    return functools.reduce(torch.maximum, xs)


@operator("Min")
def smallest(*xs: Tensor) -> Tensor:
    """Of all inputs."""
    return functools.reduce(torch.minimum, xs)


@operator("Sum")
def total(*xs: Tensor) -> Tensor:
    """Of all inputs."""
    return functools.reduce(torch.add, xs)


@operator("Mean")
def mean(*xs: Tensor) -> Tensor:
    """Of all inputs."""
    return total(*xs) / len(xs)


@operator("Clip")
def clip(
    x: Tensor, low: Any = None, high: Any = None, *, min: Any = None, max: Any = None
) -> Tensor:
    """Between limits, which were attributes before opset 11; the upper one wins."""
    low, high = (low if min is None else min), (high if max is None else max)
    x = x if low is None else torch.maximum(x, torch.as_tensor(low, dtype=x.dtype))
    return x if high is None else torch.minimum(x, torch.as_tensor(high, dtype=x.dtype))


@operator("BitShift")
def bit_shift(x: Tensor, y: Tensor, *, direction: str) -> Tensor:
    """By y bits to the left or right."""
    return (x << y if direction == "LEFT" else x >> y).to(x.dtype)


@operator("IsInf")
def isinf(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    """Of either sign, or of one."""
    flags = torch.isposinf(x) & bool(detect_positive)
    return flags | (torch.isneginf(x) & bool(detect_negative))  # type: ignore[no-any-return]


@operator("PRelu")
def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """A slope of its own for what is negative, at which it broadcasts from the right."""
    if slope.ndim == 1 and x.ndim > 2 and slope.numel() == x.shape[1] != x.shape[-1]:
        slope = slope.reshape(-1, *[1] * (x.ndim - 2))
    return torch.where(x < 0, x * slope, x)  # type: ignore[no-any-return]


@operator("LeakyRelu")
def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    """alpha * x for what is negative."""
    return F.leaky_relu(x, alpha)


@operator("Elu")
def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """alpha * (exp(x) - 1) for what is negative."""
    return F.elu(x, alpha)


@operator("Celu")
def celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """alpha * (exp(x / alpha) - 1) for what is negative."""
    return F.celu(x, alpha)


@operator("Selu")
def selu(x: Tensor, *, alpha: float = 1.67326319217681884765625,
         gamma: float = 1.05070102214813232421875) -> Tensor:  # fmt: skip
    """gamma * elu(x, alpha). The defaults are those of the standard."""
    return gamma * F.elu(x, alpha)


@operator("ThresholdedRelu")
def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x where it is above alpha, else 0."""
    return F.threshold(x, alpha, 0.0)


@operator("HardSigmoid")
def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """alpha * x + beta between 0 and 1."""
    return torch.clamp(alpha * x + beta, 0, 1)  # type: ignore[no-any-return]


@operator("Shrink")
def shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    """Nearer to 0 by `bias`, and 0 up to `lambd`."""
    zero = torch.zeros_like(x)
    moved = torch.where(x > lambd, x - bias, zero)
    return torch.where(x < -lambd, x + bias, moved).to(x.dtype)  # type: ignore[no-any-return]


@operator("Gelu")
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """x * Phi(x)."""
    return F.gelu(x, approximate=approximate)


@operator("Swish")
def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x * sigmoid(alpha * x)."""
    return x * torch.sigmoid(alpha * x)  # type: ignore[no-any-return]


@operator("Cast")
def cast(x: Tensor, *, to: Any, saturate: int = 1, round_mode: str = "up") -> Tensor:
    """In another dtype."""
    return x.to(to)


@operator("CastLike")
def cast_like(x: Tensor, like: Tensor, *, saturate: int = 1, round_mode: str = "up") -> Tensor:
    """In the dtype of another."""
    return x.to(like.dtype)


@operator("Dropout")
def dropout(
    x: Tensor, ratio: Any = None, training_mode: Any = None, *, seed: Any = None,
    is_test: int = 1, outputs: int,
) -> Any:  # fmt: skip
    """x itself unless the file says that it is training."""
    share = 0.5 if ratio is None else float(ratio)
    is_training = training_mode is not None and bool(training_mode)
    drops = is_training and share > 0
    mask = torch.rand(x.shape) >= share if drops else torch.ones(x.shape, dtype=torch.bool)
    out = x * mask / (1 - share) if drops else x.clone()
    return (out, mask) if outputs > 1 else out
