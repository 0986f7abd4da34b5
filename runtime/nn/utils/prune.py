"""Pruning: parameters times masks of 0 and 1.

The parameter `name` becomes `name`_orig, which is trained; the buffer `name`_mask says what is
kept; `name` itself is their product, computed before each call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...core.creation import ones_like
from ...ops.joins import cat
from ..modules.module import Module
from .pruning_methods import (
    BasePruningMethod,
    CustomFromMask,
    Identity,
    L1Unstructured,
    LnStructured,
    PruningContainer,
    RandomStructured,
    RandomUnstructured,
    drop,
    methods_of,
)

__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured",
    "PruningContainer", "RandomStructured", "RandomUnstructured", "custom_from_mask",
    "global_unstructured", "identity", "is_pruned", "l1_unstructured", "ln_structured",
    "random_structured", "random_unstructured", "remove",
]  # fmt: skip


def identity(module: Module, name: str) -> Module:
    """Give the parameter `name` a mask of ones. Returns the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: Any) -> Module:
    """Prune `amount` elements of the parameter `name` at random: a share as a float, or a number.
    Returns the module.

    Example:
        >>> layer = nn.utils.prune.random_unstructured(nn.Linear(2, 3), "weight", amount=2)
        >>> int((layer.weight == 0).sum())
        2
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: Module, name: str, amount: Any, importance_scores: Any = None
) -> Module:
    """Prune the `amount` elements of the parameter `name` with the smallest absolute values, or
    scores. Returns the module."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: Any, dim: int) -> Module:
    """Prune `amount` slices along `dim` of the parameter `name` at random. Returns the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None
) -> Module:
    """Prune the `amount` slices along `dim` of the parameter `name` with the smallest n-norms (of
    the scores, if given). Returns the module."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def global_unstructured(
    parameters: Any,
    pruning_method: type[BasePruningMethod],
    importance_scores: Any = None,
    **kwargs: Any,
) -> None:
    """Prune several parameters as if they were one: `parameters` are pairs (module, name),
    `pruning_method` one of the unstructured classes, `kwargs` its arguments; `importance_scores` a
    dict of such pairs and scores.

    Raises: TypeError for no iterable or a method of slices.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError(
            f"global_unstructured: expected pairs (module, name). Got {type(parameters).__name__}."
        )
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError(
            f"global_unstructured: expected a dict of scores. Got {type(scores).__name__}."
        )
    pairs = list(parameters)
    values = [scores.get((m, n), getattr(m, n)).reshape(-1) for m, n in pairs]
    masks = [getattr(m, n + "_mask", ones_like(getattr(m, n))).reshape(-1) for m, n in pairs]
    container = PruningContainer()
    container._tensor_name = "temp"
    method: Any = pruning_method(**kwargs)
    method._tensor_name = "temp"
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            "global_unstructured: expected a method of PRUNING_TYPE unstructured. Got "
            f"{method.PRUNING_TYPE!r}."
        )
    container.add_pruning_method(method)
    mask = container.compute_mask(cat(values), cat(masks))
    start = 0
    for module, name in pairs:
        parameter = getattr(module, name)
        count = parameter.numel()
        custom_from_mask(module, name, mask[start : start + count].view_as(parameter))
        start += count


def custom_from_mask(module: Module, name: str, mask: Any) -> Module:
    """Prune the parameter `name` where `mask` is 0. Returns the module."""
    CustomFromMask.apply(module, name, mask)
    return module


def remove(module: Module, name: str) -> Module:
    """Make the pruned `name` an ordinary parameter; what was pruned stays 0, but is trained on.

    Raises: ValueError if it was not pruned.
    """
    for method in methods_of(module):
        if method._tensor_name == name:
            method.remove(module)
            drop(module, method)
            return module
    raise ValueError(f"prune.remove: expected {name!r} to have been pruned. Got {module}.")


def is_pruned(module: Module) -> bool:
    """Whether anything in the module, or in one below, is pruned."""
    return any(methods_of(m) for m in module.modules())
