"""Kernels for the batched arrays of `vmap`: each runs once for all slices.

A tensor inside `vmap` has a dispatch key of its level, whose kernels take batched arrays apart,
call the kernel of what they hold, and put the results together. Wrappers, gradient rules and the
backward pass stay as they are. How the call is made follows from the kind of the declaration: the
operands of a formula are aligned, a composite runs its body, and a primitive has a rule (see
`ops.batching`); the others run slice by slice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core import dtypes
from ..core.batched import BatchedArray, level_of
from ..core.devices import device
from ..core.dispatch import DispatchKey, key_of, operations
from ..errors import BatchingError

if TYPE_CHECKING:
    from ..ops.operation import Operation

Rule = Callable[..., Any]
rules: dict[str, Rule] = {}
"""Rules by operation: (batch, *arrays, **attributes) to the results, the batch their first
dimension. `ops.batching` fills it."""


class Batch:
    """One call on batched arrays of `level`: the key and the length of what they hold."""

    __slots__ = ("inner", "key", "length", "level")

    def __init__(self, key: BatchedKey, inner: DispatchKey, length: int) -> None:
        self.key = key
        self.level = key.level
        self.inner = inner
        self.length = length

    def is_batched(self, x: Any) -> bool:
        """Whether `x` differs from slice to slice."""
        return x.__class__ is BatchedArray and x.level == self.level and x.is_batched

    def value(self, x: Any) -> Any:
        """What `x` holds."""
        return x.value if x.__class__ is BatchedArray and x.level == self.level else x

    def reshaped(self, value: Any, shape: Any) -> Any:
        """A value with other sizes."""
        return self.inner.reshape_like(value, like=tuple(shape))

    def padded(self, x: Any, ndim: int) -> Any:
        """The value of `x`, to broadcast with others whose slices have `ndim` dimensions."""
        if not self.is_batched(x) or len(x.shape) >= ndim:
            return self.value(x)
        return self.reshaped(x.value, (self.length, *(1,) * (ndim - len(x.shape)), *x.shape))

    def front(self, x: Any) -> Any:
        """The value of `x` with the batch as its first dimension, repeated if it is shared."""
        if x is None or self.is_batched(x):
            return None if x is None else x.value
        value = self.value(x)
        return self.inner.expand_to(value, like=(self.length, *value.shape))

    def folded(self, x: Any) -> Any:
        """The value of `x` with the batch as part of the slices' first dimension."""
        value = self.front(x)
        return self.reshaped(value, (self.length * value.shape[1], *value.shape[2:]))

    def unfolded(self, value: Any) -> Any:
        """The opposite of `folded`."""
        rows = value.shape[0] // max(self.length, 1)
        return self.reshaped(value, (self.length, rows, *value.shape[1:]))

    def moved(self, value: Any, source: int, target: int) -> Any:
        """A value with dimension `source` at the place `target`."""
        order = [d for d in range(len(value.shape)) if d != source]
        order.insert(target, source)
        return self.inner.permute_dims(value, dims=tuple(order))


class BatchedBackend:
    """The backend of the batched arrays of one level on one device."""

    array_class = BatchedArray

    def __init__(self, level: int, place: device) -> None:
        self.level = level
        self.device = place  # equal to the plain one but not the same: that keys are told apart by
        self.type = place.type

    @property
    def xp(self) -> Any:
        """There is none. Raises: BatchingError, as what asks for it is not done for batches."""
        raise BatchingError(
            "vmap: expected operations that can run on a batch. Got one that works on the values "
            "of a single array. Use another, or map over it in a Python loop."
        )

    def array_dtype(self, dtype: dtypes.dtype) -> Any:
        return key_of(self.device, dtype).array_dtype

    def as_array(self, value: Any, dtype: dtypes.dtype | None, index: int | None) -> Any:
        if value.__class__ is not BatchedArray:
            plain = key_of(self.device, dtype or dtypes.float32).backend
            value = plain.as_array(value, dtype, index)
        return BatchedArray(value, self.level, False)

    def to_numpy(self, array: Any) -> Any:
        if array.is_batched:
            array.__array__()
        return key_at(level_of(array.value), self.device, dtype_of(array)).backend.to_numpy(
            array.value
        )

    def check(self, place: device) -> device:
        return place

    def kernel(self, operation: Operation, key: Any) -> Callable[..., Any]:
        rule = rules.get(operation.name)
        if rule is None and operation.body is not None:
            return operation.composed(key)  # its parts take the batches apart
        if rule is None:
            make = aligned if operation.formula is not None else by_slices
            rule = make(operation.name)
        return _batching(operation, key, rule)


def _batching(operation: Operation, key: BatchedKey, rule: Rule) -> Callable[..., Any]:
    level, name = key.level, operation.name
    names = operation.array_names

    def kernel(*arrays: Any, **attributes: Any) -> Any:
        if len(arrays) < len(names):  # gradient rules may name an array
            arrays += tuple([attributes.pop(n) for n in names[len(arrays) :] if n in attributes])
        inside = 0
        length = None
        for x in _leaves(arrays, attributes):
            value = x
            if x.level == level:
                value = x.value
                if x.is_batched:
                    if length is not None and length != value.shape[0]:
                        raise _kept(length, value.shape[0])
                    length = value.shape[0]
            if value.__class__ is BatchedArray and value.level > inside:
                inside = value.level
        inner = key.inner(inside)
        if length is None:
            out = getattr(inner, name)(*unwrapped(arrays, level), **unwrapped(attributes, level))
            is_batched = False
        else:
            out = rule(Batch(key, inner, length), *arrays, **attributes)
            is_batched = True
        if operation.layout == "channels_last" and not inside:
            out = inner.backend.row_major(out)
        if operation.outputs == 1:
            return _wrapped(out, key, inner, is_batched)
        return tuple([_wrapped(x, key, inner, is_batched) for x in out])

    return kernel


