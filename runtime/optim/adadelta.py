"""Adadelta."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from .elementwise import Elementwise, number
from .optimizer import Group, ParamsT
from .options import require_not_negative


class Adadelta(Elementwise):
    """p <- p - lr * d, d = sqrt(u + eps) / sqrt(v + eps) * g, with running means v of g**2 and u of
    d**2 that keep `rho` of their past.

    `foreach` and `capturable` are accepted: there is one way. Raises: ValueError for negative
    options and rho above 1. Source: arXiv:1212.5701, algorithm 1.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        require_not_negative("Adadelta", lr=lr, eps=eps, weight_decay=weight_decay)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Adadelta: expected rho from 0 to 1. Got {rho}.")
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def state_arrays(self, group: Group) -> dict[str, float]:
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def numbers(self, group: Group, state: dict[str, Any], t: float) -> tuple[Any, ...]:
        return group["rho"], 1 - group["rho"], group["eps"], number(group, "lr")

    def rule(self, numbers: tuple[Any, ...], xp: Any, p: Any, g: Any, *state: Any) -> None:
        rho, take, eps, lr = numbers
        square, moved = state
        square *= rho
        square += g * g * take
        delta = xp.sqrt(moved + eps) / xp.sqrt(square + eps) * g
        moved *= rho
        moved += delta * delta * take
        p -= delta * lr
