"""Activation layers: one function each, applied to every element or along a dimension."""

from __future__ import annotations

from typing import Any

from ...core.tensor import Tensor
from .. import functional as F
from .module import Module

__all__ = [
    "ELU",
    "GELU",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
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


class ReLU6(_InPlace):
    """min(max(input, 0), 6)."""

    operation = staticmethod(F.relu6)


class SiLU(_InPlace):
    """input * sigmoid(input). Source: arXiv:1702.03118."""

    operation = staticmethod(F.silu)


class Mish(_InPlace):
    """input * tanh(softplus(input)). Source: arXiv:1908.08681."""

    operation = staticmethod(F.mish)


class Hardsigmoid(_InPlace):
    """min(max(input + 3, 0), 6) / 6. Source: arXiv:1905.02244."""

    operation = staticmethod(F.hardsigmoid)

    def extra_repr(self) -> str:
        """Nothing."""
        return ""


class Hardswish(Hardsigmoid):
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


class ELU(Module):
    """input where positive, alpha * (exp(input) - 1) elsewhere. Source: arXiv:1511.07289."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """alpha."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class Hardtanh(Module):
    """input limited to [min_val, max_val]."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
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


class Softmax(Module):
    """exp(input) / sum(exp(input)) along `dim`."""

    operation: Any = staticmethod(F.softmax)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return type(self).operation(input, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """log(softmax(input)) along `dim`."""

    operation = staticmethod(F.log_softmax)
