"""Hooks of modules: functions called before and after a forward, and in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from ...autograd.node import RemovableHandle
from ...core.tensor import Tensor
from ...ops.joins import pass_through

everywhere: dict[str, list[Any]] = {}
"""Hooks of all modules, by kind; see `register_module_forward_hook` and its like."""

Hook = Callable[..., Any]


class HookHandle(RemovableHandle):
    """Takes a module's hook off again, and the last one's list with it: calls of a module without
    hooks take a seventh of the time."""

    def __init__(self, table: dict[str, list[Any]], kind: str, entry: Any, prepend: bool) -> None:
        self._table, self._kind = table, kind
        super().__init__(table.setdefault(kind, []), entry, prepend)

    def remove(self) -> None:
        """Take the hook off once; a second time does nothing."""
        super().remove()
        if self._table.get(self._kind) == []:
            del self._table[self._kind]


def forward_pre_hooks(module: Any, kind: type) -> list[Any]:
    """The hooks before the forward of `module` that are of class `kind`."""
    return [hook for hook, _ in module._hooks.get("forward_pre", ()) if isinstance(hook, kind)]


class HookTable(MutableMapping[int, Hook]):
    """The hooks of one kind that a module has, to look at and to take off, as older code does in
    `module._forward_hooks`."""

    def __init__(self, entries: list[Any]) -> None:
        self._entries = entries

    def __iter__(self) -> Iterator[int]:
        return iter([id(entry) for entry in self._entries])

    def __len__(self) -> int:
        return len(self._entries)

    def _place(self, key: int) -> int:
        return list(self).index(key) if key in list(self) else _missing(key)

    def __getitem__(self, key: int) -> Hook:
        entry = self._entries[self._place(key)]
        return entry[0] if isinstance(entry, tuple) else entry  # type: ignore[no-any-return]

    def __delitem__(self, key: int) -> None:
        del self._entries[self._place(key)]

    def __setitem__(self, key: int, hook: Hook) -> None:
        raise TypeError("Expected hooks to be added by the module's register_..._hook methods.")


def _missing(key: int) -> int:
    raise KeyError(key)


def _table(kind: str) -> property:
    """The hooks of `kind`; an empty mapping put in their place takes all of them off."""

    def get(module: Hooks) -> HookTable:
        return HookTable(module._hooks.get(kind, []))

    def set(module: Hooks, hooks: Mapping[int, Hook]) -> None:
        if hooks:
            raise TypeError("Expected hooks to be added by the module's register_..._hook methods.")
        module._hooks.get(kind, []).clear()

    return property(get, set)


class Hooks:
    """The part of a module that keeps hooks and calls them around `forward`."""

    _hooks: dict[str, list[Any]] = {}  # noqa: RUF012 - empty for all; an own one is made on demand

    _forward_hooks = _table("forward")
    _forward_pre_hooks = _table("forward_pre")
    _backward_hooks = _table("backward")
    _backward_pre_hooks = _table("backward_pre")

    def _register(self, kind: str, entry: Any, prepend: bool = False) -> RemovableHandle:
        own = vars(self).setdefault("_hooks", {})
        return HookHandle(own, kind, entry, prepend)

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)`, or `hook(module, args, kwargs)`, before each forward.

        What it returns replaces the arguments: a value, a tuple, or (args, kwargs).
        """
        return self._register("forward_pre", (hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Hook,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)`, or with kwargs before output, after each forward.

        What it returns replaces the output. `always_call` calls it (with None) after an error too.
        """
        return self._register("forward", (hook, with_kwargs, always_call), prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when both are known.

        What it returns replaces grad_input. Raises: RuntimeError beside `register_backward_hook`.
        """
        _require_one_kind(self._hooks, "backward_old")
        return self._register("backward", hook, prepend)

    def register_backward_hook(self, hook: Hook) -> RemovableHandle:
        """The older `register_full_backward_hook`: grad_input are the gradients of the inputs of
        the last operation, not of the module.

        Raises: RuntimeError beside `register_full_backward_hook`.
        """
        _require_one_kind(self._hooks, "backward")
        return self._register("backward_old", hook)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the module's backward.

        What it returns replaces grad_output.
        """
        return self._register("backward_pre", hook, prepend)

    def _found(self, kind: str) -> list[Any]:
        return [*everywhere.get(kind, ()), *self._hooks.get(kind, ())]

    def _call_hooked(self, *args: Any, **kwargs: Any) -> Any:
        forward: Any = self.forward  # type: ignore[attr-defined]
        after = self._found("forward")
        called = 0
        output = None
        try:
            for hook, with_kwargs in self._found("forward_pre"):
                result = hook(self, args, kwargs) if with_kwargs else hook(self, args)
                if result is not None and with_kwargs:
                    args, kwargs = _require_both(result)
                elif result is not None:
                    args = result if isinstance(result, tuple) else (result,)
            gradients = BackwardHooks(self, self._found("backward_pre"), self._found("backward"))
            output = gradients.after(forward(*gradients.before(args), **kwargs))
            for hook, with_kwargs, _ in after:
                called += 1
                result = (
                    hook(self, args, kwargs, output) if with_kwargs else hook(self, args, output)
                )
                output = output if result is None else result
            for hook in self._found("backward_old"):
                _hook_last_operation(self, hook, output)
        except BaseException:
            for hook, with_kwargs, always in after[called:]:
                if always:
                    hook(self, args, kwargs, None) if with_kwargs else hook(self, args, None)
            raise
        return output


def _require_both(result: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Raises: RuntimeError for anything but (args, kwargs)."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(
            "forward pre-hook: expected None or a tuple (args, kwargs) of a hook with_kwargs. Got "
            f"{result!r}."
        )
    return result


def _require_one_kind(table: dict[str, list[Any]], other: str) -> None:
    """Raises: RuntimeError if there are hooks of the `other` kind."""
    if table.get(other):
        raise RuntimeError(
            "Expected either full backward hooks or backward hooks of the older kind. Got both. "
            "Use register_full_backward_hook."
        )


def _hook_last_operation(module: Any, hook: Hook, output: Any) -> None:
    """Let the node of the first tensor in `output` call `hook` after its backward."""
    while not isinstance(output, Tensor):
        output = next(iter(output.values())) if isinstance(output, dict) else output[0]
    if output.grad_fn is not None:
        output.grad_fn.register_hook(lambda *grads: hook(module, *grads))


class BackwardHooks:
    """One call's backward hooks, on identity nodes around the module's inputs and outputs."""

    def __init__(self, module: Any, pre_hooks: list[Hook], hooks: list[Hook]) -> None:
        self.module, self.pre_hooks, self.hooks = module, pre_hooks, hooks
        self.grad_output: tuple[Any, ...] = ()
        self.sees_inputs = False

    def before(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, tensors passed through a node that calls the hooks."""
        if not self.hooks:
            return args
        wrapped, node, places = _through(args)
        if node is not None:
            self.sees_inputs = True
            node.register_hook(lambda grads, _: self._entered(args, places, grads))
        return wrapped

    def after(self, output: Any) -> Any:
        """The output, tensors passed through a node that notes their gradients."""
        if not self.hooks and not self.pre_hooks:
            return output
        values = output if isinstance(output, tuple | list) else (output,)
        wrapped, node, places = _through(tuple(values))
        if node is None:
            return output
        node.register_hook(lambda grads, _: self._left(values, places, grads))
        return type(output)(wrapped) if isinstance(output, tuple | list) else wrapped[0]

    def _left(self, values: Any, places: list[int], grads: Any) -> Any:
        self.grad_output = _spread(len(values), places, grads)
        changed = False
        for hook in self.pre_hooks:
            result = hook(self.module, self.grad_output)
            if result is not None:
                self.grad_output = _require_as_many(result, len(values))
                changed = True
        if not self.sees_inputs:
            for hook in self.hooks:
                hook(self.module, (None,), self.grad_output)
        return tuple(self.grad_output[k] for k in places) if changed else None

    def _entered(self, args: Any, places: list[int], grads: Any) -> Any:
        grad_input = _spread(len(args), places, grads)
        changed = False
        for hook in self.hooks:
            result = hook(self.module, grad_input, self.grad_output)
            if result is not None:
                grad_input = _require_as_many(result, len(args))
                changed = True
        return tuple(grad_input[k] for k in places) if changed else None


def _through(values: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any, list[int]]:
    """`values` with tensors that require gradients passed through one node; the node; where they
    stand."""
    places = [k for k, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
    if not places:
        return values, None, places
    out = list(values)
    for k, passed in zip(places, pass_through([values[k] for k in places]), strict=True):
        out[k] = passed
    node = out[places[0]].grad_fn
    return tuple(out), node, places


def _require_as_many(result: Any, count: int) -> tuple[Any, ...]:
    """The gradients as a tuple. Raises: RuntimeError for another number."""
    grads = result if isinstance(result, tuple) else (result,)
    if len(grads) != count:
        raise RuntimeError(f"backward hook: expected {count} gradients, or None. Got {len(grads)}.")
    return grads


def _spread(count: int, places: list[int], grads: Any) -> tuple[Any, ...]:
    out = [None] * count
    for k, g in zip(places, grads, strict=True):
        out[k] = g
    return tuple(out)


def _global(kind: str, words: str) -> Callable[..., RemovableHandle]:
    def register(hook: Hook, **options: bool) -> RemovableHandle:
        entry: Any = hook
        if kind.startswith("forward"):
            entry = (hook, options.get("with_kwargs", False))
        if kind == "forward":
            entry = (*entry, options.get("always_call", False))
        if kind in OTHER_KIND:
            _require_one_kind(everywhere, OTHER_KIND[kind])
        return HookHandle(everywhere, kind, entry, False)

    register.__name__ = f"register_module_{words}_hook"
    register.__doc__ = f"Like `Module.register_{words}_hook`, for all modules."
    return register


OTHER_KIND = {"backward": "backward_old", "backward_old": "backward"}

register_module_forward_pre_hook = _global("forward_pre", "forward_pre")
register_module_forward_hook = _global("forward", "forward")
register_module_backward_hook = _global("backward_old", "backward")
register_module_full_backward_hook = _global("backward", "full_backward")
register_module_full_backward_pre_hook = _global("backward_pre", "full_backward_pre")


# -- what modules come to own ----------------------------------------------------------------------

_registrations: dict[str, list[Hook]] = {"parameter": [], "buffer": [], "module": []}


def seen(kind: str, module: Any, name: str, value: Any) -> Any:
    """What `module` shall own as `name`: `value`, or what a hook returns in its place."""
    for hook in list(_registrations[kind]):
        result = hook(module, name, value)
        value = value if result is None else result
    return value


def _on_registration(kind: str) -> Callable[[Hook], RemovableHandle]:
    def register(hook: Hook) -> RemovableHandle:
        return RemovableHandle(_registrations[kind], hook)

    register.__name__ = f"register_module_{kind}_registration_hook"
    register.__doc__ = (
        f"Call `hook(module, name, {kind})` whenever a module comes to own a {kind}; what it "
        "returns is owned instead."
    )
    return register


register_module_parameter_registration_hook = _on_registration("parameter")
register_module_buffer_registration_hook = _on_registration("buffer")
register_module_module_registration_hook = _on_registration("module")
