"""Checks of the options that optimizers are made with."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor


class _Required:
    """The default of an option that each group must give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required: Any = _Required()


def require_not_negative(name: str, **options: Any) -> None:
    """Raises: ValueError for an option of the optimizer `name` that is below 0 or NaN, or a tensor
    with more than one element."""
    for option, value in options.items():
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(
                f"{name}: expected {option} as a number or a tensor with one element. Got a tensor "
                f"of shape {tuple(value.shape)}."
            )
        if not float(value) >= 0:
            raise ValueError(f"{name}: expected {option} not below 0. Got {float(value)}.")


def require_decays(name: str, betas: Any) -> tuple[Any, Any]:
    """`betas` as a pair of numbers or of 0-d tensors.

    Raises: ValueError unless they are two numbers or two tensors of one element, from 0 to below 1.
    """
    if len(betas) != 2 or isinstance(betas[0], Tensor) != isinstance(betas[1], Tensor):
        raise ValueError(f"{name}: expected betas as two numbers or two tensors. Got {betas}.")
    for beta in betas:
        if isinstance(beta, Tensor) and beta.numel() != 1:
            raise ValueError(
                f"{name}: expected tensors with one element as betas. Got shape "
                f"{tuple(beta.shape)}."
            )
        if not 0 <= float(beta) < 1:
            raise ValueError(f"{name}: expected betas from 0 to below 1. Got {float(beta)}.")
    first, second = (b.reshape(()) if isinstance(b, Tensor) else b for b in betas)
    return first, second


def require_one_way(name: str, options: dict[str, Any]) -> None:
    """Raises: RuntimeError for `fused` together with `foreach` or `differentiable`; ValueError for
    `foreach` with tensors as lr or betas, but for `capturable`: PyTorch has no such way."""
    if options.get("fused"):
        for other in ("differentiable", "foreach"):
            if options.get(other):
                raise RuntimeError(f"{name}: expected fused or {other}. Got both as True.")
    tensors = [options["lr"], *options.get("betas", ())]
    foreach = options.get("foreach") and not options.get("capturable")
    if foreach and any(isinstance(value, Tensor) for value in tensors):
        raise ValueError(
            f"{name}: expected numbers as lr and betas with foreach=True. Got a tensor. Leave "
            "foreach out, or pass capturable=True."
        )
