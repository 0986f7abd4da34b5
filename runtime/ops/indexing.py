"""Indexing: reading and writing elements by position, mask or index tensors."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ..core import dtypes
from ..core.dispatch import key_of
from ..core.spec import Spec as _Spec
from ..core.tensor import Tensor, wrap
from ..errors import DTypeError, OutOfBoundsError, ShapeError
from . import shapes
from .declare import Index, Spec, composite, primitive
from .movement import select_at
from .shapes import Shape, normalized_dim

# -- x[...] ----------------------------------------------------------------------------------------


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


@primitive(node_name="Index")
def index_elements(input: Spec, *, index: Any) -> Spec:
    """input[index] with at least one array in the index: a copy."""
    if builtins.any(isinstance(i, _Spec) and i.dtype is dtypes.bool_ for i in index):
        raise ShapeError(
            "index: a mask on the meta device selects an unknown number of elements. Index on a "
            "device "
            "with values instead."
        )
    concrete = tuple(np.zeros(i.shape, np.int64) if isinstance(i, _Spec) else i for i in index)
    return Spec(_empty_like(input)[concrete].shape, input.dtype)


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
        xp.add.at(out, index, g)
    return out


@index_embed.vjp()
def index_embed_vjp(F: Any, h: Any, needs: Any, g: Any, like: Any, index: Any, unique: Any) -> Any:
    """h at the index."""
    return F.index_elements(h, index=index)


@primitive(node_name="IndexPut", promotes=True)
def index_put_values(input: Spec, values: Spec, *, index: Any, accumulate: bool) -> Spec:
    """A copy of input with `values` written (or added) at `index`."""
    selected = _index_shape(input, index)
    if not shapes.broadcasts(selected, tuple(values.shape)) or len(
        [n for n in values.shape if n != 1]
    ) > len(selected):
        raise ShapeError(
            f"index_put: expected values that broadcast to the selected shape {tuple(selected)}. "
            "Got "
            f"{tuple(values.shape)}."
        )
    return Spec(input.shape, input.dtype)


def _index_shape(input: Any, index: Any) -> Shape:
    concrete = tuple(np.zeros(i.shape, np.int64) if isinstance(i, _Spec) else i for i in index)
    return tuple(_empty_like(input)[concrete].shape)


@index_put_values.array
def index_put_array(xp: Any, input: Any, values: Any, index: Any, accumulate: bool) -> Any:
    """A copy, then NumPy's assignment."""
    out = input.copy()
    if accumulate:
        xp.add.at(out, index, values)
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


@primitive
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
        elif isinstance(item, Tensor) and item.ndim == 0 and item.dtype.category == dtypes.INTEGER:
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
    return index_elements(input, index=parsed)


# -- gather, scatter, selections -------------------------------------------------------------------


def _require_integers(operation: str, index: Any) -> None:
    if index.dtype.category != dtypes.INTEGER:
        raise DTypeError(f"{operation}: expected index of int64. Got {index.dtype}.")


def _along(xp: Any, array: Any, index: Any, dim: int) -> Any:
    """The advanced index that picks `index` along `dim` and the same place in the other dimensions.

    Raises: IndexError where an index lies outside its dimension.
    """
    n = array.shape[dim]
    if index.size and (index.min() < 0 or index.max() >= n):
        raise OutOfBoundsError(
            f"gather: expected indices from 0 to {n - 1}, as dimension {dim} has size {n}. Got "
            f"{int(index.min())} to {int(index.max())}."
        )
    grid = list(xp.ogrid[tuple(slice(s) for s in index.shape)])
    grid[dim] = index
    return tuple(grid)


def _gather_rule(operation: str, input: Spec, dim: int, index: Any) -> None:
    _require_integers(operation, index)
    d = normalized_dim(dim, len(input.shape), operation)
    fits = len(index.shape) == len(input.shape) and builtins.all(
        k == d or a <= b for k, (a, b) in enumerate(zip(index.shape, input.shape, strict=True))
    )
    if not fits and input.shape:
        raise ShapeError(
            f"{operation}: expected index with as many dimensions as input and sizes not above "
            "its, "
            f"but for dimension {d}. Got input {tuple(input.shape)}, index {tuple(index.shape)}."
        )


