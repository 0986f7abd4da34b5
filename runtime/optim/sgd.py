"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from ..core.creation import empty_like
from ..core.tensor import Tensor
from .elementwise import number, run_recorded, run_rules
from .optimizer import Group, Optimizer, ParamsT
from .options import require_not_negative, require_one_way


class SGD(Optimizer):
    """p <- p - lr * v, where v <- momentum * v + (1 - dampening) * g and g includes weight_decay *
    p; the first v is g.

    `nesterov` steps by g + momentum * v instead of v; `maximize` goes uphill. `foreach` and `fused`
    are accepted for PyTorch's sake: there is one way, which is fused. With `differentiable` a step
    is recorded, and gradients flow through it.
    Raises: ValueError for negative options, or nesterov without momentum or with dampening.
    Source: Sutskever et al., "On the importance of initialization and momentum" (2013).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        require_not_negative("SGD", lr=lr, momentum=momentum, weight_decay=weight_decay)
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
        if fused:
            require_one_way("SGD", defaults)

    def update(self, group: Group, parameters: list[Tensor]) -> None:
        numbers = _numbers(group)
        going = group["maximize"], group["nesterov"], False, numbers
        starting = group["maximize"], group["nesterov"], True, numbers
        steps = []
        for p in parameters:
            state: dict[str, Any] = {}
            names: list[str] = []
            given = going
            if group["momentum"]:
                state, names = self.state[p], ["momentum_buffer"]
                if state.get("momentum_buffer") is None:
                    state["momentum_buffer"] = empty_like(p)
                    given = starting
            if group["differentiable"]:
                run_recorded(_rule, given, p, state, names)
            else:
                arrays = [p._array, p._grad._array]  # type: ignore[union-attr]
                steps.append((given, p, arrays + [state[name]._array for name in names]))
        run_rules(_rule, steps)


def _numbers(group: Group) -> tuple[Any, ...]:
    """The learning rate, the weight decay and the momentum or None, and the share of g in v."""
    decay = number(group, "weight_decay") or None
    return number(group, "lr"), decay, group["momentum"] or None, 1 - group["dampening"]


def _rule(
    uphill: bool, nesterov: bool, first: bool, numbers: Any, xp: Any, p: Any, g: Any, v: Any = None
) -> None:
    lr, decay, momentum, share = numbers
    if uphill:
        g = -g
    if decay is not None:
        g = g + p * decay
    if momentum is not None:
        if first:
            v[...] = g
        else:
            v *= momentum
            v += g * share
        g = g + v * momentum if nesterov else v
    p -= g * lr
