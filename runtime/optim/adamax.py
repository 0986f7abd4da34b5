"""Adamax."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from .elementwise import Elementwise, number
from .optimizer import Group, ParamsT
from .options import require_decays, require_not_negative


class Adamax(Elementwise):
    """Adam with the largest gradient so far, decayed by beta2, in place of the second moment.

    `foreach` and `capturable` are accepted: there is one way. Raises: ValueError for negative
    options and betas outside [0, 1). Source: arXiv:1412.6980, algorithm 2.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        require_not_negative("Adamax", lr=lr, eps=eps, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": require_decays("Adamax", betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def state_arrays(self, group: Group) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_inf": 0.0}

    def numbers(self, group: Group, state: dict[str, Any], t: float) -> tuple[Any, ...]:
        beta1, beta2 = group["betas"]
        return 1 - beta1, beta2, group["eps"], number(group, "lr") / (1 - beta1**t)

    def rule(self, numbers: tuple[Any, ...], xp: Any, p: Any, g: Any, *state: Any) -> None:
        take1, beta2, eps, size = numbers
        mean, largest = state
        mean += (g - mean) * take1
        largest *= beta2
        xp.maximum(largest, xp.absolute(g) + eps, out=largest)
        p -= mean / largest * size
