"""NAdam."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from .elementwise import Elementwise, number
from .optimizer import Group, ParamsT
from .options import require_decays, require_not_negative


class NAdam(Elementwise):
    """Adam with Nesterov's momentum, mu_t = beta1 (1 - 0.96**(t momentum_decay) / 2):

    p <- p - lr ((1 - mu_t) / (1 - mu_1..mu_t) g + mu_t+1 / (1 - mu_1..mu_t+1) m) / (sqrt(v^) +
    eps).

    `foreach` and `capturable` are accepted: there is one way. Raises: ValueError for negative
    options and betas outside [0, 1).
    Source: Dozat, "Incorporating Nesterov momentum into Adam" (2016).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        require_not_negative(
            "NAdam", lr=lr, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay
        )
        defaults = {
            "lr": lr,
            "betas": require_decays("NAdam", betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def scalars(self, group: Group) -> dict[str, float]:
        return {"mu_product": 1.0}

    def state_arrays(self, group: Group) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def numbers(self, group: Group, state: dict[str, Any], t: float) -> tuple[Any, ...]:
        """Those of the moments, eps, and the sizes of the steps along gradient and momentum."""
        (beta1, beta2), decay = group["betas"], group["momentum_decay"]
        lr = number(group, "lr")
        now, after = (beta1 * (1 - 0.5 * 0.96 ** (k * decay)) for k in (t, t + 1))
        mu_product = state["mu_product"]._array
        mu_product *= now
        product = float(mu_product)
        sizes = lr * (1 - now) / (1 - product), lr * after / (1 - product * after)
        return 1 - beta1, beta2, 1 - beta2, 1 - beta2**t, group["eps"], *sizes

    def rule(self, numbers: tuple[Any, ...], xp: Any, p: Any, g: Any, *state: Any) -> None:
        take1, beta2, take2, correction, eps, along_gradient, along_mean = numbers
        mean, square = state
        mean += (g - mean) * take1
        square *= beta2
        square += g * g * take2
        scale = xp.sqrt(square / correction) + eps
        p -= g / scale * along_gradient
        p -= mean / scale * along_mean