def _kept(length: int, other: int) -> BatchingError:
    return BatchingError(
        f"vmap: expected tensors of one batch. Got batches of {length} and {other}: one was kept "
        "from a vmap that is over. Return it from the function instead."
    )


def _wrapped(value: Any, key: BatchedKey, inner: DispatchKey, is_batched: bool) -> Any:
    if value.__class__ is BatchedArray:
        if value.level == key.level:
            return value  # by a rule that calls the kernels of its own level
    elif value.__class__ is not inner.array_class and inner.level == 0:
        value = inner.as_array(value)
    return BatchedArray(value, key.level, is_batched)


def _leaves(arrays: Any, attributes: dict[str, Any]) -> list[BatchedArray]:
    found = [x for x in arrays if x.__class__ is BatchedArray]
    for x in (*arrays, attributes.get("index")):
        if x.__class__ is list or x.__class__ is tuple:
            found += [y for y in x if y.__class__ is BatchedArray]
    return found


def unwrapped(tree: Any, level: int) -> Any:
    """`tree` of lists, tuples and dicts with the values of the arrays of `level`."""
    if tree.__class__ is BatchedArray:
        return tree.value if tree.level == level else tree
    if tree.__class__ is tuple or tree.__class__ is list:
        return tree.__class__([unwrapped(x, level) for x in tree])
    if tree.__class__ is dict:
        return {n: unwrapped(x, level) for n, x in tree.items()}
    return tree


def aligned(name: str) -> Rule:
    """The operation `name` of operands aligned from the right, the batch in front."""

    def rule(batch: Batch, *arrays: Any, **numbers: Any) -> Any:
        ndim = max([len(x.shape) for x in arrays if hasattr(x, "shape")])
        return getattr(batch.inner, name)(*[batch.padded(x, ndim) for x in arrays], **numbers)

    return rule


def by_slices(name: str) -> Rule:
    """The operation `name` slice after slice, stacked: for what cannot be done at once."""

    def rule(batch: Batch, *arrays: Any, **attributes: Any) -> Any:
        kernel = getattr(batch.inner, name)

        def part(x: Any, k: int) -> Any:
            if x.__class__ is list or x.__class__ is tuple:
                return x.__class__([part(y, k) for y in x])
            if batch.is_batched(x):
                return batch.inner.select_at(x.value, dim=0, index=k)
            return batch.value(x)

        results = []
        for k in range(batch.length):
            own = {n: part(v, k) for n, v in attributes.items()}
            results.append(kernel(*[part(x, k) for x in arrays], **own))
        if not results:
            raise BatchingError(f"vmap: expected at least one slice for {name}. Got none.")
        if operations[name].outputs == 1:
            return _stacked(batch, name, results)
        return tuple([_stacked(batch, name, parts) for parts in zip(*results, strict=True)])

    return rule


def _stacked(batch: Batch, name: str, parts: Any) -> Any:
    shapes = {tuple(getattr(x, "shape", ())) for x in parts}
    if len(shapes) > 1:
        raise BatchingError(
            f"vmap: expected {name} to give one shape for all slices. Got {sorted(shapes)}."
        )
    inner = batch.inner
    parts = [x if hasattr(x, "shape") and x.shape else inner.as_array(x) for x in parts]
    return inner.stack(parts, dim=0)


class BatchedKey(DispatchKey):
    """The key of the batched arrays of one level, device and dtype."""

    def __init__(self, backend: BatchedBackend, dtype: dtypes.dtype) -> None:
        plain = key_of(backend.device, dtype)
        self.level = backend.level
        self.device = backend.device
        self.dtype = dtype
        self.is_float = plain.is_float
        self.is_half = plain.is_half
        self.backend = backend
        self.array_class = BatchedArray
        self.array_dtype = plain.array_dtype
        self.vjps = {}
        self.one = None
        self.constants = {}
        self._inner: dict[int, DispatchKey] = {0: plain}

    def inner(self, level: int) -> DispatchKey:
        """The key of what the arrays hold, if that is of `level`."""
        key = self._inner.get(level)
        if key is None:
            key = self._inner[level] = key_at(level, self.device, self.dtype)
        return key

    def of_array(self, array: Any) -> DispatchKey:
        """The key of `array`, which lies on this key's device."""
        return key_at(level_of(array), self.device, dtype_of(array))

    def as_array(self, value: Any) -> Any:
        """`value` as an array that all slices share."""
        return self.backend.as_array(value, None, self.device.index)


_backends: dict[tuple[int, device], BatchedBackend] = {}
_keys: dict[tuple[int, device, dtypes.dtype], BatchedKey] = {}


def dtype_of(array: Any) -> dtypes.dtype:
    """The dtype of any array."""
    dtype = array.dtype
    return dtype if isinstance(dtype, dtypes.dtype) else dtypes.from_numpy(dtype)


def key_at(level: int, place: device, dtype: dtypes.dtype) -> DispatchKey:
    """The one key of `level`, `place` and `dtype`: the plain one for level 0."""
    if not level:
        return key_of(place, dtype)
    key = _keys.get((level, place, dtype))
    if key is None:
        key_of(place, dtype)  # the plain one first: its device stands for the place
        backend = _backends.setdefault(
            (level, place), BatchedBackend(level, device(place.type, place.index))
        )
        key = _keys.setdefault((level, place, dtype), BatchedKey(backend, dtype))
    return key
