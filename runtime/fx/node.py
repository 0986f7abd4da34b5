"""Nodes of a graph: one input, constant, call or result each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .graph import Graph

__all__ = ["Argument", "Node", "Target", "map_aggregate", "map_arg"]

Target = Callable[..., Any] | str
"""What a node calls: a function, or the name of a method, a module or an attribute."""
Argument = Any
"""Numbers, strings, tensors, dtypes and nodes, also in tuples, lists, dicts and slices."""

SIDE_EFFECTS = frozenset(
    "_assert print setitem iadd isub imul itruediv ifloordiv imod ipow imatmul".split()
)
"""Names of functions that are called for what they do, such as writing to an argument."""

KINDS = ("placeholder", "get_attr", "call_function", "call_method", "call_module", "output")


def map_aggregate(a: Argument, fn: Callable[[Any], Any]) -> Argument:
    """`a` with `fn` applied to everything in its tuples, lists, dicts and slices."""
    if isinstance(a, tuple):
        parts = [map_aggregate(x, fn) for x in a]
        return type(a)(*parts) if hasattr(a, "_fields") else tuple(parts)
    if isinstance(a, list):
        return [map_aggregate(x, fn) for x in a]
    if isinstance(a, dict):
        return {k: map_aggregate(v, fn) for k, v in a.items()}
    if isinstance(a, slice):
        return slice(*(map_aggregate(x, fn) for x in (a.start, a.stop, a.step)))
    return fn(a)


def map_arg(a: Argument, fn: Callable[[Node], Any]) -> Argument:
    """`a` with `fn` applied to each node in it."""
    return map_aggregate(a, lambda x: fn(x) if isinstance(x, Node) else x)


class Node:
    """One step of a graph.

    `op` is placeholder (an input), get_attr (a parameter, buffer or constant), call_function,
    call_method, call_module or output; `target` is what it calls or the name it looks up. `users`
    are the nodes that read it, in order; `meta` is a dict for whatever passes keep.
    """

    def __init__(
        self,
        graph: Graph,
        name: str,
        op: str,
        target: Target,
        args: tuple[Argument, ...] = (),
        kwargs: dict[str, Argument] | None = None,
        return_type: Any = None,
    ) -> None:
        if op not in KINDS:
            raise ValueError(f"Node: expected an op among {', '.join(KINDS)}. Got {op!r}.")
        self.graph = graph
        self.name = name
        self.op = op
        self.target = target
        self.type = return_type
        self.users: dict[Node, None] = {}
        self.meta: dict[str, Any] = {}
        self._args: tuple[Argument, ...] = ()
        self._kwargs: dict[str, Argument] = {}
        self._inputs: dict[Node, None] = {}
        self._update(tuple(args), dict(kwargs or {}))

    @property
    def args(self) -> tuple[Argument, ...]:
        """Arguments by position."""
        return self._args

    @args.setter
    def args(self, args: tuple[Argument, ...]) -> None:
        self._update(tuple(args), self._kwargs)

    @property
    def kwargs(self) -> dict[str, Argument]:
        """Arguments by keyword."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, kwargs: dict[str, Argument]) -> None:
        self._update(self._args, dict(kwargs))

    @property
    def all_input_nodes(self) -> list[Node]:
        """The nodes that this one reads, each once, in order."""
        return list(self._inputs)

    def _update(self, args: tuple[Argument, ...], kwargs: dict[str, Argument]) -> None:
        for old in self._inputs:
            old.users.pop(self, None)
        self._args, self._kwargs, self._inputs = args, kwargs, {}
        map_arg((args, kwargs), lambda n: self._inputs.setdefault(n))
        for new in self._inputs:
            new.users[self] = None

    def insert_arg(self, idx: int, arg: Argument) -> None:
        """Put `arg` before what is at position `idx`."""
        self.args = (*self.args[:idx], arg, *self.args[idx:])

    def update_arg(self, idx: int, arg: Argument) -> None:
        """Put `arg` at position `idx`."""
        self.args = (*self.args[:idx], arg, *self.args[idx + 1 :])

    def update_kwarg(self, key: str, arg: Argument) -> None:
        """Give `arg` by the keyword `key`."""
        self.kwargs = {**self.kwargs, key: arg}

    def replace_input_with(self, old_input: Node, new_input: Argument) -> None:
        """Read `new_input` wherever this node reads `old_input`."""

        def swapped(node: Node) -> Argument:
            return new_input if node is old_input else node

        self._update(map_arg(self._args, swapped), map_arg(self._kwargs, swapped))

    def replace_all_uses_with(
        self, replace_with: Node, delete_user_cb: Callable[[Node], bool] = lambda user: True
    ) -> list[Node]:
        """Let all readers (for which `delete_user_cb` holds) read `replace_with`; returns them."""
        readers = [u for u in self.users if u is not replace_with and delete_user_cb(u)]
        for user in readers:
            user.replace_input_with(self, replace_with)
        return readers

    @property
    def stack_trace(self) -> str | None:
        """Where the user's program made the value, if `meta["stack_trace"]` tells."""
        return self.meta.get("stack_trace")

    def is_impure(self) -> bool:
        """Whether the node does more than give a value: inputs, outputs, assertions, methods that
        write in place, and modules in training that have buffers, such as batch norms."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_method":
            return str(self.target).endswith("_") and not str(self.target).startswith("__")
        if self.op == "call_function":
            return getattr(self.target, "__name__", "") in SIDE_EFFECTS
        owner = self.graph.owning_module
        if self.op != "call_module" or owner is None:
            return False
        module = owner.get_submodule(str(self.target))
        return bool(getattr(module, "_is_impure", False)) or (
            module.training and next(iter(module.buffers()), None) is not None
        )

    def __lt__(self, other: Node) -> bool:
        """Whether this node stands before `other`."""
        return self.graph.position(self) < self.graph.position(other)

    @property
    def next(self) -> Node:
        """The node after this one; the first after the last."""
        return self.graph.neighbour(self, 1)

    @property
    def prev(self) -> Node:
        """The node before this one; the last before the first."""
        return self.graph.neighbour(self, -1)

    def append(self, x: Node) -> None:
        """Move the node `x` to just behind this one."""
        self.graph.move(x, self, 1)

    def prepend(self, x: Node) -> None:
        """Move the node `x` to just before this one."""
        self.graph.move(x, self, 0)

    def format_node(self) -> str:
        """The node in one line, as graphs print it."""
        if self.op == "placeholder":
            return (
                f"%{self.name} : [num_users={len(self.users)}] = placeholder[target={self.target}]"
            )
        called = f"[target={target_name(self.target)}]"
        words = [_percent(a) for a in self.args] + [
            f"{k}={_percent(v)}" for k, v in self.kwargs.items()
        ]
        if self.op == "output":
            return f"return {words[0] if words else ''}"
        if self.op == "get_attr":
            return f"%{self.name} : [num_users={len(self.users)}] = get_attr{called}"
        args = ", ".join(words)
        return f"%{self.name} : [num_users={len(self.users)}] = {self.op}{called}({args})"

    def __repr__(self) -> str:
        return self.name


def _percent(value: Argument) -> str:
    text = map_arg(value, lambda n: _Named(f"%{n.name}"))
    return str(text)


class _Named(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def target_name(target: Target) -> str:
    """`target` in words: the full name of a function, or the string itself."""
    if isinstance(target, str):
        return target
    operation = getattr(target, "operation", None)
    name = getattr(target, "__qualname__", None) or getattr(target, "__name__", repr(target))
    if operation is not None:
        return f"torch.{operation.name}"
    module = getattr(target, "__module__", "") or ""
    module = "operator" if module == "_operator" else module
    if module.partition(".")[0] == "flambeau":
        module = "torch"
    return f"{module}.{name}" if module and module != "builtins" else name
