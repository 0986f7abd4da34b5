"""Views: the same memory with other sizes and strides."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from ..autograd.node import named
from ..core import dtypes
from ..core.spec import contiguous_strides
from ..errors import ShapeError
from . import shapes
from .copies import copied
from .declare import Spec, composite, primitive
from .numpy_names import numpy_names
from .shapes import Shape, normalized_dim, normalized_dims

__all__ = [
    "broadcast_to",
    "flatten",
    "movedim",
    "permute",
    "ravel",
    "reshape",
    "squeeze",
    "swapaxes",
    "t",
    "transpose",
    "unflatten",
    "unsqueeze",
]

# -- views -----------------------------------------------------------------------------------------


def view_strides(shape: Shape, strides: Shape, wanted: Shape) -> Shape | None:
    """Strides of the same memory seen as `wanted`, or None if it cannot be seen so."""
    merged: list[list[int]] = []  # runs of dimensions that one stride steps through
    for size, step in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if merged and merged[-1][1] == size * step:
            merged[-1][0] *= size
            merged[-1][1] = step
        else:
            merged.append([size, step])
    found = []
    runs = list(reversed(merged))
    size, step = runs.pop(0) if runs else (1, 1)
    for n in reversed(wanted):
        while size == 1 and runs:
            size, step = runs.pop(0)
        if n != 1 and size % n:
            return None
        found.append(step)
        if n != 1:
            size //= n
            step *= n
    return tuple(reversed(found)) if size == 1 and not runs else None


def resolved_shape(shape: Shape, wanted: Sequence[int], operation: str) -> Shape:
    """`wanted` with its -1 worked out. Raises: RuntimeError if the numbers of elements differ."""
    count = 1
    for n in shape:
        count *= n
    known = 1
    for n in wanted:
        known *= n if n != -1 else 1
    sizes = tuple(wanted)
    unknown = sizes.count(-1)
    if unknown == 1 and known and count % known == 0:
        sizes = tuple(count // known if n == -1 else n for n in sizes)
        known = count
    if unknown > 1:
        raise ShapeError(
            f"{operation}: expected one -1 at most, for a size to be worked out. Got {sizes}."
        )
    if known != count or builtins.any(n < 0 for n in sizes):
        raise ShapeError(
            f"{operation}: expected sizes whose product is {count}, the number of elements of a "
            "tensor "
            f"of shape {shape}. Got {tuple(wanted)}."
        )
    return sizes


@primitive(is_view=True, node_name="View")
def view_as_shape(input: Spec, *, shape: Shape) -> Spec:
    """The same memory with other sizes."""
    wanted = resolved_shape(tuple(input.shape), shape, "view")
    strides = contiguous_strides(wanted)
    if 0 not in input.shape:
        found = view_strides(tuple(input.shape), input.stride(), wanted)
        if found is None:
            raise ShapeError(
                f"view: expected a memory layout that can be seen as {wanted}. Got shape "
                f"{tuple(input.shape)} with strides {tuple(input.stride())}. Use reshape(), which "
                "copies "
                "if it must."
            )
        strides = found
    return Spec(wanted, input.dtype, strides)


@view_as_shape.array
def view_array(xp: Any, input: Any, shape: Shape) -> Any:
    """Refuses to copy, as the result must share the memory."""
    if input.flags.c_contiguous:
        return input.reshape(shape)
    wanted = resolved_shape(input.shape, shape, "view")
    itemsize = input.dtype.itemsize
    strides = view_strides(input.shape, tuple(s // itemsize for s in input.strides), wanted)
    if strides is None:
        raise ValueError("not viewable")
    return input.reshape(wanted)


@view_as_shape.vjp()
def view_vjp(F: Any, g: Any, needs: Any, input: Any, shape: Any) -> Any:
    """g with the sizes of the input."""
    return F.reshape_like(g, like=input)


@primitive(may_alias=True, node_name="Reshape", moves=True)
def reshape_like(input: Spec, *, like: Shape) -> Spec:
    """input with the sizes `like`, copied only if it must be."""
    return Spec(like, input.dtype)


@reshape_like.array
def reshape_like_array(xp: Any, input: Any, like: Shape) -> Any:
    """NumPy's reshape."""
    return input.reshape(like)


