"""Modules without initial values."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from ..modules.module import Module

__all__ = ["skip_init"]

M = TypeVar("M", bound=Module)


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """module_cls(*args, **kwargs) whose parameters and buffers are not set to anything: for those
    that will be loaded or drawn otherwise.

    Raises: RuntimeError for a class of no modules, or one that takes no device.
    """
    if not isinstance(module_cls, type):
        raise TypeError(f"skip_init: expected a class of modules. Got {module_cls!r}.")
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"skip_init: expected a class of modules. Got {module_cls!r}.")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError(
            f"skip_init: expected a class that takes a device. Got {module_cls.__name__}."
        )
    device = kwargs.pop("device", "cpu")
    return module_cls(*args, device="meta", **kwargs).to_empty(device=device)
