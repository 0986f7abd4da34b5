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

    def numbers(self, group: Group, state: dict[str, Any], t: float) -> tuple[Any, ...]:
        alpha, momentum = group["alpha"], group["momentum"]
        sums_up = momentum if momentum > 0 else None
        lr = number(group, "lr")
        return alpha, 1 - alpha, group["eps"], lr, sums_up, bool(group["centered"])

    def rule(self, numbers: tuple[Any, ...], xp: Any, p: Any, g: Any, *state: Any) -> None:
        alpha, take, eps, lr, momentum, centered = numbers
        square, *others = state
        square *= alpha
        square += g * g * take
        spread = square
        if centered:
            mean = others[-1]
            mean += (g - mean) * take
            spread = square - mean * mean
        step = g / (xp.sqrt(spread) + eps)
        if momentum is not None:
            buffer = others[0]
            buffer *= momentum
            buffer += step
            step = buffer
        p -= step * lr