@reshape_like.vjp()
def reshape_like_vjp(F: Any, g: Any, needs: Any, input: Any, like: Any) -> Any:
    """g with the sizes of the input."""
    return F.reshape_like(g, like=input)


def permuted(items: Sequence[int], dims: Sequence[int]) -> Shape:
    return tuple(items[d] for d in dims)


@primitive(is_view=True, node_name="Permute")
def permute_dims(input: Spec, *, dims: Shape) -> Spec:
    """Dimension k of the result is dimension dims[k] of the input."""
    order = normalized_dims(dims, len(input.shape), "permute") if dims else ()
    if len(order) != len(input.shape):
        raise ShapeError(
            f"permute: expected each of the {len(input.shape)} dimensions of shape "
            f"{tuple(input.shape)} once. Got {tuple(dims)}."
        )
    return Spec(permuted(input.shape, order), input.dtype, permuted(input.stride(), order))


@permute_dims.array
def permute_array(xp: Any, input: Any, dims: Shape) -> Any:
    """A transposed view."""
    return input.transpose(dims)


@permute_dims.vjp(static="dims")
def permute_vjp(F: Any, g: Any, needs: Any, input: Any, dims: Any) -> Any:
    """The inverse permutation."""
    order = [d % len(dims) for d in dims]
    inverse = tuple(sorted(range(len(order)), key=order.__getitem__))
    return F.permute_dims(g, dims=inverse)


@primitive(is_view=True, node_name="Transpose")
def transpose(input: Spec, dim0: int, dim1: int) -> Spec:
    """Two dimensions exchanged."""
    ndim = len(input.shape)
    a, b = normalized_dim(dim0, ndim, "transpose"), normalized_dim(dim1, ndim, "transpose")
    order = list(range(ndim))
    if ndim:
        order[a], order[b] = b, a
    return Spec(permuted(input.shape, order), input.dtype, permuted(input.stride(), order))


@transpose.array
def transpose_array(xp: Any, input: Any, dim0: int, dim1: int) -> Any:
    """A transposed view."""
    if not input.ndim and {dim0, dim1} <= {-1, 0}:
        return input[...]
    return input.swapaxes(dim0, dim1)


@transpose.vjp()
def transpose_vjp(F: Any, g: Any, needs: Any, input: Any, dim0: Any, dim1: Any) -> Any:
    """The same exchange."""
    return F.transpose(g, dim0=dim0, dim1=dim1)


@primitive(is_view=True, node_name="Expand")
def expand_shape(input: Spec, *, shape: Shape) -> Spec:
    """Dimensions of size 1 repeated, without copying, to `shape`; -1 keeps a size."""
    old, new = tuple(input.shape), list(shape)
    if len(new) < len(old):
        raise ShapeError(
            f"expand: expected at least {len(old)} sizes for shape {old}. Got {shape}."
        )
    extra = len(new) - len(old)
    strides = [0] * extra
    for k, (n, step) in enumerate(zip(old, input.stride(), strict=True)):
        wanted = new[extra + k]
        new[extra + k] = n if wanted == -1 else wanted
        if new[extra + k] != n and n != 1:
            raise ShapeError(
                f"expand: expected sizes that shape {old} broadcasts to. Got {tuple(shape)}: "
                "dimension "
                f"{k} has {n}, not 1 or {wanted}."
            )
        strides.append(step if new[extra + k] == n else 0)
    return Spec(tuple(new), input.dtype, tuple(strides))


@expand_shape.array
def expand_array(xp: Any, input: Any, shape: Shape) -> Any:
    """A view with strides 0, read-only if anything is repeated."""
    if -1 in shape:
        extra = len(shape) - input.ndim
        shape = tuple(input.shape[k - extra] if n == -1 else n for k, n in enumerate(shape))
    out = xp.broadcast_to(input, shape)
    if 0 < input.size == out.size:
        return input[(None,) * (out.ndim - input.ndim)]
    return out


