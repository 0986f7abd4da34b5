"""`autograd.Function`: operations whose gradient users write themselves."""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Callable
from typing import Any

from ..core.callsite import last_write
from ..core.tensor import Tensor, wrap
from ..errors import GradientError, ShapeError
from .grad_mode import enable_grad, is_grad_enabled, no_grad
from .node import Node, OutputEdge, tick

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx:
    """What `forward` leaves for `backward`. Attributes of any name may be set on it."""

    input_shapes: list[Any]

    def __init__(self) -> None:
        self.needs_input_grad: tuple[bool, ...] = ()
        self.materialize_grads = True
        self._to_save: tuple[Any, ...] = ()
        self._saved: list[Callable[[], Any]] | None = []
        self._dirty: tuple[Tensor, ...] = ()
        self._constant: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs and outputs for `saved_tensors`; writes to them in place are then noticed."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward: expected tensors or None. Got {type(t).__name__}. Set "
                    "other values as attributes of ctx."
                )
        self._to_save = tensors

    save_for_forward = save_for_backward  # for `jvp`; either keeps them for both

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` kept.

        Raises: GradientError if it was freed by a backward pass or changed in place.
        """
        if self._saved is None:
            raise GradientError(
                "saved_tensors: they were freed by an earlier backward pass. Pass "
                "retain_graph=True to that earlier one."
            )
        return tuple(get() for get in self._saved)

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs `forward` changed in place; it must return them."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which outputs have no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros (the default) or None for outputs without a gradient."""
        self.materialize_grads = value


class FunctionNode(Node):
    """The backward node of one call of a `Function`."""

    function: type[Function]
    context: FunctionCtx
    shapes: tuple[tuple[int, ...], ...]
    saves_arrays = True
    transposed: Callable[..., Any] | None = None  # what stands for a backward that is not given

    def name(self) -> str:
        """The class's name with Backward behind it."""
        return f"{self.function.__name__}Backward"

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{self.name()} object at {id(self):#x}>"

    def apply(self, g: Any) -> Any:
        """Bare gradients from what the user's `backward` returns."""
        gs = g if self.outputs != 1 else [g]
        tensors = [None if x is None else wrap(x, self.key.of_array(x)) for x in gs]
        with no_grad():
            grads = self._called(tensors)
        return [None if x is None else x._array for x in grads], (False,) * len(grads)

    def apply_recorded(self, g: Any) -> Any:
        """The user's `backward`, recorded."""
        return self._called(list(g) if self.outputs != 1 else [g])

    def _called(self, gs: list[Any]) -> list[Any]:
        if self.saved is None:
            self.context._saved = None
        if self.context.materialize_grads:
            gs = [self._zeros(k) if x is None else x for k, x in enumerate(gs)]
        backward = self.transposed or self.function.backward
        result = backward(self.context, *gs)
        grads = list(result) if isinstance(result, tuple | list) else [result]
        while len(grads) > len(self.edges) and grads[-1] is None:
            grads.pop()
        if len(grads) != len(self.edges):
            raise GradientError(
                f"{self.name()}: expected {len(self.edges)} gradients, one per argument of "
                f"forward. backward returned {len(grads)}. Return None where there is none."
            )
        return [self._checked(k, x) for k, x in enumerate(grads)]

    def _zeros(self, k: int) -> Tensor:
        array = self.key.backend.as_array(0, self.key.dtype, self.key.device.index)
        return wrap(array, self.key).expand(self.shapes[k])

    def _checked(self, k: int, x: Any) -> Any:
        if x is None or self.edges[k] is None:
            return None
        expected = self.context.input_shapes[k]
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{self.name()}: expected a tensor or None as gradient {k}. Got {type(x).__name__}."
            )
        if tuple(x.shape) != expected:
            try:  # as if the function had broadcast its input
                larger = x.ndim > len(expected) or x.numel() > math.prod(expected)
                return x.sum_to_size(expected) if larger else x.expand(expected)
            except RuntimeError:
                raise ShapeError(
                    f"{self.name()}: expected gradient {k} of shape {expected}, as its input. "
                    f"backward gave {tuple(x.shape)}."
                ) from None
        return x


class Function:
    """An operation with a gradient of your own: subclass it, and call `apply`.

    `forward(ctx, *args)` computes, and leaves in `ctx` what the gradient needs; or `forward(*args)`
    with `setup_context(ctx, inputs, output)` beside it. `backward(ctx, *grads)` gets a gradient per
    output and returns one per argument, None for those without.

    Example:
        >>> class Cube(torch.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x**3
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         (x,) = ctx.saved_tensors
        ...         return 3 * x**2 * g
        >>> Cube.apply(torch.tensor(2.0, requires_grad=True))
        tensor(8., grad_fn=<CubeBackward>)
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The computation; not recorded. Give it in the subclass."""
        raise NotImplementedError("Function: define a static method forward in the subclass.")

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Any) -> None:
        """What the gradient needs, where `forward` takes no ctx."""
        raise NotImplementedError

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Any) -> Any:
        """The gradients of the arguments. Give it in the subclass."""
        raise NotImplementedError("Function: define a static method backward in the subclass.")

    @staticmethod
    def jvp(ctx: FunctionCtx, *grad_inputs: Any) -> Any:
        """The tangents of the outputs, linear in those of the arguments. Needed only where there is
        no `backward`, whose derivative it is otherwise."""
        raise NotImplementedError("Function: define a static method jvp in the subclass.")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Compute, and record this function's own gradient."""
        ctx = FunctionCtx()
        tensors = [a if isinstance(a, Tensor) else None for a in args]
        ctx.needs_input_grad = tuple(t is not None and t.requires_grad for t in tensors)
        ctx.input_shapes = [None if t is None else tuple(t.shape) for t in tensors]
        records = is_grad_enabled() and any(ctx.needs_input_grad)
        with no_grad():
            if cls.setup_context is Function.setup_context:
                result = cls.forward(ctx, *args, **kwargs)
            else:
                result = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, result)
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        node = cls._recorded(ctx, tensors, outputs) if records else None
        outputs = [cls._output(ctx, node, k, out, args) for k, out in enumerate(outputs)]
        _keep(ctx, node, outputs)
        if node is not None and cls.backward is Function.backward and cls.jvp is not Function.jvp:
            node.transposed = _transposed(cls, ctx, tensors)
        return tuple(outputs) if isinstance(result, tuple | list) else outputs[0]

    @classmethod
    def _recorded(
        cls, ctx: FunctionCtx, tensors: list[Tensor | None], outputs: list[Any]
    ) -> FunctionNode:
        node = FunctionNode()
        node.function, node.context = cls, ctx
        node.edges = tuple(None if t is None else t._edge for t in tensors)
        found = [o for o in outputs if isinstance(o, Tensor)]
        node.key = found[0]._key if found else next(t._key for t in tensors if t is not None)
        node.shapes = tuple(tuple(o.shape) if isinstance(o, Tensor) else () for o in outputs)
        node.outputs = len(outputs)
        node.saved, node.sequence = (), tick()
        return node

    @classmethod
    def _output(cls, ctx: FunctionCtx, node: Any, k: int, out: Any, args: tuple[Any, ...]) -> Any:
        """`out` with its place in the graph; an input handed through becomes a tensor of its own,
        unless it was changed in place."""
        if not isinstance(out, Tensor):
            return out
        if any(out is d for d in ctx._dirty):
            out._writes[0] += 1
        elif any(out is a for a in args):
            out = out.detach()
        differentiable = out.dtype.category >= 2 and not any(out is c for c in ctx._constant)
        if node is not None and differentiable:
            out._edge = node if node.outputs == 1 else OutputEdge(node, k)
        return out


def _keep(ctx: FunctionCtx, node: FunctionNode | None, outputs: list[Any]) -> None:
    """Make `saved_tensors` of what was to be saved; outputs are kept without the graph that holds
    them, or they would keep each other alive."""
    if node is None:
        ctx._saved = [functools.partial(_same, t) for t in ctx._to_save]
    else:
        ctx._saved = [_getter(t, node, outputs) for t in ctx._to_save]
    ctx._to_save = ()


def _transposed(
    function: type[Function], ctx: FunctionCtx, tensors: list[Tensor | None]
) -> Callable[..., Any]:
    """A backward for a function with `jvp` alone, which is called once, now: as it is linear in the
    tangents, its gradient by them at any tangents is the product with a vector from the left."""
    from .engine import grad

    tangents = [None if t is None else (t.detach() * 0).requires_grad_() for t in tensors]
    with enable_grad():
        result = function.jvp(ctx, *tangents)
    results = list(result) if isinstance(result, tuple | list) else [result]
    places = [k for k, t in enumerate(tangents) if t is not None]

    def backward(ctx: FunctionCtx, *grads: Any) -> tuple[Any, ...]:
        found: list[Any] = [None] * len(tensors)
        pairs = [(r, g) for r, g in zip(results, grads, strict=True) if r is not None]
        with enable_grad():
            parts = grad(
                [r for r, _ in pairs], [tangents[k] for k in places], [g for _, g in pairs],
                retain_graph=True, create_graph=True, allow_unused=True,
            )  # fmt: skip
        for k, part in zip(places, parts, strict=True):
            found[k] = part
        return tuple(found)

    return backward


def _same(tensor: Any) -> Any:
    return tensor


def _getter(tensor: Any, node: FunctionNode, outputs: list[Any]) -> Callable[[], Any]:
    if tensor is None:
        return functools.partial(_same, None)
    place = next((k for k, out in enumerate(outputs) if out is tensor), None)
    array, key, counter, count = tensor._array, tensor._key, tensor._writes, tensor._writes[0]
    edge = tensor._edge if place is None else None
    itself = weakref.ref(node)  # the node holds the context, which holds this

    def get() -> Tensor:
        if counter[0] != count:
            raise GradientError(
                f"backward: expected a saved tensor of shape {tuple(array.shape)} as it was in "
                f"forward. It was since changed in place {counter[0] - count} time(s)"
                f"{', last by ' + last_write(counter) if len(counter) > 1 else ''}."
            )
        owner = itself()
        if place is None or owner is None:
            return wrap(array, key, edge)
        return wrap(array, key, owner if owner.outputs == 1 else OutputEdge.of(owner, place))

    return get


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator for `backward`: its result cannot be differentiated again, and trying to raises
    GradientError."""

    @functools.wraps(backward)
    def wrapped(ctx: FunctionCtx, *grads: Any) -> Any:
        with no_grad():
            result = backward(ctx, *grads)
        if not is_grad_enabled() or not any(g is not None and g.requires_grad for g in grads):
            return result
        results = result if isinstance(result, tuple) else (result,)
        guarded = tuple(_Refusal.apply(r, *grads) if isinstance(r, Tensor) else r for r in results)
        return guarded if isinstance(result, tuple) else guarded[0]

    return wrapped


class _Refusal(Function):
    @staticmethod
    def forward(ctx: Any, value: Any, *grads: Any) -> Any:
        return value.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise GradientError(
            "backward: expected a function that can be differentiated twice. Its backward is "
            "marked with @once_differentiable."
        )
