"""In-place operations: the functional result written into the tensor's memory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..autograd.grad_mode import is_grad_enabled
from ..autograd.node import AccumulateGrad, Node, tick
from ..autograd.record import TAPE
from ..core import batched, deferral, dtypes, observers
from ..core.callsite import count_write
from ..core.creation import as_tensor
from ..core.dispatch import guarded, key_of, operations
from ..core.spec import Spec
from ..core.tensor import Tensor, wrap
from ..errors import DTypeError, GradientError, ShapeError
from .complex_numbers import view_as_complex, view_as_real
from .copies import cast
from .fused_inplace import computed_in_place
from .indexing import (
    index_put_values,
    parse_index,
    slice_view,
    split_numbers,
)
from .strided import storage_length, strided


def check_writable(tensor: Tensor, operation: str) -> None:
    """Raises: GradientError for a leaf that requires a gradient while operations are recorded."""
    edge = tensor._edge
    if edge is not None and is_grad_enabled():
        base = tensor._base
        if edge.__class__ is AccumulateGrad or (
            base is not None and base._edge.__class__ is AccumulateGrad
        ):
            raise GradientError(
                f"{operation}: expected a tensor that is no leaf requiring a gradient (nor a view "
                "of one). "
                f"Got one of shape {tuple(tensor.shape)}. Write under torch.no_grad(), or use the "
                "out-of-place operation."
            )


def _keep_past(tensor: Tensor, result: Tensor, since: int | None, kept: Any = None) -> None:
    """Give the nodes of `result` that are younger than `since` (its own if None), and saved the
    tensor that is about to be written to, its values: a copy, or `kept` if nobody writes to that.

    Only where it is the node's own operand for the first time: of another view of its memory, or of
    the same tensor as a second operand, backward says that it was changed, as in PyTorch.
    """
    waiting, copied = [result._edge], kept
    if since is None:
        since = result._edge.as_target().sequence - 1
    while waiting:
        edge = waiting.pop()
        node = None if edge is None else edge.as_target()
        if not isinstance(node, Node) or node.sequence <= since:
            continue
        waiting += node.edges
        for k in range(0, len(node.versions), 2):
            if node.saved[k // 2] is not tensor._array:
                continue
            saved, versions = list(node.saved), list(node.versions)
            if copied is None:
                with tensor._key.guard:
                    copied = tensor._array.copy()
            saved[k // 2] = copied
            versions[k : k + 2] = [[0], 0]
            node.saved, node.versions = tuple(saved), tuple(versions)
            break


def _references(holder: Any, name: str) -> int:
    return sys.getrefcount(getattr(holder, name))


_ONE_HOLDER = _references(SimpleNamespace(_array=object()), "_array")


def _may_move(tensor: Tensor, result: Tensor) -> bool:
    """Whether nobody could notice it if the tensor took the memory of `result` for its own instead
    of a copy: no view, node, array or address of its present one is known elsewhere."""
    if tensor._key.is_concealed and result._key is tensor._key:
        return True  # nobody has been shown memory of this order
    before, after = tensor._array.__class__, result._array.__class__
    if before is not after or tensor._shows_address:
        return False
    if before is not np.ndarray and not _passes(tensor):
        return False
    return (
        _references(tensor, "_array") == _ONE_HOLDER
        and tensor._edge.__class__ is not AccumulateGrad
        and tensor._base is None
        and all(view() is None for view in tensor._views or ())
        and _is_whole(tensor._array)
        and _is_whole(result._array)
        and tensor._array.strides == result._array.strides
    )


def _passes(tensor: Tensor) -> bool:
    """Whether a tensor on the GPU is a step of a computation that goes on: memory of others may
    stand in a graph, which replays with what is there. While one is recorded, what is older than
    the recording is such."""
    backend: Any = tensor._key.backend
    if not tensor.is_cuda or tensor._edge is None:
        return False
    return not backend.is_recording or backend.allocator.is_recorded(tensor._array)


def _is_whole(array: Any) -> bool:
    """Whether an array has memory of its own, maybe behind an array that nothing else shows."""
    if array.base is None or array.__class__ is np.ndarray:
        return array.base is None
    return array.base.base is None and _references(array, "base") == _ONE_HOLDER


def _move(tensor: Tensor, result: Tensor, operation: str) -> None:
    """Give the tensor the memory of `result`, which its node may have saved."""
    tensor._array = result._array
    count_write(tensor._writes, operation)
    node = result._edge
    if node is not None:
        versions = list(node.versions)
        for k in range(0, len(versions), 2):
            if versions[k] is result._writes:
                versions[k : k + 2] = tensor._writes, tensor._writes[0]
        node.versions = tuple(versions)


def _fitted(tensor: Tensor, result: Tensor, operation: str) -> Tensor:
    """`result` in the tensor's dtype. Raises: DTypeError for a kind of number that does not fit."""
    if result.dtype.category > tensor.dtype.category:
        raise DTypeError(
            f"{operation}: expected a result that fits into {tensor.dtype}. The operands give "
            f"{result.dtype}. Use the out-of-place operation."
        )
    return result if result.dtype is tensor.dtype else cast(result, dtype=tensor.dtype)


