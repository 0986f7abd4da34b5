"""What all distillation losses share: their class, their precision, and means over what counts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from ..amp.autocast_mode import autocast, is_autocast_enabled
from ..core import dtypes
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..nn.modules.module import Module
from ..ops.losses import reduction_of

HALVES = (dtypes.float16, dtypes.bfloat16)

TeacherValue = Tensor | tuple[Tensor, ...]
"""What a loss reads of the teacher: the tensor as it is, or what `summarize` made of it."""


class DistillationLoss(Module):
    """Base of losses between a student's value and a teacher's; gradients reach the student alone.

    Subclasses give `forward(student, teacher)`. With `needs_target` it is also handed `target`,
    with `takes_mask` a `mask` that is True where a position counts. Halves are computed in float32,
    and so is the loss, which a `GradScaler` then can multiply without overflow.
    """

    needs_target: ClassVar[bool] = False
    takes_mask: ClassVar[bool] = False

    @property
    def parts(self) -> int:
        """How many tensors `summarize` gives."""
        return 1

    @property
    def kept(self) -> str:
        """What `summarize` does, in words that change whenever its result would."""
        return ""

    def summarize(self, teacher: Tensor) -> TeacherValue:
        """What the loss reads of the teacher's value, which is also what a cache keeps: all."""
        return teacher


def wide(x: Tensor) -> Tensor:
    """`x`, or `x` in float32 if it is of a half type."""
    return x.float() if x.dtype in HALVES else x


def fixed(teacher: Tensor, mask: Tensor | None = None, dim: int = -1) -> Tensor:
    """The teacher's value, wide, without a gradient, and 0 where `mask`, which has no dimension
    `dim`, is False: what stands at padding may be NaN, and NaN times 0 would reach the student."""
    teacher = wide(teacher.detach())
    if mask is None:
        return teacher
    sizes = list(teacher.shape)
    del sizes[dim]
    return teacher.masked_fill(~_counting(mask, tuple(sizes)).unsqueeze(dim), 0.0)


def without_autocast(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`function` of a student's tensor first, its matrix products in full precision."""

    @functools.wraps(function)
    def exact(student: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        kind = student.device.type
        if not is_autocast_enabled(kind):
            return function(student, *args, **kwargs)
        with autocast(kind, enabled=False):
            return function(student, *args, **kwargs)

    return exact


def mean_over(rows: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    """`rows` reduced over the positions where `mask` (of the same shape) is True; for 'none' they
    are 0 elsewhere. No position at all gives 0."""
    reduction = reduction_of(reduction)
    if mask is None:
        return rows if reduction == "none" else getattr(rows, reduction)()
    counts = _counting(mask, tuple(rows.shape))
    rows = rows.masked_fill(~counts, 0.0)
    if reduction == "mean":
        return rows.sum() / counts.sum().clamp(min=1)
    return rows if reduction == "none" else rows.sum()


def _counting(mask: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The mask as bools. Raises: ShapeError unless it has `sizes`."""
    if tuple(mask.shape) != sizes:
        raise ShapeError(
            f"Expected a mask {sizes}, one value for each position. Got {tuple(mask.shape)}."
        )
    return mask.bool()


def require_same(loss: str, student: Any, teacher: Any, advice: str) -> None:
    """Raises: ShapeError unless both have one shape."""
    if tuple(student.shape) != tuple(teacher.shape):
        raise ShapeError(
            f"{loss}: expected student and teacher of one shape. Got {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}. {advice}"
        )


def require_temperature(loss: str, temperature: float) -> float:
    """Raises: ValueError unless it is positive."""
    if not temperature > 0:
        raise ValueError(f"{loss}: expected a temperature above 0. Got {temperature}.")
    return temperature
