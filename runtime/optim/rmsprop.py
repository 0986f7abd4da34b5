"""RMSprop."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from .elementwise import Elementwise, number
from .optimizer import Group, ParamsT
from .options import require_not_negative


class RMSprop(Elementwise):
    """p <- p - lr * g / (sqrt(v) + eps), v <- alpha v + (1 - alpha) g**2; `centered` takes the
    square of the mean gradient off v; with `momentum` the quotients are summed up by it.

    `foreach` and `capturable` are accepted: there is one way. Raises: ValueError for negative
    options. Source: Hinton's lecture 6e, 2012; centered: arXiv:1308.0850, equations 38 to 45.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        require_not_negative(
            "RMSprop", lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha
        )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def state_arrays(self, group: Group) -> dict[str, float]:
        names = ["square_avg"] + ["momentum_buffer"] * (group["momentum"] > 0)
        return dict.fromkeys(names + ["grad_avg"] * bool(group["centered"]), 0.0)

    def rule(self, group: Group, numbers: Any, xp: Any, p: Any, g: Any, *state: Any) -> None:
        square, *others = state
        alpha, lr = group["alpha"], number(group, "lr")
        square *= alpha
        square += g * g * (1 - alpha)
        spread = square
        if group["centered"]:
            mean = others[-1]
            mean += (g - mean) * (1 - alpha)
            spread = square - mean * mean
        step = g / (xp.sqrt(spread) + group["eps"])
        if group["momentum"] > 0:
            buffer = others[0]
            buffer *= group["momentum"]
            buffer += step
            step = buffer
        p -= step * lr
