"""Values of the abstract run: what is not known, sequences known in part, and how values join."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from flambeau.core.tensor import Tensor

__all__ = [
    "MISSING",
    "SOME_FLOAT",
    "SOME_INT",
    "UNKNOWN",
    "SomeFloat",
    "SomeInt",
    "Stream",
    "Unknown",
    "UnknownUsedError",
]


class UnknownUsedError(Exception):
    """Native code looked into a value that is not known."""


class Unknown:
    """A value of which nothing is known; the only instance is `UNKNOWN`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "?"

    def _used(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise UnknownUsedError

    __bool__ = __len__ = __iter__ = __call__ = __getitem__ = __int__ = __float__ = _used
    __index__ = __contains__ = __add__ = __radd__ = __mul__ = __rmul__ = __lt__ = __gt__ = _used
    __sub__ = __rsub__ = __truediv__ = __rtruediv__ = __format__ = __str__ = _used
    __enter__ = __exit__ = __neg__ = __le__ = __ge__ = __next__ = _used

    def __deepcopy__(self, memo: Any) -> Unknown:
        return self

    def __copy__(self) -> Unknown:
        return self


UNKNOWN = Unknown()


class SomeFloat(float):
    """A float whose value is not known; the only instance is `SOME_FLOAT`. It has a float's
    attributes and no others, which tells a number from a tensor."""

    __slots__ = ()


class SomeInt(int):
    """An int whose value is not known; the only instance is `SOME_INT`."""

    __slots__ = ()


SOME_FLOAT = SomeFloat("nan")
SOME_INT = SomeInt(-1)


class Missing:
    """Stands for a name that is bound to nothing."""

    __slots__ = ()


MISSING = Missing()


class Stream:
    """An iterator: the items it will give, and whether these are all (`exact`)."""

    def __init__(self, items: Iterable[Any], exact: bool = True) -> None:
        self.items = list(items)
        self.exact = exact
        self.position = 0

    def rest(self) -> list[Any]:
        """The items not yet given, all given now."""
        items = self.items[self.position :]
        self.position = len(self.items)
        return items

    def next(self) -> Any:
        """The next item; UNKNOWN behind the last known one. Raises: StopIteration at the end."""
        if self.position < len(self.items):
            self.position += 1
            return self.items[self.position - 1]
        if self.exact:
            raise StopIteration
        return self.items[-1] if self.items else UNKNOWN


PRIMITIVES = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis))


def with_numbers(value: Any) -> Any:
    """`value` with numbers in the place of those that are not known, where these decide nothing
    but values."""
    if value.__class__ is SomeFloat:
        return 0.5
    if value.__class__ is SomeInt:
        return 1
    if value.__class__ in (list, tuple):
        return value.__class__([with_numbers(item) for item in value])
    return value


def alike(a: Any, b: Any) -> bool:
    """Whether the checker need not tell `a` from `b`: same object, equal numbers or strings,
    tensors of one shape, dtype and device."""
    if a is b:
        return True
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype is b.dtype and a.device == b.device
    if a.__class__ is not b.__class__:
        return False
    if isinstance(a, PRIMITIVES):
        return bool(a == b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(alike(x, y) for x, y in zip(a, b, strict=True))
    return False


def join(a: Any, b: Any) -> Any:
    """What is known of a value that is either `a` or `b`."""
    if a is MISSING:
        return b
    if b is MISSING or a is b:
        return a
    if isinstance(a, Tensor) and isinstance(b, Tensor) and alike(a, b):
        return b if b.requires_grad else a
    kinds = {a.__class__, b.__class__}
    if a.__class__ is b.__class__ and isinstance(a, PRIMITIVES) and a == b:
        return a
    if kinds <= {int, SomeInt}:
        return SOME_INT
    if kinds <= {float, SomeFloat}:
        return SOME_FLOAT
    if len(kinds) == 1 and isinstance(a, tuple) and len(a) == len(b):
        items = [join(x, y) for x, y in zip(a, b, strict=True)]
        if hasattr(a, "_fields"):
            return a.__class__(*items)
        return tuple(items) if a.__class__ is tuple else UNKNOWN
    return UNKNOWN


def with_cache(function: Any) -> Any:
    """`function`, with the attributes of one that keeps its results."""
    for name in ("cache_clear", "cache_info", "cache_parameters"):
        setattr(function, name, UNKNOWN)
    return function
