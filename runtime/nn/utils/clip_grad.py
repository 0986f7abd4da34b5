"""Clipping of gradients, by their common norm or by value."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable

from ...autograd.grad_mode import no_grad
from ...core.creation import tensor as _tensor
from ...core.tensor import Tensor
from ...ops.joins import stack
from ...ops.reductions import norm

Tensors = Tensor | Iterable[Tensor]


def _gradients(parameters: Tensors) -> list[Tensor]:
    found = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in found if p.grad is not None]


@no_grad()
def get_total_norm(
    tensors: Tensors,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of all `tensors` together, a 0-d tensor.

    Raises: RuntimeError for an infinite or NaN norm with `error_if_nonfinite`.
    """
    found = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not found:
        return _tensor(0.0)
    place = found[0].device
    parts = stack([norm(g, norm_type).to(place) for g in found])
    total = norm(parts, norm_type)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"Expected a finite norm of order {norm_type}. Got {total.item()}. Look for the "
            "parameter with NaN or infinite gradients (%%trace shows it), or pass "
            "error_if_nonfinite=False."
        )
    return total


@no_grad()
def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale all gradients by max_norm / total_norm where that is below 1."""
    factor = (max_norm / (total_norm + 1e-6)).clamp(max=1.0)
    for g in _gradients(parameters):
        g.mul_(factor.to(g.device, g.dtype))


@no_grad()
def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients together so that their common norm is at most `max_norm`.

    Returns the norm before, a 0-d tensor. Raises: RuntimeError for an infinite or NaN norm with
    `error_if_nonfinite`. Source: arXiv:1211.5063, section 3.2.
    """
    held = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_gradients(held), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(held, max_norm, total)
    return total


@no_grad()
def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Limit each element of the gradients to [-clip_value, clip_value]."""
    for g in _gradients(parameters):
        g.clamp_(min=-clip_value, max=clip_value)


def clip_grad_norm(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The older name of `clip_grad_norm_`, which is to be used instead, and warns so."""
    warnings.warn(
        "nn.utils.clip_grad_norm: use nn.utils.clip_grad_norm_.", FutureWarning, stacklevel=2
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)
