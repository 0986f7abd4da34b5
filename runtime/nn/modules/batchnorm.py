"""Normalization over a batch, with running statistics."""

from __future__ import annotations

import sys
from typing import Any

from ...core import dtypes
from ...core.creation import empty, tensor
from ...core.tensor import Tensor
from ...ops.batch_norm import batch_norm
from .. import init
from ..parameter import Parameter, UninitializedBuffer, UninitializedParameter
from .lazy import LazyModuleMixin
from .module import Module

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "SyncBatchNorm",
]


class _NormBase(Module):
    """What batch and instance normalization of every rank share: parameters and statistics."""

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

    def _version_needs(self, name: str, version: int | None) -> bool:
        # State dicts of PyTorch before 0.4.1 have no counts; plain dicts do not say their version.
        return name != "num_batches_tracked" or (version is not None and version >= 2)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    """What batch normalization of every rank shares."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, num_features, ...) -> the same shape."""
        if input.ndim not in self.ranks:
            wanted = " or ".join(map(str, self.ranks))
            raise ValueError(
                f"{type(self).__name__}: expected input with {wanted} dimensions. Got shape "
                f"{tuple(input.shape)}."
            )
        weight, bias = self._weight_and_bias()
        mean, var = self.running_mean, self.running_var
        use_batch = self.training or mean is None
        return batch_norm(
            input,
            mean,
            var,
            weight,
            bias,
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


BATCH_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d)


class _LazyNormBase(LazyModuleMixin, _NormBase):
    """What lazy normalizations share: parameters and statistics of no shape."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, False, False, device, dtype)
        self.affine, self.track_running_stats = affine, track_running_stats
        place = {"device": device, "dtype": dtype}
        if affine:
            self.weight = UninitializedParameter(**place)
            if bias:
                self.bias = UninitializedParameter(**place)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(**place)
            self.running_var = UninitializedBuffer(**place)
            self.num_batches_tracked = tensor(0, dtype=dtypes.int64, device=device)

    def reset_parameters(self) -> None:
        """weight 1, bias 0, and no statistics, if they have shapes."""
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Take memory for the channels of `input`."""
        if not self.has_uninitialized_params():
            return
        self.num_features = input.shape[1]
        own: list[Any] = [*self._parameters.values(), self.running_mean, self.running_var]
        for member in own:
            if member is not None:
                member.materialize((self.num_features,))
        self.reset_parameters()


class LazyBatchNorm1d(_LazyNormBase, _BatchNorm):
    """A `BatchNorm1d` that takes num_features from its first input."""

    cls_to_become = BatchNorm1d
    ranks = BatchNorm1d.ranks


class LazyBatchNorm2d(_LazyNormBase, _BatchNorm):
    """A `BatchNorm2d` that takes num_features from its first input."""

    cls_to_become = BatchNorm2d
    ranks = BatchNorm2d.ranks


class LazyBatchNorm3d(_LazyNormBase, _BatchNorm):
    """A `BatchNorm3d` that takes num_features from its first input."""

    cls_to_become = BatchNorm3d
    ranks = BatchNorm3d.ranks


class SyncBatchNorm(_BatchNorm):
    """`BatchNorm2d` of any rank; in training with the statistics of all processes of the group,
    which all call it together. Where there is no group, or one process, it is `BatchNorm2d`."""

    ranks = tuple(range(2, 8))

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    def forward(self, input: Tensor) -> Tensor:
        """(N, num_features, ...) -> the same shape."""
        use_batch = self.training or self.running_mean is None
        group = _group_of(self.process_group) if use_batch and input.ndim in self.ranks else None
        if group is None:
            return super().forward(input)
        from ...distributed.batch_norm import SyncedBatchNorm

        mean, var = self.running_mean, self.running_var
        follows = self.training and mean is not None
        momentum = self._next_momentum() if follows else 0.0
        running = (mean, var) if follows else None
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        return SyncedBatchNorm.apply(input, weight, bias, running, momentum, self.eps, group)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """`module` with its batch normalizations replaced by this one, which takes over their
        parameters and statistics."""
        if isinstance(module, _BatchNorm) and type(module) in BATCH_NORMS:
            made = cls(
                module.num_features, module.eps, module.momentum, module.affine,
                module.track_running_stats, process_group,
            )  # fmt: skip
            made._parameters.update(module._parameters)
            made._buffers.update(module._buffers)
            made.training = module.training
            return made
        for name, child in list(module.named_children()):
            setattr(module, name, cls.convert_sync_batchnorm(child, process_group))
        return module


def _group_of(given: Any) -> Any:
    """The process group, if there is one of several processes."""
    distributed: Any = sys.modules.get("flambeau.distributed.group")
    if distributed is None or not (given is not None or distributed.is_initialized()):
        return None
    group = distributed.world(given)
    return group if group.size() > 1 else None
