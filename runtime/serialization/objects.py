"""Whole modules and other objects in checkpoints: which classes a file may name, and how their
objects are made again.

An object is a class that the program itself has imported, and a state; it is made without a call of
the class, and nothing is imported. So a file decides what the attributes hold, never what runs.
"""

from __future__ import annotations

import argparse
import enum
import sys
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

from ..core.tensor import Tensor
from ..errors import CheckpointError
from .pickles import Built, Global

ALIAS, NAME = "torch", "flambeau"
PLAIN_MAKERS = (object.__new__, dict.__new__, list.__new__)
HARMLESS = {argparse.Namespace, SimpleNamespace}
"""Classes of the standard library that are only attributes."""


class Object(Built):
    """An object that is there already and takes its state in place."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def set_state(self, state: Any) -> None:
        """Hand the state to `__setstate__`, or make it the object's attributes."""
        value = self.value
        if hasattr(value, "__setstate__"):
            value.__setstate__(state)
            return
        attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        if not isinstance(attributes, dict | None) or not isinstance(slots, dict | None):
            raise CheckpointError(f"load: expected the attributes of a {type(value).__name__}.")
        if attributes:
            value.__dict__.update(attributes)
        for name, item in (slots or {}).items():
            setattr(value, name, item)


def without_call(kind: type) -> Callable[..., Object]:
    """What makes objects of the class without calling it, except members of an enumeration."""

    def build(*args: Any, **options: Any) -> Object:
        if issubclass(kind, enum.Enum):
            return Object(kind(*args))
        return Object(kind.__new__(kind, *args, **options))

    return build


def is_rebuilt(kind: type) -> bool:
    """Whether objects of `kind` are written, and read again with `weights_only=False`: modules,
    optimizers and schedules, and the program's own classes if pickle has no method of theirs to
    call, named tuples and enumerations among them."""
    if kind in HARMLESS:
        return True
    if kind.__module__.partition(".")[0] in sys.stdlib_module_names or issubclass(kind, Tensor):
        return False
    if issubclass(kind, enum.Enum) or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return True
    takes_state = kind.__reduce__ is object.__reduce__ or issubclass(kind, dict | list)
    own = isinstance(kind.__new__, FunctionType)
    return takes_state and (own or kind.__new__ in PLAIN_MAKERS)


def is_named(value: Any) -> bool:
    """Whether a file may name `value`: a class of `is_rebuilt`, or a function that stands in a
    module outside the standard library, and that only the module's own code will call."""
    if isinstance(value, type):
        return is_rebuilt(value) or value in (int, float, str, bool, list, dict, set, tuple)
    if not isinstance(value, FunctionType):
        return False
    return value.__module__.partition(".")[0] not in sys.stdlib_module_names


def known(module: str, name: str) -> Global | None:
    """What the program has under `module.name`, if a file may name that; None if not."""
    if module == ALIAS or module.startswith(ALIAS + "."):
        module = NAME + module.removeprefix(ALIAS)
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    if not is_named(found):
        return None
    build = without_call(found) if isinstance(found, type) and is_rebuilt(found) else None
    return Global(f"{module}.{name}", build, found)
