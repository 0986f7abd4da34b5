"""Adaptive softmax: log-probabilities of many classes, rare ones in clusters of their own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ...core.dtypes import int64
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...ops.joins import cat
from .. import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class ASMoutput(NamedTuple):
    """Log-probabilities (N,) of the targets, and the loss: minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of `n_classes` classes, sorted by falling frequency.

    `head` (in_features -> cutoffs[0] + clusters) scores the frequent classes and each cluster;
    cluster k, of classes cutoffs[k] up to the next cutoff, is scored by `tail[k]`: a map to
    in_features // div_value**(k + 1) features, and one to its classes. Parameters start as
    `Linear`'s. Raises: ValueError for cutoffs that are no rising integers from 1 to n_classes - 1.
    Source: arXiv:1609.04309.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        edges = [0, *cutoffs, n_classes]
        rising = all(a < b for a, b in pairwise(edges))
        if not cutoffs or not rising or any(int(c) != c for c in cutoffs):
            raise ValueError(
                "AdaptiveLogSoftmaxWithLoss: expected cutoffs that rise, integers from 1 to "
                f"{n_classes - 1}. Got {list(cutoffs)}."
            )
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = self.cutoffs[0], len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        place = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **place)
        self.tail = ModuleList()
        for k, (first, end) in enumerate(pairwise(self.cutoffs)):
            hidden = int(in_features // div_value ** (k + 1))
            into = Linear(in_features, hidden, bias=False, **place)
            self.tail.append(Sequential(into, Linear(hidden, end - first, bias=False, **place)))

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        self.head.reset_parameters()
        for cluster in self.tail:
            for layer in cluster:
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> ASMoutput:
        """(N, in_features) and int64 (N,), or without N -> output (N,) or (), and a scalar loss.

        Raises: RuntimeError for shapes that do not fit or classes that are not there.
        """
        if target_.ndim > 1 or input_.ndim != target_.ndim + 1:
            raise ShapeError(
                "AdaptiveLogSoftmaxWithLoss: expected input (N, in_features) and target (N,), or "
                f"both without N. Got {tuple(input_.shape)} and {tuple(target_.shape)}."
            )
        input = input_.reshape(-1, input_.shape[-1])
        target = target_.reshape(-1).to(int64)
        if input.shape[0] != target.shape[0]:
            raise ShapeError(
                "AdaptiveLogSoftmaxWithLoss: expected as many targets as rows of input. Got "
                f"{tuple(input_.shape)} and {tuple(target_.shape)}."
            )
        if bool(((target < 0) | (target >= self.n_classes)).any()):
            raise ShapeError(
                f"AdaptiveLogSoftmaxWithLoss: expected targets from 0 to {self.n_classes - 1}. Got "
                f"{target.min().item()} to {target.max().item()}."
            )
        column = target
        inside = input.new_zeros(target.shape[0])
        for k, (first, end) in enumerate(pairwise(self.cutoffs)):
            rows = ((target >= first) & (target < end)).nonzero().reshape(-1)
            if not rows.numel():
                continue
            logs = F.log_softmax(self.tail[k](input[rows]), 1)
            picked = logs.gather(1, (target[rows] - first).unsqueeze(1)).squeeze(1)
            inside = inside.index_copy(0, rows, picked)
            column = column.index_fill(0, rows, self.shortlist_size + k)
        head = F.log_softmax(self.head(input), 1).gather(1, column.unsqueeze(1)).squeeze(1)
        output = inside + head
        return ASMoutput(output.reshape(target_.shape), -output.mean())

    def log_prob(self, input: Tensor) -> Tensor:
        """Log-probabilities of all classes: (N, in_features) -> (N, n_classes)."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for k, cluster in enumerate(self.tail):
            column = self.shortlist_size + k
            parts.append(F.log_softmax(cluster(input), 1) + head[:, column : column + 1])
        return cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The class of the highest score: (N, in_features) -> int64 (N,). Clusters are only looked
        into where the head prefers one."""
        best = self.head(input).argmax(1)
        rows = (best >= self.shortlist_size).nonzero().reshape(-1)
        if not rows.numel():
            return best
        return best.index_copy(0, rows, self.log_prob(input[rows]).argmax(1))
