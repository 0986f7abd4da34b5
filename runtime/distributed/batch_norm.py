"""Batch normalization over the batches of all processes."""

from __future__ import annotations

from typing import Any

from ..autograd.function import Function, once_differentiable
from ..core import dtypes
from ..core.creation import full
from ..core.tensor import Tensor
from ..ops.joins import cat
from .collectives import all_gather_into_tensor, all_reduce
from .process_group import ProcessGroup


def _column(vector: Tensor, ndim: int) -> Tensor:
    return vector.view((1, -1) + (1,) * (ndim - 2))


def _statistics(x: Tensor, group: ProcessGroup) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance, of shape (C,), and number of elements of each channel over all
    processes, from one message.

    Source: Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances, 1979, equations 2.1.
    """
    axes = (0, *range(2, x.ndim))
    channels = x.shape[1]
    count = x.numel() // max(1, channels)
    mean = x.mean(axes) if count else x.new_zeros(channels)
    spread = ((x - _column(mean, x.ndim)) ** 2).sum(axes)
    own = cat([mean, spread, full((1,), float(count), dtype=x.dtype, device=x.device)])
    everyone = x.new_empty(group.size(), own.numel())
    all_gather_into_tensor(everyone, own, group)
    means, spreads = everyone[:, :channels], everyone[:, channels:-1]
    counts = everyone[:, -1:]
    total = counts.sum()
    whole = (means * counts).sum(0) / total
    spread = spreads.sum(0) + (counts * (means - whole) ** 2).sum(0)
    return whole, spread / total, total


class SyncedBatchNorm(Function):
    """(input - mean) / sqrt(var + eps) * weight + bias with the statistics of all processes, which
    running ones follow. Two messages: statistics forward, sums of gradients backward."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running: tuple[Tensor, Tensor] | None,
        momentum: float,
        eps: float,
        group: ProcessGroup,
    ) -> Tensor:
        x = input.to(dtypes.float32) if input.dtype.itemsize < 4 else input
        mean, var, total = _statistics(x, group)
        if running is not None:
            unbiased = var * total / (total - 1).clamp(min=1)
            for kept, value in zip(running, (mean, unbiased), strict=True):
                kept.mul_(1 - momentum).add_(value.to(kept.dtype), alpha=momentum)
        scale = (var + eps).rsqrt()
        ctx.save_for_backward(input, weight, mean, scale, total)
        ctx.group = group
        out = (x - _column(mean, x.ndim)) * _column(scale, x.ndim)
        if weight is not None:
            out = out * _column(weight, x.ndim)
        if bias is not None:
            out = out + _column(bias, x.ndim)
        return out.to(input.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        input, weight, mean, scale, total = ctx.saved_tensors
        x, g = input.to(mean.dtype), g.to(mean.dtype)
        axes = (0, *range(2, x.ndim))
        normed = (x - _column(mean, x.ndim)) * _column(scale, x.ndim)
        sum_g, sum_gx = g.sum(axes), (g * normed).sum(axes)
        sums = cat([sum_g, sum_gx])
        all_reduce(sums, group=ctx.group)
        mean_g, mean_gx = (_column(s, x.ndim) for s in (sums / total).chunk(2))
        factor = scale if weight is None else scale * weight
        grad = _column(factor, x.ndim) * (g - mean_g - normed * mean_gx)
        needs = ctx.needs_input_grad
        return (
            grad.to(input.dtype) if needs[0] else None,
            sum_gx if needs[1] else None,
            sum_g if needs[2] else None,
            *[None] * 4,
        )
