"""`x[...]`: basic and advanced indexing."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ..backends.accumulation import add_at
from ..core import dtypes
from ..core.dispatch import key_of
from ..core.spec import Spec as _Spec
from ..core.tensor import Tensor, wrap
from ..errors import OutOfBoundsError, ShapeError
from . import shapes
from .declare import Spec, primitive
from .joins import select_at
from .shapes import Shape


def _empty_like(input: Any) -> Any:
    """An array of the input's shape that takes no memory, to find shapes and strides by NumPy."""
    return np.broadcast_to(np.empty((), np.int8), tuple(input.shape))


def _strided(input: Any, index: Any) -> Spec:
    """The Spec of a basic index, its strides worked out by hand."""
    result_shape = _empty_like(input)[index].shape
    strides, dim = [], 0
    ndim = len(input.shape)
    used = builtins.sum(1 for i in index if i is not None and i is not Ellipsis)
    for item in index:
        if item is None:
            strides.append(0)
        elif item is Ellipsis:
            strides.extend(input.strides[dim : dim + ndim - used])
            dim += ndim - used
        else:
            if isinstance(item, slice):
                strides.append(input.strides[dim] * (item.step or 1))
            dim += 1
    strides.extend(input.strides[dim:])
    return Spec(result_shape, input.dtype, tuple(strides))


@primitive(is_view=True, node_name="Slice")
def slice_view(input: Spec, *, index: Any) -> Spec:
    """input[index] for ints, slices, None and Ellipsis: a view."""
    return _strided(input, index)


@slice_view.array
def slice_array(xp: Any, input: Any, index: Any) -> Any:
    """A view; an index of ints alone would give a scalar without the Ellipsis."""
    return input[(*index, ...)] if Ellipsis not in index else input[index]


@slice_view.vjp()
def slice_vjp(F: Any, g: Any, needs: Any, input: Any, index: Any) -> Any:
    """g in its place, zeros around it."""
    return F.index_embed(g, like=input, index=index, unique=True)


@primitive(node_name="Index", moves=True)
def index_elements(input: Spec, *, index: Any) -> Spec:
    """input[index] with at least one array in the index: a copy."""
    if builtins.any(isinstance(i, _Spec) and i.dtype is dtypes.bool_ for i in index):
        raise ShapeError(
            "index: a mask on the meta device selects an unknown number of elements. Index on a "
            "device "
            "with values instead."
        )
    return Spec(_index_shape(input, index), input.dtype)


@index_elements.array
def index_array(xp: Any, input: Any, index: Any) -> Any:
    """NumPy's rules, which are PyTorch's for masks and integer arrays."""
    return input[index]


@index_elements.vjp()
def index_vjp(F: Any, g: Any, needs: Any, input: Any, index: Any) -> Any:
    """g added up where it came from."""
    return F.index_embed(g, like=input, index=index, unique=False)


@primitive
def index_embed(g: Spec, *, like: Shape, index: Any, unique: bool) -> Spec:
    """Zeros of shape `like` with g added at `index`; `unique` says that no place comes twice."""
    return Spec(like, g.dtype)


def _is_mask(item: Any) -> bool:
    """Whether an item of an index is an array of bools."""
    return getattr(getattr(item, "dtype", None), "kind", "") == "b"


@index_embed.array
def index_embed_array(xp: Any, g: Any, like: Shape, index: Any, unique: bool) -> Any:
    """Assigned where places are unique, as adding with repetition costs ten times as much."""
    out = xp.zeros(like, g.dtype)
    if unique or not builtins.any(hasattr(i, "shape") and not _is_mask(i) for i in index):
        out[index] = g
    else:
        add_at(xp, out, index, g)
    return out


@index_embed.vjp()
def index_embed_vjp(F: Any, h: Any, needs: Any, g: Any, like: Any, index: Any, unique: Any) -> Any:
    """h at the index."""
    return F.index_elements(h, index=index)


@primitive(node_name="IndexPut", promotes=True)
def index_put_values(input: Spec, values: Spec, *, index: Any, accumulate: bool) -> Spec:
    """A copy of input with `values` written (or added) at `index`."""
    selected = _index_shape(input, index)
    given = tuple(values.shape)
    while len(given) > len(selected) and given[0] == 1:
        given = given[1:]
    if len(given) > len(selected) or not shapes.broadcasts(selected, given):
        raise ShapeError(
            f"index_put: expected values that broadcast to the selected shape {tuple(selected)}. "
            "Got "
            f"{tuple(values.shape)}."
        )
    return Spec(input.shape, input.dtype)


