"""Gather, scatter and selections by index or mask."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ..autograd.node import named
from ..backends.accumulation import add_at
from ..backends.looking import is_noted
from ..core import dtypes
from ..core.batched import bare
from ..core.creation import tensor
from ..core.dispatch import backends, guarded, key_of
from ..core.ranges import arange
from ..core.tensor import wrap
from ..errors import DTypeError, OutOfBoundsError, ShapeError
from . import shapes
from .declare import Index, Spec, composite, primitive
from .indexing import getitem
from .numpy_names import numpy_names
from .shapes import Shape, normalized_dim, require_values
from .steps import step

__all__ = [
    "gather",
    "index_select",
    "masked_select",
    "nonzero",
    "scatter",
    "scatter_add",
    "take_along_dim",
]


def require_integers(operation: str, index: Any) -> None:
    if index.dtype.category != dtypes.INTEGER:
        raise DTypeError(f"{operation}: expected index of int64. Got {index.dtype}.")


def along(xp: Any, array: Any, index: Any, dim: int) -> Any:
    """The advanced index that picks `index` along `dim` and the same place in the other dimensions.

    Raises: IndexError where an index lies outside its dimension.
    """
    if not (array.ndim and index.ndim):
        array, index = array.reshape(array.shape or 1), index.reshape(-1)
    n = array.shape[dim]
    is_known = is_noted(xp, index, 0, n, "gather or scatter")
    if not is_known and index.size and (index.min() < 0 or index.max() >= n):
        raise OutOfBoundsError(
            f"Expected indices from 0 to {n - 1} in dimension {dim} of a tensor of shape "
            f"{tuple(array.shape)}. Got {int(index.min())} to {int(index.max())}."
        )
    grid = list(xp.ogrid[tuple(slice(s) for s in index.shape)])
    grid[dim] = index
    return tuple(grid)


def check_gather(operation: str, input: Spec, dim: int, index: Any) -> None:
    """Raises: RuntimeError for an index that does not fit the input but along `dim`."""
    require_integers(operation, index)
    d = normalized_dim(dim, len(input.shape), operation)
    sizes = tuple(index.shape) or (1,)  # a 0-d index is one of a single place
    fits = 0 in sizes or (
        len(sizes) == len(input.shape)
        and builtins.all(
            k == d or a <= b for k, (a, b) in enumerate(zip(sizes, input.shape, strict=True))
        )
    )
    if not fits and input.shape:
        raise ShapeError(
            f"{operation}: expected index with as many dimensions as input and sizes not above "
            "its, "
            f"but for dimension {d}. Got input {tuple(input.shape)}, index {tuple(index.shape)}."
        )


def _require_one_dtype(operation: str, input: Any, src: Any) -> None:
    if src.dtype is not input.dtype:
        raise DTypeError(
            f"{operation}: expected src of input's dtype {input.dtype}. Got {src.dtype}. Convert "
            "it with .to()."
        )


@primitive(node_name="Gather", moves=True)
def gather(input: Spec, dim: int, index: Index, *, sparse_grad: bool = False) -> Spec:
    """out[i][j] = input[index[i][j]][j] for dim 0, and so on: the elements that `index` names. The
    gradient is dense whatever `sparse_grad` asks for."""
    check_gather("gather", input, dim, index)
    return Spec(index.shape, input.dtype)


@gather.array
def gather_array(xp: Any, input: Any, index: Any, dim: int, sparse_grad: bool = False) -> Any:
    """An advanced index."""
    if not index.size:
        return xp.empty(index.shape, input.dtype)
    if input.ndim == 0:
        return xp.broadcast_to(input, index.shape).copy()
    _gather_rule_arrays(input, index, dim)
    return input[along(xp, input, index, dim % input.ndim)].reshape(index.shape)


def _gather_rule_arrays(input: Any, index: Any, dim: int) -> None:
    if input.ndim != (index.ndim or 1) or index.dtype.kind not in "iu":
        raise ValueError("gather does not fit")


@gather.vjp(saves="index")
def gather_vjp(
    F: Any, g: Any, needs: Any, input: Any, index: Any, dim: Any, sparse_grad: Any
) -> Any:
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
    if not index.size:
        return out
    if not like:
        return out + g.reshape(-1)[: index.size].sum(dtype=g.dtype)
    add_at(xp, out, along(xp, out, index, dim % len(like)), g[tuple(map(slice, index.shape))])
    return out


@scatter_add_zeros.vjp(saves="index")
def scatter_add_vjp(F: Any, h: Any, needs: Any, g: Any, index: Any, like: Any, dim: Any) -> Any:
    """h at the index."""
    return F.gather(h, dim=dim, index=index), None


@composite
def scatter_add(F: Any, input: Spec, dim: int, index: Index, src: Spec) -> Spec:
    """input with src[i][j] added at input[index[i][j]][j] for dim 0, and so on."""
    _require_one_dtype("scatter_add", input, src)
    check_gather("scatter_add", src, dim, index)
    if len(src.shape) == len(index.shape) and tuple(src.shape) != tuple(index.shape):
        src = F.corner(src, like=index)
    return F.plus(input, F.scatter_add_zeros(src, index, like=input, dim=dim))


@primitive(promotes=True, moves=True)
def scatter_values(input: Spec, index: Index, src: Spec, *, dim: int) -> Spec:
    """A copy of input with `src` written at `index` along `dim`."""
    check_gather("scatter", src, dim, index)
    return Spec(input.shape, input.dtype)


@scatter_values.array
def scatter_array(xp: Any, input: Any, index: Any, src: Any, dim: int) -> Any:
    """An advanced assignment."""
    out = input.copy()
    if src.ndim or index.ndim:
        _gather_rule_arrays(src, index, dim)
    out[along(xp, out, index, dim % out.ndim)] = src[tuple(map(slice, index.shape))]
    return out


@scatter_values.vjp(saves="index")
def scatter_vjp(F: Any, g: Any, needs: Any, input: Any, index: Any, src: Any, dim: Any) -> Any:
    """g elsewhere to the input; g at the index to src, zeros where src was not read."""
    return (
        F.zero_along(g, index, dim=dim) if needs[0] else None,
        None,
        F.pad_to(F.gather(g, dim=dim, index=index), like=src) if needs[2] else None,
    )


@primitive(moves=True)
def zero_along(g: Spec, index: Index, *, dim: int) -> Spec:
    """A copy of g with zeros at `index` along `dim`."""
    return Spec(g.shape, g.dtype)


@zero_along.array
def zero_along_array(xp: Any, g: Any, index: Any, dim: int) -> Any:
    """An advanced assignment."""
    out = g.copy()
    out[along(xp, out, index, dim % out.ndim)] = 0
    return out


@zero_along.vjp(saves="index")
def zero_along_vjp(F: Any, h: Any, needs: Any, g: Any, index: Any, dim: Any) -> Any:
    """The same zeros."""
    return F.zero_along(h, index, dim=dim), None


@primitive(moves=True)
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


@primitive(may_alias=True, moves=True)
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
    F: Any,
    input: Spec,
    dim: int,
    index: Index,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Spec:
    """input with `src` (a tensor, or one number) written at input[index[i][j]][j] for dim 0, and
    so on; with `reduce` "add" or "multiply" combined with what is there.

    Raises: RuntimeError for another `reduce`.
    """
    source = value if src is None else src
    if hasattr(src, "shape"):
        _require_one_dtype("scatter", input, src)
    if not hasattr(source, "shape"):
        zeros = F.mul(F.zeros_of(input, shape=tuple(index.shape)), 0)
        source = F.cast(F.plus(zeros, source), dtype=input.dtype)
    if not len(input.shape):
        line = F.reshape_like(input, like=(1,))
        index, source = (F.view_as_shape(x, shape=(-1,)) for x in (index, source))
        return F.reshape_like(scatter(line, 0, index, source, reduce=reduce), like=())
    if reduce is None:
        return F.scatter_values(input, index, source, dim=dim)
    if reduce == "add":
        return F.scatter_add(input, dim, index, F.cast(source, dtype=input.dtype))
    if reduce != "multiply":
        raise RuntimeError(f"scatter: expected reduce 'add' or 'multiply'. Got {reduce!r}.")
    source = F.cast(source, dtype=input.dtype)
    return F.scatter_reduced(input, index, source, dim=dim, reduce="prod")


@composite
def take_along_dim(F: Any, input: Spec, indices: Index, dim: int | None = None) -> Spec:
    """The elements that `indices` names along `dim`; the other dimensions broadcast."""
    if dim is None:
        return F.gather(
            F.view_as_shape(input, shape=(-1,)), 0, F.view_as_shape(indices, shape=(-1,))
        )
    if len(input.shape) != len(indices.shape):
        raise ShapeError(
            "take_along_dim: expected input and indices with as many dimensions. Got "
            f"{tuple(input.shape)} and {tuple(indices.shape)}."
        )
    d = normalized_dim(dim, len(input.shape), "take_along_dim")
    n = input.shape[d] if len(input.shape) else 1
    indices = F.where(F.lt(indices, 0), F.plus(indices, n), indices)
    wide = [a if b == 1 else b for a, b in zip(input.shape, indices.shape, strict=True)]
    from_shape, index_shape = list(wide), list(wide)
    from_shape[d], index_shape[d] = input.shape[d], indices.shape[d]
    if tuple(from_shape) != tuple(input.shape):
        input = F.expand_shape(input, shape=tuple(from_shape))
    if tuple(index_shape) != tuple(indices.shape):
        indices = F.expand_shape(indices, shape=tuple(index_shape))
    return F.gather(input, dim=d, index=indices)


@numpy_names
def index_select(input: Spec, dim: int, index: Index) -> Spec:
    """The slices of dimension `dim` that the 1-d tensor `index` names, in its order."""
    shapes.require_ndim("index_select", "index", index, 0, 1)
    d = normalized_dim(dim, input.ndim, "index_select")
    if not input.ndim:
        return getitem(input.reshape(1), (index.reshape(-1),)).reshape(())
    return named(getitem(input, (*[slice(None)] * d, index.reshape(-1))), "IndexSelect")


def select_places(input: Spec, dim: int, places: Any) -> Spec:
    """`index_select` by bare numbers."""
    return index_select(input, dim, tensor(places, dtype=dtypes.int64, device=input.device))


def masked_select(input: Spec, mask: Spec) -> Spec:
    """The elements where the bool tensor `mask` holds, in one dimension."""
    if mask.dtype is not dtypes.bool_:
        raise DTypeError(f"masked_select: expected mask of torch.bool. Got {mask.dtype}.")
    shape = shapes.broadcast("masked_select", {"input": input, "mask": mask})
    return named(getitem(input.expand(shape), mask.expand(shape)), "MaskedSelect")


@step("input")
@guarded
def nonzero(input: Spec, *, as_tuple: bool = False) -> Any:
    """Positions of the nonzero elements: (n, ndim) int64, or a tuple of one tensor per
    dimension."""
    require_values("nonzero", input)
    xp = input._key.backend.xp
    if input.is_cuda:
        backends["cuda"].note_wait("nonzero")  # type: ignore[attr-defined]
    if not input.ndim and not as_tuple:
        found_any = 1 if bool(input._array != 0) else 0
        return wrap(xp.zeros((found_any, 0), xp.int64), key_of(input.device, dtypes.int64))
    found = xp.nonzero(xp.atleast_1d(input._array))
    key = key_of(input.device, dtypes.int64)
    if as_tuple:
        return tuple(wrap(f.astype(np.int64), key) for f in found)
    return wrap(xp.stack(found, -1).astype(np.int64).reshape(-1, input.ndim), key)


@guarded
def one_hot(tensor: Spec, num_classes: int = -1) -> Spec:
    """int64 vectors with a single 1 at the class that `tensor` names: (...) -> (...,
    num_classes)."""
    classes = int(tensor.max().item()) + 1 if num_classes == -1 else num_classes
    if tensor.is_meta:
        return tensor.new_empty((*tensor.shape, classes), dtype=dtypes.int64)
    values = bare(tensor._array)
    if values.size and not 0 <= int(values.min()) <= int(values.max()) < classes:
        raise RuntimeError(
            f"one_hot: expected classes from 0 to {classes - 1}. Got {int(values.min())} to "
            f"{int(values.max())}."
        )
    numbers = arange(classes, device=tensor.device)
    return (tensor.unsqueeze(-1) == numbers).to(dtypes.int64)
