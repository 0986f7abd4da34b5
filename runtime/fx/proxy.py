"""What stands for a value while a function is traced symbolically."""

from __future__ import annotations

import dis
import importlib
import operator
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..core.tensor import Tensor
from ..errors import FlambeauError
from .node import Node

if TYPE_CHECKING:
    from .tracer import Tracer

__all__ = ["Attribute", "Proxy", "TraceError"]


class TraceError(FlambeauError, ValueError):
    """What cannot be done to a value that is not known yet."""


class Proxy:
    """A value of a graph: what is done to it becomes a node."""

    def __init__(self, node: Node, tracer: Tracer) -> None:
        self.node = node
        self.tracer = tracer

    def __getattr__(self, name: str) -> Attribute:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Attribute(self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Iterator[Any]:
        frame = sys._getframe(1)
        at = {i.offset: i for i in dis.get_instructions(frame.f_code)}.get(frame.f_lasti)
        if at is not None and at.opname == "UNPACK_SEQUENCE":
            return iter([self[k] for k in range(int(at.argval))])
        raise _unknown(self, "go through the parts of", "Use operations over the whole dimension.")

    def __bool__(self) -> bool:
        raise _unknown(self, "branch on", "Use torch.where, or give the value in concrete_args.")

    def __len__(self) -> int:
        raise _unknown(self, "take the length of", "Use .shape or .size().")

    def __index__(self) -> int:
        raise _unknown(self, "take as a Python number", "Use it in operations only.")

    __int__ = __float__ = __index__  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"

    def __hash__(self) -> int:
        return id(self)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        tracer = _tracer_of((args, kwargs))
        name = getattr(func, "__name__", "")
        places = [importlib.import_module(f"flambeau{p}") for p in ("", ".nn.functional")]
        is_function = any(getattr(place, name, None) is func for place in places)
        if getattr(Tensor, name, None) is func and not is_function:
            return tracer.create_proxy("call_method", name, args, kwargs)
        return tracer.create_proxy("call_function", func, args, kwargs)


class Attribute(Proxy):
    """An attribute of a value, which becomes a node when it is used, or a method that is called."""

    def __init__(self, root: Proxy, attr: str) -> None:
        self.root = root
        self.attr = attr
        self.tracer = root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        """The node that looks the attribute up, made when it is first wanted."""
        if self._node is None:
            made = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {})
            self._node = made.node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


def _unknown(proxy: Proxy, what: str, advice: str) -> TraceError:
    return TraceError(
        f"symbolic_trace: cannot {what} {proxy.node.name}, whose value is not known while tracing. "
        f"{advice}"
    )


def _tracer_of(value: Any) -> Tracer:
    waiting = [value]
    while waiting:
        x = waiting.pop()
        if isinstance(x, Proxy):
            return x.tracer
        waiting += x.values() if isinstance(x, dict) else x if isinstance(x, tuple | list) else ()
    raise TypeError("Proxy: expected a proxy among the arguments.")


BINARY = """
add sub mul truediv floordiv mod pow matmul and_ or_ xor lshift rshift
""".split()
OTHERS = "lt le gt ge eq ne neg pos invert abs getitem".split()


def _install() -> None:
    """Give Proxy the operators."""

    def forward(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, *args: self.tracer.create_proxy(
            "call_function", function, (self, *args), {}
        )

    def backward(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, other: self.tracer.create_proxy(
            "call_function", function, (other, self), {}
        )

    for name in [*BINARY, *OTHERS]:
        function = getattr(operator, name)
        setattr(Proxy, f"__{name.strip('_')}__", forward(function))
        if name in BINARY:
            setattr(Proxy, f"__r{name.strip('_')}__", backward(function))


_install()
