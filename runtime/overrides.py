"""Overriding functions of tensors: the public side of `__torch_function__`.

Functions are switched over where they stand, by exchanging their code, so that `torch.mean` stays
the same object wherever it was imported to, and costs nothing extra until somebody overrides.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from .core import overriding
from .core.dispatch import operations
from .core.overriding import state
from .core.tensor import Tensor

__all__ = [
    "TorchFunctionMode",
    "get_ignored_functions",
    "get_overridable_functions",
    "handle_torch_function",
    "has_torch_function",
    "has_torch_function_unary",
    "has_torch_function_variadic",
    "is_tensor_like",
    "is_tensor_method_or_property",
    "resolve_name",
    "wrap_torch_function",
]

NAMESPACES = ("", "nn.functional", "linalg", "fft", "special")
"""Modules whose public functions can be overridden."""

METADATA = """
size dim numel nelement stride storage_offset data_ptr element_size is_floating_point is_complex
numpy_values as_subclass __iter__
"""
"""Methods that only tell what a tensor is, the same for every class, and what is made of methods
that are asked: never asked about."""

VIEWS = "T mT H mH real imag data"
"""Attributes that are tensors, and so of the class of the tensor they belong to."""

PUBLIC_NAMES = {"plus": "add", "minus": "sub", "divide": "div"}
"""The functions behind operators, by the operations they are."""


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether some argument overrides functions, in this place."""
    asked = not state.disabled and bool(overriding.overriding(relevant_args))
    return asked or bool(state.modes)


def has_torch_function_unary(argument: Any) -> bool:
    """Whether the argument overrides functions, in this place."""
    return has_torch_function((argument,))


def has_torch_function_variadic(*args: Any) -> bool:
    """Whether some argument overrides functions, in this place."""
    return has_torch_function(args)


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """What the overriding arguments give for `public_api(*args, **kwargs)`.

    Raises: TypeError if all give NotImplemented.
    """
    return overriding.answer(public_api, overriding.overriding(relevant_args), args, kwargs)


def wrap_torch_function(dispatcher: Callable[..., Iterable[Any]]) -> Callable[..., Any]:
    """A decorator that makes a function overridable; `dispatcher`, called as it, gives the
    arguments that may override it."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = tuple(dispatcher(*args, **kwargs))
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        return wrapped

    return decorate


def is_tensor_like(inp: Any) -> bool:
    """Whether `inp` is a tensor, or an object that overrides functions of tensors."""
    return isinstance(inp, Tensor) or hasattr(inp, "__torch_function__")


class TorchFunctionMode:
    """In a block (`with`), all functions of tensors go to this object's `__torch_function__`.

    Subclass it and define `__torch_function__(self, func, types, args=(), kwargs=None)`, in which
    the mode is off. Modes nest; the innermost is asked first.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError("Expected a subclass that defines __torch_function__.")

    def __enter__(self) -> TorchFunctionMode:
        overriding.switch_on()
        state.modes = (*state.modes, self)
        return self

    def __exit__(self, *error: object) -> None:
        state.modes = state.modes[:-1]


# -- which functions there are ---------------------------------------------------------------------


def _modules() -> Iterator[tuple[str, ModuleType]]:
    for name in NAMESPACES:
        yield name, importlib.import_module(f"flambeau.{name}".rstrip("."))


def _members(place: Any) -> Iterator[tuple[str, Any]]:
    for name, value in list(vars(place).items()):
        if isinstance(value, FunctionType) and value.__module__.startswith("flambeau."):
            yield name, value


def _functions() -> Iterator[tuple[str, Any]]:
    """Every public function of tensors with its full name, methods last."""
    for place, module in _modules():
        for name, function in _members(module):
            if not name.startswith("_"):
                yield ".".join(filter(None, ("torch", place, name))), function
    for name, function in _members(Tensor):
        is_own = function.__module__ == Tensor.__module__ and name.startswith("__")
        if not is_own and name not in METADATA.split():
            yield f"torch.Tensor.{name}", function


