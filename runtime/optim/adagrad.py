"""Adagrad."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from .elementwise import Elementwise, number
from .optimizer import Group, ParamsT
from .options import require_not_negative, require_one_way


class Adagrad(Elementwise):
    """p <- p - lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps), with s the sum of all g**2 from
    `initial_accumulator_value` on.

    `foreach` and `fused` are accepted: there is one way. Raises: ValueError for negative options.
    Source: Duchi, Hazan and Singer, JMLR 12 (2011).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        require_not_negative(
            "Adagrad", lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps,
            initial_accumulator_value=initial_accumulator_value,
        )  # fmt: skip
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        if fused:
            require_one_way("Adagrad", defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self.start(group, p)

    def state_arrays(self, group: Group) -> dict[str, float]:
        return {"sum": group["initial_accumulator_value"]}

    def numbers(self, group: Group, state: dict[str, Any], t: float) -> tuple[Any, ...]:
        return number(group, "lr") / (1 + (t - 1) * group["lr_decay"]), group["eps"]

    def rule(self, numbers: tuple[Any, ...], xp: Any, p: Any, g: Any, *state: Any) -> None:
        (size, eps), (total,) = numbers, state
        total += g * g
        p -= g / (xp.sqrt(total) + eps) * size
