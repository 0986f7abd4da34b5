"""What autograd adds to tensors: `requires_grad`, `grad`, `backward`, `detach`, hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.exposure import expose
from ..core.tensor import Tensor, wrap_view
from ..errors import BatchingError, DTypeError, GradientError, ShapeError
from . import engine
from .node import AccumulateGrad, Node, RemovableHandle


def _get_requires_grad(self: Tensor) -> bool:
    """Whether gradients flow to this tensor."""
    return self._edge is not None


def _set_requires_grad(self: Tensor, value: bool) -> None:
    if not value:
        if not self.is_leaf:
            raise GradientError(
                "requires_grad: expected a leaf. Got the result of "
                f"{self.grad_fn.name()}; its history cannot be switched off. Use detach()."
            )
        self._edge = None
    elif self._edge is None:
        if not (self.dtype.is_floating_point or self.dtype.is_complex):
            raise DTypeError(
                "requires_grad: expected a floating-point or complex tensor. Got "
                f"{self.dtype}, shape {tuple(self.shape)}. Use .float() first."
            )
        self._edge = AccumulateGrad(self)


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Set `requires_grad` in place and return the tensor.

    Raises: BatchingError inside `vmap`, where gradients are asked for by `torch.func`.
    """
    if requires_grad and self._key.level:
        raise BatchingError(
            "requires_grad_: expected a tensor outside of vmap. Got one inside it. Use "
            "torch.func.grad or torch.func.vjp."
        )
    self.requires_grad = requires_grad
    return self


def _get_grad(self: Tensor) -> Tensor | None:
    """The gradient accumulated by backward passes, in this tensor's shape; None before the
    first."""
    return self._grad


def _set_grad(self: Tensor, value: Tensor | None) -> None:
    if value is not None:
        if not isinstance(value, Tensor):
            raise TypeError(f"grad: expected a tensor or None. Got {type(value).__name__}.")
        if tuple(value.shape) != tuple(self.shape) or value.device != self.device:
            raise ShapeError(
                f"grad: expected a tensor of shape {tuple(self.shape)} on {self.device}, as its "
                "tensor. Got "
                f"{tuple(value.shape)} on {value.device}."
            )
    self._grad = value


def backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add this tensor's gradients to the `grad` of the leaves it depends on.

    `gradient` weights the elements; it may be left out for a single one. See `autograd.backward`.

    Example:
        >>> x = torch.tensor(2.0, requires_grad=True)
        >>> (x**2 + 3 * x).backward()
        >>> x.grad
        tensor(7.)
    """
    engine.backward([self], [gradient], retain_graph, create_graph, inputs)


def detach(self: Tensor) -> Tensor:
    """The same memory as a tensor without a past; in-place writes to one are seen by both."""
    out = wrap_view(self._array, self._key, self)
    out._base = None
    return out


def detach_(self: Tensor) -> Tensor:
    """Cut this tensor off from its past."""
    self._edge = None
    return self


def _get_data(self: Tensor) -> Tensor:
    """The same memory outside the graph; writes to it are not noticed by the tape."""
    out = detach(self)
    expose(out._array)
    out._writes = [0]
    return out


def _set_data(self: Tensor, value: Tensor) -> None:
    if value.dtype.category != self.dtype.category and self._edge is not None:
        raise DTypeError(f"data: expected a floating-point tensor. Got {value.dtype}.")
    self._array, self._key, self._writes = value._array, value._key, value._writes


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call `hook(grad)` when this tensor's gradient is complete; what it returns replaces the
    gradient.

    Raises: RuntimeError if the tensor requires no gradient.
    """
    if self._edge is None:
        raise GradientError(
            f"register_hook: expected a tensor that requires a gradient. Got one of shape "
            f"{tuple(self.shape)} that does not."
        )
    if self._edge.prehooks is None:
        self._edge.prehooks = []
    handle = RemovableHandle(self._edge.prehooks, hook)
    self._edge.prehooks.sort(key=lambda h: h.__class__ is _Keep)  # `grad` is what all hooks made
    return handle


def register_post_accumulate_grad_hook(
    self: Tensor, hook: Callable[[Tensor], None]
) -> RemovableHandle:
    """Call `hook(tensor)` after a backward pass has added to this leaf's `grad`."""
    if self._edge.__class__ is not AccumulateGrad:
        raise GradientError(
            "register_post_accumulate_grad_hook: expected a leaf that requires a gradient. Got "
            "another."
        )
    if self._edge.post_hooks is None:
        self._edge.post_hooks = []
    return RemovableHandle(self._edge.post_hooks, hook)


def retain_grad(self: Tensor) -> None:
    """Keep the gradient of this non-leaf in `grad` too."""
    if self._edge is None:
        raise GradientError("retain_grad: expected a tensor that requires a gradient. Got another.")
    if self.is_leaf or self.retains_grad:
        return
    self.retains_grad = True
    register_hook(self, _Keep(self))


class _Keep:
    """The hook that adds the gradient to a non-leaf's `grad`."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __call__(self, g: Tensor) -> None:
        before = self._tensor._grad
        self._tensor._grad = g.detach() if before is None else before + g.detach()


_ATTRIBUTES = {
    "requires_grad": property(_get_requires_grad, _set_requires_grad),
    "grad": property(_get_grad, _set_grad),
    "data": property(_get_data, _set_data),
    "retains_grad": False,
}
for _name, _member in _ATTRIBUTES.items():
    setattr(Tensor, _name, _member)
for _function in (
    requires_grad_, backward, detach, detach_, register_hook, register_post_accumulate_grad_hook,
    retain_grad,
):  # fmt: skip
    setattr(Tensor, _function.__name__, _function)

__all__ = ["AccumulateGrad", "Node"]