@primitive(node_name="Gather")
def gather(input: Spec, dim: int, index: Index) -> Spec:
    """out[i][j] = input[index[i][j]][j] for dim 0, and so on: the elements that `index` names."""
    _gather_rule("gather", input, dim, index)
    return Spec(index.shape, input.dtype)


@gather.array
def gather_array(xp: Any, input: Any, index: Any, dim: int) -> Any:
    """An advanced index."""
    if input.ndim == 0:
        return input.copy()
    _gather_rule_arrays(input, index, dim)
    return input[_along(xp, input, index, dim % input.ndim)]


def _gather_rule_arrays(input: Any, index: Any, dim: int) -> None:
    if input.ndim != index.ndim or index.dtype.kind not in "iu":
        raise ValueError("gather does not fit")


@gather.vjp(saves="index")
def gather_vjp(F: Any, g: Any, needs: Any, input: Any, index: Any, dim: Any) -> Any:
    """g added up where it came from."""
    return F.scatter_add_zeros(g, index, like=input, dim=dim), None


@primitive
def scatter_add_zeros(g: Spec, index: Index, *, like: Shape, dim: int) -> Spec:
    """Zeros of shape `like` with g added at `index` along `dim`."""
    return Spec(like, g.dtype)


@scatter_add_zeros.array
def scatter_add_array(xp: Any, g: Any, index: Any, like: Shape, dim: int) -> Any:
    """Unbuffered, so that repeated places add up."""
    out = xp.zeros(like, g.dtype)
    if not like:
        return out + g
    xp.add.at(out, _along(xp, out, index, dim % len(like)), g[tuple(map(slice, index.shape))])
    return out


@scatter_add_zeros.vjp(saves="index")
def scatter_add_vjp(F: Any, h: Any, needs: Any, g: Any, index: Any, like: Any, dim: Any) -> Any:
    """h at the index."""
    return F.gather(h, dim=dim, index=index), None


@composite
def scatter_add(F: Any, input: Spec, dim: int, index: Index, src: Spec) -> Spec:
    """input with src[i][j] added at input[index[i][j]][j] for dim 0, and so on."""
    _gather_rule("scatter_add", src, dim, index)
    return F.plus(input, F.scatter_add_zeros(src, index, like=input, dim=dim))


@primitive(promotes=True)
def scatter_values(input: Spec, index: Index, src: Spec, *, dim: int) -> Spec:
    """A copy of input with `src` written at `index` along `dim`."""
    _gather_rule("scatter", src, dim, index)
    return Spec(input.shape, input.dtype)


@scatter_values.array
def scatter_array(xp: Any, input: Any, index: Any, src: Any, dim: int) -> Any:
    """An advanced assignment."""
    out = input.copy()
    _gather_rule_arrays(src, index, dim)
    out[_along(xp, out, index, dim % out.ndim)] = src[tuple(map(slice, index.shape))]
    return out


@scatter_values.vjp(saves="index")
def scatter_vjp(F: Any, g: Any, needs: Any, input: Any, index: Any, src: Any, dim: Any) -> Any:
    """g elsewhere to the input; g at the index to src, zeros where src was not read."""
    return (
        F.zero_along(g, index, dim=dim) if needs[0] else None,
        None,
        F.pad_to(F.gather(g, dim=dim, index=index), like=src) if needs[2] else None,
    )


@primitive
def zero_along(g: Spec, index: Index, *, dim: int) -> Spec:
    """A copy of g with zeros at `index` along `dim`."""
    return Spec(g.shape, g.dtype)


@zero_along.array
def zero_along_array(xp: Any, g: Any, index: Any, dim: int) -> Any:
    """An advanced assignment."""
    out = g.copy()
    out[_along(xp, out, index, dim % out.ndim)] = 0
    return out


@zero_along.vjp(saves="index")
def zero_along_vjp(F: Any, h: Any, needs: Any, g: Any, index: Any, dim: Any) -> Any:
    """The same zeros."""
    return F.zero_along(h, index, dim=dim), None


