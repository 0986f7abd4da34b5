"""Lists and dicts of parameters, which a module owns."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from ...core.tensor import Tensor
from ..parameter import Parameter
from .module import Module

__all__ = ["ParameterDict", "ParameterList"]


def _as_parameter(value: Any) -> Any:
    """Tensors become parameters; everything else stays."""
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return Parameter(value)
    return value


def _described(key: Any, value: Any, kind: str) -> str:
    if not isinstance(value, Tensor):
        return f"  ({key}): Object of type: {type(value).__name__}"
    sizes = "x".join(map(str, value.shape))
    place = f" ({value.device})" if value.is_cuda else ""
    return f"  ({key}): Parameter containing: [{kind} of size {sizes}{place}]"


class _ParameterContainer(Module):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"{type(self).__name__} has no forward: take parameters out of it.")

    def __repr__(self) -> str:
        lines = self.extra_repr()
        return f"{self._get_name()}(\n{lines}\n)" if lines else f"{self._get_name()}()"


class ParameterList(_ParameterContainer):
    """A list of parameters. Tensors put in become parameters; other values are kept as they are.

    state_dict keys are the numbers '0', '1', ...
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _name_of(self, index: Any) -> str:
        index = operator.index(index)
        if not -self._size <= index < self._size:
            raise IndexError(
                f"ParameterList: expected an index from {-self._size} to {self._size - 1}. Got "
                f"{index}."
            )
        return str(index % self._size)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return getattr(self, self._name_of(index))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._name_of(index), _as_parameter(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[k] for k in range(self._size)])

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def append(self, value: Any) -> Self:
        """Add `value` at the end."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add all `values` at the end. Raises: TypeError for a single tensor or no iterable."""
        if isinstance(values, Tensor) or not isinstance(values, Iterable):
            raise TypeError(
                "ParameterList: expected several values, as a list. Got one "
                f"{type(values).__name__}."
            )
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        """A line per member."""
        return "\n".join(
            "  " + _described(k, v, str(v.dtype) if isinstance(v, Tensor) else "")
            for k, v in enumerate(self)
        )


class ParameterDict(_ParameterContainer):
    """A dict of parameters, in order. Tensors put in become parameters; other values are kept as
    they are."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    @staticmethod
    def _attribute(key: Any) -> str:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: expected strings as keys. Got {type(key).__name__}.")
        return key

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, self._attribute(key))

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, self._attribute(key), _as_parameter(value))
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, self._attribute(key))

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._keys))

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __or__(self, other: Any) -> ParameterDict:
        found = self.copy()
        found.update(other)
        return found

    def __ror__(self, other: Any) -> ParameterDict:
        found = ParameterDict(other)
        found.update(self)
        return found

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def copy(self) -> ParameterDict:
        """A new dict of the same members."""
        return ParameterDict(self.items())

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The member `key`, which becomes `default` if there is none."""
        if key not in self._keys:
            self[key] = default
        return self[key]

    def get(self, key: str, default: Any = None) -> Any:
        """The member `key`, or `default`."""
        return self[key] if key in self._keys else default

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new dict with `default` under all `keys`."""
        return ParameterDict((key, default) for key in keys)

    def pop(self, key: str) -> Any:
        """Take the member `key` out and return it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the last key and its member out and return them."""
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        """Remove all members."""
        for key in list(self._keys):
            del self[key]

    def keys(self) -> Iterable[str]:
        """The keys."""
        return self._keys.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Keys and members."""
        return [(key, self[key]) for key in self._keys]

    def values(self) -> Iterable[Any]:
        """The members."""
        return [self[key] for key in self._keys]

    def update(self, parameters: Any) -> None:
        """Add the members of a dict, or of (key, value) pairs. Raises: TypeError for else."""
        if isinstance(parameters, Tensor) or not isinstance(parameters, Iterable):
            raise TypeError(
                f"ParameterDict: expected a dict or pairs. Got one {type(parameters).__name__}."
            )
        pairs = parameters.items() if hasattr(parameters, "items") else parameters
        if isinstance(parameters, Mapping) and not isinstance(parameters, OrderedDict):
            pairs = sorted(pairs)  # PyTorch sorts plain dicts
        for key, value in pairs:
            self[key] = value

    def extra_repr(self) -> str:
        """A line per member."""
        return "\n".join("  " + _described(k, v, _legacy(v)) for k, v in self.items())


def _legacy(value: Any) -> str:
    return str(value.type()).replace(".cuda", "") if isinstance(value, Tensor) else ""
