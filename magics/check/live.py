"""The user's live values as the abstract run sees them: twins on meta, never the values themselves.

A tensor becomes a meta tensor of its shape, a module a module of the same class with such tensors,
a function of the user one that is interpreted from its source. Values that could have an effect, or
whose source is not known, are UNKNOWN.
"""

from __future__ import annotations

import ast
import collections
import contextlib
import dataclasses
import functools
import linecache
import re
import types
from typing import Any

import numpy as np

import flambeau
from flambeau.core.devices import device as Device
from flambeau.core.tensor import Tensor
from flambeau.nn import Module, Parameter
from flambeau.optim import Optimizer
from flambeau.utils.data import DataLoader, Dataset

from . import source
from .devices import shadow_device
from .frames import Function, Globals, ManagerMaker, Scope
from .functions import Functions
from .values import PRIMITIVES, UNKNOWN, Stream, with_cache

AS_THEY_ARE = (
    types.ModuleType,
    types.BuiltinFunctionType,
    flambeau.dtype,
    Device,
    re.Pattern,
    re.Match,
)
"""Types of values that nobody can change by using them."""

CACHED = type(functools.cache(lambda: None))
MANAGER_CODE: Any = contextlib.contextmanager(lambda: iter(())).__code__
"""The code of every function that `contextmanager` makes."""

MOST_ITEMS = 1000  # of a container that is looked into
GENERATED = "<string>"  # where methods that dataclasses write for a class say they are

_trees: dict[str, tuple[str, dict[tuple[int, str], Any]]] = {}


