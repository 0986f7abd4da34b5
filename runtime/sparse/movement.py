"""Where elements stand: transposes, slices, selections, reshapes, joins."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.dispatch import guarded
from ..core.sparse_arrays import from_row_major, module_of, refusal
from ..core.tensor import Tensor
from ..errors import LayoutError, OutOfBoundsError, ShapeError
from ..ops.indexing import getitem
from ..ops.joins import cat as dense_cat
from ..ops.joins import narrow as dense_narrow
from ..ops.shapes import normalized_dim, normalized_dims
from ..ops.views import resolved_shape
from .elementwise import rule
from .graph import assembled, for_values, indices_of, is_sparse, values_of


@guarded
def _kept(input: Tensor, chosen: Any, indices: Any, sizes: tuple[int, ...]) -> Tensor:
    """The values at the places `chosen`, with other indices and sizes of the indexed dimensions;
    order and uniqueness as they were."""
    array = input._array
    values = getitem(values_of(input), indices_of(input, chosen))
    shape = (*sizes, *array.shape[array.sparse_dim :])
    return assembled(indices, values, shape, array.is_coalesced)


@rule("permute_dims")
def permute(input: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Rows of the indices exchanged; dense dimensions stay behind the indexed ones."""
    input = for_values(input)
    array = input._array
    order = normalized_dims(dims, len(array.shape), "permute") if dims else ()
    depth = array.sparse_dim
    if len(order) != len(array.shape):
        raise ShapeError(
            f"permute: expected each of the {len(array.shape)} dimensions of shape {array.shape} "
            f"once. Got {tuple(dims)}."
        )
    if any(d >= depth for d in order[:depth]):
        raise LayoutError(
            f"permute: expected the {depth} sparse dimensions of shape {array.shape} before the "
            f"dense ones. Got the order {order}."
        )
    values = values_of(input)
    if depth < len(order):
        values = values.permute(0, *[d - depth + 1 for d in order[depth:]])
    shape = tuple(array.shape[d] for d in order)
    same = array.is_coalesced and order == tuple(range(len(order)))
    return assembled(array.indices[list(order[:depth])], values, shape, same)


@rule("transpose")
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    order = list(range(input.ndim))
    a, b = (normalized_dim(d, input.ndim, "transpose") for d in (dim0, dim1))
    order[a], order[b] = order[b], order[a]
    return permute(input, tuple(order))


@rule("select_at")
def select_at(input: Tensor, dim: int, index: int) -> Tensor:
    """The slice `index` of `dim`; of the only sparse dimension a dense one."""
    d = normalized_dim(dim, input.ndim, "select")
    size = input.shape[d] if input.ndim else 0
    if not -size <= index < size:
        raise OutOfBoundsError(
            f"select: expected an index from {-size} to {size - 1} in dimension {d} of shape "
            f"{tuple(input.shape)}. Got {index}."
        )
    input = for_values(input)
    array = input._array
    depth = array.sparse_dim
    if d >= depth:
        values = values_of(input).select(d - depth + 1, index)
        shape = (*array.shape[:d], *array.shape[d + 1 :])
        return assembled(array.indices, values, shape, array.is_coalesced)
    xp = module_of(array.indices)
    chosen = xp.flatnonzero(array.indices[d] == index % size)
    if depth == 1:
        return getitem(values_of(input), indices_of(input, chosen)).sum(0).to(input.dtype)
    rest = [k for k in range(depth) if k != d]
    indices = array.indices[rest][:, chosen]
    return _kept(input, chosen, indices, tuple(array.shape[k] for k in rest))


@rule("unbind")
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """All slices of `dim`."""
    d = normalized_dim(dim, input.ndim, "unbind")
    return tuple(select_at(input, d, k) for k in range(input.shape[d]))


def sliced(input: Tensor, dim: int, part: slice) -> Tensor:
    """The elements whose index of `dim` the slice takes, counted from its start."""
    start, stop, step = part.indices(input.shape[dim])
    input = for_values(input)
    array = input._array
    size = len(range(start, stop, step))
    if dim >= array.sparse_dim:
        place = (slice(None),) * (dim - array.sparse_dim + 1) + (part,)
        values = getitem(values_of(input), place)
        shape = (*array.shape[:dim], size, *array.shape[dim + 1 :])
        return assembled(array.indices, values, shape, array.is_coalesced)
    row = array.indices[dim]
    inside = (row >= start) & (row < stop) & ((row - start) % step == 0)
    chosen = module_of(row).flatnonzero(inside)
    indices = array.indices[:, chosen]
    indices[dim] = (indices[dim] - start) // step
    sizes = list(array.shape[: array.sparse_dim])
    sizes[dim] = size
    return _kept(input, chosen, indices, tuple(sizes))


