"""Resilient propagation."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from .elementwise import Elementwise
from .optimizer import Group, ParamsT
from .options import require_not_negative


class Rprop(Elementwise):
    """p <- p - s * sign(g), with a step size s for each element, from lr on.

    `etas` (down, up): s grows by `up` while the sign of g stays and shrinks by `down` when it
    changes; then this step is left out. `step_sizes` are the least and the largest s. `foreach` and
    `capturable` are accepted: there is one way.
    Raises: ValueError for a negative lr, or unless 0 < down < 1 < up.
    Source: Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning"
    (1993); without weight backtracking, Igel and Hüsken (2000), Rprop-.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        require_not_negative("Rprop", lr=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Rprop: expected etas (down, up) with 0 < down < 1 < up. Got {etas}.")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def state_arrays(self, group: Group) -> dict[str, float]:
        return {"prev": 0.0, "step_size": float(group["lr"])}

    def numbers(self, group: Group, state: dict[str, Any], t: float) -> tuple[Any, ...]:
        return *group["etas"], *group["step_sizes"]

    def rule(self, numbers: tuple[Any, ...], xp: Any, p: Any, g: Any, *state: Any) -> None:
        down, up, least, largest = numbers
        previous, size = state
        agreement = xp.sign(g * previous)
        turned = agreement < 0
        factor = agreement * 0 + 1
        factor[agreement > 0] = up
        factor[turned] = down
        size *= factor
        xp.clip(size, least, largest, out=size)
        kept = g * 1
        kept[turned] = 0
        p -= xp.sign(kept) * size
        previous[...] = kept