@expand_shape.vjp()
def expand_vjp(F: Any, g: Any, needs: Any, input: Any, shape: Any) -> Any:
    """The sum of all copies."""
    return F.sum_to(g, like=input)


@primitive(is_view=True, node_name="Detach")
def detached(input: Spec) -> Spec:
    """The same memory, without a past."""
    return Spec(input.shape, input.dtype, input.stride())


@detached.array
def detached_array(xp: Any, input: Any) -> Any:
    """A view."""
    return input[...]


# -- views by other names --------------------------------------------------------------------------


def sizes_of(sizes: tuple[Any, ...]) -> Shape:
    """Sizes given one by one or as one sequence."""
    if len(sizes) == 1 and not isinstance(sizes[0], int) and hasattr(sizes[0], "__iter__"):
        sizes = tuple(sizes[0])
    return tuple(int(n) for n in sizes)


@primitive(is_view=True, node_name="View", promotes=False)
def view_as_dtype(input: Spec, *, dtype: Any) -> Spec:
    """The same bytes read as elements of `dtype`, of which the last dimension has as many more as
    they are smaller. Without a gradient."""
    shape, strides = list(input.shape), list(input.stride())
    own, new = input.dtype.itemsize, dtype.itemsize
    if own != new:
        shape[-1] = shape[-1] * own // new
        strides = [s * own // new for s in strides[:-1]] + [1]
    return Spec(tuple(shape), dtype, tuple(strides))


@view_as_dtype.array
def view_as_dtype_array(xp: Any, input: Any, dtype: Any) -> Any:
    """A view."""
    return input.view(dtype.numpy)


def _require_divisible(input: Any, dtype: Any) -> None:
    """Raises: RuntimeError unless elements of `dtype` begin and end where those of input do."""
    own, new = input.dtype.itemsize, dtype.itemsize
    steps = tuple(input.stride())
    if own == new or (input.ndim and not input.numel()):
        return
    if not input.ndim or (steps[-1] != 1 and input.shape[-1] > 1):
        raise ShapeError(
            f"view: expected neighbours in a last dimension, as {dtype} has another size than "
            f"{input.dtype}. Got shape {tuple(input.shape)}, strides {steps}. Use contiguous()."
        )
    numbers = (input.shape[-1], input.storage_offset(), *steps[:-1])
    if new > own and any(n % (new // own) for n in numbers):
        raise ShapeError(
            f"view: expected a last size, offset and strides that {new // own} divides, to read "
            f"{input.dtype} as {dtype}. Got shape {tuple(input.shape)}, offset {numbers[1]}, "
            f"strides {steps}."
        )


def view(input: Spec, *shape: Any, size: Any = None, dtype: Any = None) -> Spec:
    """The same memory with the sizes `shape`; one may be -1. With a dtype instead of sizes the same
    bytes as elements of that type: `x.to(dtype)` converts the values.

    Raises: RuntimeError if the sizes do not fit, or the layout would need a copy.
    """
    if len(shape) == 1 and isinstance(shape[0], dtypes.dtype):
        (dtype,) = shape
    if dtype is not None:
        _require_divisible(input, dtype)
        return view_as_dtype(input, dtype=dtype)
    return view_as_shape(input, shape=sizes_of(shape if size is None else (size,)))


def reshape(input: Spec, *sizes: Any, shape: Any = None) -> Spec:
    """input with the sizes given, one by one or as `shape`; a view where the layout allows, else a
    copy.

    Example:
        >>> torch.arange(6).reshape(2, -1).shape
        torch.Size([2, 3])
    """
    given = sizes_of(sizes if shape is None else (shape,))
    wanted = resolved_shape(tuple(input.shape), given, "reshape")
    if input.is_contiguous() or not input.numel():
        return view_as_shape(input, shape=wanted)
    if view_strides(tuple(input.shape), input.stride(), wanted) is None:
        input = copied(input)
    return view_as_shape(input, shape=wanted)


def view_as(input: Spec, other: Spec) -> Spec:
    """The same memory with the sizes of `other`."""
    return view(input, *other.shape)


def reshape_as(input: Spec, other: Spec) -> Spec:
    """input with the sizes of `other`."""
    return reshape(input, *other.shape)


def permute(input: Spec, *axes: Any, dims: Any = None) -> Spec:
    """A view whose dimension k is dimension dims[k] of the input."""
    return permute_dims(input, dims=sizes_of(axes if dims is None else (dims,)))


def expand(input: Spec, *sizes: Any, size: Any = None, implicit: bool = False) -> Spec:
    """A view with dimensions of size 1 repeated to `sizes` (or `size`); -1 keeps a size."""
    return expand_shape(input, shape=sizes_of(sizes if size is None else (size,)))


def swapaxes(input: Spec, axis0: int, axis1: int) -> Spec:
    """`transpose` by NumPy's name."""
    return transpose(input, axis0, axis1)


def expand_as(input: Spec, other: Spec) -> Spec:
    """A view expanded to the sizes of `other`."""
    return expand_shape(input, shape=tuple(other.shape))


def broadcast_to(input: Spec, size: Any) -> Spec:
    """A view expanded to `size`."""
    return expand_shape(input, shape=sizes_of((size,)))


def t(input: Spec) -> Spec:
    """A matrix transposed; a vector as it is."""
    shapes.require_ndim("t", "input", input, 0, 1, 2)
    return named(transpose(input, 0, 1), "T") if len(input.shape) == 2 else input


def mT(input: Spec) -> Spec:
    """The last two dimensions exchanged."""
    return transpose(input, -2, -1)


def reversed_dims(input: Spec) -> Spec:
    """All dimensions in reverse order, as `x.T`."""
    return permute_dims(input, dims=tuple(reversed(range(len(input.shape)))))


def movedim(input: Spec, source: Any, destination: Any) -> Spec:
    """Dimensions `source` moved to the places `destination`; the others keep their order."""
    ndim = len(input.shape)
    froms = normalized_dims(source, ndim, "movedim")
    tos = normalized_dims(destination, ndim, "movedim")
    if not ndim:
        return permute_dims(input, dims=())
    order = [d for d in range(ndim) if d not in froms]
    for to, origin in sorted(zip(tos, froms, strict=True)):
        order.insert(to, origin)
    return permute_dims(input, dims=tuple(order))


@composite
def unsqueeze(F: Any, input: Spec, dim: int) -> Spec:
    """A view with a dimension of size 1 inserted at `dim`."""
    shape = list(input.shape)
    shape.insert(normalized_dim(dim, len(shape) + 1, "unsqueeze"), 1)
    return named(F.view_as_shape(input, shape=tuple(shape)), "Unsqueeze")


@composite
def squeeze(F: Any, input: Spec, dim: Any = None) -> Spec:
    """A view without the dimensions of size 1: all of them, or those of `dim` that have it."""
    shape = tuple(input.shape)
    dims = normalized_dims(dim, len(shape), "squeeze") if shape and dim != () else ()
    kept = tuple(n for k, n in enumerate(shape) if n != 1 or k not in dims)
    return named(F.view_as_shape(input, shape=kept), "Squeeze" if dim is None else "Squeeze1")


def flatten(input: Spec, start_dim: int = 0, end_dim: int = -1) -> Spec:
    """Dimensions `start_dim` to `end_dim` as one."""
    shape = tuple(input.shape)
    first = normalized_dim(start_dim, len(shape), "flatten")
    last = normalized_dim(end_dim, len(shape), "flatten")
    if first > last:
        raise ShapeError(f"flatten: expected start_dim before end_dim. Got {start_dim}, {end_dim}.")
    merged = 1
    for n in shape[first : last + 1]:
        merged *= n
    return reshape(input, *shape[:first], merged, *shape[last + 1 :])


def ravel(input: Spec) -> Spec:
    """All elements in one dimension."""
    return flatten(input)


@numpy_names
def unflatten(input: Spec, dim: int, sizes: Sequence[int]) -> Spec:
    """Dimension `dim` as several of `sizes`, one of which may be -1."""
    shape = tuple(input.shape)
    d = normalized_dim(dim, len(shape), "unflatten")
    inner = resolved_shape(shape[d : d + 1], tuple(sizes), "unflatten")
    return reshape(input, *shape[:d], *inner, *shape[d + 1 :])
