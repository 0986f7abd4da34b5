"""Losses between logits: soft targets, and their decoupled form."""

from __future__ import annotations

from typing import Any

from ..core.ranges import arange
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..nn import functional as F
from ..ops import losses
from ..ops.joins import cat
from .loss import DistillationLoss, fixed, mean_over, require_same, require_temperature, wide

__all__ = ["DecoupledLoss", "SoftTargetLoss", "decoupled_loss", "soft_target_loss"]


def kl(p: Tensor, q: Tensor, dim: int = -1) -> Tensor:
    """KL(p || q) along `dim` for log-probabilities; classes whose p underflows count nothing."""
    return losses.relative_entropy(p, q).sum(dim)


def log_probabilities(logits: Tensor, temperature: float, dim: int = -1) -> Tensor:
    """log(softmax(logits / temperature))."""
    return F.log_softmax(logits if temperature == 1 else logits / temperature, dim)


def soft_target_loss(
    student: Tensor,
    teacher: Tensor,
    temperature: float = 1.0,
    *,
    dim: int = -1,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """T**2 * KL(softmax(teacher / T) || softmax(student / T)), with T the temperature.

    Logits of one shape, classes along `dim`; `mask` has the shape without it, and is True where a
    position counts -> the mean over those, or the shape of `mask` for reduction 'none'. The factor
    T**2 keeps the size of gradients the same for every temperature.
    Raises: ShapeError for other shapes, ValueError for a temperature that is not positive.
    Source: arXiv:1503.02531, section 2.

    Example:
        >>> logits = torch.tensor([[1.0, 2.0, 3.0]])
        >>> distillation.soft_target_loss(logits, logits, temperature=4.0)
        tensor(0.)
    """
    require_same("soft_target_loss", student, teacher, "Both need the same classes.")
    temperature = require_temperature("soft_target_loss", temperature)
    wanted = log_probabilities(fixed(teacher, mask, dim), temperature, dim)
    given = log_probabilities(wide(student), temperature, dim)
    rows = kl(wanted, given, dim)
    return mean_over(rows, mask, reduction) * temperature**2


def decoupled_loss(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    temperature: float = 4.0,
    alpha: float = 1.0,
    beta: float = 8.0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """T**2 * (alpha * TCKD + beta * NCKD): the soft-target loss taken apart.

    TCKD is the divergence of the pairs (p, 1 - p), p the probability of the target class; NCKD that
    of the probabilities among all other classes, which the soft-target loss weighs by the
    teacher's 1 - p, that is by little where the teacher is sure.
    Logits (N, C), int64 (N,) -> a scalar, or (N,) for reduction 'none'.
    Raises: ShapeError for other shapes or fewer than 2 classes. Source: arXiv:2203.08679, eq. 7.
    """
    require_same("decoupled_loss", student, teacher, "Both need the same classes.")
    temperature = require_temperature("decoupled_loss", temperature)
    if student.ndim != 2 or student.shape[1] < 2 or tuple(target.shape) != (student.shape[0],):
        raise ShapeError(
            "decoupled_loss: expected logits (N, C) with C >= 2 and class numbers (N,). Got "
            f"{tuple(student.shape)} and {tuple(target.shape)}."
        )
    given = _split(wide(student) / temperature, target)
    wanted = _split(fixed(teacher) / temperature, target)
    binary, others = (kl(t, s) for t, s in zip(wanted, given, strict=True))
    rows = alpha * binary + beta * others
    return mean_over(rows, None, reduction) * temperature**2


def _split(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithms of (p, 1 - p), (N, 2), and of the other classes' shares, (N, C - 1)."""
    column = target.unsqueeze(1)
    places = arange(logits.shape[1] - 1, device=logits.device)
    rest = logits.gather(1, places + (places >= column))
    pair = cat([logits.gather(1, column), rest.logsumexp(1, keepdim=True)], 1)
    return F.log_softmax(pair, 1), F.log_softmax(rest, 1)


class SoftTargetLoss(DistillationLoss):
    """`soft_target_loss` as a module.

    Example:
        >>> loss = distillation.SoftTargetLoss(temperature=4.0)(student(x), teacher(x))
    """

    takes_mask = True

    def __init__(self, temperature: float = 1.0, dim: int = -1, reduction: str = "mean") -> None:
        super().__init__()
        self.temperature = require_temperature("SoftTargetLoss", temperature)
        self.dim, self.reduction = dim, reduction

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits of one shape -> a scalar, or one value for each position."""
        options: dict[str, Any] = {"dim": self.dim, "mask": mask, "reduction": self.reduction}
        return soft_target_loss(student, teacher, self.temperature, **options)

    def extra_repr(self) -> str:
        """The temperature."""
        return f"temperature={self.temperature}"


class DecoupledLoss(DistillationLoss):
    """`decoupled_loss` as a module, which reads the class numbers too."""

    needs_target = True

    def __init__(
        self,
        temperature: float = 4.0,
        alpha: float = 1.0,
        beta: float = 8.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.temperature = require_temperature("DecoupledLoss", temperature)
        self.alpha, self.beta, self.reduction = alpha, beta, reduction

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        """Logits (N, C), int64 (N,) -> a scalar, or (N,) for reduction 'none'."""
        weights = (self.temperature, self.alpha, self.beta)
        return decoupled_loss(student, teacher, target, *weights, reduction=self.reduction)

    def extra_repr(self) -> str:
        """Temperature and weights."""
        return f"temperature={self.temperature}, alpha={self.alpha}, beta={self.beta}"
