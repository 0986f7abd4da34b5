"""Which modules of a model are sharded each for itself.

A policy is asked about each module as `policy(module=..., recurse=False, nonwrapped_numel=n)`,
where n counts its parameters that no module below it has taken.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from ...nn.modules.module import Module

__all__ = [
    "ModuleWrapPolicy", "always_wrap_policy", "lambda_auto_wrap_policy",
    "size_based_auto_wrap_policy", "transformer_auto_wrap_policy",
]  # fmt: skip


def always_wrap_policy(*args: Any, **kwargs: Any) -> bool:
    """Every module."""
    return True


def size_based_auto_wrap_policy(
    module: Module, recurse: bool, nonwrapped_numel: int, min_num_params: int = 100_000_000
) -> bool:
    """Modules that come to `min_num_params` parameters or more."""
    return recurse or nonwrapped_numel >= min_num_params


def lambda_auto_wrap_policy(
    module: Module, recurse: bool, nonwrapped_numel: int, lambda_fn: Callable[[Module], bool]
) -> bool:
    """Modules for which `lambda_fn` is true."""
    return recurse or lambda_fn(module)


def transformer_auto_wrap_policy(
    module: Module,
    recurse: bool,
    nonwrapped_numel: int,
    transformer_layer_cls: Iterable[type[Module]],
) -> bool:
    """Modules of the given classes: the blocks of a transformer."""
    return recurse or isinstance(module, tuple(transformer_layer_cls))


class ModuleWrapPolicy:
    """Modules of the given classes."""

    def __init__(self, module_classes: Iterable[type[Module]]) -> None:
        self._classes = tuple(module_classes)

    def __call__(self, module: Module, recurse: bool = False, *args: Any, **kwargs: Any) -> bool:
        return recurse or isinstance(module, self._classes)


def modules_to_shard(root: Module, policy: Any) -> list[Module]:
    """Those that the policy names below `root`, from the inside out."""
    found: list[Module] = []
    taken: set[int] = set()
    if policy is None:
        return found
    for module in reversed(list(root.modules())):  # children come after their parents
        left = {id(p): p.numel() for p in module.parameters() if id(p) not in taken}
        asked = functools.partial(policy, nonwrapped_numel=sum(left.values()))
        if module is not root and left and asked(module=module, recurse=False):
            found.append(module)
            taken |= left.keys()
    return found