def get_overridable_functions() -> dict[Any, list[Callable[..., Any]]]:
    """The functions that arguments can override, by the module or class that offers them."""
    found: dict[Any, list[Callable[..., Any]]] = {}
    places = dict(_modules())
    for name, function in _functions():
        inner = name.removeprefix("torch.").rpartition(".")[0]
        found.setdefault(Tensor if inner == "Tensor" else places[inner], []).append(function)
    return found


def get_ignored_functions() -> set[Callable[..., Any]]:
    """The functions and methods that are never asked about."""
    return {getattr(Tensor, name) for name in METADATA.split()}


def is_tensor_method_or_property(func: Callable[..., Any]) -> bool:
    """Whether `func` is a method of tensors, or the getter of an attribute."""
    return func in vars(Tensor).values() or getattr(func, "__name__", "") == "__get__"


def resolve_name(f: Callable[..., Any]) -> str | None:
    """The name under which `f` is found, such as "torch.nn.functional.relu"; None if nowhere."""
    for name in VIEWS.split():
        if f == getattr(Tensor, name).__get__:
            return f"torch.Tensor.{name}.__get__"
    return next((name for name, function in _functions() if function is f), None)


# -- switching over --------------------------------------------------------------------------------


def _asking(public: Any, original: Any) -> Callable[..., Any]:
    """The call of `original`, unless its arguments or a mode override the function `public`."""
    plain = overriding.plain

    def ask(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        values = (*args, *kwargs.values()) if kwargs else args
        asked: list[Any] = []
        for value in values:
            if value.__class__ not in plain and not state.disabled:
                asked = overriding.overriding(values)
                break
        if asked or state.modes:
            return overriding.answer(public, asked, args, kwargs)
        return original(*args, **kwargs)

    ask.original = original  # type: ignore[attr-defined] # see `asked_last`
    return ask


def asked_last(function: Any) -> Any:
    """The function that runs when nothing overrides `function`."""
    ask = (getattr(function, "__kwdefaults__", None) or {}).get("_ask")
    return function if ask is None else ask.original


@functools.cache
def _asking_code(free: tuple[str, ...]) -> Any:
    """Code that leaves every call to the keyword `_ask`, with the free variables `free`, which it
    must have to take the place of a function's own."""
    source = "def outer():\n"
    source += "".join(f"    {name} = None\n" for name in free)
    source += "    def inner(*args, _ask, **kwargs):\n        return _ask(args, kwargs)\n"
    source += "".join(f"        {name}\n" for name in free)
    namespace: dict[str, Any] = {}
    exec(source + "    return inner\n", namespace)
    return namespace["outer"]().__code__


def _generated_from(function: Any) -> Any:
    """The operation whose own function this is; None for what only wraps one."""
    operation = getattr(function, "operation", None)
    return operation if operation is not None and operation.function is function else None


def _switch_over(function: Any, public: Any) -> None:
    if "_ask" in (function.__kwdefaults__ or {}):
        return
    signature = inspect.signature(function)
    original = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    original.__kwdefaults__ = function.__kwdefaults__
    operation = _generated_from(function)
    if operation is not None:
        operation.written = original  # where its code will be generated
    code = function.__code__
    function.__code__ = _asking_code(code.co_freevars).replace(
        co_filename=code.co_filename, co_firstlineno=code.co_firstlineno, co_name=code.co_name
    )
    function.__defaults__ = None
    function.__kwdefaults__ = {"_ask": _asking(public, original)}
    function.__signature__ = signature


def _install() -> None:
    for name in VIEWS.split():
        attribute = vars(Tensor)[name]
        _switch_over(attribute.fget, attribute.__get__)
    for _, function in list(_functions()):
        operation = _generated_from(function)
        named = PUBLIC_NAMES.get(operation.name) if operation is not None else None
        _switch_over(function, operations[named].function if named else function)


overriding.switches.append(_install)
