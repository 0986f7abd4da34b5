"""Which module runs: a stack that follows the calls of all modules while it is asked to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flambeau.nn import Module
from flambeau.nn.modules.hooks import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)


class ModuleStack:
    """The modules that run now, the outermost first.

    `name_of` calls them by `names` (id of a module -> its name) or, unknown, by their class.
    """

    def __init__(self, names: Mapping[int, str] | None = None) -> None:
        self.running: list[Module] = []
        self.names = dict(names or {})

    @property
    def current(self) -> str:
        """The name of the innermost module that runs; empty outside of all."""
        return self.name_of(self.running[-1]) if self.running else ""

    def name_of(self, module: Module) -> str:
        """`net.0`, or `Linear` for a module that no name leads to."""
        return self.names.get(id(module)) or type(module).__name__

    @contextmanager
    def following(self) -> Iterator[ModuleStack]:
        """Follow calls for the length of a `with` block."""

        def enter(module: Module, args: Any) -> None:
            self.running.append(module)

        def leave(module: Module, args: Any, output: Any) -> None:
            while self.running and self.running.pop() is not module:
                continue  # its callees that were left by an error someone caught

        handles = [
            register_module_forward_pre_hook(enter),
            register_module_forward_hook(leave, always_call=True),
        ]
        try:
            yield self
        finally:
            self.running.clear()
            for handle in handles:
                handle.remove()


def named_modules(namespace: Mapping[str, Any]) -> dict[int, str]:
    """Names of all modules of a session, by id: `net`, `net.0`."""
    names: dict[int, str] = {}
    for name, value in list(namespace.items()):
        if isinstance(value, Module) and not name.startswith("_"):
            for path, module in value.named_modules():
                names.setdefault(id(module), f"{name}.{path}" if path else name)
    return names
