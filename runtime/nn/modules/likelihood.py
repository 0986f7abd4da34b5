"""Loss layers that are negative log likelihoods: of counts, Gaussian variables and sequences."""

from __future__ import annotations

import math
from typing import Any

from ...core.tensor import Tensor
from ...errors import ShapeError
from .. import functional as F
from .linear import Linear
from .loss import NLLLoss, _Loss, _WeightedLoss

__all__ = [
    "CTCLoss",
    "GaussianNLLLoss",
    "LinearCrossEntropyLoss",
    "NLLLoss2d",
    "PoissonNLLLoss",
]


class NLLLoss2d(NLLLoss):
    """`NLLLoss` under the name it once had for images."""


class PoissonNLLLoss(_Loss):
    """The negative logarithm of a Poisson variable's probability at target, of rate exp(input), or
    input unless `log_input`; `full` adds Stirling's approximation of the constant."""

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> a scalar, or their shape for reduction 'none'."""
        how: dict[str, Any] = {"log_input": self.log_input, "full": self.full, "eps": self.eps}
        return F.poisson_nll_loss(log_input, target, reduction=self.reduction, **how)


class GaussianNLLLoss(_Loss):
    """The negative logarithm of a Gaussian density at target, of mean input and variance var (at
    least eps); `full` adds the constant."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Tensor, target: Tensor, var: Any) -> Tensor:  # type: ignore[override]
        """Input and target of one shape, var of it or with a last size of 1 -> a scalar, or their
        shape for reduction 'none'."""
        how: dict[str, Any] = {"full": self.full, "eps": self.eps, "reduction": self.reduction}
        return F.gaussian_nll_loss(input, target, var, **how)


class CTCLoss(_Loss):
    """The negative log likelihood of label sequences that are not aligned with the input.
    Source: doi:10.1145/1143844.1143891."""

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(  # type: ignore[override]
        self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any
    ) -> Tensor:
        """log_probs (T, N, C), targets (N, S) or one after the other, lengths (N,) -> a scalar, or
        (N,) for reduction 'none'."""
        how = (self.blank, self.reduction, self.zero_infinity)
        return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, *how)


class LinearCrossEntropyLoss(_WeightedLoss):
    """The cross entropy of a linear map's results, which are the logits of `num_classes` classes,
    or of as many for each of `out_features` places.

    `linear` is a `Linear`, whose parameters start as its own do. The other arguments are
    `CrossEntropyLoss`'s. Raises: RuntimeError for a weight other than (num_classes,), or a
    label_smoothing outside [0, 1].
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: Any = None,
    ) -> None:
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise ShapeError(
                f"LinearCrossEntropyLoss: expected weight {(num_classes,)}. Got "
                f"{tuple(weight.shape)}."
            )
        if not 0 <= label_smoothing <= 1:
            raise ShapeError(
                "LinearCrossEntropyLoss: expected label_smoothing from 0 to 1. Got "
                f"{label_smoothing}."
            )
        super().__init__(weight, reduction=reduction)
        self.num_classes, self.out_features = num_classes, out_features
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing
        rows = math.prod(out_features, start=num_classes)
        self.linear = Linear(in_features, rows, bias=bias, device=device, dtype=dtype)
        self.options = options

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, in) and class numbers (N, *out_features), or probabilities (N, C, *out_features) -> a
        scalar, or (N, *out_features) for reduction 'none'."""
        sizes = (self.num_classes, *self.out_features)
        bias = self.linear.bias
        return F.linear_cross_entropy(
            input,
            self.linear.weight.reshape(*sizes, self.linear.in_features),
            target,
            linear_bias=None if bias is None else bias.reshape(sizes),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def extra_repr(self) -> str:
        """All arguments."""
        values = {
            "in_features": self.linear.in_features,
            "num_classes": self.num_classes,
            "out_features": self.out_features,
            "bias": self.linear.bias is not None,
            "reduction": self.reduction,
            "ignore_index": self.ignore_index,
            "label_smoothing": self.label_smoothing,
            "options": self.options,
        }
        return ", ".join(f"{name}={value}" for name, value in values.items())
