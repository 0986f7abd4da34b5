"""Students that begin as some of their teacher's layers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ..nn.modules.container import ModuleList, Sequential
from ..nn.modules.linear import Identity
from ..nn.modules.module import Module

__all__ = ["evenly", "keep_layers", "pair_layers"]


COUNTS = ("num_layers", "num_hidden_layers", "n_layer")
"""What modules and configurations call the number of layers."""


def evenly(count: int, keep: int) -> list[int]:
    """`keep` of `count` numbers, as even as they go, the first and the last among them.

    Raises: ValueError unless 1 <= keep <= count.

    Example:
        >>> distillation.evenly(12, 6)  # as DistilBERT begins
        [0, 2, 4, 7, 9, 11]
    """
    if not 1 <= keep <= count:
        raise ValueError(f"evenly: expected to keep from 1 to {count}. Got {keep}.")
    if keep == 1:
        return [0]
    return [round(k * (count - 1) / (keep - 1)) for k in range(keep)]


def pair_layers(
    student: int, teacher: int, student_name: str = "layers.{}", teacher_name: str | None = None
) -> dict[str, str]:
    """Taps that pair each of the student's layers with the last of as many of the teacher's.

    The names are those of a layer with {} for its number, the teacher's the same unless given.
    Raises: ValueError if the student has more layers. Source: arXiv:1909.10351, section 4.1.

    Example:
        >>> distillation.pair_layers(2, 6, "encoder.layers.{}")
        {'encoder.layers.0': 'encoder.layers.2', 'encoder.layers.1': 'encoder.layers.5'}
    """
    if not 1 <= student <= teacher:
        raise ValueError(
            f"pair_layers: expected from 1 to {teacher} layers of the student, no more than the "
            f"teacher has. Got {student}."
        )
    other = student_name if teacher_name is None else teacher_name
    ends = [(k + 1) * teacher // student - 1 for k in range(student)]
    return {student_name.format(k): other.format(end) for k, end in enumerate(ends)}


def keep_layers(model: Module, path: str, keep: int | Sequence[int]) -> Any:
    """A copy of `model` that has only some of the layers in the ModuleList or Sequential `path`.

    `keep` are their numbers, in the order they shall have, or how many, taken `evenly`. Layers left
    out are never copied. A `num_layers` beside the list, and the count in the models' `config`, are
    set to the new number.
    Raises: AttributeError, TypeError if `path` is no list of layers, IndexError for numbers that
    are not there. Source: arXiv:1910.01108, section 2 (every second layer).

    Example:
        >>> student = distillation.keep_layers(teacher, "encoder.layers", 3)
    """
    layers = model.get_submodule(path)
    if not isinstance(layers, ModuleList | Sequential):
        kinds = ModuleList | Sequential
        lists = [n for n, m in model.named_modules() if n and isinstance(m, kinds)]
        raise TypeError(
            f"keep_layers: expected a ModuleList or a Sequential as {path!r}. Got "
            f"{type(layers).__name__}. {type(model).__name__} has {', '.join(map(repr, lists))}."
        )
    members = list(layers)
    chosen = evenly(len(members), keep) if isinstance(keep, int) else list(keep)
    if not chosen or not all(-len(members) <= k < len(members) for k in chosen):
        raise IndexError(
            f"keep_layers: expected numbers of the {len(members)} layers of {path!r}. Got {chosen}."
        )
    kept = {id(members[k]) for k in chosen}
    memo: dict[int, Any] = {id(m): Identity() for m in members if id(m) not in kept}
    student = copy.deepcopy(model, memo)
    container: Any = student.get_submodule(path)
    before, members = len(members), list(container)
    container._modules.clear()
    for place, k in enumerate(chosen):
        again = members[k] in container._modules.values()
        container.add_module(str(place), copy.deepcopy(members[k]) if again else members[k])
    _recount(student, path, before, len(chosen))
    return student


def _recount(student: Any, path: str, before: int, after: int) -> None:
    """Tell the owner of the layers, and the configurations of all models inside, how many."""
    owners = [student.get_submodule(path.rpartition(".")[0])] if path else []
    configs = [getattr(module, "config", None) for module in student.modules()]
    for holder in [*owners, *configs]:
        for name in COUNTS:
            if getattr(holder, name, None) == before:
                setattr(holder, name, after)
