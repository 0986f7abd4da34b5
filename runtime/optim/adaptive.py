"""Optimizers that scale each element's step by the history of its gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.creation import scalar_tensor
from ..core.tensor import Tensor, wrap
from .optimizer import Group, Optimizer, require_valid

__all__ = ["Adadelta", "Adagrad", "Adamax", "NAdam", "RAdam", "RMSprop"]

BLOCK = 65_536
"""Elements updated at a time, as in `adam`."""


class _Elementwise(Optimizer):
    """What they share: state arrays in the parameter's shape, a step that goes element by element.

    Subclasses name their arrays and give `numbers(group, state)`, worked out once a step, and
    `step_block(group, numbers, xp, p, g, *arrays)`.
    """

    def __init__(self, params: Any, checked: list[tuple[str, Any]], **defaults: Any) -> None:
        require_valid(type(self).__name__, checked)
        flags = {"foreach": None, "maximize": False, "differentiable": False}
        super().__init__(params, {**flags, **defaults})

    def arrays(self, group: Group) -> list[str]:
        """Names of the state arrays, as PyTorch calls them."""
        raise NotImplementedError

    def numbers(self, group: Group, state: dict[str, Any]) -> Any:
        """What a step needs besides arrays: by default its number."""
        return float(state["step"])

    def step_block(self, group: Group, numbers: Any, xp: Any, p: Any, g: Any, *arrays: Any) -> None:
        """Change p and the arrays in place; g has the weight decay in it."""
        raise NotImplementedError

    def start(self, group: Group, p: Tensor) -> dict[str, Any]:
        """The state before the first step."""
        xp = p._key.backend.xp
        state = self.state[p]
        state["step"] = scalar_tensor(0.0)
        state.update({n: wrap(xp.zeros_like(p._array), p._key) for n in self.arrays(group)})
        return state

    def update(self, group: Group, parameters: list[Tensor]) -> None:
        for p in parameters:
            state = self.state[p] or self.start(group, p)
            state["step"] += 1
            numbers = self.numbers(group, state)
            arrays = [p._array, p._grad._array]  # type: ignore[union-attr]
            arrays += [state[name]._array for name in self.arrays(group)]
            xp = p._key.backend.xp
            size = arrays[0].size
            if xp is np and size > BLOCK and all(a.flags.c_contiguous for a in arrays):
                flat = [a.reshape(-1) for a in arrays]
                for start in range(0, size, BLOCK):
                    self._block(group, numbers, xp, *[a[start : start + BLOCK] for a in flat])
            else:
                self._block(group, numbers, xp, *arrays)

    def _block(self, group: Group, numbers: Any, xp: Any, p: Any, g: Any, *arrays: Any) -> None:
        if group["maximize"]:
            g = -g
        decay = group["weight_decay"]
        if decay and group.get("decoupled_weight_decay"):
            p *= 1 - float(group["lr"]) * decay
        elif decay:
            g = g + decay * p
        self.step_block(group, numbers, xp, p, g, *arrays)


class RMSprop(_Elementwise):
    """p <- p - lr * g / (sqrt(v) + eps), v <- alpha v + (1 - alpha) g**2; `centered` takes the
    square of the mean gradient off v; with `momentum` the quotients are summed up by it.

    Source: Hinton's lecture 6e, 2012; centered: arXiv:1308.0850, equations 38 to 45.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
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
        checked = [("lr", lr), ("eps", eps), ("weight_decay", weight_decay)]
        super().__init__(
            params, [*checked, ("momentum", momentum), ("alpha", alpha)], lr=lr, momentum=momentum,
            alpha=alpha, eps=eps, centered=centered, weight_decay=weight_decay,
            capturable=capturable, foreach=foreach, maximize=maximize,
            differentiable=differentiable,
        )  # fmt: skip

    def arrays(self, group: Group) -> list[str]:
        names = ["square_avg"]
        names += ["momentum_buffer"] * (group["momentum"] > 0)
        return names + ["grad_avg"] * bool(group["centered"])

    def step_block(self, group: Group, numbers: Any, xp: Any, p: Any, g: Any, *arrays: Any) -> None:
        square, *others = arrays
        alpha = group["alpha"]
        square *= alpha
        square += (1 - alpha) * g * g
        spread = square
        if group["centered"]:
            mean = others[-1]
            mean += (g - mean) * (1 - alpha)
            spread = square - mean * mean
        step = g / (xp.sqrt(spread) + group["eps"])
        if group["momentum"] > 0:
            buffer = others[0]
            buffer *= group["momentum"]
            buffer += step
            step = buffer
        p -= float(group["lr"]) * step