@rule("narrow")
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`length` slices from `start` on."""
    d = normalized_dim(dim, input.ndim, "narrow")
    shape = tuple(input.shape)
    first = int(start) + shape[d] if int(start) < 0 else int(start)
    if length < 0 or not 0 <= first <= shape[d] - length:
        raise ShapeError(
            f"narrow: expected start and length within dimension {d} of shape {shape}. Got start "
            f"{int(start)}, length {length}."
        )
    return sliced(input, d, slice(first, first + length))


@rule("split_sizes")
def split_sizes(input: Tensor, sizes: tuple[int, ...], dim: int) -> tuple[Tensor, ...]:
    """Parts of `sizes` slices each along `dim`."""
    d = normalized_dim(dim, input.ndim, "split")
    if sum(sizes) != input.shape[d]:
        raise ShapeError(f"split: expected sizes that add up to {input.shape[d]}. Got {sizes}.")
    ends = [sum(sizes[: k + 1]) for k in range(len(sizes))]
    parts = zip(ends, sizes, strict=True)
    return tuple(sliced(input, d, slice(end - n, end)) for end, n in parts)


@rule("slice_view")
def slice_view(input: Tensor, index: tuple[Any, ...]) -> Tensor:
    """input[index] for ints, slices, None and Ellipsis, one after the other."""
    used = sum(1 for item in index if item is not None and item is not Ellipsis)
    out, dim = input, 0
    skipped = input.ndim - used
    for item in index:
        if item is Ellipsis:
            dim += skipped
        elif item is None:
            out = _with_dim(out, dim)
            dim += 1
        elif isinstance(item, slice):
            out = out if item == slice(None) else _slice_of(out, dim, item)
            dim += 1
        else:
            out = out.select(dim, item)
    return out


def _with_dim(input: Tensor, dim: int) -> Tensor:
    """A dimension of size 1 at `dim`: an indexed one up to the first dense one."""
    shape = (*input.shape[:dim], 1, *input.shape[dim:])
    if not is_sparse(input):
        return input.reshape(shape)
    input = for_values(input)
    array, values = input._array, values_of(input)
    if dim > array.sparse_dim:
        values = values.unsqueeze(dim - array.sparse_dim + 1)
        return assembled(array.indices, values, shape, array.is_coalesced)
    xp = module_of(array.indices)
    zeros = xp.zeros((1, array.nnz), array.indices.dtype)
    indices = xp.concatenate([array.indices[:dim], zeros, array.indices[dim:]])
    return assembled(indices, values, shape, array.is_coalesced)


def _slice_of(out: Tensor, dim: int, item: slice) -> Tensor:
    if is_sparse(out):
        return sliced(out, dim, item)
    return getitem(out, (*(slice(None),) * dim, item))


@rule("index_elements")
def index_elements(input: Tensor, index: tuple[Any, ...]) -> Tensor:
    """input[:, ..., places]: the slices that one array of numbers names, as `index_select` does."""
    arrays = [k for k, item in enumerate(index) if hasattr(item, "dtype")]
    others = [item for k, item in enumerate(index) if k not in arrays]
    if len(arrays) != 1 or any(item != slice(None) for item in others):
        raise refusal("indexing by several tensors", input.shape)
    d = arrays[0]
    places = index[d]
    if places.ndim != 1 or places.dtype.kind == "b":
        raise refusal("indexing by a mask or a tensor of several dimensions", input.shape)
    return _index_select(for_values(input), d, _within(places, input.shape[d]))


def _within(places: Any, size: int) -> Any:
    if places.size and (places.min() < -size or places.max() >= size):
        raise OutOfBoundsError(
            f"index_select: expected indices from {-size} to {size - 1}. Got {int(places.min())} "
            f"to {int(places.max())}."
        )
    return places % size if size else places


@guarded
def _index_select(input: Tensor, dim: int, places: Any) -> Tensor:
    array = input._array
    if dim >= array.sparse_dim:
        values = values_of(input).index_select(
            dim - array.sparse_dim + 1, indices_of(input, places.astype("int64"))
        )
        shape = (*array.shape[:dim], len(places), *array.shape[dim + 1 :])
        return assembled(array.indices, values, shape, array.is_coalesced)
    xp = module_of(array.indices)
    row = array.indices[dim]
    order = xp.argsort(row, kind="stable")
    starts = xp.searchsorted(row[order], places)
    counts = xp.searchsorted(row[order], places, "right") - starts
    chosen = order[runs(xp, starts, counts)]
    indices = array.indices[:, chosen]
    indices[dim] = repeated(xp, counts)
    sizes = list(array.shape[: array.sparse_dim])
    sizes[dim] = len(places)
    found = _kept(input, chosen, indices, tuple(sizes))
    found._array.is_coalesced = array.is_coalesced and dim == 0
    return found


def repeated(xp: Any, counts: Any) -> Any:
    """0 `counts[0]` times, 1 `counts[1]` times, and so on."""
    if xp is np:
        return np.repeat(np.arange(len(counts)), counts)
    ends = xp.cumsum(counts)  # CuPy repeats by one number only
    total = int(ends[-1]) if len(ends) else 0
    return xp.searchsorted(ends, xp.arange(total), "right")


def runs(xp: Any, starts: Any, counts: Any) -> Any:
    """The numbers `starts[k]` to `starts[k] + counts[k] - 1`, run after run."""
    owners = repeated(xp, counts)
    before = xp.cumsum(counts) - counts
    return xp.arange(len(owners)) - before[owners] + starts[owners]


@rule("view_as_shape")
def view_as_shape(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The elements in other sizes, row by row as before; none goes from indexed dimensions to dense
    ones or back."""
    old = tuple(input.shape)
    wanted = resolved_shape(old, shape, "reshape")
    input = for_values(input)
    array = input._array
    depth = _indexed_sizes(old, array.sparse_dim, wanted)
    indices = from_row_major(array.positions(), wanted[:depth])
    values = values_of(input)
    if wanted[depth:] != tuple(values.shape[1:]):
        values = values.reshape((array.nnz, *wanted[depth:]))
    return assembled(indices, values, wanted, array.is_coalesced)