class Live(Functions):
    """Makes twins of live values, each once."""

    def __init__(self, steps: int, seconds: float) -> None:
        super().__init__(steps, seconds)
        self.twins: dict[
            int, tuple[Any, Any]
        ] = {}  # by id: the value, so that it lives, and its twin
        self.live_gradients = False  # whether a backward pass has reached a live tensor
        self.modules: dict[int, Globals] = {}  # the globals of functions, by the id of their dict

    def twin(self, value: Any) -> Any:
        """What stands for the live `value`."""
        if isinstance(value, PRIMITIVES) and value.__class__ in PRIMITIVES:
            return value
        known = self.twins.get(id(value))
        if known is not None:
            return known[1]
        made = self._made(value)
        self.twins[id(value)] = (value, made)
        return made

    def _made(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, AS_THEY_ARE):
            return value
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, CACHED):
            inner = self.twin(value.__wrapped__)
            return with_cache(inner) if inner in self.records else inner
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.MethodType):
            owner, function = self.twin(value.__self__), self.twin(value.__func__)
            return UNKNOWN if UNKNOWN in (owner, function) else types.MethodType(function, owner)
        if value.__class__ in (list, tuple, dict, set, frozenset, range, slice):
            return self._container(value)
        if value.__class__ is collections.deque:
            items = self.twin(self.quietly(list, value))  # a running cell may append to it
            return UNKNOWN if items is UNKNOWN else collections.deque(items, value.maxlen)
        if isinstance(value, np.ndarray):
            return self.array_twin(value)
        return self._object(value)

    def array_twin(self, value: Any) -> Any:
        """What stands for a NumPy array."""
        return UNKNOWN

    # -- tensors ---------------------------------------------------------------------------------

    def _tensor(self, value: Tensor) -> Any:
        if value._key.level or value.layout is not flambeau.strided:
            return UNKNOWN
        place = shadow_device(value.device)
        made = flambeau.empty_strided(
            tuple(value.shape), tuple(value.stride()), dtype=value.dtype, device=place
        )
        if isinstance(value, Parameter):
            made = Parameter(made, requires_grad=value.requires_grad)
        elif value.requires_grad:
            made.requires_grad_()
            if not value.is_leaf:
                with flambeau.enable_grad():
                    made = made.view_as(made)
        if value.__class__ is not Tensor and not isinstance(value, Parameter):
            return UNKNOWN
        if value.is_leaf and value.grad is not None:
            self.live_gradients = True
            made.grad = flambeau.empty(tuple(value.shape), dtype=value.dtype, device=place)
        return made

    # -- containers and objects ------------------------------------------------------------------

    def _container(self, value: Any) -> Any:
        if value.__class__ in (range, slice, frozenset):
            return value
        if len(value) > MOST_ITEMS:
            return UNKNOWN
        if value.__class__ is tuple:
            return tuple([self.twin(item) for item in value])
        made: Any
        if value.__class__ is dict:
            made = {}
            self.twins[id(value)] = (value, made)
            made.update((k, self.twin(v)) for k, v in list(value.items()) if _is_plain(k))
            return made if len(made) == len(value) else self.mark_open(made)
        if value.__class__ is set:
            return set(value) if all(_is_plain(item) for item in value) else UNKNOWN
        made = []
        self.twins[id(value)] = (value, made)
        made.extend(self.twin(item) for item in list(value))
        return made

    def _object(self, value: Any) -> Any:
        """An object with attributes: a module, an optimizer, a data set, an object of the user."""
        kind = type(value)
        named_tuple = isinstance(value, tuple) and hasattr(kind, "_fields")
        if named_tuple:
            return kind(*(self.twin(item) for item in value))
        shadow = self.twin(kind)
        ours = isinstance(value, Module | Optimizer | Dataset | DataLoader) or (
            kind.__module__.startswith("flambeau.")
        )
        if not isinstance(shadow, type) or not (ours or shadow in self.classes):
            return UNKNOWN
        fields = self.quietly(object.__getattribute__, value, "__dict__")
        if fields is UNKNOWN or isinstance(value, Exception):
            return UNKNOWN
        made = self.quietly(object.__new__, shadow)
        if made is UNKNOWN:
            return UNKNOWN
        self.twins[id(value)] = (value, made)
        held = vars(made)
        for name, item in list(fields.items()):
            held[name] = self._field(name, item)
        return made

    def _field(self, name: str, item: Any) -> Any:
        if name in ("_hooks", "_state_hooks") or item.__class__.__name__ == "OrderedDict":
            return item.__class__()
        if item.__class__ is set:
            return set(item)
        return self.twin(item)

    # -- functions and classes -------------------------------------------------------------------

    def _function(self, value: types.FunctionType) -> Any:
        if (plain := getattr(value, "_torchdynamo_orig_callable", None)) is not None:
            return self.twin(plain)  # of a compiled one, which does the same
        if value.__code__ is MANAGER_CODE:
            record = self.record_of(self.twin(value.__wrapped__))  # type: ignore[attr-defined]
            return UNKNOWN if record is None else ManagerMaker(record)
        if is_library(value.__module__):
            return value
        node = source_node(value.__code__)
        if node is None:
            return UNKNOWN
        scope = self._closure(value)
        record = Function(
            node,
            scope,
            self._globals(value.__globals__),
            [self.twin(d) for d in value.__defaults__ or ()],
            {k: self.twin(v) for k, v in (value.__kwdefaults__ or {}).items()},
            False,
        )
        return self.function_of(record)

    def _globals(self, live: dict[str, Any]) -> Globals:
        cell = self.frames[0].scope.globals
        if live is cell.live or live.get("__name__") == "__main__":
            return cell
        return self.modules.setdefault(id(live), Globals(live))

    def _closure(self, value: types.FunctionType) -> Scope | None:
        if not value.__closure__:
            return None
        names = {}
        for name, held in zip(value.__code__.co_freevars, value.__closure__, strict=True):
            if name == "__class__":
                continue
            try:
                names[name] = self.twin(held.cell_contents)
            except ValueError:
                continue
        return Scope(names, None, self._globals(value.__globals__))

    def _class(self, value: type) -> Any:
        if is_library(value.__module__):
            return value
        if is_named_tuple(value) and value.__bases__ == (tuple,):
            self.classes.add(value)
            return value
        bases = [self.twin(base) for base in value.__bases__]
        if (
            any(not isinstance(b, type) or not self.is_safe_base(b) for b in bases)
            or type(value) is not type
        ):
            return UNKNOWN
        names: dict[str, Any] = {}
        for name, item in list(vars(value).items()):
            if name not in ("__dict__", "__weakref__", "__doc__", "__del__"):
                names[name] = self._member(value, item)
        functions = [r for r in map(_function_in, names.values()) if r is not None]
        records = [self.records[f] for f in functions if f in self.records]
        try:
            made = types.new_class(value.__name__, tuple(bases), {}, lambda ns: ns.update(names))
        except Exception:
            return UNKNOWN
        self.classes.add(made)
        for record in records:
            record.owner = made
        return made

    def _member(self, owner: type, item: Any) -> Any:
        if isinstance(item, staticmethod | classmethod):
            return type(item)(self.twin(item.__func__))
        if isinstance(item, property):
            return property(*(f and self.twin(f) for f in (item.fget, item.fset, item.fdel)))
        if isinstance(item, types.FunctionType):
            written = item.__code__.co_filename == GENERATED and dataclasses.is_dataclass(owner)
            return item if written else self.twin(item)
        if isinstance(item, types.MemberDescriptorType | types.GetSetDescriptorType):
            return UNKNOWN
        return self.twin(item)