def _index_shape(input: Any, index: Any) -> Shape:
    """The shape of input[index]. Where arrays have values at hand NumPy tells; else it is worked
    out, as an index of arrays copies, and on the meta device nothing may take the memory of real
    sizes."""
    shape = tuple(input.shape)
    index = tuple(i.get() if _is_mask(i) and hasattr(i, "get") else i for i in index)
    elsewhere = [hasattr(i, "shape") and not isinstance(i, np.ndarray | np.generic) for i in index]
    without = builtins.any(elsewhere)
    tried = tuple(
        np.zeros([min(n, 1) for n in i.shape], int) if far else i
        for i, far in zip(index, elsewhere, strict=True)
    )
    try:
        if not without:
            return tuple(_empty_like(input)[tried].shape)
        _empty_like(input)[tuple(slice(0, 0) if isinstance(i, slice) else i for i in tried)]
    except IndexError as error:
        raise _explained(shape, tried) or error from None
    arrays = [tuple(i.shape) for i in index if hasattr(i, "shape")]
    try:
        return _selected_shape(shape, index, np.broadcast_shapes(*arrays))
    except ValueError:
        raise ShapeError(
            f"index: expected arrays of indices that broadcast. Got shapes {arrays}."
        ) from None


def _selected_shape(shape: Shape, index: Any, selected: Shape) -> Shape:
    """What is left of `shape` and, where the first array or int of the index stands, `selected`;
    in front of all if other items part the arrays. Source: NumPy, "Advanced indexing"."""
    rest = len(shape) - builtins.sum(i is not None and i is not Ellipsis for i in index)
    found: list[int] = []
    places: list[int] = []
    dim = at = 0
    for k, item in enumerate(index):
        if item is None:
            found.append(1)
        elif item is Ellipsis:
            found += shape[dim : dim + rest]
            dim += rest
        elif isinstance(item, slice):
            found.append(len(range(*item.indices(shape[dim]))))
            dim += 1
        else:
            at = at if places else len(found)
            places.append(k)
            dim += 1
    found += shape[dim:]
    if places[-1] - places[0] >= len(places):
        at = 0
    return (*found[:at], *selected, *found[at:])


def _explained(shape: Shape, index: tuple[Any, ...]) -> OutOfBoundsError | None:
    """Which array of `index` does not fit the dimension that it meets, in words."""
    used = builtins.sum(
        i.ndim if _is_mask(i) else 1 for i in index if i is not None and i is not Ellipsis
    )
    dim = 0
    for item in index:
        if item is Ellipsis:
            dim += len(shape) - used
        elif _is_mask(item):
            if item.shape != shape[dim : dim + item.ndim]:
                return OutOfBoundsError(
                    f"index: expected a mask of shape {shape[dim : dim + item.ndim]}, as the "
                    f"tensor has shape {shape}. Got {item.shape}."
                )
            dim += item.ndim
        elif item is not None:
            n = shape[dim]
            if hasattr(item, "dtype") and item.size and not -n <= item.min() <= item.max() < n:
                return OutOfBoundsError(
                    f"index: expected indices from {-n} to {n - 1} in dimension {dim} of a tensor "
                    f"of shape {shape}. Got {item.min()} to {item.max()}."
                )
            dim += 1
    return None


@index_put_values.array
def index_put_array(xp: Any, input: Any, values: Any, index: Any, accumulate: bool) -> Any:
    """A copy, then NumPy's assignment."""
    out = input.copy()
    if accumulate:
        # Values of fewer dimensions than the index make NumPy 2.4 read beyond them.
        shape = out[index].shape
        values = values.reshape(values.shape[max(values.ndim - len(shape), 0) :])
        add_at(xp, out, index, xp.broadcast_to(values, shape))
    else:
        out[index] = values
    return out


@index_put_values.vjp(static="accumulate")
def index_put_vjp(
    F: Any, g: Any, needs: Any, input: Any, values: Any, index: Any, accumulate: Any
) -> Any:
    """g outside the index to the input, g at the index to the values."""
    return (
        (g if accumulate else F.zero_at(g, index=index)) if needs[0] else None,
        F.sum_to(F.index_elements(g, index=index), like=values) if needs[1] else None,
    )


@primitive(moves=True)
def zero_at(g: Spec, *, index: Any) -> Spec:
    """A copy of g with zeros at `index`."""
    return Spec(g.shape, g.dtype)


@zero_at.array
def zero_at_array(xp: Any, g: Any, index: Any) -> Any:
    """NumPy's assignment."""
    out = g.copy()
    out[index] = 0
    return out


@zero_at.vjp()
def zero_at_vjp(F: Any, h: Any, needs: Any, g: Any, index: Any) -> Any:
    """The same zeros."""
    return F.zero_at(h, index=index)


