"""Names of PyTorch's compiler that programs look up."""

from typing import Any

from ..compiler import (
    OptimizedModule,
    allow_in_graph,
    assume_constant_result,
    disable,
    explain,
    is_compiling,
    reset,
)

__all__ = [
    "OptimizedModule", "allow_in_graph", "assume_constant_result", "config", "disable", "explain",
    "is_compiling", "is_dynamo_supported", "mark_dynamic", "mark_static", "mark_static_address",
    "maybe_mark_dynamic", "reset",
]  # fmt: skip


class _Config:
    """Settings of PyTorch's compiler: any can be set, and none changes anything."""

    def patch(self, *args: Any, **changes: Any) -> Any:
        """A `with` block, or a decorator, for which settings hold."""
        from contextlib import ContextDecorator, nullcontext

        class Patch(nullcontext[None], ContextDecorator):
            pass

        return Patch()


config = _Config()


def is_dynamo_supported() -> bool:
    """Whether functions can be compiled: yes."""
    return True


def mark_dynamic(t: Any, index: Any, *args: Any, **options: Any) -> None:
    """Nothing: any size may change between calls, and a program is built once for each."""


def mark_static(t: Any, index: Any = None) -> None:
    """Nothing: see `mark_dynamic`."""


def mark_static_address(t: Any, guard: bool = True) -> None:
    """Nothing: programs take addresses anew at each call."""


maybe_mark_dynamic = mark_dynamic
