"""Adam."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from .elementwise import Elementwise, number
from .optimizer import Group, ParamsT
from .options import require_decays, require_not_negative, require_one_way


class Adam(Elementwise):
    """p <- p - lr * m^ / (sqrt(v^) + eps), with moments m, v of the gradient and their corrections.

    m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g**2, m^ = m / (1 - beta1**t), same v^;
    `amsgrad` uses the largest v so far. `weight_decay` is added to the gradient, or, `decoupled`,
    shrinks the parameter. `foreach`, `fused` and `capturable` are accepted: there is one way. With
    `differentiable` a step is recorded, and gradients flow through it.
    Raises: ValueError for negative options and betas outside [0, 1).
    Source: arXiv:1412.6980, algorithm 1; amsgrad: arXiv:1904.09237.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        name = type(self).__name__
        require_not_negative(name, lr=lr, eps=eps, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": require_decays(name, betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        require_one_way(name, defaults)
        super().__init__(params, defaults)

    def state_arrays(self, group: Group) -> dict[str, float]:
        names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * bool(group["amsgrad"])
        return dict.fromkeys(names, 0.0)

    def numbers(self, group: Group, state: dict[str, Any], t: float) -> tuple[Any, ...]:
        """How much of the past the moments keep and how much of the present they take, the size of
        the step and eps with the corrections taken out of the moments: (lr / c1) m / (sqrt(v / c2)
        + eps) = (lr sqrt(c2) / c1) m / (sqrt(v) + eps sqrt(c2))."""
        beta1, beta2 = group["betas"]
        if isinstance(beta1, Tensor) and not group["differentiable"]:
            beta1, beta2 = beta1.item(), beta2.item()
        root = (1 - beta2**t) ** 0.5
        size = number(group, "lr") * root / (1 - beta1**t)
        return 1 - beta1, beta2, 1 - beta2, size, group["eps"] * root

    def rule(self, numbers: tuple[Any, ...], xp: Any, p: Any, g: Any, *state: Any) -> None:
        take1, beta2, take2, size, eps = numbers
        m, v, *largest = state
        m += (g - m) * take1
        v *= beta2
        v += g * g * take2
        if largest:
            v = xp.maximum(largest[0], v, out=largest[0])
        p -= m / (xp.sqrt(v) + eps) * size
