"""Layers under the names of PyTorch's library of kernels, with the statistics that they keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.tensor import Tensor
from . import normalization
from .normalization import group_norm, layer_norm
from .padding import pad as padded
from .reductions import mean, var
from .resampling import grid_sample
from .views import reshape

__all__ = [
    "_native_batch_norm_legit", "batch_norm", "constant_pad_nd", "grid_sampler",
    "grid_sampler_2d", "grid_sampler_3d", "instance_norm", "native_batch_norm",
    "native_group_norm", "native_layer_norm",
]  # fmt: skip

INTERPOLATIONS = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")


def constant_pad_nd(input: Tensor, pad: Sequence[int], value: Any = 0) -> Tensor:
    """`nn.functional.pad` with a constant."""
    return padded(input, pad, "constant", value)


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    """`nn.functional.batch_norm` with its arguments in the kernel's order."""
    running = running_mean, running_var
    return normalization.batch_norm(input, *running, weight, bias, training, momentum, eps)


def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    """`nn.functional.instance_norm` with its arguments in the kernel's order."""
    running = running_mean, running_var
    how = weight, bias, use_input_stats, momentum, eps
    return normalization.instance_norm(input, *running, *how)


def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """`nn.functional.grid_sample` with its modes as numbers."""
    return grid_sample(
        input, grid, INTERPOLATIONS[interpolation_mode], PADDINGS[padding_mode], align_corners
    )


grid_sampler_2d = grid_sampler_3d = grid_sampler


def _statistics(input: Tensor, dims: list[int], eps: float) -> tuple[Tensor, Tensor]:
    """Mean and 1 / sqrt(variance + eps) over `dims`, which stay with one element."""
    spread = var(input, dims, correction=0, keepdim=True)
    return mean(input, dims, keepdim=True), (spread + eps).rsqrt()


def native_layer_norm(
    input: Tensor, normalized_shape: Any, weight: Any, bias: Any, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`layer_norm`, and the mean and reciprocal deviation of each sample."""
    dims = list(range(input.ndim - len(tuple(normalized_shape)), input.ndim))
    centre, scale = _statistics(input.detach(), dims, eps)
    return layer_norm(input, normalized_shape, weight, bias, eps), centre, scale


def native_group_norm(
    input: Tensor, weight: Any, bias: Any, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`group_norm`, and the mean and reciprocal deviation (N, groups) of each group."""
    centre, scale = _statistics(reshape(input, N, group, C // group * HxW), [2], eps)
    return group_norm(input, group, weight, bias, eps), centre.squeeze(2), scale.squeeze(2)


def native_batch_norm(
    input: Tensor,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """`batch_norm`, and the mean and reciprocal deviation of each channel that it used; empty
    unless `training`."""
    out = batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)
    if not training:
        return out, input.new_zeros((0,)), input.new_zeros((0,))
    dims = [k for k in range(input.ndim) if k != 1]
    centre, scale = _statistics(input.detach(), dims, eps)
    return out, reshape(centre, -1), reshape(scale, -1)


_native_batch_norm_legit = native_batch_norm
