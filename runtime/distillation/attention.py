"""The loss between attention maps of transformers."""

from __future__ import annotations

from ..core.limits import finfo
from ..core.tensor import Tensor
from ..errors import ShapeError
from .loss import DistillationLoss, fixed, mean_over, wide

__all__ = ["AttentionMapLoss", "attention_map_loss"]

METRICS = ("kl", "mse")


def attention_map_loss(
    student: Tensor, teacher: Tensor, *, metric: str = "kl", mask: Tensor | None = None
) -> Tensor:
    """How far the student's attention is from the teacher's, averaged over heads and queries.

    Maps (N, H, L, S) or (N, L, S); where the numbers of heads differ, both are averaged over heads
    first. Metric 'kl' takes weights that add up to 1 along S and is KL(teacher || student); 'mse'
    is the mean of squared differences, of weights or of scores before the softmax, leaving out what
    is minus infinity. `mask` (N, L) is True where a query counts -> a scalar.
    Raises: ShapeError for maps that do not fit, ValueError for another metric.
    Source: arXiv:2002.10957, equation 5 ('kl'); arXiv:1909.10351, equation 7 ('mse', of scores).
    """
    if metric not in METRICS:
        raise ValueError(f"attention_map_loss: expected metric 'kl' or 'mse'. Got {metric!r}.")
    student, teacher = _of_same_heads(wide(student), wide(teacher))
    if student.ndim not in (3, 4) or student.shape != teacher.shape:
        raise ShapeError(
            "attention_map_loss: expected maps (N, H, L, S) that agree in N, L and S. Got "
            f"{tuple(student.shape)} and {tuple(teacher.shape)}."
        )
    if mask is not None and student.ndim == 4:
        mask = mask.unsqueeze(1).expand(student.shape[:-1])
    teacher = fixed(teacher, mask)
    rows = (_relative_entropy if metric == "kl" else _squared)(student, teacher)
    return mean_over(rows, mask, "mean")


def _of_same_heads(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    if student.ndim == teacher.ndim == 4 and student.shape[1] == teacher.shape[1]:
        return student, teacher
    student, teacher = (x.mean(1) if x.ndim == 4 else x for x in (student, teacher))
    return student, teacher


def _relative_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    # Masked keys have weight 0, whose logarithm would make the gradient NaN.
    least = finfo(student.dtype).tiny
    logs = teacher.clamp(min=least).log() - student.clamp(min=least).log()
    return (teacher * logs).sum(-1)


def _squared(student: Tensor, teacher: Tensor) -> Tensor:
    hidden = ~(student.isfinite() & teacher.isfinite())
    student, teacher = (x.masked_fill(hidden, 0.0) for x in (student, teacher))
    return (student - teacher).square().mean(-1)


class AttentionMapLoss(DistillationLoss):
    """`attention_map_loss` as a module.

    A `Distiller` that taps `nn.MultiheadAttention` modules for it has them return the weights of
    each head.
    """

    takes_mask = True

    def __init__(self, metric: str = "kl") -> None:
        super().__init__()
        self.metric = metric

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        """Maps (N, H, L, S) or (N, L, S) -> a scalar."""
        return attention_map_loss(student, teacher, metric=self.metric, mask=mask)

    def extra_repr(self) -> str:
        """The metric."""
        return f"metric={self.metric!r}"