@primitive
def pad_to(input: Spec, *, like: Shape) -> Spec:
    """input in the first corner of zeros of shape `like`."""
    return Spec(like, input.dtype)


@pad_to.array
def pad_to_array(xp: Any, input: Any, like: Shape) -> Any:
    """A copy."""
    out = xp.zeros(like, input.dtype)
    out[tuple(map(slice, input.shape))] = input
    return out


@pad_to.vjp()
def pad_to_vjp(F: Any, g: Any, needs: Any, input: Any, like: Any) -> Any:
    """The corner of g."""
    return F.corner(g, like=input)


@primitive(may_alias=True)
def corner(input: Spec, *, like: Shape) -> Spec:
    """The first corner of input, of shape `like`."""
    return Spec(like, input.dtype)


@corner.array
def corner_array(xp: Any, input: Any, like: Shape) -> Any:
    """A view."""
    return input[tuple(map(slice, like))]


@corner.vjp()
def corner_vjp(F: Any, g: Any, needs: Any, input: Any, like: Any) -> Any:
    """g padded again."""
    return F.pad_to(g, like=input)


@composite
def scatter(
    F: Any, input: Spec, dim: int, index: Index, src: Any = None, *, value: Any = None
) -> Spec:
    """input with `src` (a tensor, or one number) written at input[index[i][j]][j] for dim 0, and
    so on."""
    source = value if src is None else src
    if not hasattr(source, "shape"):
        source = F.mul(F.zeros_of(input, shape=tuple(index.shape)), 0)
        source = F.plus(source, value if src is None else src)
    return F.scatter_values(input, index, source, dim=dim)


@composite
def take_along_dim(F: Any, input: Spec, indices: Index, dim: int | None = None) -> Spec:
    """The elements that `indices` names along `dim`; the other dimensions broadcast."""
    if dim is None:
        return F.gather(
            F.view_as_shape(input, shape=(-1,)), 0, F.view_as_shape(indices, shape=(-1,))
        )
    d = normalized_dim(dim, len(input.shape), "take_along_dim")
    wide = [max(a, b) for a, b in zip(input.shape, indices.shape, strict=True)]
    from_shape, index_shape = list(wide), list(wide)
    from_shape[d], index_shape[d] = input.shape[d], indices.shape[d]
    if tuple(from_shape) != tuple(input.shape):
        input = F.expand_shape(input, shape=tuple(from_shape))
    if tuple(index_shape) != tuple(indices.shape):
        indices = F.expand_shape(indices, shape=tuple(index_shape))
    return F.gather(input, dim=d, index=indices)


def index_select(input: Spec, dim: int, index: Index) -> Spec:
    """The slices of dimension `dim` that the 1-d tensor `index` names, in its order."""
    shapes.require_ndim("index_select", "index", index, 0, 1)
    d = normalized_dim(dim, input.ndim, "index_select")
    return getitem(input, (*[slice(None)] * d, index.reshape(-1)))


def masked_select(input: Spec, mask: Spec) -> Spec:
    """The elements where the bool tensor `mask` holds, in one dimension."""
    if mask.dtype is not dtypes.bool_:
        raise DTypeError(f"masked_select: expected mask of torch.bool. Got {mask.dtype}.")
    shape = shapes.broadcast("masked_select", {"input": input, "mask": mask})
    return getitem(input.expand(shape), mask.expand(shape))


def nonzero(input: Spec, *, as_tuple: bool = False) -> Any:
    """Positions of the nonzero elements: (n, ndim) int64, or a tuple of one tensor per
    dimension."""
    xp = input._key.backend.xp
    found = xp.nonzero(input._array)
    key = key_of(input.device, dtypes.int64)
    if as_tuple:
        return tuple(wrap(f.astype(np.int64), key) for f in found)
    return wrap(xp.stack(found, -1).astype(np.int64).reshape(-1, input.ndim), key)


