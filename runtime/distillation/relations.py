"""Losses between batches of embeddings: distances and angles among samples, and contrast."""

from __future__ import annotations

from typing import Any

from ..core.creation import eye
from ..core.ranges import arange
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..nn import functional as F
from ..nn.modules.linear import LazyLinear
from .loss import DistillationLoss, fixed, require_temperature, wide, without_autocast

__all__ = ["ContrastiveLoss", "RelationalLoss", "contrastive_loss", "relational_loss"]


def _embeddings(loss: str, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """(N, ...) as (N, features), of any widths. Raises: ShapeError for two batch sizes."""
    if not student.ndim or not teacher.ndim or student.shape[0] != teacher.shape[0]:
        raise ShapeError(
            f"{loss}: expected embeddings (N, ...) of the same N samples. Got "
            f"{tuple(student.shape)} and {tuple(teacher.shape)}."
        )
    student, teacher = (x.reshape(x.shape[0], -1) for x in (wide(student), fixed(teacher)))
    return student, teacher


@without_autocast
def relational_loss(
    student: Tensor, teacher: Tensor, distance: float = 1.0, angle: float = 2.0
) -> Tensor:
    """distance * RKD-D + angle * RKD-A: whether samples lie to each other as they do for the
    teacher.

    RKD-D is the Huber loss between the distances of all pairs, each divided by their mean; RKD-A
    that between the cosines of the angles at the middle of all triples. Embeddings (N, ...) of any
    widths -> a scalar; 0 for fewer than 2, or 3, samples. Takes memory for N * N * features numbers
    for the angles.
    Raises: ShapeError for two batch sizes. Source: arXiv:1904.05068, section 3.2.
    """
    student, teacher = _embeddings("relational_loss", student, teacher)
    count = student.shape[0]
    loss = student.sum() * 0.0
    if count > 1 and distance:
        apart = F.huber_loss(_distances(student), _distances(teacher), reduction="sum")
        loss = loss + apart * (distance / (count * (count - 1)))
    if count > 2 and angle:
        turned = F.huber_loss(_cosines(student), _cosines(teacher), reduction="sum")
        loss = loss + turned * (angle / (count * (count - 1) * (count - 2)))
    return loss


def _distances(x: Tensor) -> Tensor:
    """(N, N) over their mean; not by products, whose rounding shows where samples are close."""
    found = x.unsqueeze(0).sub(x.unsqueeze(1)).square().sum(-1)
    alone = eye(len(x), dtype=x.dtype, device=x.device)
    found = (found + alone).clamp(min=1e-12).sqrt() - alone  # the root has no slope at 0
    return found / (found.sum() / (len(x) * (len(x) - 1))).clamp(min=1e-12)


def _cosines(x: Tensor) -> Tensor:
    """(N, N, N), entry [j, i, k] of the angle i-j-k; 0 unless all three differ."""
    sides = F.normalize(x.unsqueeze(0) - x.unsqueeze(1), dim=-1)
    cosines = sides @ sides.mT
    return cosines * (1.0 - eye(len(x), dtype=x.dtype, device=x.device))


class RelationalLoss(DistillationLoss):
    """`relational_loss` as a module."""

    def __init__(self, distance: float = 1.0, angle: float = 2.0) -> None:
        super().__init__()
        self.distance, self.angle = distance, angle

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Embeddings (N, ...) of any widths -> a scalar."""
        return relational_loss(student, teacher, self.distance, self.angle)

    def extra_repr(self) -> str:
        """The weights."""
        return f"distance={self.distance}, angle={self.angle}"


@without_autocast
def contrastive_loss(student: Tensor, teacher: Tensor, temperature: float = 0.1) -> Tensor:
    """Cross entropy of telling each sample's teacher embedding from those of the other samples.

    Logits are cosines divided by the temperature. Embeddings (N, E) both -> a scalar. Here the
    teacher's side may have a gradient too: its projection learns.
    Raises: ShapeError unless both are (N, E). Source: arXiv:1910.10699, with the batch's other
    samples as the negative ones (arXiv:1807.03748, equation 4) instead of a memory of them.
    """
    if student.ndim != 2 or student.shape != teacher.shape:
        raise ShapeError(
            "contrastive_loss: expected embeddings (N, E) of one shape. Got "
            f"{tuple(student.shape)} and {tuple(teacher.shape)}. ContrastiveLoss() projects them."
        )
    require_temperature("contrastive_loss", temperature)
    student, teacher = (F.normalize(wide(x), dim=1) for x in (student, teacher))
    return F.cross_entropy(
        student @ teacher.mT / temperature, arange(len(student), device=student.device)
    )


class ContrastiveLoss(DistillationLoss):
    """`contrastive_loss` of linear projections of both embeddings to `features` numbers.

    The projections' input widths are those of the first values.
    """

    def __init__(
        self, features: int = 128, temperature: float = 0.1, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.temperature = require_temperature("ContrastiveLoss", temperature)
        self.student_projection = LazyLinear(features, device=device, dtype=dtype)
        self.teacher_projection = LazyLinear(features, device=device, dtype=dtype)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Embeddings (N, ...) of any widths -> a scalar."""
        student, teacher = _embeddings("ContrastiveLoss", student, teacher)
        return contrastive_loss(
            self.student_projection(student), self.teacher_projection(teacher), self.temperature
        )

    def extra_repr(self) -> str:
        """The temperature."""
        return f"temperature={self.temperature}"
