"""Calls of the abstract run: interpreted, native where that has no effect, or not known."""

from __future__ import annotations

import ast
import functools
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar

import flambeau
from flambeau.core.devices import device as Device
from flambeau.core.tensor import Tensor
from flambeau.errors import DeviceError
from flambeau.nn import Module, RNNBase, Sequential
from flambeau.optim import Optimizer

from . import pure
from .devices import shadow_device, told_device
from .frames import Manager, ManagerMaker, UserError
from .live import is_named_tuple, rest_of
from .sequences import Sequences
from .state import REGISTRIES
from .values import UNKNOWN, Stream, with_numbers

Handler = Callable[..., Any]
"""Called as handler(run, args, kwargs, node)."""

MOST_PARTS = 4096  # that a tensor is split into

ALIASES = (types.GenericAlias, type(typing.Generic[typing.TypeVar("T")]))  # type: ignore[index]
"""Types of what `Class[parameter]` is."""

MODES = ("no_grad", "enable_grad", "inference_mode", "set_grad_enabled", "autocast", "_GradMode")


class Calls(Sequences):
    """Decides what a call gives."""

    handlers: ClassVar[dict[Any, Handler]] = {}
    method_handlers: ClassVar[dict[tuple[type, str], Handler]] = {}

    def eval_Call(self, node: ast.Call) -> Any:
        called = node.func
        if isinstance(called, ast.Name) and called.id == "super" and not node.args:
            return self._super()
        function = self.evaluate(called)
        args, exact = self._elements(node.args)
        kwargs: dict[str, Any] = {}
        for keyword in node.keywords:
            value = self.evaluate(keyword.value)
            if keyword.arg is not None:
                kwargs[keyword.arg] = value
            elif (
                isinstance(value, dict)
                and id(value) not in self.open
                and all(isinstance(key, str) for key in value)
            ):
                kwargs.update(value)
            else:
                exact = False
        before, self.frame.node = self.frame.node, node
        try:
            return self.call(function, args, kwargs, node, exact)
        finally:
            self.frame.node = before

    def _super(self) -> Any:
        frame = next((f for f in reversed(self.frames) if f.function is not None), None)
        if frame is None or frame.function is None or frame.function.owner is None:
            return UNKNOWN
        return self.quietly(super, frame.function.owner, frame.first_argument)

    def call(
        self,
        function: Any,
        args: list[Any],
        kwargs: dict[str, Any],
        node: ast.AST,
        exact: bool = True,
    ) -> Any:
        """The result of `function(*args, **kwargs)`; `exact` unless there may be more arguments."""
        if function is UNKNOWN:
            return self.unknown_call(args, kwargs, node)
        record = self.record_of(function)
        if record is not None:
            if not exact:
                return self.activate(record, self.unknown_arguments(record), UNKNOWN)
            return self.call_function(record, args, kwargs)
        if isinstance(function, types.MethodType) and self.record_of(function.__func__) is not None:
            return self.call(function.__func__, [function.__self__, *args], kwargs, node, exact)
        if isinstance(function, ManagerMaker):
            return Manager(function.record, args, kwargs) if exact else UNKNOWN
        if isinstance(function, ALIASES):  # `Box[int](...)`
            return self.call(function.__origin__, args, kwargs, node, exact)
        if isinstance(function, functools.partial):
            merged = {**function.keywords, **kwargs}
            return self.call(function.func, [*function.args, *args], merged, node, exact)
        handler = self._handler(function)
        if handler is not None:
            return handler(self, args, kwargs, node) if exact else UNKNOWN
        if isinstance(function, Module):
            return self.call_module(function, args, kwargs, node) if exact else UNKNOWN
        return self._native_call(function, args, kwargs, node, exact)

    def unknown_call(self, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
        """A call of what is not known: it may change the modules and lists that it is given."""
        self.unknown_calls += 1
        for value in (*args, *kwargs.values()):
            self.escape(value)
        return UNKNOWN

    def escape(self, value: Any) -> None:
        """Something unknown got hold of `value`."""
        if isinstance(value, list | dict):
            self.mark_open(value)
        elif isinstance(value, pure.PARSERS):
            pure.not_known(value)
        elif isinstance(value, Module | Optimizer) or type(value) in self.classes:
            self.tainted[id(value)] = value
            if isinstance(value, Module):
                self.tainted.update((id(m), m) for m in value.modules())

    @functools.cached_property
    def tainted(self) -> dict[int, Any]:
        """Objects that unknown code had in its hands, by id."""
        return {}

    def _handler(self, function: Any) -> Handler | None:
        try:
            found = self.handlers.get(function)
        except TypeError:
            return None
        if found is not None:
            return found
        owner = getattr(function, "__self__", None)
        if owner is None or isinstance(owner, types.ModuleType):
            return None
        name = getattr(function, "__name__", "")
        for kind in type(owner).__mro__:
            method = self.method_handlers.get((kind, name))
            if method is not None:
                return functools.partial(_with_owner, method, owner)
        return None

    # -- native ----------------------------------------------------------------------------------

    def _native_call(
        self, function: Any, args: list[Any], kwargs: dict[str, Any], node: ast.AST, exact: bool
    ) -> Any:
        opaque = not exact or self.is_opaque(args, 6) or self.is_opaque(kwargs, 6)
        owner = getattr(function, "__self__", None)
        if isinstance(owner, pure.CONTAINERS):
            return self._container_method(function, owner, args, kwargs, node, exact)
        wrapped = getattr(function, "__wrapped__", None)
        interpreted = self.record_of(wrapped) is not None or (
            isinstance(function, type) and function in self.classes
        )
        if not interpreted and isinstance(function, types.MethodType):
            interpreted = type(owner) in self.classes and not self._is_runtime(function)
        kind = type(function)
        if self.record_of(vars(kind).get("__call__")) is not None:
            return self.call(kind.__call__, [function, *args], kwargs, node, exact)
        if opaque and isinstance(owner, Module) and getattr(function, "__name__", "") == "__init__":
            Module.__init__(owner)  # super().__init__(*args): it can be filled from now on
            return self.escape(owner)
        if not (interpreted or self._is_allowed(function, owner)):
            return self.unknown_call(args, kwargs, node)
        if opaque and not (interpreted and exact):
            return self.unknown_result(function, args, kwargs, node)
        if isinstance(owner, Module) and getattr(function, "__name__", "") in pure.NAMING:
            self.named.append(owner)
        if self._makes_too_much(function, args, kwargs):
            return UNKNOWN
        found = self.native(function, args, kwargs, node)
        if isinstance(found, Stream) and not found.items and isinstance(owner, Module):
            return Stream([], not self._has_unknown_parts(owner))
        return found

    def _has_unknown_parts(self, module: Module) -> bool:
        """Whether a module may have parameters in attributes that nobody knows."""
        return id(module) in self.tainted or any(v is UNKNOWN for v in vars(module).values())

    def _makes_too_much(self, function: Any, args: list[Any], kwargs: dict[str, Any]) -> bool:
        """Whether a function would make very many tensors, go through very many numbers or make
        very long texts, or, of numbers alone, compute values for a symbolic size."""
        if pure.takes_long(function, [*args, *kwargs.values()]):
            return True
        if isinstance(function, type) and function not in self.classes:
            return (
                not pure.takes_sizes(function) and self.symbols.any_in([*args, *kwargs.values()])
            ) or self._has_symbolic_layers(function, args, kwargs)
        if isinstance(function, type) or getattr(function, "__name__", "") in pure.SIZED:
            return False
        given = [*args, *kwargs.values()]
        owner = getattr(function, "__self__", None)
        if getattr(function, "__name__", "") in pure.STEPWISE or pure.is_mirroring(given):
            return self.symbols.any_in(given)
        operands = [owner, *args] if isinstance(owner, Tensor) else args
        parting = getattr(function, "__name__", "") in pure.PARTING
        if parting and operands and isinstance(operands[0], Tensor):
            parts = self.quietly(_parts, function.__name__, *operands, **kwargs)
            return parts is UNKNOWN or parts > MOST_PARTS
        first = given[0] if given else None
        if getattr(function, "__name__", "") in pure.JOINING and isinstance(first, Tensor):
            return first.ndim == 0 or first.shape[0] > MOST_PARTS
        if any(isinstance(a, Tensor | Module) for a in (owner, *given)):
            return False
        return self.symbols.any_in(given)

    def _has_symbolic_layers(self, kind: type, args: list[Any], kwargs: dict[str, Any]) -> bool:
        """Whether a recurrent network would be made of a symbolic number of layers."""
        more = [*args[2:], kwargs.get("num_layers")]
        return issubclass(kind, RNNBase) and self.symbols.any_in(more)

    def unknown_result(
        self, function: Any, args: list[Any], kwargs: dict[str, Any], node: ast.AST
    ) -> Any:
        """What a native function makes of arguments that are not all known."""
        owner = getattr(function, "__self__", None)
        if isinstance(owner, Module | Optimizer):
            self.escape(owner)
        if getattr(function, "__name__", "") in pure.VALUED:
            if self.is_open([*args, *kwargs.values()]):
                return UNKNOWN
            args = [with_numbers(a) for a in args]
            kwargs = {key: with_numbers(value) for key, value in kwargs.items()}
            if not self.is_opaque(args, 6) and not self.is_opaque(kwargs, 6):
                return self.native(function, args, kwargs, node)
        return UNKNOWN

    def native(self, function: Any, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
        """Call a native function with devices and iterators as it understands them."""
        if function is not Device:
            for place in (*(a for a in args if isinstance(a, Device)), kwargs.get("device")):
                self.require_device(place, node)
        args = [self._as_argument(a) for a in args]
        kwargs = {k: self._as_argument(v, k) for k, v in kwargs.items()}
        result = self.attempt(node, function, *args, **kwargs)
        return self.result(result, node)

    def require_device(self, place: Any, node: ast.AST) -> None:
        """Report a GPU that is not there; what is put on it is followed all the same."""
        if isinstance(place, str) and place.startswith("cuda"):
            place = self.quietly(Device, place)
        if not isinstance(place, Device) or place.type != "cuda" or flambeau.cuda.is_available():
            return
        words = f"expected a device that is there. Got {place}, and there is no CUDA here."
        try:
            self.fail(node, DeviceError(words), "device")
        except UserError as error:
            if self.guarded:
                raise
            self.report(error)

    def _as_argument(self, value: Any, name: str = "") -> Any:
        if isinstance(value, Device) or (name == "device" and isinstance(value, str | int)):
            return self.quietly(shadow_device, value)
        if isinstance(value, Stream):
            return value.rest()
        return value

    def result(self, value: Any, node: ast.AST) -> Any:
        """A native result as a value of the run."""
        if isinstance(value, Tensor):
            if value._key.device.type != "meta":
                return self.twin(value)
            return value
        if isinstance(value, Device):
            return told_device(value)
        if isinstance(value, types.GeneratorType | map | zip | filter | enumerate):
            return self.attempt(node, rest_of, value)
        if isinstance(value, Module | Optimizer):
            self.note_made(value, node)
        elif is_named_tuple(value):
            self.classes.add(value)
        return value

    def note_made(self, value: Any, node: ast.AST) -> None:
        """Remember where a module was made."""
        place = self.place(node) if self.frame.in_cell else None
        if place is not None:
            self.made.setdefault(id(value), (value, place))

    def _is_runtime(self, function: Any) -> bool:
        return pure.is_runtime(getattr(function, "__func__", function))

    def _is_allowed(self, function: Any, owner: Any) -> bool:
        try:
            if function in pure.CLASSES or function in pure.FUNCTIONS:
                return True
        except TypeError:
            return False
        if isinstance(function, type):
            return pure.is_runtime_class(function)
        if isinstance(owner, pure.VALUES) or pure.is_dtype_method(function):
            return True
        if isinstance(owner, super) or isinstance(function, pure.GETTERS):
            return True
        if isinstance(owner, pure.PARSERS):
            return getattr(function, "__name__", "") in pure.NOTING
        if isinstance(owner, types.SimpleNamespace | Stream):
            return False
        if isinstance(function, types.BuiltinFunctionType | types.MethodWrapperType):
            return isinstance(owner, type) and (owner in pure.CLASSES or owner in self.classes)
        if self._is_runtime(function):
            return True
        kind = type(function)
        return kind.__module__.startswith("flambeau.") and pure.is_runtime(kind)

    def _container_method(
        self,
        method: Any,
        owner: Any,
        args: list[Any],
        kwargs: dict[str, Any],
        node: ast.AST,
        exact: bool,
    ) -> Any:
        name = method.__name__
        if name in pure.WRITING:
            self.will_write(owner)
        if not exact:
            self.mark_open(owner)
            return UNKNOWN
        if name in ("extend", "update") and args and not isinstance(args[0], dict):
            items, known = self.items_of(args[0], node)
            if not known:
                self.mark_open(owner)
            args = [items, *args[1:]]
        if name == "update" and self.is_opaque(args, 1):
            self.mark_open(owner)
            return None
        if id(owner) in self.open and name in ("pop", "get", "popleft", "popitem", "index"):
            return UNKNOWN
        key_opaque = name in ("get", "pop", "setdefault") and args and self.is_opaque(args[0])
        if key_opaque or (name not in pure.TRANSPARENT and self.is_opaque(args)):
            if name in pure.WRITING:
                self.mark_open(owner)
            return UNKNOWN
        if self.maybe and name in pure.WRITING and isinstance(owner, list) and not self.trails:
            self.mark_open(owner)
        return self.attempt(node, method, *args, **kwargs)

    # -- modules ---------------------------------------------------------------------------------

    def call_module(
        self, module: Module, args: list[Any], kwargs: dict[str, Any], node: ast.AST
    ) -> Any:
        """`module(*args, **kwargs)`."""
        forward = vars(module).get("forward", type(module).forward)
        record = self.record_of(forward)
        if record is not None:
            owner = [] if "forward" in vars(module) else [module]
            return self.call_function(record, [*owner, *args], kwargs)
        if id(module) in self.open:
            return UNKNOWN
        if type(module).forward is Sequential.forward and len(args) == 1 and not kwargs:
            value = args[0]
            for child in module._modules.values():
                value = self.call(child, [value], {}, node)
            return value
        if self.is_opaque(args) or self.is_opaque(kwargs):
            return UNKNOWN
        if pure.is_stepwise(module) and self.symbols.any_in(args):
            return UNKNOWN
        self.before_module(module, args, kwargs, node)
        return self.native(module, args, kwargs, node)

    def before_module(
        self, module: Module, args: list[Any], kwargs: dict[str, Any], node: ast.AST
    ) -> None:
        """Look at a call of one of the runtime's layers before it runs."""

    # -- attributes ------------------------------------------------------------------------------

    def attribute(self, owner: Any, name: str, node: ast.AST) -> Any:
        """`owner.name`."""
        if owner is UNKNOWN:
            return UNKNOWN
        if isinstance(owner, Stream) or type(owner).__module__ == "flambeau.magics.check.recurrent":
            return UNKNOWN
        if isinstance(owner, types.ModuleType):
            return self._module_attribute(owner, name, node)
        if isinstance(owner, Tensor) and name in ("device", "is_cuda", "is_meta"):
            place = told_device(owner.device)
            return place if name == "device" else (place.type == "cuda" and name == "is_cuda")
        if id(owner) in self.tainted:
            return self.quietly(getattr, owner, name)
        if self.may_have_more(owner) and not self.quietly(hasattr, owner, name):
            return UNKNOWN
        found = self.attempt(node, getattr, owner, name)
        if type(found) in (types.FunctionType, type) and found not in self.classes:
            return found if self.record_of(found) is not None else self.twin(found)
        return found

    def may_have_more(self, owner: Any) -> bool:
        """Whether an object may have attributes that a loop cut short would have set."""
        fields = getattr(owner, "__dict__", None)
        if not self.open or not isinstance(fields, dict):
            return False
        return any(id(held) in self.open for held in (fields, *map(fields.get, REGISTRIES)))

    def _module_attribute(self, owner: types.ModuleType, name: str, node: ast.AST) -> Any:
        if owner.__name__.partition(".")[0] == "flambeau":
            found = self.attempt(node, getattr, owner, name)
        else:
            found = vars(owner).get(name, UNKNOWN)
        return found if found is UNKNOWN else self.twin(found)

    def set_attribute(self, owner: Any, name: str, value: Any, node: ast.AST) -> None:
        """`owner.name = value`."""
        if owner is UNKNOWN or isinstance(owner, types.ModuleType | Stream):
            return
        if isinstance(owner, type) and owner not in self.classes:
            return
        if isinstance(owner, Tensor) and value is UNKNOWN:
            return
        self.will_write_attributes(owner)
        self.attempt(node, setattr, owner, name, value)

    # -- context managers ------------------------------------------------------------------------

    @contextmanager
    def entered(self, manager: Any, node: ast.AST) -> Iterator[Any]:
        """The `with` block of `manager`; gives the value that `as` binds."""
        kind = type(manager)
        enter = self.record_of(getattr(kind, "__enter__", None))
        if enter is not None:
            value = self.call_function(enter, (manager,), {})
            yield value
            leave = self.record_of(getattr(kind, "__exit__", None))
            if leave is not None:
                self.call_function(leave, (manager, None, None, None), {})
            return
        native: AbstractContextManager[Any] = nullcontext(UNKNOWN)
        if any(each.__name__ in MODES for each in kind.__mro__) and hasattr(kind, "__enter__"):
            native = manager
        elif isinstance(manager, Device):
            native = self.quietly(shadow_device, manager)
            native = nullcontext(UNKNOWN) if native is UNKNOWN else native
        elif isinstance(manager, nullcontext):
            native = manager
        expects = manager is UNKNOWN and _expects_failure(node)
        if expects or kind.__name__ in (
            "suppress",
            "RaisesContext",
            "RaisesExc",
            "_AssertRaisesContext",
        ):
            yield from self._suppressed()
            return
        with native as value:
            yield value

    def _suppressed(self) -> Iterator[Any]:
        self.guarded += 1
        try:
            yield UNKNOWN
        except UserError:
            return
        finally:
            self.guarded -= 1


def _expects_failure(node: ast.AST) -> bool:
    """Whether a context manager is one of a test that a failure ends: `pytest.raises(...)`."""
    called = node.func if isinstance(node, ast.Call) else node
    name = getattr(called, "attr", getattr(called, "id", ""))
    return "raises" in name.lower() or name in ("suppress", "warns")


def _parts(name: str, tensor: Tensor, *args: Any, dim: int = 0, **kwargs: Any) -> int:
    """How many tensors `unbind(tensor, dim)`, `split(tensor, size, dim)` or `chunk(tensor, number,
    dim)` makes."""
    if name == "unbind":
        return tensor.shape[args[0] if args else dim]
    length = tensor.shape[args[1] if len(args) > 1 else dim]
    size = args[0] if args else next(iter(kwargs.values()))
    if not isinstance(size, int):
        return 1
    return length // size if name == "split" else min(size, length)


def _with_owner(
    method: Handler, owner: Any, run: Calls, args: list[Any], kwargs: Any, node: ast.AST
) -> Any:
    return method(run, [owner, *args], kwargs, node)
