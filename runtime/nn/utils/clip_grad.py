"""Clipping of gradients, by their common norm or by value."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...autograd.grad_mode import no_grad
from ...backends.cpu import loops
from ...backends.cuda import gradients as launches
from ...backends.cuda import norms
from ...core import deferral
from ...core.callsite import count_write
from ...core.creation import tensor as _tensor
from ...core.dtypes import float32, float64
from ...core.tensor import Tensor, wrap
from ...ops.joins import stack
from ...ops.reductions import norm

Tensors = Tensor | Iterable[Tensor]

WORTH_A_LOOP = 2048
"""Elements of all gradients together, from which on one loop over them pays."""


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
    if norm_type in norms.KINDS and (arrays := launches.together(found)):
        total = wrap(norms.total_norm(arrays, float(norm_type)), found[0]._key)
    elif norm_type == 2.0 and (arrays := _looped(found)):
        from ...backends.cpu.loops import steps

        total = found[0].new_tensor(math.sqrt(steps.sum_of_squares(arrays)))
    else:
        total = _norm_of_norms(found, norm_type, place)
    _require_finite(total, norm_type, error_if_nonfinite)
    return total


def _require_finite(total: Tensor, norm_type: float, required: bool) -> None:
    if required and not math.isfinite(total.item()):
        raise RuntimeError(
            f"Expected a finite norm of order {norm_type}. Got {total.item()}. Look for the "
            "parameter with NaN or infinite gradients (%%trace shows it), or pass "
            "error_if_nonfinite=False."
        )


def _norm_over_processes(parameters: list[Tensor], norm_type: float) -> Tensor:
    """The norm of all gradients, where each process has a part of some."""
    from ...distributed.fsdp.norms import joined_norm

    shared: dict[Any, list[Tensor]] = {}
    for parameter in parameters:  # a part that is empty has a gradient, too, in the others
        shared.setdefault(getattr(parameter, "shard_group", None), []).append(parameter)
    norms = {g: get_total_norm(_gradients(ps), norm_type) for g, ps in shared.items()}
    return joined_norm(norms, norm_type)


def _norm_of_norms(tensors: list[Tensor], norm_type: float, place: Any) -> Tensor:
    return norm(stack([norm(g, norm_type).to(place) for g in tensors]), norm_type)


def _looped(tensors: list[Tensor]) -> list[Any] | None:
    """The arrays of the tensors, if one loop over all of them can be had and pays."""
    first = tensors[0]._key
    arrays = [g._array for g in tensors]
    fit = (
        first.array_class is np.ndarray
        and first.dtype in (float32, float64)
        and all(g._key is first and g._array.flags.c_contiguous for g in tensors)
        and sum([a.size for a in arrays]) >= WORTH_A_LOOP
        and loops.is_available()
    )
    return arrays if fit else None


def _scale(factor: Any, xp: Any, g: Any) -> None:
    """The rule of a loop: g times a number."""
    g *= factor


@no_grad()
def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale all gradients by max_norm / total_norm where that is below 1."""
    deferral.settle("gradients were clipped")
    gradients = _gradients(parameters)
    factor = (max_norm / (total_norm + 1e-6)).clamp(max=1.0)
    if gradients and factor.numel() == 1 and (arrays := launches.together(gradients)):
        # The factor is known on the GPU alone, which nobody waits for.
        launches.scale(arrays, factor.to(gradients[0].device)._array)
        for g in gradients:
            count_write(g._writes, "clip_grad_norm_")
        return
    if gradients and factor.numel() == 1 and (arrays := _looped(gradients)):
        from ...backends.cpu.loops import steps

        steps.run(_scale, (factor.item(),), [[a] for a in arrays])
        for g in gradients:
            count_write(g._writes, "clip_grad_norm_")
        return
    for g in gradients:
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
    if any(getattr(p, "shard_group", None) is not None for p in held):
        total = _norm_over_processes(held, norm_type)
        _require_finite(total, norm_type, error_if_nonfinite)
    else:
        total = get_total_norm(_gradients(held), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(held, max_norm, total)
    return total


@no_grad()
def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Limit each element of the gradients to [-clip_value, clip_value]."""
    deferral.settle("gradients were clipped")
    gradients = _gradients(parameters)
    if gradients and (arrays := launches.together(gradients)):
        launches.limit(arrays, -clip_value, clip_value)
        for g in gradients:
            count_write(g._writes, "clip_grad_value_")
        return
    for g in gradients:
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