def overwrite(
    tensor: Tensor,
    result: Tensor,
    operation: str,
    since: int | None = None,
    is_new: bool = False,
) -> Tensor:
    """Write `result` into `tensor`, whose place in the graph it takes over.

    What the operation itself saved of the tensor, its nodes being those younger than `since` (the
    result's own if not given), keeps the values from before. `is_new` says that nobody else has
    the result; it need not be copied then.
    Raises: RuntimeError if the result does not fit the tensor's shape or dtype.
    """
    if deferral.in_use:
        deferral.settle(f"{operation} wrote in place", tensor)
    if result._array.shape != tensor._array.shape:
        raise ShapeError(
            f"{operation}: expected a result of the tensor's own shape {tuple(tensor.shape)}. The "
            "operands "
            f"give {tuple(result.shape)}. Use the out-of-place operation."
        )
    if result._key is not tensor._key:
        result = _fitted(tensor, result, operation)
    is_recorded = result._edge is not None and is_grad_enabled()
    if is_new and _may_move(tensor, result):
        if is_recorded:
            _keep_past(tensor, result, since, tensor._array)
        _move(tensor, result, operation)
        if is_grad_enabled():
            _adopt_edge(tensor, result._edge)
        return _told(tensor, result)
    if is_recorded:
        _keep_past(tensor, result, since, tensor._array if tensor.is_meta else None)
    write(tensor, result._array, operation)
    has_past = result._edge is not None or tensor._edge is not None or tensor._base is not None
    if (has_past or tensor._views is not None) and is_grad_enabled():
        _adopt_edge(tensor, result._edge)
    return _told(tensor, result)


def _told(tensor: Tensor, result: Tensor) -> Tensor:
    """`tensor`, after the observers were told that it holds the values of `result`."""
    for observer in observers.active:
        observer.tensor_written(tensor, result)
    return tensor


def write(tensor: Tensor, values: Any, operation: str) -> None:
    """Write bare `values` into the tensor's memory and count the write."""
    if deferral.in_use:
        deferral.settle(f"{operation} wrote in place", tensor)
    if not tensor.is_meta:
        if not getattr(tensor._array.flags, "writeable", True):
            raise RuntimeError(
                f"{operation}: expected a tensor whose elements have memory of their own. Got one "
                "of "
                f"shape {tuple(tensor.shape)} that was expanded. Clone it first."
            )
        with tensor._key.guard:
            tensor._array[...] = values
    count_write(tensor._writes, operation)


def _adopt_edge(tensor: Tensor, edge: Any) -> None:
    base = tensor._base
    if base is not None and (edge is not None or base._edge is not None):
        node = ViewWrite(base, tensor, edge)
        base._edge = node
    if tensor._edge is not edge:
        tensor._edge = edge
    owner = tensor if base is None else base
    if owner._views is not None:
        _renew_views(owner, tensor)


def _renew_views(base: Tensor, written: Tensor) -> None:
    """Give the other views of `base`, which was written to, a past that begins where it is now."""
    for reference in base._views or ():
        view = reference()
        if view is None or view is written or view._base is not base:
            continue
        if base._edge is None:
            view._edge = None
        else:
            view._edge = _seen_again(base, view)._edge


