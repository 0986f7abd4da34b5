"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor, wrap
from .optimizer import Group, Optimizer, require_valid


class SGD(Optimizer):
    """p <- p - lr * v, where v <- momentum * v + (1 - dampening) * g and g includes weight_decay *
    p.

    `nesterov` steps by g + momentum * v instead of v; `maximize` goes uphill. `foreach`, `fused`
    and
    `differentiable` are accepted for PyTorch's sake: there is one way, which is fused.
    Source: Sutskever et al., "On the importance of initialization and momentum" (2013).
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        require_valid("SGD", [("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)])
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("SGD: expected a momentum and no dampening with nesterov.")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def update(self, group: Group, parameters: list[Tensor]) -> None:
        lr, decay = float(group["lr"]), group["weight_decay"]
        sign = 1.0 if group["maximize"] else -1.0
        plain = not decay and not group["momentum"]
        for p in parameters:
            array, g = p._array, p._grad._array  # type: ignore[union-attr]
            if not plain:
                if decay:
                    g = g - decay * array if group["maximize"] else g + decay * array
                if group["momentum"]:
                    g = self._velocity(group, p, g)
            array += g * (sign * lr)

    def _velocity(self, group: Group, p: Tensor, g: Any) -> Any:
        """The direction of the step: the momentum, updated by the gradient g."""
        momentum = group["momentum"]
        state = self.state[p]
        buffer = state.get("momentum_buffer")
        if buffer is None:
            state["momentum_buffer"] = buffer = wrap(g.copy(), p._key)
        else:
            buffer._array *= momentum
            buffer._array += g * (1 - group["dampening"]) if group["dampening"] else g
        return g + momentum * buffer._array if group["nesterov"] else buffer._array