class Adagrad(_Elementwise):
    """p <- p - lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps), with s the sum of all g**2 from
    `initial_accumulator_value` on. Source: Duchi, Hazan and Singer, JMLR 12 (2011)."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
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
        checked = [("lr", lr), ("lr_decay", lr_decay), ("weight_decay", weight_decay), ("eps", eps)]
        checked.append(("initial_accumulator_value", initial_accumulator_value))
        super().__init__(
            params, checked, lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value, foreach=foreach,
            maximize=maximize, differentiable=differentiable, fused=fused,
        )  # fmt: skip
        for group in self.param_groups:
            for p in group["params"]:
                self.start(group, p)

    def arrays(self, group: Group) -> list[str]:
        return ["sum"]

    def start(self, group: Group, p: Tensor) -> dict[str, Any]:
        state = super().start(group, p)
        state["sum"]._array[...] = group["initial_accumulator_value"]
        return state

    def step_block(self, group: Group, numbers: Any, xp: Any, p: Any, g: Any, *arrays: Any) -> None:
        (total,) = arrays
        total += g * g
        lr = float(group["lr"]) / (1 + (numbers - 1) * group["lr_decay"])
        p -= lr * g / (xp.sqrt(total) + group["eps"])


class Adadelta(_Elementwise):
    """p <- p - lr * d, d = sqrt(u + eps) / sqrt(v + eps) * g, with running means v of g**2 and u of
    d**2 that keep `rho` of their past. Source: arXiv:1212.5701, algorithm 1."""

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Adadelta: expected rho from 0 to 1. Got {rho}.")
        super().__init__(
            params, [("lr", lr), ("eps", eps), ("weight_decay", weight_decay)], lr=lr, rho=rho,
            eps=eps, weight_decay=weight_decay, maximize=maximize, capturable=capturable,
            foreach=foreach, differentiable=differentiable,
        )  # fmt: skip

    def arrays(self, group: Group) -> list[str]:
        return ["square_avg", "acc_delta"]

    def step_block(self, group: Group, numbers: Any, xp: Any, p: Any, g: Any, *arrays: Any) -> None:
        square, moved = arrays
        rho, eps = group["rho"], group["eps"]
        square *= rho
        square += (1 - rho) * g * g
        delta = xp.sqrt(moved + eps) / xp.sqrt(square + eps) * g
        moved *= rho
        moved += (1 - rho) * delta * delta
        p -= float(group["lr"]) * delta


class _WithMoments(_Elementwise):
    """What the relatives of Adam share."""

    def __init__(
        self, params: Any, lr: float, betas: Any, eps: float, decay: float, **defaults: Any
    ) -> None:
        checked = [("lr", lr), ("betas", betas), ("eps", eps), ("weight_decay", decay)]
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": decay}
        super().__init__(params, checked, **options, **defaults)

    def arrays(self, group: Group) -> list[str]:
        return ["exp_avg", "exp_avg_sq"]


class Adamax(_WithMoments):
    """Adam with the largest gradient, decayed, in place of the second moment.
    Source: arXiv:1412.6980, algorithm 2."""

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, foreach=foreach, maximize=maximize,
            differentiable=differentiable, capturable=capturable,
        )  # fmt: skip

    def arrays(self, group: Group) -> list[str]:
        return ["exp_avg", "exp_inf"]

    def step_block(self, group: Group, numbers: Any, xp: Any, p: Any, g: Any, *arrays: Any) -> None:
        mean, largest = arrays
        beta1, beta2 = group["betas"]
        mean += (g - mean) * (1 - beta1)
        largest *= beta2
        xp.maximum(largest, xp.absolute(g) + group["eps"], out=largest)
        p -= float(group["lr"]) / (1 - beta1**numbers) * mean / largest


class NAdam(_WithMoments):
    """Adam with Nesterov's momentum, whose strength grows by `momentum_decay`.
    Source: Dozat, "Incorporating Nesterov momentum into Adam" (2016)."""

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
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
        super().__init__(
            params, lr, betas, eps, weight_decay, momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay, maximize=maximize, foreach=foreach,
            capturable=capturable, differentiable=differentiable,
        )  # fmt: skip

    def start(self, group: Group, p: Tensor) -> dict[str, Any]:
        state = super().start(group, p)
        moments = [(name, state.pop(name)) for name in self.arrays(group)]
        state["mu_product"] = scalar_tensor(1.0)
        state.update(moments)
        return state

    def numbers(self, group: Group, state: dict[str, Any]) -> Any:
        t, beta1 = float(state["step"]), group["betas"][0]
        now, after = (beta1 * (1 - 0.5 * 0.96 ** (k * group["momentum_decay"])) for k in (t, t + 1))
        state["mu_product"] *= now
        return t, now, after, float(state["mu_product"])

    def step_block(self, group: Group, numbers: Any, xp: Any, p: Any, g: Any, *arrays: Any) -> None:
        mean, square = arrays
        t, now, after, product = numbers
        beta1, beta2 = group["betas"]
        mean += (g - mean) * (1 - beta1)
        square *= beta2
        square += (1 - beta2) * g * g
        scale = xp.sqrt(square / (1 - beta2**t)) + group["eps"]
        lr = float(group["lr"])
        p -= lr * (1 - now) / (1 - product) * g / scale
        p -= lr * after / (1 - product * after) * mean / scale


class RAdam(_WithMoments):
    """Adam without its second moment until that has settled, and then with its variance
    rectified. Source: arXiv:1908.03265, algorithm 2."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
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
        super().__init__(
            params, lr, betas, eps, weight_decay, maximize=maximize, foreach=foreach,
            capturable=capturable, decoupled_weight_decay=decoupled_weight_decay,
            differentiable=differentiable,
        )  # fmt: skip

    def step_block(self, group: Group, numbers: Any, xp: Any, p: Any, g: Any, *arrays: Any) -> None:
        mean, square = arrays
        beta1, beta2 = group["betas"]
        mean += (g - mean) * (1 - beta1)
        square *= beta2
        square += (1 - beta2) * g * g
        correction = 1 - beta2**numbers
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * numbers * beta2**numbers / correction
        step = float(group["lr"]) / (1 - beta1**numbers) * mean
        if length > 5:
            rectified = (length - 4) * (length - 2) * longest
            rectified /= (longest - 4) * (longest - 2) * length
            step *= math.sqrt(rectified) * math.sqrt(correction) / (xp.sqrt(square) + group["eps"])
        p -= step
