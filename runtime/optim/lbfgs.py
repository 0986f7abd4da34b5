"""L-BFGS: quasi-Newton steps from the last few changes of the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd.grad_mode import no_grad
from ..core.creation import zeros
from ..core.tensor import Tensor
from ..ops.complex_numbers import view_as_real
from ..ops.joins import cat
from .line_search import Point, strong_wolfe
from .optimizer import Optimizer, ParamsT
from .options import require_not_negative

SMALLEST_CURVATURE = 1e-10
"""Changes whose y . s is not above it are left out: they would spoil the positive definiteness."""


class LBFGS(Optimizer):
    """p <- p + t d, where d = -H g with the inverse Hessian H that the last `history_size` changes
    of p and g suggest.

    A step makes up to `max_iter` such moves, evaluating its closure up to `max_eval` (max_iter *
    1.25) times; it ends when no gradient element exceeds `tolerance_grad`, or loss or parameters
    change by less than `tolerance_change`. t is `lr`, or is found by `line_search_fn`
    "strong_wolfe". All parameters are one group; complex ones count as pairs of real ones.
    Raises: ValueError for a negative lr or more than one group; RuntimeError at the step for
    another line_search_fn; TypeError without a closure.
    Source: Nocedal and Wright, "Numerical Optimization" (2006), algorithms 7.4 and 7.5.

    Example:
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = loss_function(model(inputs), targets)
        ...     loss.backward()
        ...     return loss
        >>> optimizer.step(closure)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        require_not_negative("LBFGS", lr=lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError(
                f"LBFGS: expected one group of parameters. Got {len(self.param_groups)}."
            )

    @no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:
        """Move up to `max_iter` times; returns the first loss that `closure` gave."""
        group = self.param_groups[0]
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = self._evaluated(closure)
        state["func_evals"] += 1
        loss, g = float(first_loss), self._gradient()
        if g.abs().max() <= group["tolerance_grad"]:
            return first_loss
        evaluations = 1
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            d = state["d"] = _direction(state, g, group["history_size"])
            state["prev_flat_grad"], state["prev_loss"] = g.clone(), loss
            state["t"] = t = _first_step(g, group["lr"]) if state["n_iter"] == 1 else group["lr"]
            slope = g.dot(d)
            if slope > -group["tolerance_change"]:
                break
            is_last = iteration == group["max_iter"]
            origin, left = Point(0, loss, g, slope), group["max_eval"] - evaluations
            loss, g, t, count = self._move(closure, origin, t, d, left, is_last)
            state["t"] = t
            evaluations += count
            state["func_evals"] += count
            if is_last or evaluations >= group["max_eval"]:
                break
            if g.abs().max() <= group["tolerance_grad"]:
                break
            moved, changed = d.mul(t).abs().max(), abs(loss - state["prev_loss"])
            if moved <= group["tolerance_change"] or changed < group["tolerance_change"]:
                break
        return first_loss

    def _move(
        self, closure: Any, origin: Point, t: Any, d: Tensor, left: int, is_last: bool
    ) -> tuple[float, Tensor, Any, int]:
        """Change the parameters along `d`; the loss and gradient there, the step, and how often the
        closure ran. A fixed step that is the last one needs no loss."""
        kind = self.param_groups[0]["line_search_fn"]
        if kind is None:
            self._add(d, t)
            if is_last:
                return origin.loss, origin.gradient, t, 0
            return float(self._evaluated(closure)), self._gradient(), t, 1
        if kind != "strong_wolfe":
            raise RuntimeError(
                f"LBFGS: expected line_search_fn 'strong_wolfe' or None. Got {kind!r}."
            )
        parameters = self.param_groups[0]["params"]
        start = [p.clone() for p in parameters]

        def evaluate(t: Any) -> Point:
            self._add(d, t)
            loss, g = float(self._evaluated(closure)), self._gradient()
            for p, value in zip(parameters, start, strict=True):
                p.copy_(value)
            return Point(t, loss, g, g.dot(d))

        point, count = strong_wolfe(evaluate, t, origin, d.abs().max(), left)
        self._add(d, point.t)
        return point.loss, point.gradient, point.t, count

    def _gradient(self) -> Tensor:
        """All gradients as one real vector."""
        parts = []
        for p in self.param_groups[0]["params"]:
            g = zeros(tuple(p.shape), dtype=p.dtype, device=p.device) if p.grad is None else p.grad
            parts.append((view_as_real(g) if g.is_complex() else g).reshape(-1))
        return cat(parts)

    def _add(self, direction: Tensor, t: Any) -> None:
        """p <- p + t * (its part of the direction) for all parameters."""
        start = 0
        for p in self.param_groups[0]["params"]:
            real = view_as_real(p) if p.is_complex() else p
            part = direction[start : start + real.numel()].reshape(real.shape)
            real.add_(part, alpha=float(t))
            start += real.numel()


def _first_step(g: Tensor, lr: Any) -> Any:
    """Before any curvature is known, the gradient's length is no measure of a step."""
    return min(1.0, 1.0 / g.abs().sum()) * lr


def _direction(state: dict[str, Any], g: Tensor, history_size: int) -> Tensor:
    """-H g, after the last change of the gradient was noted."""
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
        return -g
    _note_change(state, g, history_size)
    changes, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
    weights = state.setdefault("al", [None] * history_size)
    q = -g
    for k in reversed(range(len(changes))):
        weights[k] = steps[k].dot(q) * ro[k]
        q.sub_(changes[k], alpha=float(weights[k]))
    d = q * state["H_diag"]
    for k in range(len(changes)):
        d.add_(steps[k], alpha=float(weights[k] - changes[k].dot(d) * ro[k]))
    return d


def _note_change(state: dict[str, Any], g: Tensor, history_size: int) -> None:
    y = g - state["prev_flat_grad"]
    s = state["d"] * state["t"]
    ys = y.dot(s)
    if not ys > SMALLEST_CURVATURE:
        return
    if len(state["old_dirs"]) == history_size:
        for name in ("old_dirs", "old_stps", "ro"):
            del state[name][0]
    state["old_dirs"].append(y)
    state["old_stps"].append(s)
    state["ro"].append(1.0 / ys)
    state["H_diag"] = ys / y.dot(y)