def one_hot(tensor: Spec, num_classes: int = -1) -> Spec:
    """int64 vectors with a single 1 at the class that `tensor` names: (...) -> (...,
    num_classes)."""
    classes = int(tensor.max().item()) + 1 if num_classes == -1 else num_classes
    if tensor.numel() and (int(tensor.min()) < 0 or int(tensor.max()) >= classes):
        raise RuntimeError(
            f"one_hot: expected classes from 0 to {classes - 1}. Got {int(tensor.min())} to "
            f"{int(tensor.max())}."
        )
    xp = tensor._key.backend.xp
    array = (tensor._array[..., None] == xp.arange(classes)).astype(np.int64)
    return wrap(array, key_of(tensor.device, dtypes.int64))


# -- embedding -------------------------------------------------------------------------------------


@primitive(node_name="Embedding")
def embedding_lookup(weight: Spec, input: Index, *, padding_idx: int | None = None) -> Spec:
    """The rows of weight (n, d) that input (...) names: (..., d)."""
    shapes.require_ndim("embedding", "weight", weight, 2)
    _require_integers("embedding", input)
    return Spec((*input.shape, weight.shape[1]), weight.dtype)


@embedding_lookup.array
def embedding_array(xp: Any, weight: Any, input: Any, padding_idx: int | None = None) -> Any:
    """Rows copied; indices outside are refused, negative ones too."""
    if weight.ndim != 2 or input.dtype.kind not in "iu":
        raise ValueError("embedding does not fit")
    n = weight.shape[0]
    if input.size and (input.min() < 0 or input.max() >= n):
        raise OutOfBoundsError(
            f"embedding: expected indices from 0 to {n - 1}, as weight has {n} rows. Got "
            f"{int(input.min())} to {int(input.max())}."
        )
    return xp.take(weight, input, 0)


@embedding_lookup.vjp(saves="input")
def embedding_vjp(F: Any, g: Any, needs: Any, weight: Any, input: Any, padding_idx: Any) -> Any:
    """g added up by row; the padding row gets none."""
    return F.embedding_weight_gradient(g, input, like=weight, padding_idx=padding_idx), None


@primitive
def embedding_weight_gradient(
    g: Spec, input: Index, *, like: Shape, padding_idx: int | None
) -> Spec:
    """Zeros of shape `like` with the vectors of g added to the rows that input names."""
    return Spec(like, g.dtype)


@embedding_weight_gradient.array
def embedding_gradient_array(
    xp: Any, g: Any, input: Any, like: Shape, padding_idx: int | None
) -> Any:
    """Sorted by row and added up in runs, as adding one by one costs ten times as much."""
    out = xp.zeros(like, g.dtype)
    rows, vectors = input.reshape(-1), g.reshape(-1, like[1])
    if padding_idx is not None:
        kept = rows != padding_idx
        rows, vectors = rows[kept], vectors[kept]
    if not rows.size:
        return out
    if xp is not np:
        xp.add.at(out, rows, vectors)
        return out
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    starts = np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]]))
    out[rows[starts]] = np.add.reduceat(vectors[order], starts, 0)
    return out


@embedding_weight_gradient.vjp(saves="input")
def embedding_gradient_vjp(
    F: Any, h: Any, needs: Any, g: Any, input: Any, like: Any, padding_idx: Any
) -> Any:
    """The rows of h, zero for the padding row."""
    return F.embedding_without_padding(h, input, padding_idx=padding_idx), None


@composite
def embedding_without_padding(
    F: Any, weight: Spec, input: Index, *, padding_idx: int | None
) -> Spec:
    """The rows that input names, zero where it names the padding row."""
    rows = F.embedding_lookup(weight, input, padding_idx=padding_idx)
    return rows if padding_idx is None else F.zero_rows(rows, input, row=padding_idx)


@primitive
def zero_rows(g: Spec, input: Index, *, row: int) -> Spec:
    """A copy of g (..., d) with zero vectors where input (...) equals `row`."""
    return Spec(g.shape, g.dtype)


@zero_rows.array
def zero_rows_array(xp: Any, g: Any, input: Any, row: int) -> Any:
    """Multiplied by the mask."""
    return g * (input != row)[..., None].astype(g.dtype)


@zero_rows.vjp(saves="input")
def zero_rows_vjp(F: Any, h: Any, needs: Any, g: Any, input: Any, row: Any) -> Any:
    """The same zeros."""
    return F.zero_rows(h, input, row=row), None