def _seen_again(base: Tensor, view: Tensor) -> Tensor:
    """The elements of `base` that `view` shows, with the past that base has now."""
    if view.is_complex() and not base.is_complex():
        return view_as_complex(_seen_again(base, _as_real(view)))
    if base.is_complex() and not view.is_complex():
        base = view_as_real(base)
    offset = 0 if base.is_meta else (view.data_ptr() - base.data_ptr()) // base.itemsize
    return strided(
        base,
        size=tuple(view.shape),
        stride=tuple(view.stride()),
        offset=offset,
        geometry=(tuple(base.shape), tuple(base.stride())),
    )


def _as_real(tensor: Tensor) -> Tensor:
    """Complex numbers as pairs, outside the graph; real ones as they are."""
    if not tensor.is_complex():
        return tensor
    key = key_of(tensor.device, tensor.dtype.to_real())
    return wrap(tensor._key.view_as_real(tensor._array), key)


class ViewWrite(Node):
    """A write through a view, as a step of its base's past: outside the view the gradient goes to
    what the base was, inside it to what was written."""

    def __init__(self, base: Tensor, view: Tensor, written: Any) -> None:
        self.edges = (base._edge, written)
        self.key = base._key
        self.saved = (None, None)
        self.sequence = tick()
        # Parts of complex numbers, or pairs seen as such, have their places among real numbers.
        self.is_parted = base.is_complex() != view.is_complex()
        if self.is_parted:
            base, view = _as_real(base), _as_real(view)
        self.index = _positions(base, view)

    def name(self) -> str:
        """As PyTorch names it."""
        return "CopySlices"

    def apply(self, g: Any) -> Any:
        """Bare gradients for the old base and the written values."""
        return self._parts(self.key, g), (True, True)

    def apply_recorded(self, g: Any) -> Any:
        """The same by recorded operations."""
        return self._parts(TAPE, g)

    def _parts(self, F: Any, g: Any) -> tuple[Any, Any]:
        if not self.is_parted:
            return F.zero_at(g, index=self.index), F.index_elements(g, index=self.index)
        is_complex = self.key.dtype.is_complex
        g = F.view_as_real(g) if is_complex else g
        outside, inside = F.zero_at(g, index=self.index), F.index_elements(g, index=self.index)
        if is_complex:
            return F.view_as_complex(outside), inside
        return outside, F.view_as_complex(inside)


@guarded
def _positions(base: Tensor, view: Tensor) -> Any:
    """Where the view's elements lie in the base, as an index of arrays."""
    if base.is_meta:
        return tuple(Spec(tuple(view.shape), dtypes.int64) for _ in range(base.ndim))
    whole = base
    if base._key.level:  # all slices lie alike
        whole = wrap(base._array.example(), key_of(base.device, base.dtype))
    xp = whole._key.backend.xp
    memory = xp.zeros(max(storage_length(whole), 1), xp.int64)  # the base may leave gaps in it
    as_strided = xp.lib.stride_tricks.as_strided
    numbers = as_strided(memory, tuple(whole.shape), tuple(8 * s for s in whole.stride()))
    numbers[...] = xp.arange(numbers.size).reshape(numbers.shape)
    offset = (view.data_ptr() - base.data_ptr()) // base.dtype.itemsize if view.numel() else 0
    strides = tuple(8 * s for s in view.stride())
    shown = as_strided(memory[offset:], tuple(view.shape), strides)
    return xp.unravel_index(shown, numbers.shape)


FORMULAS = {"add": "plus", "sub": "minus", "div": "divide"}
"""The formulas that composites are if they get tensors or numbers alone."""


