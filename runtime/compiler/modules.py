"""Compiled modules: a module around the one that was compiled, or its forward in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..nn import Module
from .habits import Habit
from .region import run

PREFIX = "_orig_mod."


class OptimizedModule(Module):
    """A module whose calls are compiled calls of the module it holds, `_orig_mod`.

    Attributes are those of the held module, and it is called with its hooks. As in PyTorch, the
    names in `state_dict` begin with `_orig_mod.`; `load_state_dict` takes names without that too.
    """

    _orig_mod: Module
    _is_eager: bool
    _fullgraph: bool
    _habit: Habit

    def __init__(self, module: Module, is_eager: bool = False, fullgraph: bool = False) -> None:
        super().__init__()
        self.__dict__.update(_is_eager=is_eager, _fullgraph=fullgraph, training=module.training)
        self.__dict__["_habit"] = Habit()
        self._orig_mod = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The held module's call, compiled."""
        if self._is_eager:
            return self._orig_mod(*args, **kwargs)
        return run(self._orig_mod, args, kwargs, self._fullgraph, habit=self._habit)

    def __getattr__(self, name: str) -> Any:
        held = self._held().get("_orig_mod")
        return (
            super().__getattr__(name)
            if held is None or name == "_orig_mod"
            else getattr(held, name)
        )

    def __setattr__(self, name: str, value: Any) -> None:
        held = self._held().get("_orig_mod")
        if held is None or name == "_orig_mod":
            super().__setattr__(name, value)
        else:
            setattr(held, name, value)

    def _held(self) -> dict[str, Any]:
        found: dict[str, Any] = self.__dict__.get("_modules", {})
        return found

    def train(self, mode: bool = True) -> OptimizedModule:
        """Both modules in training mode, or not."""
        self._orig_mod.train(mode)
        self.__dict__["training"] = mode
        return self

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As the held module does, with names that begin with `_orig_mod.` or do not."""
        plain = {name.removeprefix(PREFIX): value for name, value in state_dict.items()}
        return self._orig_mod.load_state_dict(plain, *args, **kwargs)


class CompiledForward:
    """The compiled `forward` of a module, which takes its place; goes where the module is copied
    or pickled to."""

    def __init__(self, module: Module, fullgraph: bool) -> None:
        self.module, self.fullgraph, self.habit = module, fullgraph, Habit()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        forward = type(self.module).forward
        return run(forward, (self.module, *args), kwargs, self.fullgraph, habit=self.habit)
