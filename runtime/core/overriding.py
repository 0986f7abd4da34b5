"""`__torch_function__`: how subclasses of tensors, and objects like them, take part in functions.

As long as nobody defines such a class, nothing here is asked and no function is slower. The first
one that comes switches it on: from then on every public function looks at its arguments (see
`flambeau.overrides`, which does the switching). Source: the protocol as PyTorch documents it in
"Extending PyTorch", section `__torch_function__`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Container, Iterable
from typing import Any, cast


class _State(threading.local):
    """What holds in this thread."""

    disabled = 0  # depth of blocks in which subclasses are taken as plain tensors
    modes: tuple[Any, ...] = ()  # those entered, the innermost last


state = _State()
active = False
switches: list[Callable[[], None]] = []
"""What lets all public functions ask; `flambeau.overrides` puts it here."""
asks: dict[type, bool] = {}
"""By class, whether its instances are asked."""
plain: set[type] = set()
"""Classes whose instances are not asked and hold none that could be: what calls see at a glance."""


def switch_on() -> None:
    """Let functions look for overriding arguments. Once is enough."""
    global active
    if not active:
        active = True
        for switch in switches:
            switch()


def not_implemented(
    cls: type, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None
) -> Any:
    """The `__torch_function__` of classes that take no part, such as parameters."""
    return NotImplemented


disabled_implementation = cast(Any, classmethod(not_implemented))


def overrides(cls: type) -> bool:
    """Whether instances of `cls` are asked before a function takes them."""
    found = asks.get(cls)
    if found is None:
        method = getattr(cls, "__torch_function__", None)
        found = method is not None and getattr(method, "__func__", method) is not not_implemented
        asks[cls] = found
        if not (found or issubclass(cls, tuple | list)):
            plain.add(cls)
    return found


def overriding(args: Iterable[Any]) -> list[Any]:
    """Those of `args`, or of the lists and tuples among them, that have an answer: one of each
    class, subclasses before their bases, else from left to right."""
    found: list[Any] = []
    for value in args:
        if isinstance(value, tuple | list):
            inner = [v for v in value if overrides(v.__class__)]
        else:
            inner = [value] if overrides(value.__class__) else []
        for v in inner:
            if all(v.__class__ is not other.__class__ for other in found):
                later = (k for k, other in enumerate(found) if issubclass(type(v), type(other)))
                found.insert(next(later, len(found)), v)
    return found


def answer(function: Any, asked: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What the innermost mode, or else the first of `asked` that can tell, gives for the call.

    Raises: TypeError if none can.
    """
    types = tuple(type(a) for a in asked)
    modes = state.modes
    if modes:
        state.modes = modes[:-1]
        try:
            found = modes[-1].__torch_function__(function, types, args, kwargs)
        finally:
            state.modes = modes
        if found is not NotImplemented:
            return found
    for argument in asked:
        found = type(argument).__torch_function__(function, types, args, kwargs)
        if found is not NotImplemented:
            return found
    name = getattr(function, "__qualname__", function)
    listed = ", ".join(t.__qualname__ for t in types)
    raise TypeError(
        f"{name}: expected a __torch_function__ that implements it. Those of {listed} gave "
        "NotImplemented."
    )


def noticed(values: Iterable[Any]) -> bool:
    """Whether one of `values`, which a generated function could not take, overrides functions, and
    that function is the one that was called from outside.

    No class tells us that it has a `__torch_function__` unless it is a tensor's: so the first
    object of such a class is noticed by the failure that it causes.
    """
    if active or not overriding(values):
        return False
    frame: Any = sys._getframe(1)
    if frame.f_code.co_name == "general":
        frame = frame.f_back
    outermost, outer = frame, frame.f_back
    while outer is not None and _is_ours(outer):
        if outer.f_code.co_name != "first_call":  # which stands before a generated function
            outermost = outer
        outer = outer.f_back
    if outermost is not frame and outermost.f_globals["__name__"] == "flambeau.generated":
        return False  # that one will ask
    switch_on()
    return outermost is frame


def _is_ours(frame: Any) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("flambeau.")


class DisableTorchFunctionSubclass:
    """In this block (`with`), instances of subclasses are taken as the plain tensors they are."""

    def __enter__(self) -> None:
        state.disabled += 1

    def __exit__(self, *error: object) -> None:
        state.disabled -= 1


def default(cls: type, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
    """`func` as for plain tensors, with the tensors in its result as instances of `cls`.

    NotImplemented if some of `types` is no base of `cls`.
    """
    if not all(issubclass(cls, t) for t in types):
        return NotImplemented
    with DisableTorchFunctionSubclass():
        found = func(*args, **(kwargs or {}))
        return as_class(found, cls, [id(v) for a in args for v in _inside(a)])


def _inside(value: Any) -> Iterable[Any]:
    return value if isinstance(value, tuple | list) else (value,)


def as_class(value: Any, cls: Any, given: Container[int] = ()) -> Any:
    """The tensors in `value`, or in the tuples and lists in it, as instances of `cls`: new ones
    become it, those whose id is among `given` get an alias that is."""
    from .tensor import Tensor  # which takes its __torch_function__ from here

    if isinstance(value, tuple | list):
        parts = [as_class(v, cls, given) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, Tensor) and not isinstance(value, cls):
        if id(value) in given:
            return value.as_subclass(cls)
        value.__class__ = cls
    return value
