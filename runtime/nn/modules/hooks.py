"""Hooks of modules: functions called before and after a forward, and in the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...autograd.node import RemovableHandle
from ...core.tensor import Tensor
from ...ops.joins import pass_through

everywhere: dict[str, list[Any]] = {}
"""Hooks of all modules, by kind; see `register_module_forward_hook` and its like."""

Hook = Callable[..., Any]


def registered(
    table: dict[str, list[Any]], kind: str, entry: Any, prepend: bool
) -> RemovableHandle:
    """Add `entry` to the hooks of `kind`; the handle that takes it off again."""
    return RemovableHandle(table.setdefault(kind, []), entry, prepend)


class Hooks:
    """The part of a module that keeps hooks and calls them around `forward`."""

    _hooks: dict[str, list[Any]] = {}  # noqa: RUF012 - empty for all; an own one is made on demand

    def _register(self, kind: str, entry: Any, prepend: bool = False) -> RemovableHandle:
        own = vars(self).setdefault("_hooks", {})
        return registered(own, kind, entry, prepend)

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

        What it returns replaces grad_input.
        """
        return self._register("backward", hook, prepend)

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
                    args, kwargs = result
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
        except BaseException:
            for hook, with_kwargs, always in after[called:]:
                if always:
                    hook(self, args, kwargs, None) if with_kwargs else hook(self, args, None)
            raise
        return output


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
                self.grad_output = result if isinstance(result, tuple) else (result,)
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
                grad_input = result if isinstance(result, tuple) else (result,)
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
        return registered(everywhere, kind, entry, False)

    register.__name__ = f"register_module_{words}_hook"
    register.__doc__ = f"Like `Module.register_{words}_hook`, for all modules."
    return register


register_module_forward_pre_hook = _global("forward_pre", "forward_pre")
register_module_forward_hook = _global("forward", "forward")
register_module_full_backward_hook = _global("backward", "full_backward")
register_module_full_backward_pre_hook = _global("backward_pre", "full_backward_pre")
