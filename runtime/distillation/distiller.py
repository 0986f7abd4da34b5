"""Distiller: a student and its teacher, and the loss between them, inside any training loop."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Self

from ..autograd.grad_mode import inference_mode
from ..core.creation import tensor
from ..core.tensor import Tensor
from ..nn.modules.container import ModuleDict
from ..nn.modules.module import Module
from ..utils._pytree import tree_leaves, tree_map
from .cache import TeacherCache
from .fingerprint import Fingerprint
from .loss import TeacherValue
from .report import Report, Tally
from .taps import Taps
from .terms import Term


class Distiller(Module):
    """Runs `teacher` and `student` on a batch and gives the weighted sum of `terms`, to be
    minimized in a loop of the user's own.

    The teacher is run in evaluation mode without recording; its modes, statistics and parameters
    stay as they are. It is no part of the distiller's parameters and state: these are the student's
    (below "student.") and those that losses learn, such as projections. `to` and its like move the
    teacher too. Modules that terms tap are watched by hooks that last as long as the call. A mean
    teacher is `optim.swa_utils.AveragedModel(student)`, updated after each step.

    The models may be wrapped (`DistributedDataParallel`, `AveragedModel`); names are those inside.
    A `cache` keeps what the teacher gave for each sample; calls then take the samples' `ids`.
    Projections get their sizes at the first call: make one before wrapping the distiller in
    `DistributedDataParallel`, which wants them; an optimizer does not.
    Raises: AttributeError for names that are not there, ValueError without a term.
    Source: arXiv:1503.02531; mean teacher: arXiv:1703.01780.

    Example:
        >>> distiller = distillation.Distiller(
        ...     teacher,
        ...     student,
        ...     distillation.Term(nn.CrossEntropyLoss(), 0.1),
        ...     distillation.Term(distillation.SoftTargetLoss(temperature=4.0), 0.9),
        ...     distillation.Term(distillation.HintLoss(), taps={"layer3": "layers.11"}),
        ... )
        >>> optimizer = torch.optim.AdamW(distiller.parameters())
        >>> for x, y in loader:
        ...     optimizer.zero_grad()
        ...     loss = distiller(x, y)
        ...     loss.backward()
        ...     optimizer.step()
        >>> print(distiller.report())
    """

    def __init__(
        self, teacher: Module, student: Module, *terms: Term, cache: TeacherCache | None = None
    ) -> None:
        super().__init__()
        if not terms or not all(isinstance(term, Term) for term in terms):
            got = ", ".join(type(term).__name__ for term in terms) or "none"
            raise ValueError(
                f"Distiller: expected terms, such as Term(SoftTargetLoss(4.0)). Got {got}."
            )
        self.student = student
        self._unregistered = (teacher,)
        self.terms = ModuleDict(_named(terms))
        self.cache = cache
        self._tally = Tally()
        self._fingerprint = Fingerprint()
        self._student_taps = self._taps("student", student)
        self._teacher_taps = self._taps("teacher", teacher)

    @property
    def teacher(self) -> Module:
        """The teacher, which is none of the distiller's registered modules."""
        return self._unregistered[0]

    def forward(
        self,
        inputs: Any,
        target: Any = None,
        *,
        ids: Any = None,
        mask: Tensor | None = None,
        teacher_inputs: Any = None,
        return_output: bool = False,
    ) -> Any:
        """The weighted sum of all terms, a scalar; with `return_output`, also the student's output.

        `inputs` is what both models are called with: a value, a list or tuple of several, a mapping
        of keywords; `teacher_inputs` are others for the teacher (another augmentation, say).
        `target` goes to the losses that want one, `mask` (True where a position counts) to those
        that take one. `ids` (N,) are the samples' numbers in the data set, for the cache.
        """
        given = inputs if teacher_inputs is None else teacher_inputs
        values = self._teacher_values(given, ids)
        outputs = self._student_taps.run(self.student, inputs)
        total: Any = None
        for name, term in self.terms.items():
            loss = term(outputs, values[name], target, mask)
            part = loss if term.weight == 1 else term.weight * loss
            total = part if total is None else total + part
            if self.training:
                self._tally.add(name, term.weight, loss)
        self._tally.calls += self.training
        return (total, outputs[""]) if return_output else total

    def report(self, reset: bool = False) -> Report:
        """Each term's mean loss and share of the total over the calls in training mode since the
        last `reset`; printed, a table."""
        found = self._tally.report({name: term.weight for name, term in self.terms.items()})
        if reset:
            self._tally = Tally()
        return found

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        if recurse:
            self.teacher._apply(fn)
        return super()._apply(fn, recurse)

    # -- the two models --------------------------------------------------------------------------

    def _taps(self, role: str, model: Module) -> Taps:
        side = int(role == "teacher")
        terms = self.terms.values()
        paths = [pair[side] for term in terms for pair in term.pairs]
        maps = [pair[side] for term in terms if term.reads_attention for pair in term.pairs]
        return Taps(role, model, paths, maps)

    def _teacher_values(self, inputs: Any, ids: Any) -> dict[str, list[TeacherValue]]:
        """What each term reads of the teacher, pair by pair."""
        if not any(term.reads_teacher for term in self.terms.values()):
            return {name: [] for name in self.terms}
        if self.cache is None:
            return self._ask_teacher(inputs)
        if ids is None:
            raise ValueError(
                "Distiller: expected ids=, the numbers of the samples in the data set, as there is "
                "a cache. Got none. NumberedDataset gives them."
            )
        device = next((x.device for x in tree_leaves(inputs) if isinstance(x, Tensor)), None)
        compute = functools.partial(self._ask_about_rows, inputs, len(ids))
        flat = iter(self.cache.fetch(ids, self._signature(), compute, device))
        return {
            name: [_parts(loss, flat) for loss, _ in zip(term.losses, term.pairs, strict=False)]
            for name, term in self.terms.items()
        }

    def _ask_about_rows(self, inputs: Any, count: int, rows: Any) -> list[Tensor]:
        """All tensors of what terms read of the teacher, for some of the batch's samples."""
        if len(rows) < count:
            places = tensor(rows)
            inputs = tree_map(
                lambda x: x[places.to(x.device)] if _is_batch(x, count) else x, inputs
            )
        values = [value for found in self._ask_teacher(inputs).values() for value in found]
        return [t for value in values for t in ([value] if isinstance(value, Tensor) else value)]

    def _ask_teacher(self, inputs: Any) -> dict[str, list[TeacherValue]]:
        teacher = self.teacher
        training = [module for module in teacher.modules() if module.training]
        try:
            for module in training:
                module.training = False
            with inference_mode():
                outputs = self._teacher_taps.run(teacher, inputs)
                return {
                    name: [
                        term.summarize(k, outputs[path]) for k, (_, path) in enumerate(term.pairs)
                    ]
                    for name, term in self.terms.items()
                }
        finally:
            for module in training:
                module.training = True

    def _signature(self) -> str:
        """Which teacher, by its values, and which of its outputs."""
        reads = [term.reads(k) for term in self.terms.values() for k in range(len(term.pairs))]
        return f"{self._fingerprint.of(self.teacher)} {'; '.join(reads)}"


def _is_batch(x: Any, count: int) -> bool:
    return isinstance(x, Tensor) and x.ndim > 0 and x.shape[0] == count


def _parts(loss: Any, flat: Iterator[Tensor]) -> TeacherValue:
    """The next of all tensors, or as many as the loss reads."""
    count = getattr(loss, "parts", 1)
    return next(flat) if count == 1 else tuple(next(flat) for _ in range(count))


def _named(terms: tuple[Term, ...]) -> dict[str, Term]:
    """Terms by name; a name that comes again gets a number."""
    found: dict[str, Term] = {}
    for term in terms:
        name, k = term.name, 2
        while name in found:
            name, k = f"{term.name}_{k}", k + 1
        found[name] = term
    return found
