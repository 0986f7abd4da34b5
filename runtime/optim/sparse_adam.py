"""Adam for sparse gradients: rows without a gradient keep their moments and values."""

from __future__ import annotations

import math
from typing import Any

from ..core.sparse_arrays import SparseArray, module_of
from ..core.tensor import Tensor, wrap
from .optimizer import Group, Optimizer


class SparseAdam(Optimizer):
    """Adam in the rows that have a gradient: m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g**2,
    p <- p - lr sqrt(1 - b2**t) / (1 - b1**t) * m / (sqrt(v) + eps).

    The moments of other rows do not decay; t counts all steps. For `Embedding(sparse=True)`.
    Raises: ValueError for options out of range or sparse parameters; RuntimeError, in `step`, for a
    dense gradient. Source: arXiv:1412.6980, algorithm 1, with its remark on the order of factors.
    """

    takes_sparse_gradients = True

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        for name, value in (("lr", lr), ("eps", eps)):
            if not float(value) > 0:
                raise ValueError(f"SparseAdam: expected {name} above 0. Got {value}.")
        if any(not 0 <= beta < 1 for beta in betas):
            raise ValueError(f"SparseAdam: expected betas from 0 to below 1. Got {betas}.")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        sparse = [k for k, p in enumerate(self._parameters()) if p.is_sparse]
        if sparse:
            raise ValueError(
                f"SparseAdam: expected dense parameters, whose gradients are sparse. Got sparse "
                f"parameters at {sparse}."
            )

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def update(self, group: Group, parameters: list[Tensor]) -> None:
        for p in parameters:
            g = p._grad._array  # type: ignore[union-attr]
            if g.__class__ is not SparseArray:
                raise RuntimeError(
                    "SparseAdam: expected sparse gradients. Got a dense one for a parameter of "
                    f"shape {tuple(p.shape)}. Use Adam."
                )
            with p._key.guard:
                self._step_rows(group, p, g.coalesced())

    def _step_rows(self, group: Group, p: Tensor, g: SparseArray) -> None:
        state = self.state[p]
        xp = module_of(p._array)
        if not state:
            state["step"] = 0
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = wrap(xp.zeros_like(p._array), p._key)
        state["step"] += 1
        if not g.nnz:
            return
        rows, values = tuple(g.indices), -g.values if group["maximize"] else g.values
        (beta1, beta2), t = group["betas"], state["step"]
        first, second = state["exp_avg"]._array, state["exp_avg_sq"]._array
        m, v = first[rows], second[rows]
        m += (values - m) * (1 - beta1)
        v += (values * values - v) * (1 - beta2)
        first[rows], second[rows] = m, v
        rate = float(group["lr"]) * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        p._array[rows] -= rate * (m / (xp.sqrt(v) + group["eps"]))
