"""Terms of a distillation: a loss, its weight, and which values of student and teacher it reads."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.tensor import Tensor
from ..errors import ShapeError
from ..nn.modules.container import ModuleList
from ..nn.modules.module import Module
from .attention import AttentionMapLoss
from .loss import DistillationLoss, TeacherValue
from .taps import Select, chosen

Loss = Module | Callable[..., Tensor]

Taps = Mapping[str, str] | Sequence[str] | str | None


class Term(Module):
    """`weight` times a loss, between what student and teacher give, or between output and target.

    `taps` pairs modules, {student's name: teacher's name}; one name, or a list, means the same name
    in both; '' is the model itself. The loss is taken for each pair (a projection is learned for
    each) and averaged over them. Without `taps`, a `DistillationLoss` compares the outputs of both
    models, and any other loss or function the student's output with the target.

    `select` takes the tensor out of an output that is none: an index, a key, an attribute or a
    function; by default it is the first of a tuple, `logits` or `last_hidden_state`. With
    `masked=False` the mask of the call is not handed to the loss. `name` is what reports call it.

    Example:
        >>> distillation.Term(nn.CrossEntropyLoss(), 0.1)
        >>> distillation.Term(distillation.SoftTargetLoss(4.0), 0.9)
        >>> distillation.Term(distillation.HintLoss(), taps={"layers.0": "layers.1"})
    """

    def __init__(
        self,
        loss: Loss,
        weight: float = 1.0,
        taps: Taps = None,
        *,
        select: Select = None,
        masked: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__()
        if not callable(loss):
            raise TypeError(f"Term: expected a loss to call. Got {type(loss).__name__}.")
        self.weight, self.select, self.masked = weight, select, masked
        self.pairs = _pairs(taps, isinstance(loss, DistillationLoss))
        self.name = name or _name(loss)
        made = loss if isinstance(loss, Module) else _Function(loss)
        learns = any(True for _ in made.parameters())
        copies = [made, *(copy.deepcopy(made) if learns else made for _ in self.pairs[1:])]
        self.losses = ModuleList(copies)

    @property
    def loss(self) -> Any:
        """The loss of the first pair."""
        return self.losses[0]

    @property
    def reads_teacher(self) -> bool:
        """Whether it compares with the teacher, not with the target."""
        return bool(self.pairs)

    @property
    def reads_attention(self) -> bool:
        """Whether it compares attention maps."""
        return isinstance(self.loss, AttentionMapLoss)

    def value(self, role: str, path: str, output: Any) -> Tensor:
        """The tensor of a module's output that the loss reads."""
        select = self.select
        if select is None and self.reads_attention and isinstance(output, tuple):
            select = 1
        return chosen(role, path, output, select)

    def summarize(self, pair: int, output: Any) -> TeacherValue:
        """What the loss reads of the output of the teacher's module of a pair."""
        value = self.value("teacher", self.pairs[pair][1], output)
        loss = self.losses[pair]
        return loss.summarize(value) if isinstance(loss, DistillationLoss) else value

    def reads(self, pair: int) -> str:
        """What is kept of the teacher for a pair, in words that tell it from anything else."""
        select = getattr(self.select, "__qualname__", self.select)
        kind = "maps" if self.reads_attention else ""
        return f"{self.pairs[pair][1]} {select} {kind}{getattr(self.loss, 'kept', '')}"

    def forward(
        self,
        outputs: Mapping[str, Any],
        teacher: Sequence[TeacherValue],
        target: Any = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """The outputs of the student's modules by name, what `summarize` gave for each pair ->
        a scalar, not yet weighted."""
        if target is None and (not self.reads_teacher or self._needs_target):
            raise ValueError(
                f"Term {self.name!r}: expected a target, as in distiller(x, y). Got none."
            )
        if not self.reads_teacher:
            return self._scalar(self.loss(self.value("student", "", outputs[""]), target))
        options = self._options(target, mask)
        found = [
            self._scalar(loss(self.value("student", path, outputs[path]), value, **options))
            for loss, (path, _), value in zip(self.losses, self.pairs, teacher, strict=True)
        ]
        total = found[0]
        for more in found[1:]:
            total = total + more
        return total / len(found) if len(found) > 1 else total

    @property
    def _needs_target(self) -> bool:
        return bool(getattr(self.loss, "needs_target", False))

    def _options(self, target: Any, mask: Tensor | None) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if self._needs_target:
            options["target"] = target
        if mask is not None and self.masked and getattr(self.loss, "takes_mask", False):
            options["mask"] = mask
        return options

    def _scalar(self, loss: Any) -> Tensor:
        if not isinstance(loss, Tensor) or loss.ndim:
            got = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ShapeError(
                f"Term {self.name!r}: expected a loss that is a scalar. Got {got}. Use reduction "
                "'mean' or 'sum'."
            )
        return loss

    def extra_repr(self) -> str:
        """Weight and taps."""
        if not self.reads_teacher:
            return f"weight={self.weight}, output against target"
        return f"weight={self.weight}, taps={dict(self.pairs)}"


class _Function(Module):
    """A loss that is a plain function."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Tensor:
        """What the function gives."""
        return self.function(*args)

    def extra_repr(self) -> str:
        """Its name."""
        return getattr(self.function, "__name__", type(self.function).__name__)


def _pairs(taps: Taps, compares_outputs: bool) -> list[tuple[str, str]]:
    if taps is None:
        return [("", "")] if compares_outputs else []
    if isinstance(taps, str):
        return [(taps, taps)]
    pairs = list(taps.items()) if isinstance(taps, Mapping) else [(p, p) for p in taps]
    if not pairs or not all(isinstance(name, str) for pair in pairs for name in pair):
        raise ValueError(
            "Term: expected taps as {student's module: teacher's module}, or names that are the "
            f"same in both. Got {taps!r}."
        )
    return pairs


def _name(loss: Any) -> str:
    """`CrossEntropyLoss` as cross_entropy; a function by its name."""
    if not isinstance(loss, Module):
        found = getattr(loss, "__name__", type(loss).__name__)
        return "task" if found == "<lambda>" else found
    kind = type(loss).__name__.removesuffix("Loss") or "loss"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
