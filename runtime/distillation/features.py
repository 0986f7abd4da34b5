"""Losses between hidden states: hints through a learned projection, and attention transfer."""

from __future__ import annotations

import math
from typing import Any

from ..core.tensor import Tensor
from ..errors import ShapeError
from ..nn import functional as F
from ..nn import init
from ..nn.modules.lazy import LazyModuleMixin
from ..nn.parameter import UninitializedParameter
from .loss import DistillationLoss, fixed, mean_over, require_same, wide

__all__ = ["AttentionTransferLoss", "HintLoss", "attention_transfer_loss", "hint_loss"]

METRICS = ("mse", "cosine")


def feature_dim(x: Tensor) -> int:
    """Where features lie: dimension 1 of images (N, C, H, W), else the last, as in (N, L, E)."""
    return 1 if x.ndim >= 4 else -1


def same_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) averaged down to the smaller height and width of the two."""
    if student.ndim != 4 or teacher.ndim != 4 or student.shape[2:] == teacher.shape[2:]:
        return student, teacher
    size = [min(a, b) for a, b in zip(student.shape[2:], teacher.shape[2:], strict=True)]
    student, teacher = (F.adaptive_avg_pool2d(x, size) for x in (student, teacher))
    return student, teacher


def hint_loss(
    student: Tensor, teacher: Tensor, *, metric: str = "mse", mask: Tensor | None = None
) -> Tensor:
    """How far the student's hidden state is from the teacher's, averaged over positions.

    (N, L, E), (N, E) or (N, C, H, W), of one shape but for height and width, which are averaged
    down to the smaller ones -> a scalar. Metric 'mse' is the mean of squared differences, 'cosine'
    one minus the cosine of the angle between features. `mask` (N, L) is True where a token counts.
    Raises: ShapeError for states that do not fit, ValueError for another metric.
    Source: arXiv:1412.6550, equation 3; 'cosine': arXiv:1910.01108, section 3.
    """
    if metric not in METRICS:
        raise ValueError(f"hint_loss: expected metric 'mse' or 'cosine'. Got {metric!r}.")
    student, teacher = same_size(wide(student), wide(teacher))
    advice = "HintLoss() learns a projection between widths; lengths must agree."
    require_same("hint_loss", student, teacher, advice)
    dim = feature_dim(student)
    teacher = fixed(teacher, mask, dim)
    if metric == "mse":
        return mean_over((student - teacher).square().mean(dim), mask, "mean")
    return mean_over(1.0 - F.cosine_similarity(student, teacher, dim=dim), mask, "mean")


class HintLoss(LazyModuleMixin, DistillationLoss):
    """`hint_loss` of a linear projection of the student's features to the teacher's width.

    The sizes of `weight` (teacher's width, student's width) and `bias` are those of the first
    values; an optimizer may take both before. The projection starts as the identity where widths
    are equal, else as that of `nn.Linear`. With `project=False` there is none.
    Source: arXiv:1412.6550 (regressor); arXiv:1909.10351, equation 8 (transformers).

    Example:
        >>> hint = distillation.HintLoss()
        >>> hint(torch.randn(2, 5, 64), torch.randn(2, 5, 256)).shape, hint.weight.shape
        (torch.Size([]), torch.Size([256, 64]))
    """

    takes_mask = True
    weight: Any
    bias: Any

    def __init__(
        self, metric: str = "mse", project: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.metric, self.project = metric, project
        for name in ("weight", "bias"):
            lazy = UninitializedParameter(device=device, dtype=dtype) if project else None
            self.register_parameter(name, lazy)

    def initialize_parameters(
        self, student: Tensor, teacher: Tensor, mask: Tensor | None = None
    ) -> None:
        """Take memory for the projection between the widths of the two values."""
        if not self.has_uninitialized_params():
            return
        narrow, broad = (x.shape[feature_dim(x)] for x in (student, teacher))
        self.weight.materialize((broad, narrow), device=student.device)
        self.bias.materialize((broad,), device=student.device)
        if narrow == broad:
            init.eye_(self.weight)
        else:
            init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        init.zeros_(self.bias)

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        """Hidden states, of any widths with a projection -> a scalar."""
        if self.project:
            student = self._projected(*same_size(student, teacher)[:1])
        return hint_loss(student, teacher, metric=self.metric, mask=mask)

    def _projected(self, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)
        if x.ndim < 4:
            return F.linear(x, self.weight, self.bias)
        return F.linear(x.movedim(1, -1), self.weight, self.bias).movedim(-1, 1)

    def extra_repr(self) -> str:
        """What was chosen."""
        return f"metric={self.metric!r}, project={self.project}"


def attention_transfer_loss(student: Tensor, teacher: Tensor, p: float = 2.0) -> Tensor:
    """Squared distance between maps of where activations are large, averaged over the batch.

    A map is the sum over channels of |x|**p, flattened and divided by its L2 norm. Images
    (N, C, H, W) with any numbers of channels; heights and widths are averaged down to the smaller
    ones -> a scalar. Raises: ShapeError for anything else.
    Source: arXiv:1612.03928, equation 2, with squared distances as in the authors' program.
    """
    if student.ndim != 4 or teacher.ndim != 4 or student.shape[0] != teacher.shape[0]:
        raise ShapeError(
            "attention_transfer_loss: expected images (N, C, H, W) of one batch. Got "
            f"{tuple(student.shape)} and {tuple(teacher.shape)}."
        )
    student, teacher = same_size(wide(student), fixed(teacher))
    sizes = [x.square() if p == 2 else x.abs().pow(p) for x in (student, teacher)]
    maps = [F.normalize(x.sum(1).flatten(1), dim=1) for x in sizes]
    return (maps[0] - maps[1]).square().sum(1).mean()


class AttentionTransferLoss(DistillationLoss):
    """`attention_transfer_loss` as a module; it has no parameters, whatever the widths."""

    def __init__(self, p: float = 2.0) -> None:
        super().__init__()
        self.p = p

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Images (N, C, H, W) -> a scalar."""
        return attention_transfer_loss(student, teacher, self.p)

    def extra_repr(self) -> str:
        """The power."""
        return f"p={self.p}"
