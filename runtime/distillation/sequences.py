"""The loss of language models token by token, and teachers kept as their k best tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ..autograd.grad_mode import no_grad
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops.joins import cat
from .logits import kl, log_probabilities
from .loss import (
    DistillationLoss,
    TeacherValue,
    fixed,
    mean_over,
    require_same,
    require_temperature,
    wide,
)

__all__ = ["SequenceLoss", "TopK", "sequence_loss", "top_k"]


class TopK(NamedTuple):
    """The k most probable tokens of each position, and how probable all others are together.

    Made by `top_k`; takes K * 12 + 4 bytes of a position where V float32 logits take V * 4.
    """

    log_probs: Tensor
    """(..., K), the largest first, normalized over all V tokens."""
    indices: Tensor
    """(..., K), int64, which tokens these are."""
    rest: Tensor
    """(...), log of the sum of all other probabilities."""


@no_grad()
def top_k(logits: Tensor, k: int, temperature: float = 1.0) -> TopK:
    """The `k` most probable of softmax(logits / temperature) along the last dimension.

    Raises: ValueError unless 1 <= k < V.
    """
    if not 1 <= k < logits.shape[-1]:
        raise ValueError(
            f"top_k: expected k from 1 to {logits.shape[-1] - 1}, below the number of tokens. Got "
            f"{k}."
        )
    log_probs = log_probabilities(fixed(logits), require_temperature("top_k", temperature))
    values, indices = log_probs.topk(k, -1)
    return TopK(values, indices, _rest(log_probs, indices))


def _rest(log_probs: Tensor, indices: Tensor) -> Tensor:
    """log of the sum of all probabilities but those at `indices`; 1 - their sum would cancel."""
    return log_probs.scatter(-1, indices, -math.inf).logsumexp(-1)


def _jensen_shannon(teacher: Tensor, student: Tensor) -> Tensor:
    mean = teacher.logaddexp(student) - math.log(2.0)
    return 0.5 * (kl(teacher, mean) + kl(student, mean))


DIVERGENCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "forward": kl,
    "reverse": lambda teacher, student: kl(student, teacher),
    "jensen-shannon": _jensen_shannon,
}


def sequence_loss(
    student: Tensor,
    teacher: Tensor | TopK,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    divergence: str = "forward",
    *,
    reduction: str = "mean",
) -> Tensor:
    """T**2 * D(teacher, student) for each token, averaged over the tokens that count.

    student (..., V) logits; teacher the same, or `TopK` of them at the same temperature; mask
    (...), True (or 1, as an attention_mask has it) where a token counts -> a scalar, or (...) for
    reduction 'none'. The divergence D is 'forward', KL(teacher || student), which spreads over all
    that the teacher holds possible; 'reverse', KL(student || teacher), which keeps to its best; or
    'jensen-shannon', half of each against their mean. From `TopK` it is that of the K tokens and
    the rest as one more, which never exceeds the full one.
    Raises: ShapeError, ValueError for what does not fit.
    Source: arXiv:1606.07947 (word level); arXiv:2306.08543 (reverse); arXiv:2306.13649 (the mean).
    """
    temperature = require_temperature("sequence_loss", temperature)
    if divergence not in DIVERGENCES:
        raise ValueError(
            f"sequence_loss: expected divergence {', '.join(map(repr, DIVERGENCES))}. Got "
            f"{divergence!r}."
        )
    given, wanted = _distributions(student, teacher, mask, temperature)
    return mean_over(DIVERGENCES[divergence](wanted, given), mask, reduction) * temperature**2


def _distributions(
    student: Tensor, teacher: Tensor | TopK, mask: Tensor | None, temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of student and teacher over the same tokens."""
    given = log_probabilities(wide(student), temperature)
    if isinstance(teacher, Tensor):
        require_same("sequence_loss", student, teacher, "Both need the same tokens.")
        return given, log_probabilities(fixed(teacher, mask), temperature)
    log_probs, indices, rest = teacher
    if tuple(indices.shape[:-1]) != tuple(student.shape[:-1]):
        raise ShapeError(
            f"sequence_loss: expected a teacher of {tuple(student.shape[:-1])} positions, as the "
            f"student has. Got indices {tuple(indices.shape)}."
        )
    ours = cat([given.gather(-1, indices), _rest(given, indices).unsqueeze(-1)], -1)
    return ours, fixed(cat([log_probs, rest.unsqueeze(-1)], -1), mask)


class SequenceLoss(DistillationLoss):
    """`sequence_loss` as a module; with `top_k`, only that many of the teacher's tokens are read
    (and kept in a cache).

    Example:
        >>> loss = distillation.SequenceLoss(temperature=2.0, top_k=64)
        >>> loss(student_logits, teacher_logits, mask=attention_mask)
    """

    takes_mask = True

    def __init__(
        self,
        temperature: float = 1.0,
        divergence: str = "forward",
        top_k: int | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.temperature = require_temperature("SequenceLoss", temperature)
        self.divergence, self.top_k, self.reduction = divergence, top_k, reduction

    @property
    def parts(self) -> int:
        """Three of `TopK`, or the logits."""
        return 1 if self.top_k is None else 3

    @property
    def kept(self) -> str:
        """How many tokens, at which temperature."""
        return "" if self.top_k is None else f"top {self.top_k} at {self.temperature}"

    def summarize(self, teacher: Tensor) -> TeacherValue:
        """`TopK` of the teacher's logits, or these if all are read."""
        return teacher if self.top_k is None else top_k(teacher, self.top_k, self.temperature)

    def forward(self, student: Tensor, teacher: TeacherValue, mask: Tensor | None = None) -> Tensor:
        """Logits (..., V) and logits or what `summarize` made of them -> a scalar, or (...)."""
        summary = self.summarize(teacher) if isinstance(teacher, Tensor) else teacher
        kept = summary if isinstance(summary, Tensor) else TopK(*summary)
        how = (mask, self.temperature, self.divergence)
        return sequence_loss(student, kept, *how, reduction=self.reduction)

    def extra_repr(self) -> str:
        """What was chosen."""
        chosen = f"temperature={self.temperature}, divergence={self.divergence!r}"
        return chosen if self.top_k is None else f"{chosen}, top_k={self.top_k}"
