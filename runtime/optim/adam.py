"""Adam and AdamW."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.creation import scalar_tensor
from ..core.tensor import Tensor, wrap
from .optimizer import Group, Optimizer, require_valid

BLOCK = 65_536
"""Elements updated at a time: parameter, gradient, both moments and scratch stay in the L2
cache."""


class Adam(Optimizer):
    """p <- p - lr * m^ / (sqrt(v^) + eps), with moments m, v of the gradient and their corrections.

    m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g**2, m^ = m / (1 - beta1**t), same v^;
    `amsgrad` uses the largest v so far. `weight_decay` is added to the gradient, or, `decoupled`,
    shrinks the parameter. `foreach`, `fused`, `capturable` and `differentiable` are accepted:
    there is one way. Source: arXiv:1412.6980, algorithm 1; amsgrad: arXiv:1904.09237.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
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
        checked = [("lr", lr), ("betas", betas), ("eps", eps), ("weight_decay", weight_decay)]
        require_valid(type(self).__name__, checked)
        defaults = {
            "lr": lr,
            "betas": betas,
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
        super().__init__(params, defaults)

    def update(self, group: Group, parameters: list[Tensor]) -> None:
        for p in parameters:
            state = self.state[p] or self._started(group, p)
            state["step"] += 1
            _step(group, p, state, float(state["step"]))

    def _started(self, group: Group, p: Tensor) -> dict[str, Any]:
        """The state before the first step, in PyTorch's names."""
        xp = p._key.backend.xp
        state = self.state[p]
        state["step"] = scalar_tensor(0.0)
        names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * bool(group["amsgrad"])
        state.update({n: wrap(xp.zeros_like(p._array), p._key) for n in names})
        return state


class AdamW(Adam):
    """Adam with decoupled weight decay: p <- p - lr * weight_decay * p before the step.

    Source: arXiv:1711.05101, algorithm 2.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, decoupled_weight_decay=True, **options
        )


def _step(group: Group, p: Tensor, state: dict[str, Any], t: float) -> None:
    """One step of one parameter, block by block where its memory allows."""
    arrays = [p._array, p._grad._array, state["exp_avg"]._array, state["exp_avg_sq"]._array]  # type: ignore[union-attr]
    if group["amsgrad"]:
        arrays.append(state["max_exp_avg_sq"]._array)
    xp = p._key.backend.xp
    size = arrays[0].size
    if xp is np and size > BLOCK and all(a.flags.c_contiguous for a in arrays):
        flat = [a.reshape(-1) for a in arrays]
        for start in range(0, size, BLOCK):
            _step_block(group, t, xp, *[a[start : start + BLOCK] for a in flat])
    else:
        _step_block(group, t, xp, *arrays)


def _step_block(
    group: Group, t: float, xp: Any, p: Any, g: Any, m: Any, v: Any, largest: Any = None
) -> None:
    beta1, beta2 = group["betas"]
    lr, decay = float(group["lr"]), group["weight_decay"]
    if group["maximize"]:
        g = -g
    if decay and group["decoupled_weight_decay"]:
        p *= 1 - lr * decay
    elif decay:
        g = g + decay * p
    m += (g - m) * (1 - beta1)
    v *= beta2
    v += g * g * (1 - beta2)
    if largest is not None:
        xp.maximum(largest, v, out=largest)
        v = largest
    scale = xp.sqrt(v)
    scale /= math.sqrt(1 - beta2**t)
    scale += group["eps"]
    xp.divide(m, scale, scale)
    scale *= lr / (1 - beta1**t)
    p -= scale
