"""Normalization layers: over a batch, over a layer."""

from __future__ import annotations

from typing import Any

from ...core import dtypes
from ...core.creation import empty, tensor
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...ops.normalization import batch_norm, layer_norm
from .. import init
from ..parameter import Parameter
from .module import Module

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LayerNorm"]


class _BatchNorm(Module):
    """What batch normalization of every rank shares."""

    _version = 2
    ranks: tuple[int, ...]
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        place = {"device": device, "dtype": dtype}

        def vector() -> Tensor:
            return empty(num_features, **place)

        self.register_parameter("weight", Parameter(vector()) if affine else None)
        self.register_parameter("bias", Parameter(vector()) if affine and bias else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", vector() if tracked else None)
        self.register_buffer("running_var", vector() if tracked else None)
        count = tensor(0, dtype=dtypes.int64, device=device) if tracked else None
        self.register_buffer("num_batches_tracked", count)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget what was seen: mean 0, variance 1, no batches."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()  # type: ignore[union-attr]

    def reset_parameters(self) -> None:
        """weight 1, bias 0, and no statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, num_features, ...) -> the same shape."""
        if input.ndim not in self.ranks:
            wanted = " or ".join(map(str, self.ranks))
            raise ShapeError(
                f"{type(self).__name__}: expected input with {wanted} dimensions. Got shape "
                f"{tuple(input.shape)}."
            )
        own, buffers = self._parameters, self._buffers
        mean, var = buffers["running_mean"], buffers["running_var"]
        use_batch = self.training or mean is None
        return batch_norm(
            input,
            mean,
            var,
            own["weight"],
            own["bias"],
            use_batch,
            self._next_momentum() if self.training and mean is not None else 0.0,
            self.eps,
        )

    def _next_momentum(self) -> float:
        """Counts the batch; without a momentum the statistics are plain means of all batches."""
        count = self.num_batches_tracked
        if count is not None:
            count.add_(1)
        if self.momentum is not None:
            return self.momentum
        return 1.0 if count is None else 1.0 / count.item()

    def _version_needs(self, name: str) -> bool:
        return name != "num_batches_tracked"  # state dicts of PyTorch before 0.4.1 have none

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """`BatchNorm2d` for (N, C) and (N, C, L)."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """(input - mean) / sqrt(var + eps) * weight + bias for each channel of (N, C, H, W).

    In training the batch's mean and biased variance serve, and the running ones follow by
    `momentum` (None: plain means of all batches); in evaluation the running ones serve.
    Source: arXiv:1502.03167, algorithm 1.
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """`BatchNorm2d` for (N, C, D, H, W)."""

    ranks = (5,)


class LayerNorm(Module):
    """(input - mean) / sqrt(var + eps) * weight + bias over the last dimensions.

    input is (..., *normalized_shape); weight starts as 1, bias as 0. Source: arXiv:1607.06450.
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        single = isinstance(normalized_shape, int)
        self.normalized_shape = (normalized_shape,) if single else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        place = {"device": device, "dtype": dtype}
        for name, present in (("weight", True), ("bias", bias)):
            made = elementwise_affine and present
            parameter = Parameter(empty(self.normalized_shape, **place)) if made else None
            self.register_parameter(name, parameter)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(..., *normalized_shape) -> the same shape."""
        own = self._parameters
        return layer_norm(input, self.normalized_shape, own["weight"], own["bias"], self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )
