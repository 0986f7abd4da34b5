"""Normalization of each channel of each sample."""

from __future__ import annotations

from typing import Any

from ...core.tensor import Tensor
from ...errors import ShapeError
from ...ops.normalization import instance_norm
from .batchnorm import _LazyNormBase, _NormBase

__all__ = [
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
]


class _InstanceNorm(_NormBase):
    """What instance normalization of every rank shares."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """(N, num_features, ...) -> the same shape; N may be left out."""
        channels, rank = self.ranks
        if input.ndim not in (channels, rank):
            raise ValueError(
                f"{type(self).__name__}: expected input with {channels} or {rank} dimensions. Got "
                f"shape {tuple(input.shape)}."
            )
        weight, bias = self._weight_and_bias()
        batch = input if input.ndim == rank else input.unsqueeze(0)
        if batch.shape[1] != self.num_features and weight is not None:
            raise ShapeError(
                f"{type(self).__name__}: expected {self.num_features} channels. Got shape "
                f"{tuple(input.shape)}."
            )
        mean, var = self.running_mean, self.running_var
        out = instance_norm(
            batch, mean, var, weight, bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum, self.eps,
        )  # fmt: skip
        return out if input.ndim == rank else out.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """`InstanceNorm2d` for (N, C, L) and (C, L)."""

    ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """(input - mean) / sqrt(var + eps), times weight plus bias if `affine`, for each channel of
    each sample of (N, C, H, W). With `track_running_stats` evaluation uses running statistics.
    Source: arXiv:1607.08022."""

    ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """`InstanceNorm2d` for (N, C, D, H, W) and (C, D, H, W)."""

    ranks = (4, 5)


class LazyInstanceNorm1d(_LazyNormBase, _InstanceNorm):
    """An `InstanceNorm1d` that takes num_features from its first input; unlike that, it has
    parameters and running statistics unless told otherwise."""

    cls_to_become = InstanceNorm1d
    ranks = InstanceNorm1d.ranks


class LazyInstanceNorm2d(_LazyNormBase, _InstanceNorm):
    """An `InstanceNorm2d` that takes num_features from its first input; see
    `LazyInstanceNorm1d`."""

    cls_to_become = InstanceNorm2d
    ranks = InstanceNorm2d.ranks


class LazyInstanceNorm3d(_LazyNormBase, _InstanceNorm):
    """An `InstanceNorm3d` that takes num_features from its first input; see
    `LazyInstanceNorm1d`."""

    cls_to_become = InstanceNorm3d
    ranks = InstanceNorm3d.ranks
