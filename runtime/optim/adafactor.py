"""Adafactor."""

from __future__ import annotations

from typing import Any

from ..autograd.grad_mode import no_grad
from ..core.creation import zeros
from ..core.limits import finfo
from ..core.tensor import Tensor
from ..ops.reductions import norm
from .elementwise import counter
from .optimizer import Group, Optimizer, ParamsT
from .options import require_not_negative


class Adafactor(Optimizer):
    """Adam without a first moment and, for matrices, with the second kept as row and column means:

    V = R C / mean(R), u = g / max(sqrt(V), eps1), p <- p - a u / max(1, rms(u) / d), with
    a = max(eps2, rms(p)) min(lr, 1 / sqrt(t)). The means keep 1 - t**beta2_decay of their past.

    R is (..., n, 1) and C (..., 1, m) for a gradient of (..., n, m); vectors keep all of V. `eps`
    is (eps1, eps2), where None stands for the dtype's epsilon. `weight_decay` is decoupled.
    `foreach` is accepted: there is one way.
    Raises: ValueError for negative options, beta2_decay above 0 or d below 1; RuntimeError at the
    step for complex parameters. Source: arXiv:1804.04235, algorithms 4 and 5.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        checked = {"eps[0]": 0.0 if eps[0] is None else eps[0], "eps[1]": eps[1]}
        require_not_negative("Adafactor", lr=lr, weight_decay=weight_decay, **checked)
        if not beta2_decay <= 0:
            raise ValueError(f"Adafactor: expected beta2_decay of at most 0. Got {beta2_decay}.")
        if not d >= 1:
            raise ValueError(f"Adafactor: expected a clipping threshold d from 1 on. Got {d}.")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    @no_grad()
    def update(self, group: Group, parameters: list[Tensor]) -> None:
        for p in parameters:
            if p.is_complex():
                raise RuntimeError(
                    f"Adafactor: expected real parameters. Got {p.dtype}. Use Adam for those."
                )
            assert p.grad is not None  # so it was chosen
            state = self.state[p] or self._start(p)
            state["step"] += 1
            _step(group, p, -p.grad if group["maximize"] else p.grad, state)

    def _start(self, p: Tensor) -> dict[str, Any]:
        state = self.state[p]
        state["step"] = counter()
        place: dict[str, Any] = {"dtype": p.dtype, "device": p.device}
        if p.ndim > 1:
            state["row_var"] = zeros((*p.shape[:-1], 1), **place)
            state["col_var"] = zeros((*p.shape[:-2], 1, p.shape[-1]), **place)
        else:
            state["variance"] = zeros(tuple(p.shape), **place)
        return state


def _step(group: Group, p: Tensor, g: Tensor, state: dict[str, Any]) -> None:
    eps1, eps2 = group["eps"]
    eps1 = finfo(p.dtype).eps if eps1 is None else eps1
    t, lr = state["step"].item(), float(group["lr"])
    size = max(eps2, _rms(p)) * min(lr, t**-0.5)
    if group["weight_decay"]:
        p.mul_(1 - lr * group["weight_decay"])
    variance = _variance(state, g, t ** group["beta2_decay"], eps1)
    update = variance.clamp(min=eps1 * eps1).rsqrt().mul_(g)
    p.sub_(update, alpha=size / max(1.0, _rms(update) / group["d"]))


def _variance(state: dict[str, Any], g: Tensor, weight: float, eps: float) -> Tensor:
    """The mean of g**2 as the state knows it, after g got its `weight` in it."""
    if g.ndim < 2:
        return state["variance"].lerp_(g * g, weight)
    rows, columns = state["row_var"], state["col_var"]
    rows.lerp_(norm(g, dim=-1, keepdim=True).square().div_(g.shape[-1]), weight)
    columns.lerp_(norm(g, dim=-2, keepdim=True).square().div_(g.shape[-2]), weight)
    return (rows @ columns).div_(rows.mean(dim=-2, keepdim=True).clamp(min=eps))


def _rms(x: Tensor) -> float:
    return norm(x).item() / x.numel() ** 0.5
