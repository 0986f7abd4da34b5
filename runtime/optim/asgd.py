"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from .elementwise import Elementwise
from .optimizer import Group, ParamsT
from .options import require_not_negative


class ASGD(Elementwise):
    """p <- (1 - lambd eta) p - eta g, eta = lr / (1 + lambd lr t)**alpha, and in the state `ax` the
    mean of p from step `t0` on.

    `foreach` and `capturable` are accepted: there is one way. Raises: ValueError for a negative lr
    or weight_decay.
    Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992);
    the schedule: Bottou, "Large-scale machine learning with stochastic gradient descent" (2010).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        require_not_negative("ASGD", lr=lr, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def scalars(self, group: Group) -> dict[str, float]:
        return {"eta": float(group["lr"]), "mu": 1.0}

    def state_arrays(self, group: Group) -> dict[str, float]:
        return {"ax": 0.0}

    def numbers(self, group: Group, state: dict[str, Any], t: float) -> tuple[Any, ...]:
        """What is left of p, eta, and mu or None if that is 1; the state gets the next step's."""
        eta, mu = (state[name]._array for name in ("eta", "mu"))
        rest, now = 1 - group["lambd"] * float(eta), (float(eta), float(mu))
        lr = float(group["lr"])
        eta[...] = lr / (1 + group["lambd"] * lr * t) ** group["alpha"]
        mu[...] = 1 / max(1, t - group["t0"])
        return rest, now[0], None if now[1] == 1 else now[1]

    def rule(self, numbers: tuple[Any, ...], xp: Any, p: Any, g: Any, *state: Any) -> None:
        (rest, eta, mu), (mean,) = numbers, state
        p *= rest
        p -= g * eta
        if mu is None:
            mean[...] = p
        else:
            mean += (p - mean) * mu
