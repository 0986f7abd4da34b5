"""Modules made of modules: Sequential, ModuleList, ModuleDict."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Self

from .module import Module, _bracketed, _indented

__all__ = ["ModuleDict", "ModuleList", "Sequential"]


class _Numbered(Module):
    """Modules under the names '0', '1', ..."""

    def _position(self, index: Any) -> int:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"{self._get_name()}: expected an index from {-len(self)} to {len(self) - 1}. Got "
                f"{index}."
            )
        return index % len(self)

    def _reset(self, modules: Iterable[Module | None]) -> None:
        """Number the modules anew."""
        found = list(modules)
        self._modules.clear()
        for k, module in enumerate(found):
            self.add_module(str(k), module)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(*self._arguments(list(self)[index]))
        return list(self._modules.values())[self._position(index)]

    def _arguments(self, modules: list[Module]) -> list[Any]:
        return [modules]

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(list(self._modules)[self._position(index)], module)

    def __delitem__(self, index: Any) -> None:
        modules = list(self)
        del modules[index if isinstance(index, slice) else self._position(index)]
        self._reset(modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def append(self, module: Module) -> Self:
        """Add `module` at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add all `modules` at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Add `module` before the one at `index`."""
        modules = list(self)
        modules.insert(index, module)
        self._reset(modules)
        return self

    def pop(self, key: int) -> Module:
        """Take the module at `key` out and return it."""
        module: Module = self[key]
        del self[key]
        return module


def _repeats(times: Any) -> int:
    """Raises: TypeError for anything but an integer, ValueError for less than 1."""
    if not isinstance(times, int):
        raise TypeError(f"Sequential: expected an int to multiply by. Got {type(times).__name__}.")
    if times <= 0:
        raise ValueError(f"Sequential: expected to be multiplied by 1 or more. Got {times}.")
    return times


class Sequential(_Numbered):
    """Modules called one after the other, each on the output of the one before.

    Made of modules, or of one OrderedDict of names and modules.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self._reset(args)

    def forward(self, input: Any) -> Any:
        """The last module's output."""
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]
        return input

    def _arguments(self, modules: list[Module]) -> list[Any]:
        names = {id(m): n for n, m in self._modules.items()}
        return [OrderedDict((names[id(m)], m) for m in modules)]

    def __add__(self, other: Any) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(f"Sequential: expected a Sequential to add. Got {other!r}.")
        return Sequential(*self, *other)

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*list(self) * _repeats(times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        return self.extend(list(self) * (_repeats(times) - 1))


class ModuleList(_Numbered):
    """A list of modules, which it owns. It has no forward of its own."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self._reset(modules or [])

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def insert(self, index: int, module: Module) -> None:
        """Add `module` before the one at `index`."""
        super().insert(index, module)

    def __repr__(self) -> str:
        """Runs of equal modules are written once, with their number."""
        lines = []
        position = 0
        for text, run in groupby(repr(module) for module in self):
            count = len(list(run))
            last = position + count - 1
            place = f"({position})" if count == 1 else f"({position}-{last})"
            times = "" if count == 1 else f"{count} x "
            lines.append(_indented(f"{place}: {times}{text}"))
            position += count
        return _bracketed(self._get_name(), [], lines)


class ModuleDict(Module):
    """A dict of modules, which it owns. It has no forward of its own."""

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Module | None:
        """Take the module `key` out and return it."""
        return self._modules.pop(key)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and modules."""
        return self._modules.items()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Any) -> None:
        """Add the modules of a dict, or of (name, module) pairs."""
        pairs = modules.items() if isinstance(modules, Mapping | ModuleDict) else modules
        for name, module in pairs:
            self.add_module(name, module)