def inplace(function: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    """The method `name` that does `function` in place."""
    operation = operations.get(FORMULAS.get(function.__name__, function.__name__))
    is_new = operation is not None and operation.formula is not None

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if deferral.in_use:
            since = tick()
            result = deferral.renamed(self, function, args, kwargs, name)
            if result is not None:
                return self if result is self else overwrite(self, result, name, since)
        if self._edge is not None:
            check_writable(self, name)
        if is_new and not kwargs and computed_in_place(operation, self, args):
            count_write(self._writes, name)
            if (self._base is not None or self._views is not None) and is_grad_enabled():
                _adopt_edge(self, None)
            return self
        since = tick()
        return overwrite(self, function(self, *args, **kwargs), name, since, is_new)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`{function.__name__}`, written into this tensor, which is returned."
    return method


def reshaped(function: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    """The method `name` that makes the tensor itself the view that `function` makes of it."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_writable(self, name)
        out = function(self, *args, **kwargs)
        if out is not self:
            self._array = out._array
            count_write(self._writes, name)
            if is_grad_enabled() and out._edge is not None:
                self._edge = out._edge
            _told(self, out)
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`{function.__name__}`, done to this tensor, which is returned."
    return method


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Write the values of `src`, a tensor or number, broadcast and converted, into this tensor;
    recorded.

    Raises: RuntimeError if the shape of src does not broadcast to this one.
    """
    if not isinstance(src, Tensor):
        return fill_(self, src)
    check_writable(self, "copy_")
    value = src.to(self.device, self.dtype, non_blocking=non_blocking and self.is_cuda)
    return overwrite(self, value.expand(tuple(self.shape)), "copy_")


def fill_(self: Tensor, value: Any) -> Tensor:
    """Write `value`, a number or 0-d tensor, everywhere."""
    check_writable(self, "fill_")
    if isinstance(value, Tensor):
        return copy_(self, value)
    if self.dtype.category < dtypes.COMPLEX and isinstance(value, complex):
        raise DTypeError(f"fill_: expected a real number for {self.dtype}. Got {value!r}.")
    if self.dtype.category == dtypes.INTEGER and value:
        dtypes.require_fitting(value, value, self.dtype)
        value = dtypes.wrapped(value, self.dtype)
    has_past = self._edge is not None and is_grad_enabled()
    if has_past or observers.is_traced():
        everywhere = self.new_ones((), dtype=dtypes.bool_)  # zeros flow back to what was here
        return overwrite(self, self.masked_fill(everywhere, value), "fill_")
    write(self, value, "fill_")
    if is_grad_enabled():
        _adopt_edge(self, None)
    return self


def zero_(self: Tensor) -> Tensor:
    """Write 0 everywhere."""
    return fill_(self, 0)


def _is_batched(self: Tensor, value: Tensor, index: tuple[Any, ...]) -> bool:
    """Whether one of them belongs to a vmap, whose batches only operations can write."""
    return bool(self._key.level or value._key.level or max(map(batched.level_of, index), default=0))


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """self[index] = value: a number, or a tensor that broadcasts to the selected shape;
    recorded."""
    if deferral.in_use:
        deferral.settle("setitem wrote in place", self)
    check_writable(self, "setitem")
    parsed, is_view = parse_index(self, index)
    numbers, rest = ((), parsed) if is_view else split_numbers(parsed)
    if numbers:
        setitem(slice_view(self, index=numbers), rest, value)
        return
    if not isinstance(value, Tensor):
        value = as_tensor(value, dtype=self.dtype, device=self.device)
    elif value.device != self.device or value.dtype is not self.dtype:
        value = value.to(self.device, self.dtype)
    recorded = is_grad_enabled() and (self._edge is not None or value._edge is not None)
    recorded = recorded or observers.is_traced()
    if recorded or (batched.in_use and _is_batched(self, value, parsed)):
        result = index_put_values(self, value, index=parsed, accumulate=False)
        overwrite(self, result, "setitem")
        return
    if self.is_meta:
        index_put_values(self, value, index=parsed, accumulate=False)  # whether the shapes fit
    else:
        put = None if is_view else getattr(self._key.backend, "put_rows", None)
        try:
            with self._key.guard:
                if put is None or not put(self._array, parsed, value._array):
                    self._array[parsed] = value._array
        except (ValueError, IndexError):
            index_put_values(self, value, index=parsed, accumulate=False)  # explains what is wrong
            raise
    count_write(self._writes, "setitem")
