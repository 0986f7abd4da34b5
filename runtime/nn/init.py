"""Initial values of parameters. Every function writes into its tensor and returns it."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd.grad_mode import no_grad
from ..core.creation import as_tensor, empty_like
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops.arithmetic import where
from ..ops.sampling import randperm
from ..random import Generator

LEAST_ACCEPTED = 0.3
"""Share of draws inside the bounds above which drawing again is cheaper than inverting."""


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance of activations: 1 for linear maps and sigmoid, 5/3 for
    tanh, sqrt(2) for relu, sqrt(2 / (1 + slope**2)) for leaky_relu, 3/4 for selu.

    Raises: ValueError for another name. Source: arXiv:1502.01852, section 2.2.
    """
    linear = {f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)} | {"linear"}
    if nonlinearity in linear or nonlinearity == "sigmoid":
        return 1.0
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1 + slope**2))
    gains = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
    if nonlinearity not in gains:
        known = ", ".join(["linear", "conv2d", "sigmoid", "leaky_relu", *gains])
        raise ValueError(f"calculate_gain: expected one of {known}. Got {nonlinearity!r}.")
    return gains[nonlinearity]


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Inputs and outputs that each unit of a weight (out, in, *kernel) has.

    Raises: ValueError for fewer than two dimensions.
    """
    if tensor.ndim < 2:
        raise ValueError(
            "init: expected a weight with two dimensions or more, (out, in, *kernel). Got shape "
            f"{tuple(tensor.shape)}."
        )
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"init: expected mode 'fan_in' or 'fan_out'. Got {mode!r}.")
    return _calculate_fan_in_and_fan_out(tensor)[mode == "fan_out"]


@no_grad()
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform in [a, b)."""
    return tensor.uniform_(a, b, generator=generator)


@no_grad()
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normal with `mean` and `std`."""
    return tensor.normal_(mean, std, generator=generator)


@no_grad()
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal with `mean` and `std`, but never outside [a, b].

    Draws again what fell outside; where that would be most draws, by the inverse of the cumulative
    distribution between those of a and b.
    """
    low, high = (math.erf((x - mean) / (std * math.sqrt(2.0))) for x in (a, b))
    if tensor.is_meta:
        return tensor
    if high - low <= 2 * LEAST_ACCEPTED:
        tensor.uniform_(low, high, generator=generator)
        tensor.copy_(tensor.erfinv().mul_(std * math.sqrt(2.0)).add_(mean))
        return tensor.clamp_(min=a, max=b)
    tensor.normal_(mean, std, generator=generator)
    while (outside := (tensor < a) | (tensor > b)).any():
        again = empty_like(tensor).normal_(mean, std, generator=generator)
        tensor.copy_(where(outside, again, tensor))
    return tensor


