"""Muon: momentum, orthogonalized by Newton and Schulz's iteration."""

from __future__ import annotations

from ..autograd.grad_mode import no_grad
from ..core.creation import zeros_like
from ..core.tensor import Tensor
from ..ops.reductions import norm
from .optimizer import Group, Optimizer, ParamsT
from .options import require_not_negative

COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""Of the polynomial a x + b x**3 + c x**5, chosen for its slope at 0.
Source: Jordan, https://kellerjordan.github.io/posts/muon/."""

MOST_STEPS = 100

ADJUSTMENTS = ("original", "match_rms_adamw")


class Muon(Optimizer):
    """p <- (1 - lr * weight_decay) p - c lr O, where O is a nearly orthogonal matrix close to the
    momentum b <- momentum b + (1 - momentum) g (with `nesterov`: momentum b + (1 - momentum) g).

    O comes from `ns_steps` of X <- a X + (b X X^T + c (X X^T)**2) X in bfloat16, from the momentum
    over its norm on. `adjust_lr_fn` gives c for an (n, m) matrix: "original" (or None) sqrt(max(1,
    n / m)), "match_rms_adamw" 0.2 sqrt(max(n, m)). Parameters are matrices of hidden layers; leave
    biases, embeddings and heads to AdamW.
    Raises: ValueError for negative options, an unknown adjust_lr_fn or parameters that are not
    two-dimensional; RuntimeError at the step for complex ones.
    Source: Jordan, https://kellerjordan.github.io/posts/muon/; match_rms_adamw: arXiv:2502.16982.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        require_not_negative("Muon", lr=lr, momentum=momentum, weight_decay=weight_decay)
        if adjust_lr_fn not in (None, *ADJUSTMENTS):
            raise ValueError(
                f"Muon: expected adjust_lr_fn None or one of {ADJUSTMENTS}. Got {adjust_lr_fn!r}."
            )
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for p in (p for group in self.param_groups for p in group["params"]):
            if p.ndim != 2:
                raise ValueError(
                    f"Muon: expected matrices. Got a parameter of shape {tuple(p.shape)}. Give "
                    "those to another optimizer, such as AdamW."
                )

    @no_grad()
    def update(self, group: Group, parameters: list[Tensor]) -> None:
        lr, momentum = float(group["lr"]), group["momentum"]
        for p in parameters:
            if p.is_complex():
                raise RuntimeError(
                    f"Muon: expected real parameters. Got {p.dtype}. Use Adam for those."
                )
            state, g = self.state[p], p.grad
            assert g is not None  # so it was chosen
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = zeros_like(g)
            buffer = state["momentum_buffer"].lerp_(g, 1 - momentum)
            direction = g.lerp(buffer, momentum) if group["nesterov"] else buffer
            direction = orthogonalized(
                direction, group["ns_coefficients"], group["ns_steps"], group["eps"]
            )
            p.mul_(1 - lr * group["weight_decay"])
            p.sub_(direction, alpha=lr * _adjustment(group["adjust_lr_fn"], p))


def orthogonalized(
    matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """A matrix with the singular vectors of `matrix` and singular values around 1, in bfloat16.

    Raises: ValueError for 100 steps and more, or unless there are three coefficients.
    """
    if steps >= MOST_STEPS:
        raise ValueError(f"Muon: expected ns_steps below {MOST_STEPS}. Got {steps}.")
    if len(coefficients) != 3:
        raise ValueError(f"Muon: expected three ns_coefficients. Got {len(coefficients)}.")
    a, b, c = coefficients
    x = _rounded(matrix)
    is_tall = matrix.shape[0] > matrix.shape[1]
    if is_tall:  # the smaller product of the two
        x = x.T
    x = _rounded(x / _rounded(norm(x)).clamp(min=eps))
    for _ in range(steps):
        gram = _rounded(x @ x.T)
        x = _rounded(a * x + _rounded(b * gram + c * (gram @ gram)) @ x)
    return (x.T if is_tall else x).bfloat16()


def _rounded(x: Tensor) -> Tensor:
    """Values of bfloat16 in float32, so that products and the sums with them are rounded once, as
    bfloat16 hardware does."""
    return x.bfloat16().float()


def _adjustment(kind: str | None, p: Tensor) -> float:
    rows, columns = p.shape
    if kind == "match_rms_adamw":
        return 0.2 * max(rows, columns) ** 0.5
    return max(1, rows / columns) ** 0.5