def _function_in(member: Any) -> Any:
    """The function behind a member of a class, or None."""
    if isinstance(member, staticmethod | classmethod):
        member = member.__func__
    if isinstance(member, property):
        member = member.fget
    return member if isinstance(member, types.FunctionType) else None


def is_named_tuple(value: Any) -> bool:
    """Whether `value` is a class that `namedtuple` made, or one by `NamedTuple` without methods."""
    if not isinstance(value, type) or not issubclass(value, tuple) or value is tuple:
        return False
    functions = [m for m in map(_function_in, vars(value).values()) if m is not None]
    places = (GENERATED, collections.__file__)
    return hasattr(value, "_fields") and all(f.__code__.co_filename in places for f in functions)


def _is_plain(key: Any) -> bool:
    return isinstance(key, PRIMITIVES) or (isinstance(key, tuple) and all(map(_is_plain, key)))


def is_library(module: str | None) -> bool:
    """Whether `module` is installed: of the runtime, the standard library or a package."""
    import sys

    top = (module or "").partition(".")[0]
    if top == "__main__" or not top:
        return False
    if top in sys.stdlib_module_names or top == "flambeau":
        return True
    found = getattr(sys.modules.get(top), "__file__", None) or ""
    return "site-packages" in found or "dist-packages" in found


def source_node(code: types.CodeType) -> Any:
    """The syntax tree of a live function, by its file and first line; None without source."""
    text = "".join(linecache.getlines(code.co_filename))
    if not text:
        return None
    known = _trees.get(code.co_filename)
    if known is None or known[0] != text:
        known = (text, _functions_of(text))
        _trees[code.co_filename] = known
    node = known[1].get((code.co_firstlineno, code.co_name))
    if isinstance(node, list):
        columns = [p[2] for p in code.co_positions() if p[2] is not None]
        first = min(columns, default=0)
        fitting = [n for n in node if n.body.col_offset <= first <= (n.end_col_offset or first)]
        return fitting[-1] if fitting else None
    return node


def _functions_of(text: str) -> dict[tuple[int, str], Any]:
    """Functions of a file by first line (of their decorators) and name; lambdas in lists."""
    try:
        tree = source.parse(text)
    except (SyntaxError, ValueError):
        return {}
    found: dict[tuple[int, str], Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = [node.lineno, *(d.lineno for d in node.decorator_list)]
            found[min(lines), node.name] = node
        elif isinstance(node, ast.Lambda):
            found.setdefault((node.lineno, "<lambda>"), []).append(node)
    return found


def rest_of(iterator: Any) -> Any:
    """A native iterator as a Stream."""
    from itertools import islice

    items = list(islice(iterator, MOST_ITEMS + 1))
    return Stream(items[:MOST_ITEMS], len(items) <= MOST_ITEMS)
