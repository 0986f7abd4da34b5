"""RAdam."""

from __future__ import annotations

import math
from typing import Any

from ..core.tensor import Tensor
from .elementwise import Elementwise, number
from .optimizer import Group, ParamsT
from .options import require_decays, require_not_negative


class RAdam(Elementwise):
    """Adam without its second moment until that has settled, and then with its variance
    rectified.

    `foreach` and `capturable` are accepted: there is one way. Raises: ValueError for negative
    options and betas outside [0, 1). Source: arXiv:1908.03265, algorithm 2.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        require_not_negative("RAdam", lr=lr, eps=eps, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": require_decays("RAdam", betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def state_arrays(self, group: Group) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def numbers(self, group: Group, state: dict[str, Any], t: float) -> tuple[Any, ...]:
        """Those of the moments, and the sizes of a step with the rectification r_t sqrt(1 -
        beta2**t) and of one without, the other one None: while the length rho_t of the average is
        at most 5 there is none."""
        beta1, beta2 = group["betas"]
        size = number(group, "lr") / (1 - beta1**t)
        moments = 1 - beta1, beta2, 1 - beta2, group["eps"]
        correction = 1 - beta2**t
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * t * beta2**t / correction
        if length <= 5:
            return *moments, None, size
        rectified = (length - 4) * (length - 2) * longest
        rectified /= (longest - 4) * (longest - 2) * length
        return *moments, size * math.sqrt(rectified * correction), None

    def rule(self, numbers: tuple[Any, ...], xp: Any, p: Any, g: Any, *state: Any) -> None:
        take1, beta2, take2, eps, rectified_size, size = numbers
        mean, square = state
        mean += (g - mean) * take1
        square *= beta2
        square += g * g * take2
        if rectified_size is None:
            p -= mean * size
        else:
            p -= mean / (xp.sqrt(square) + eps) * rectified_size
