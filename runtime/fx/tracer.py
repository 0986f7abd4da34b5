"""Symbolic tracing: a module run on proxies, so that its calls become a graph."""

from __future__ import annotations

import builtins
import functools
import inspect
import operator
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..checks import _assert
from ..core import overriding
from ..core.tensor import Tensor
from ..nn import Module, Sequential
from .graph import Graph
from .graph_module import GraphModule
from .node import Argument, Node, Target, map_aggregate
from .proxy import Proxy, TraceError

__all__ = ["Tracer", "symbolic_trace", "wrap"]

_lock = threading.RLock()
"""One trace at a time: it changes how all modules are called."""
_wrapped: list[tuple[dict[str, Any], str]] = []
"""Global functions that traces keep as one call: where they stand, and their names."""


class Tracer:
    """Turns a module into a `Graph`: `tracer.trace(module)`.

    Subclass it and override `is_leaf_module` to say which modules stay calls, or `create_arg`,
    `call_module` and `create_proxy` to see what is traced.
    """

    proxy_class = Proxy

    def __init__(self, autowrap_modules: Any = (), autowrap_functions: Any = ()) -> None:
        self.autowrap_functions = tuple(autowrap_functions)

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether a call of `m` stays one: those of `torch.nn` but `Sequential` do."""
        return type(m).__module__.startswith("flambeau.nn") and not isinstance(m, Sequential)

    def path_of_module(self, mod: Module) -> str:
        """The path of a submodule of the root. Raises: NameError for a module from elsewhere."""
        for name, module in self.root.named_modules():
            if module is mod:
                return str(name)
        raise NameError(f"Tracer: {type(mod).__name__} is no submodule of the traced module.")

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> Graph:
        """The graph of the module or function `root`; `concrete_args` gives inputs that are fixed
        to values, which Python may look at."""
        is_module = isinstance(root, Module)
        self.root: Any = root if is_module else Module()
        self.graph = Graph()
        self._names = {
            id(t): n for n, t in [*self.root.named_buffers(), *self.root.named_parameters()]
        }
        self._read: dict[str, Any] = {}
        called = root.forward if is_module else root
        inputs = self._inputs(called, concrete_args or {})
        called, in_order = _with_plain_parameters(called)
        with self._watching():
            result = called(*[inputs.pop(name) for name in in_order], **inputs)
        self.graph.output(self.create_arg(result))
        return self.graph

    def _inputs(self, called: Any, concrete: dict[str, Any]) -> dict[str, Any]:
        """By parameter its proxy, or the value that `concrete` fixes it to; that stays an input,
        which may be left out, and is checked to be that value."""
        parameters = inspect.signature(called).parameters
        optional = {n for n, p in parameters.items() if p.default is not p.empty or n in concrete}
        found: dict[str, Any] = {}
        checked: list[tuple[str, Any, Any]] = []
        for name, p in parameters.items():
            value = concrete.get(name)
            if name in concrete and not _is_plain(value):
                found[name] = value
                continue
            default = () if p.default is p.empty else (p.default,)
            later = list(parameters.values())[list(parameters).index(name) + 1 :]
            if name in concrete and all(q.kind is not p.kind or q.name in optional for q in later):
                default = (value,)
            stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
            found[name] = self.create_proxy("placeholder", f"{stars}{name}", default, {})
            if name in concrete:
                checked.append((name, found[name], value))
                found[name] = value
        for name, proxy, value in checked:
            same = self.create_proxy("call_function", operator.eq, (proxy, value), {})
            message = f"{name} was fixed to {value!r} when the graph was traced"
            self.create_proxy("call_function", _assert, (same, message), {})
        return found

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """In this block calls of modules, and of wrapped functions, come here first."""
        overriding.switch_on()  # functions written in Python would go on with proxies otherwise
        with _lock:
            yield from self._patched()

    def _patched(self) -> Iterator[None]:
        original = Module.__call__
        tracer = self

        @functools.wraps(original)
        def call(module: Module, *args: Any, **kwargs: Any) -> Any:
            return tracer.call_module(
                module, lambda *a, **k: original(module, *a, **k), args, kwargs
            )

        look_up = Module.__getattr__

        def attribute(module: Module, name: str) -> Any:
            found = look_up(module, name)
            known = self._names.get(id(found)) if isinstance(found, Tensor) else None
            return found if known is None else self._shared(known)

        replaced = [(place, name, place[name]) for place, name in _wrapped if name in place]
        Module.__call__ = call  # type: ignore[method-assign]
        Module.__getattr__ = attribute  # type: ignore[method-assign]
        for place, name, function in replaced:
            place[name] = self._as_leaf(function)
        try:
            yield
        finally:
            Module.__call__ = original  # type: ignore[method-assign]
            Module.__getattr__ = look_up  # type: ignore[method-assign]
            for place, name, function in replaced:
                place[name] = function

    def _shared(self, name: str) -> Any:
        """The proxy of a parameter or buffer, one for all its uses."""
        if name not in self._read:
            self._read[name] = self.create_proxy("get_attr", name, (), {})
        return self._read[name]

    def _as_leaf(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def leaf(*args: Any, **kwargs: Any) -> Any:
            found: list[Any] = []
            map_aggregate((args, kwargs), lambda x: found.append(x) if isinstance(x, Proxy) else x)
            if not found:
                return function(*args, **kwargs)
            return self.create_proxy("call_function", function, args, kwargs)

        return leaf

    def call_module(
        self, m: Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What a call of `m` gives: one node if it is a leaf, else what its `forward` does."""
        path = self.path_of_module(m)
        if self.is_leaf_module(m, path):
            return self.create_proxy("call_module", path, args, kwargs)
        return forward(*args, **kwargs)

    def create_node(
        self,
        kind: str,
        target: Target,
        args: Any,
        kwargs: Any,
        name: str | None = None,
        type_expr: Any = None,
    ) -> Node:
        """A node of the graph."""
        return self.graph.create_node(kind, target, args, kwargs, name, type_expr)

    def create_proxy(
        self,
        kind: str,
        target: Target,
        args: Any,
        kwargs: Any,
        name: str | None = None,
        type_expr: Any = None,
        proxy_factory_fn: Callable[[Node], Any] | None = None,
    ) -> Any:
        """A node, and the proxy of its value."""
        held = self.create_arg(tuple(args)), self.create_arg(kwargs)
        node = self.create_node(kind, target, *held, name, type_expr)
        return (proxy_factory_fn or self.proxy)(node)

    def proxy(self, node: Node) -> Any:
        """The proxy of a node's value."""
        return self.proxy_class(node, self)

    def create_arg(self, a: Any) -> Argument:
        """`a` as graphs hold it: nodes for proxies, parameters and other tensors."""

        def held(x: Any) -> Any:
            if isinstance(x, Proxy):
                return x.node
            if isinstance(x, Tensor):
                return self._tensor(x)
            return x

        return map_aggregate(a, held)

    def _tensor(self, x: Tensor) -> Node:
        name = self._names.get(id(x))
        if name is None:
            name = f"_tensor_constant{sum(n.startswith('_tensor_c') for n in self._names.values())}"
            self.root.register_buffer(name, x, persistent=False)
            self._names[id(x)] = name
        return self.create_node("get_attr", name, (), {})


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _with_plain_parameters(called: Any) -> tuple[Any, list[str]]:
    """The function, and the names of its parameters that are given by position. One with *args or
    **kwargs is called like one that has plain parameters of these names, so that proxies can be
    them."""
    kinds = {n: p.kind for n, p in inspect.signature(called).parameters.items()}
    stars = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    keywords = [n for n, k in kinds.items() if k is inspect.Parameter.KEYWORD_ONLY]
    plain = [n for n, k in kinds.items() if n not in keywords and k not in stars]
    starred = [n for kind in stars for n, k in kinds.items() if k is kind]
    if not starred:
        return called, plain
    function = getattr(called, "__func__", called)
    code = getattr(function, "__code__", None)
    if code is None or not code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        raise TraceError(
            f"symbolic_trace: expected a Python function with {', '.join(starred)} of its own. Got "
            f"{function!r}. Trace a function that names its arguments."
        )
    count = code.co_argcount + code.co_kwonlyargcount + len(starred)
    made = types.FunctionType(
        code.replace(
            co_flags=code.co_flags & ~(inspect.CO_VARARGS | inspect.CO_VARKEYWORDS),
            co_argcount=count, co_kwonlyargcount=0,
        ),
        function.__globals__, function.__name__, None, function.__closure__,
    )  # fmt: skip
    owner = getattr(called, "__self__", None)
    return made if owner is None else types.MethodType(made, owner), [*plain, *keywords, *starred]


def symbolic_trace(root: Any, concrete_args: dict[str, Any] | None = None) -> GraphModule:
    """The module or function `root` as a `GraphModule`: run on proxies, so that what depends on
    values or sizes is refused rather than fixed.

    Raises: TraceError where Python looks at a value.

    Example:
        >>> traced = torch.fx.symbolic_trace(lambda x: torch.relu(x) + 1)
        >>> traced(torch.tensor([-2.0, 3.0]))
        tensor([1., 4.])
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    name = type(root).__name__ if isinstance(root, Module) else root.__name__
    return GraphModule(tracer.root, graph, name if name.isidentifier() else "GraphModule")


def wrap(fn_or_name: str | Callable[..., Any]) -> Any:
    """Keep a global function of the calling module as one call in traces; also a decorator."""
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__
    frame = sys._getframe(1)
    if hasattr(builtins, name):
        frame.f_globals.setdefault(name, getattr(builtins, name))
    _wrapped.append((frame.f_globals, name))
    return fn_or_name