@no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere."""
    return tensor.fill_(val)


@no_grad()
def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return tensor.fill_(1.0)


@no_grad()
def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return tensor.zero_()


def _require_ndim(name: str, tensor: Tensor, allowed: tuple[int, ...]) -> None:
    if tensor.ndim not in allowed:
        wanted = ", ".join(map(str, allowed))
        raise ShapeError(f"{name}: expected {wanted} dimensions. Got shape {tuple(tensor.shape)}.")


def _write(tensor: Tensor, values: Any) -> Tensor:
    return tensor.copy_(as_tensor(values))


@no_grad()
def eye_(tensor: Tensor) -> Tensor:
    """1 on the diagonal of a matrix, 0 elsewhere."""
    _require_ndim("eye_", tensor, (2,))
    return _write(tensor, np.eye(*tensor.shape))


@no_grad()
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution's weight (out, in, *kernel) that passes each of its inputs on.

    Raises: ValueError if `groups` does not divide the outputs.
    """
    _require_ndim("dirac_", tensor, (3, 4, 5))
    if tensor.shape[0] % groups:
        raise ValueError(f"dirac_: expected groups that divide {tensor.shape[0]}. Got {groups}.")
    values = np.zeros(tuple(tensor.shape))
    per_group = tensor.shape[0] // groups
    centre = tuple(n // 2 for n in tensor.shape[2:])
    for group in range(groups):
        for k in range(min(per_group, tensor.shape[1])):
            values[(group * per_group + k, k, *centre)] = 1.0
    return _write(tensor, values)


@no_grad()
def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform in +-gain * sqrt(6 / (fan_in + fan_out)). Source: Glorot and Bengio 2010, eq. 16."""
    std = gain * math.sqrt(2.0 / float(sum(_calculate_fan_in_and_fan_out(tensor))))
    bound = math.sqrt(3.0) * std
    return tensor.uniform_(-bound, bound, generator=generator)


@no_grad()
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with std = gain * sqrt(2 / (fan_in + fan_out)). Source: Glorot and Bengio 2010."""
    std = gain * math.sqrt(2.0 / float(sum(_calculate_fan_in_and_fan_out(tensor))))
    return tensor.normal_(0.0, std, generator=generator)


@no_grad()
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform in +-gain * sqrt(3 / fan). Source: arXiv:1502.01852, equation 10."""
    if 0 in tensor.shape:
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))
    bound = math.sqrt(3.0) * std
    return tensor.uniform_(-bound, bound, generator=generator)


@no_grad()
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with std = gain / sqrt(fan). Source: arXiv:1502.01852, equation 10."""
    if 0 in tensor.shape:
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))
    return tensor.normal_(0.0, std, generator=generator)


@no_grad()
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Orthonormal rows or columns, times `gain`; dimensions after the first count as one.

    Raises: ValueError for fewer than two dimensions. Source: arXiv:1312.6120.
    """
    if tensor.ndim < 2:
        raise ValueError(
            f"orthogonal_: expected two dimensions or more. Got shape {tuple(tensor.shape)}."
        )
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    columns = tensor.numel() // rows
    drawn = tensor.new_empty(rows, columns).normal_(0, 1, generator=generator)
    values = drawn.numpy_values().astype(np.float64)
    q, r = np.linalg.qr(values.T if rows < columns else values)
    q *= np.sign(np.diagonal(r))  # makes the distribution uniform
    q = q.T if rows < columns else q
    return _write(tensor, (gain * q).reshape(tuple(tensor.shape)))


@no_grad()
def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Normal with `std`, the share `sparsity` of each column set to 0.

    Source: Martens, "Deep learning via Hessian-free optimization" (2010).
    """
    _require_ndim("sparse_", tensor, (2,))
    rows, columns = tensor.shape
    count = math.ceil(sparsity * rows)
    tensor.normal_(0, std, generator=generator)
    for column in range(columns):
        tensor[randperm(rows, generator=generator)[:count], column] = 0
    return tensor


def fan_in_bias_(bias: Tensor | None, weight: Tensor) -> None:
    """Uniform in +-1 / sqrt(fan_in) of `weight`: how biases of linear maps and convolutions
    start."""
    if bias is not None:
        fan_in = _calculate_correct_fan(weight, "fan_in")
        bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0
        uniform_(bias, -bound, bound)


# -- older names -----------------------------------------------------------------------------------


def _older(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    name = function.__name__

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(f"nn.init.{name[:-1]}: use nn.init.{name}.", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    call.__name__ = name[:-1]
    call.__doc__ = f"The older name of `{name}`, which is to be used instead, and warns so."
    return call


constant = _older(constant_)
dirac = _older(dirac_)
eye = _older(eye_)
kaiming_normal = _older(kaiming_normal_)
kaiming_uniform = _older(kaiming_uniform_)
normal = _older(normal_)
orthogonal = _older(orthogonal_)
sparse = _older(sparse_)
uniform = _older(uniform_)
xavier_normal = _older(xavier_normal_)
xavier_uniform = _older(xavier_uniform_)
