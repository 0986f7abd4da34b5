"""Where the quantized part of a model begins and ends."""

from __future__ import annotations

from typing import Any

from ...core.tensor import Tensor
from ...nn.modules.module import Module

__all__ = ["DeQuantStub", "QuantStub", "QuantWrapper"]


class QuantStub(Module):
    """Here numbers become a quantized tensor, once `convert` has made it a `Quantize`; until then
    its input passes, and is watched after `prepare`. `qconfig`: settings of its own."""

    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x: Tensor) -> Tensor:
        """x itself."""
        return x


class DeQuantStub(Module):
    """Here a quantized tensor becomes numbers, once `convert` has made it a `DeQuantize`."""

    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x: Tensor) -> Tensor:
        """x itself."""
        return x


class QuantWrapper(Module):
    """`module` between a `QuantStub` and a `DeQuantStub`, with its settings.

    Example:
        >>> net = torch.ao.quantization.QuantWrapper(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
        >>> net(torch.zeros(3, 2)).shape
        torch.Size([3, 2])
    """

    def __init__(self, module: Module) -> None:
        super().__init__()
        qconfig = getattr(module, "qconfig", None)
        self.quant, self.dequant = QuantStub(qconfig), DeQuantStub(qconfig)
        self.module = module
        self.train(module.training)

    def forward(self, X: Tensor) -> Tensor:
        """The module's result."""
        out: Tensor = self.dequant(self.module(self.quant(X)))
        return out