def _indexed_sizes(old: tuple[int, ...], depth: int, wanted: tuple[int, ...]) -> int:
    """How many of the sizes `wanted` the first `depth` of `old` turn into."""
    if depth == len(old):
        return len(wanted)
    added = [k for k, n in enumerate(wanted) if n == 1 and wanted[:k] + wanted[k + 1 :] == old]
    if added:  # by `unsqueeze`: dense behind the first dense dimension
        return depth + (added[0] <= depth)
    rows, inner = math.prod(old[:depth]), math.prod(old[depth:])
    fitting = [
        k
        for k in range(len(wanted) + 1)
        if math.prod(wanted[:k]) == rows and math.prod(wanted[k:]) == inner
    ]
    if not fitting:
        raise LayoutError(
            f"reshape: expected sizes that keep the dense dimensions {old[depth:]} of shape {old} "
            f"apart from the sparse ones. Got {wanted}."
        )
    return next((k for k in fitting if wanted[k:] == old[depth:]), fitting[0])


@rule("expand_shape")
def expand_shape(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The tensor itself, if it has the shape. Raises: LayoutError for another."""
    sizes = tuple(input.shape)
    offset = len(shape) - len(sizes)
    if offset or any(n not in (-1, m) for n, m in zip(shape, sizes, strict=True)):
        raise refusal("expand", sizes)
    return input


# -- joins -----------------------------------------------------------------------------------------


def _require_sparse(name: str, tensors: list[Any]) -> None:
    for k, x in enumerate(tensors):
        if not is_sparse(x):
            raise LayoutError(
                f"{name}: expected only sparse tensors beside a sparse one. Got a dense one as "
                f"tensors[{k}]. Use to_sparse() or to_dense()."
            )
        if x._array.sparse_dim != tensors[0]._array.sparse_dim:
            raise ShapeError(
                f"{name}: expected equally many sparse dimensions. Got "
                f"{[t._array.sparse_dim for t in tensors]}."
            )


@rule("cat")
def cat(tensors: list[Tensor], dim: int = 0) -> Tensor:
    """The tensors one behind the other along `dim`: indices moved, values padded by zeros."""
    _require_sparse("cat", tensors)
    shape = list(tensors[0].shape)
    d = normalized_dim(dim, len(shape), "cat")
    for k, x in enumerate(tensors):
        other = list(x.shape)
        if len(other) != len(shape) or other[:d] + other[d + 1 :] != shape[:d] + shape[d + 1 :]:
            raise ShapeError(
                f"cat: expected tensors of one shape but for dimension {d}. Got tensors[0] "
                f"{tuple(shape)} and tensors[{k}] {tuple(other)}."
            )
    tensors = [for_values(x) for x in tensors]
    depth = tensors[0]._array.sparse_dim
    total = sum(x.shape[d] for x in tensors)
    shape[d] = total
    indices, values, start = [], [], 0
    for x in tensors:
        moved, value = x._array.indices, values_of(x)
        if d < depth:
            moved = moved.copy()
            moved[d] += start
        else:
            value = _padded(value, d - depth + 1, start, total)
        indices.append(moved)
        values.append(value)
        start += x.shape[d]
    ordered = d == 0 and all(x._array.is_coalesced for x in tensors)
    joined = module_of(indices[0]).concatenate(indices, 1)
    return assembled(joined, dense_cat(values), tuple(shape), ordered)


def _padded(values: Tensor, dim: int, start: int, total: int) -> Tensor:
    """The values with zeros before and behind them along a dense dimension."""
    sizes = list(values.shape)
    zeros = values.detach().new_zeros((*sizes[:dim], total, *sizes[dim + 1 :]))
    before = dense_narrow(zeros, dim, 0, start)
    behind = dense_narrow(zeros, dim, 0, total - start - sizes[dim])
    return dense_cat([before, values, behind], dim)


@rule("stack")
def stack(tensors: list[Tensor], dim: int = 0) -> Tensor:
    """The tensors along a new dimension."""
    _require_sparse("stack", tensors)
    d = normalized_dim(dim, tensors[0].ndim + 1, "stack")
    if d > tensors[0]._array.sparse_dim:
        raise refusal("stack along a dense dimension", tensors[0].shape)
    return cat([_with_dim(x, d) for x in tensors], d)
