"""Activation layers: one function each, applied to every element or along a dimension."""

from __future__ import annotations

from typing import Any

from ...core.creation import empty
from ...core.tensor import Tensor
from .. import functional as F
from ..init import constant_
from ..parameter import Parameter
from .module import Module

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


class _InPlace(Module):
    """An activation without options but `inplace`."""

    operation: Any

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return type(self).operation(input, self.inplace)

    def extra_repr(self) -> str:
        """`inplace=True`, or nothing."""
        return "inplace=True" if self.inplace else ""


class ReLU(_InPlace):
    """max(input, 0)."""

    operation = staticmethod(F.relu)


class SiLU(_InPlace):
    """input * sigmoid(input). Source: arXiv:1702.03118."""

    operation = staticmethod(F.silu)


class Mish(_InPlace):
    """input * tanh(softplus(input)). Source: arXiv:1908.08681."""

    operation = staticmethod(F.mish)


class SELU(_InPlace):
    """The self-normalizing exponential unit. Source: arXiv:1706.02515."""

    operation = staticmethod(F.selu)


class _SilentInPlace(_InPlace):
    def extra_repr(self) -> str:
        """Nothing."""
        return ""


class Hardsigmoid(_SilentInPlace):
    """min(max(input + 3, 0), 6) / 6. Source: arXiv:1905.02244."""

    operation = staticmethod(F.hardsigmoid)


class Hardswish(_SilentInPlace):
    """input * hardsigmoid(input). Source: arXiv:1905.02244."""

    operation = staticmethod(F.hardswish)


class LeakyReLU(Module):
    """input where positive, negative_slope * input elsewhere."""

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        """The slope."""
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class _Exponential(Module):
    operation: Any

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return type(self).operation(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """alpha."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class ELU(_Exponential):
    """input where positive, alpha * (exp(input) - 1) elsewhere. Source: arXiv:1511.07289."""

    operation = staticmethod(F.elu)


class Hardtanh(Module):
    """input limited to [min_val, max_val]."""

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        min_val = min_val if min_value is None else min_value
        max_val = max_val if max_value is None else max_value
        if max_val <= min_val:
            raise ValueError(f"Hardtanh: expected min_val below max_val. Got {min_val}, {max_val}.")
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        """The limits."""
        limits = f"min_val={self.min_val}, max_val={self.max_val}"
        return limits + (", inplace=True" if self.inplace else "")


class ReLU6(Hardtanh):
    """min(max(input, 0), 6)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        """Whether in place."""
        return "inplace=True" if self.inplace else ""


class CELU(_Exponential):
    """input where positive, alpha * (exp(input / alpha) - 1) elsewhere. See arXiv:1704.07483."""

    operation = staticmethod(F.celu)


class RReLU(Module):
    """input where positive, slope * input elsewhere: slopes drawn uniformly from [lower, upper) in
    training, their mean in evaluation. Source: arXiv:1505.00853."""

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The range of slopes."""
        limits = f"lower={self.lower}, upper={self.upper}"
        return limits + (", inplace=True" if self.inplace else "")


class Threshold(Module):
    """input above `threshold`, `value` elsewhere."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        """The threshold and what stands below it."""
        words = f"threshold={self.threshold}, value={self.value}"
        return words + (", inplace=True" if self.inplace else "")


class PReLU(Module):
    """input where positive, weight * input elsewhere; `weight` (num_parameters,), one or one per
    channel, starts as `init`. Source: arXiv:1502.01852."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to `init`."""
        constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) -> the same shape."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """How many slopes."""
        return f"num_parameters={self.num_parameters}"


class GELU(Module):
    """input * Phi(input); `approximate="tanh"` for the tanh form. Source: arXiv:1606.08415."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        """Which form."""
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """log(1 + exp(beta * input)) / beta."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """beta and where it becomes linear."""
        return f"beta={self.beta}, threshold={self.threshold}"


class _Plain(Module):
    """An activation without options."""

    operation: Any

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return type(self).operation(input)


class Sigmoid(_Plain):
    """1 / (1 + exp(-input))."""

    operation = staticmethod(F.sigmoid)


class Tanh(_Plain):
    """tanh(input)."""

    operation = staticmethod(F.tanh)


class LogSigmoid(_Plain):
    """log(sigmoid(input))."""

    operation = staticmethod(F.logsigmoid)


class Softsign(_Plain):
    """input / (1 + |input|)."""

    operation = staticmethod(F.softsign)


class Tanhshrink(_Plain):
    """input - tanh(input)."""

    operation = staticmethod(F.tanhshrink)


class _Shrink(Module):
    operation: Any

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return type(self).operation(input, self.lambd)

    def extra_repr(self) -> str:
        """lambd."""
        return str(self.lambd)


class Softshrink(_Shrink):
    """input moved by lambd towards 0, and 0 where it would cross it."""

    operation = staticmethod(F.softshrink)


class Hardshrink(_Shrink):
    """input outside [-lambd, lambd], 0 inside."""

    operation = staticmethod(F.hardshrink)


class GLU(Module):
    """The first half along `dim` times the sigmoid of the second. Source: arXiv:1612.08083."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """(..., 2 n, ...) -> (..., n, ...)."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class _AlongDim(Module):
    operation: Any

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return type(self).operation(input, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """exp(input) / sum(exp(input)) along `dim`."""

    operation = staticmethod(F.softmax)


class LogSoftmax(_AlongDim):
    """log(softmax(input)) along `dim`."""

    operation = staticmethod(F.log_softmax)


class Softmin(_AlongDim):
    """softmax(-input) along `dim`."""

    operation = staticmethod(F.softmin)


class Softmax2d(Module):
    """softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) -> the same shape. Raises: ValueError for another rank."""
        if input.ndim not in (3, 4):
            raise ValueError(
                f"Softmax2d: expected (N, C, H, W) or (C, H, W). Got shape {tuple(input.shape)}."
            )
        return F.softmax(input, -3)
