"""What stands beside the runtime: data pipelines, activation checkpoints."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from . import checkpoint as checkpoint
from . import data as data
from . import dlpack as dlpack

_ELSEWHERE = {"_pytree": "._pytree", "hooks": "..autograd.node"}
"""Modules that programs reach as attributes, without importing them."""


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(_ELSEWHERE[name], __name__)
