"""Loss layers that ask for a margin between right and wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.tensor import Tensor
from .. import functional as F
from .loss import _Loss, _WeightedLoss
from .module import Module

__all__ = [
    "CosineEmbeddingLoss",
    "HingeEmbeddingLoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]


class _PairLoss(_Loss):
    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin


class MarginRankingLoss(_PairLoss):
    """max(0, -target * (input1 - input2) + margin): target 1 asks for the first to be larger, -1
    for the second."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        """Three tensors of one shape -> a scalar, or their shape for reduction 'none'."""
        how: dict[str, Any] = {"margin": self.margin, "reduction": self.reduction}
        return F.margin_ranking_loss(input1, input2, target, **how)


class CosineEmbeddingLoss(_PairLoss):
    """1 - cos where target is 1, max(0, cos - margin) where it is -1."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        """(N, D), (N, D) and (N,) -> a scalar, or (N,) for reduction 'none'."""
        how: dict[str, Any] = {"margin": self.margin, "reduction": self.reduction}
        return F.cosine_embedding_loss(input1, input2, target, **how)


class HingeEmbeddingLoss(_Loss):
    """input where target is 1, max(0, margin - input) where it is -1."""

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> a scalar, or their shape for reduction 'none'."""
        how: dict[str, Any] = {"margin": self.margin, "reduction": self.reduction}
        return F.hinge_embedding_loss(input, target, **how)


class MultiLabelMarginLoss(_Loss):
    """The mean over classes of max(0, 1 - x[label] + x[other]); a row's labels stand in target
    before its first -1."""

    operation = staticmethod(F.multilabel_margin_loss)


class SoftMarginLoss(_Loss):
    """log(1 + exp(-target * input)), for targets 1 and -1."""

    operation = staticmethod(F.soft_margin_loss)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """The mean over classes of the binary cross entropy of logits: (N, C) and (N, C) -> (N,),
    reduced."""

    operation = staticmethod(F.multilabel_soft_margin_loss)


class MultiMarginLoss(_WeightedLoss):
    """The mean over the other classes of max(0, margin - x[target] + x[class])**p, weighted by the
    target's weight: (N, C) and (N,) -> (N,), reduced.

    Raises: ValueError for p other than 1 and 2, or weights of more than one dimension.
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2) or (weight is not None and weight.ndim != 1):
            given = None if weight is None else tuple(weight.shape)
            raise ValueError(
                f"MultiMarginLoss: expected p 1 or 2 and weight (C,). Got p {p}, weight {given}."
            )
        self.p, self.margin = p, margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C) and int64 (N,) -> a scalar, or (N,) for reduction 'none'."""
        how: dict[str, Any] = {"p": self.p, "margin": self.margin, "reduction": self.reduction}
        return F.multi_margin_loss(input, target, weight=self.weight, **how)


class TripletMarginLoss(_Loss):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) for p-norm distances; with `swap`
    the nearer of anchor and positive counts. Source: arXiv:1503.03832.

    Raises: ValueError unless margin is positive.
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        _require_positive(self, margin)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:  # type: ignore[override]
        """Three tensors (N, D) -> a scalar, or (N,) for reduction 'none'."""
        how: dict[str, Any] = {
            "margin": self.margin,
            "p": self.p,
            "eps": self.eps,
            "swap": self.swap,
        }
        return F.triplet_margin_loss(anchor, positive, negative, reduction=self.reduction, **how)


class TripletMarginWithDistanceLoss(_Loss):
    """`TripletMarginLoss` with a distance of your own, the Euclidean one unless given."""

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        _require_positive(self, margin)
        self.distance_function: Any = distance_function or F.pairwise_distance
        self.margin, self.swap = margin, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:  # type: ignore[override]
        """Three tensors (N, D) -> a scalar, or (N,) for reduction 'none'."""
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


def _require_positive(module: Module, margin: float) -> None:
    if margin <= 0:
        raise ValueError(f"{type(module).__name__}: expected a margin above 0. Got {margin}.")