def parse_index(input: Tensor, index: Any) -> tuple[tuple[Any, ...], bool]:
    """`index` as a tuple that arrays understand, and whether it selects a view.

    Raises: IndexError for too many indices, out-of-range ints, arrays of another kind; ValueError
    for negative steps, which PyTorch has not.
    """
    items = index if isinstance(index, tuple) else (index,)
    found: list[Any] = []
    is_view = True
    for item in items:
        if item is None or item is Ellipsis or (type(item) is int):
            found.append(item)
        elif isinstance(item, slice):
            found.append(_parse_slice(item))
        elif isinstance(item, bool | np.bool_):
            found.append(np.asarray(item))
            is_view = False
        elif _is_number(item):
            found.append(int(item))
        elif isinstance(item, Tensor | list | np.ndarray | range):
            found.append(_parse_array(input, item))
            is_view = False
        elif hasattr(item, "__index__"):
            found.append(item.__index__())
        else:
            raise IndexError(
                "Expected indices that are ints, slices, None, ..., bools, or integer or bool "
                "tensors. "
                f"Got {type(item).__name__}."
            )
    _check_index(input, found)
    return tuple(found), is_view


def _is_number(item: Any) -> bool:
    """Whether an item is a tensor of one integer, which vmap does not map over."""
    if not isinstance(item, Tensor) or item.ndim or item.dtype.category != dtypes.INTEGER:
        return False
    return not (item._key.level and item._array.is_batched)


def _parse_slice(item: slice) -> slice:
    parts = [None if p is None else int(p) for p in (item.start, item.stop, item.step)]
    if parts[2] is not None and parts[2] <= 0:
        raise ValueError(f"Expected a slice with a positive step. Got step {parts[2]}. Use flip().")
    return slice(*parts)


def _parse_array(input: Tensor, item: Any) -> Any:
    """An index array, on the input's device, as bare array."""
    if not isinstance(item, Tensor):
        array = np.asarray(item if not isinstance(item, list) else _numbers(item))
        if array.size == 0 and not isinstance(item, np.ndarray):
            array = array.astype(np.int64)
        item = wrap(array, key_of(shapes_device("cpu"), dtypes.from_numpy(array.dtype)))
    if item.dtype.category > dtypes.INTEGER:
        raise IndexError(
            f"Expected an index tensor of integers or bools. Got {item.dtype}, shape "
            f"{tuple(item.shape)}."
        )
    if item.device != input.device:
        from .transfer import to_device

        item = to_device(item, place=input.device)
    array = item._array
    if item.dtype is dtypes.uint8:
        return array.astype(bool)
    return array


def _numbers(values: list[Any]) -> list[Any]:
    return [v.tolist() if isinstance(v, Tensor) else v for v in values]


def shapes_device(name: str) -> Any:
    """The device called `name`."""
    from ..core.devices import device

    return device(name)


def _check_index(input: Tensor, items: list[Any]) -> None:
    shape = tuple(input.shape)
    dims = [getattr(i, "ndim", 1) if _is_mask(i) else 1 for i in items]
    used = builtins.sum(
        n for n, i in zip(dims, items, strict=True) if i is not None and i is not Ellipsis
    )
    if used > len(shape):
        raise OutOfBoundsError(
            f"Expected at most {len(shape)} indices for a tensor of shape {shape}. Got {used}."
        )
    dim = 0
    for n, item in zip(dims, items, strict=True):
        if item is None:
            continue
        if item is Ellipsis:
            dim += len(shape) - used
            continue
        if type(item) is int and not -shape[dim] <= item < shape[dim]:
            raise OutOfBoundsError(
                f"Expected an index from {-shape[dim]} to {shape[dim] - 1} in dimension {dim} of a "
                f"tensor of shape {shape}. Got {item}."
            )
        dim += n


def getitem(input: Spec, index: Any) -> Spec:
    """input[index]: a view for ints, slices, None and ...; a copy for masks and index tensors."""
    if index.__class__ is int and input.ndim:
        return select_at(input, dim=0, index=index)
    parsed, is_view = parse_index(input, index)
    if is_view:
        return slice_view(input, index=parsed)
    numbers, rest = split_numbers(parsed)
    return index_elements(slice_view(input, index=numbers) if numbers else input, index=rest)


def split_numbers(items: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The part of an index that selects by ints, and the part that is left for what it selects.

    The first is empty if all can be done at once. PyTorch selects before it looks at index arrays.
    For NumPy an int is one of them, and where something stands between two of them, the dimension
    that they make together comes first: `x[0, :, i]` would be transposed.
    """
    if not any(type(i) is int for i in items):
        return (), items
    if not any(i is None or i is Ellipsis or isinstance(i, slice) for i in items):
        return (), items
    numbers: list[Any] = []
    for item in items:
        if type(item) is int or item is Ellipsis:
            numbers.append(item)
        elif item is not None:
            numbers += [slice(None)] * (item.ndim if _is_mask(item) else 1)
    return tuple(numbers), tuple(i for i in items if type(i) is not int)
