"""Operations that move elements without changing them: views, copies, joins and splits."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from ..core import dtypes
from ..core.spec import contiguous_strides
from ..errors import OutOfBoundsError, ShapeError
from . import shapes
from .declare import Spec, composite, primitive
from .shapes import Shape, normalized_dim, normalized_dims

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
    if known != count or unknown > 1 or builtins.any(n < 0 for n in sizes):
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


@primitive(may_alias=True, node_name="Reshape")
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


def _permuted(items: Sequence[int], dims: Sequence[int]) -> Shape:
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
    return Spec(_permuted(input.shape, order), input.dtype, _permuted(input.stride(), order))


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
    return Spec(_permuted(input.shape, order), input.dtype, _permuted(input.stride(), order))


@transpose.array
def transpose_array(xp: Any, input: Any, dim0: int, dim1: int) -> Any:
    """A transposed view."""
    return input.swapaxes(dim0, dim1) if input.ndim else input[...]


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
    """A read-only view with strides 0."""
    if -1 in shape:
        extra = len(shape) - input.ndim
        shape = tuple(input.shape[k - extra] if n == -1 else n for k, n in enumerate(shape))
    return xp.broadcast_to(input, shape)


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


def view(input: Spec, *shape: Any) -> Spec:
    """The same memory with the sizes `shape`; one may be -1. `view(dtype)` is not a reshape.

    Raises: RuntimeError if the sizes do not fit, or the layout would need a copy.
    """
    if len(shape) == 1 and isinstance(shape[0], dtypes.dtype):
        raise TypeError("view: expected sizes. Got a dtype. Use x.to(dtype) to convert the values.")
    return view_as_shape(input, shape=sizes_of(shape))


def reshape(input: Spec, *shape: Any) -> Spec:
    """input with the sizes `shape`; a view where the layout allows, else a copy.

    Example:
        >>> torch.arange(6).reshape(2, -1).shape
        torch.Size([2, 3])
    """
    wanted = resolved_shape(tuple(input.shape), sizes_of(shape), "reshape")
    if input.numel() and view_strides(tuple(input.shape), input.stride(), wanted) is None:
        input = clone(input)
    return view_as_shape(input, shape=wanted)


def view_as(input: Spec, other: Spec) -> Spec:
    """The same memory with the sizes of `other`."""
    return view(input, *other.shape)


def reshape_as(input: Spec, other: Spec) -> Spec:
    """input with the sizes of `other`."""
    return reshape(input, *other.shape)


def permute(input: Spec, *dims: Any) -> Spec:
    """A view whose dimension k is dimension dims[k] of the input."""
    return permute_dims(input, dims=sizes_of(dims))


def expand(input: Spec, *sizes: Any) -> Spec:
    """A view with dimensions of size 1 repeated to `sizes`; -1 keeps a size."""
    return expand_shape(input, shape=sizes_of(sizes))


def expand_as(input: Spec, other: Spec) -> Spec:
    """A view expanded to the sizes of `other`."""
    return expand_shape(input, shape=tuple(other.shape))


def broadcast_to(input: Spec, size: Any) -> Spec:
    """A view expanded to `size`."""
    return expand_shape(input, shape=sizes_of((size,)))


def t(input: Spec) -> Spec:
    """A matrix transposed; a vector as it is."""
    shapes.require_ndim("t", "input", input, 0, 1, 2)
    return transpose(input, 0, 1) if len(input.shape) == 2 else input


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
    order = [d for d in range(ndim) if d not in froms]
    for to, origin in sorted(zip(tos, froms, strict=True)):
        order.insert(to, origin)
    return permute_dims(input, dims=tuple(order))


@composite
def unsqueeze(F: Any, input: Spec, dim: int) -> Spec:
    """A view with a dimension of size 1 inserted at `dim`."""
    shape = list(input.shape)
    shape.insert(normalized_dim(dim, len(shape) + 1, "unsqueeze"), 1)
    return F.view_as_shape(input, shape=tuple(shape))


@composite
def squeeze(F: Any, input: Spec, dim: Any = None) -> Spec:
    """A view without the dimensions of size 1: all of them, or those of `dim` that have it."""
    shape = tuple(input.shape)
    dims = normalized_dims(dim, len(shape), "squeeze") if shape else ()
    kept = tuple(n for k, n in enumerate(shape) if n != 1 or k not in dims)
    return F.view_as_shape(input, shape=kept)


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


def unflatten(input: Spec, dim: int, sizes: Sequence[int]) -> Spec:
    """Dimension `dim` as several of `sizes`, one of which may be -1."""
    shape = tuple(input.shape)
    d = normalized_dim(dim, len(shape), "unflatten")
    inner = resolved_shape(shape[d : d + 1], tuple(sizes), "unflatten")
    return reshape(input, *shape[:d], *inner, *shape[d + 1 :])


# -- copies ----------------------------------------------------------------------------------------


@primitive(node_name="Clone")
def copied(input: Spec) -> Spec:
    """The same values in new memory."""
    return Spec(input.shape, input.dtype)


@copied.array
def copied_array(xp: Any, input: Any) -> Any:
    """Row-major."""
    return input.copy()


@copied.vjp()
def copied_vjp(F: Any, g: Any, needs: Any, input: Any) -> Any:
    """g itself."""
    return g


def clone(input: Spec, *, memory_format: Any = None) -> Spec:
    """The same values in new row-major memory; recorded."""
    return copied(input)


def contiguous(input: Spec, memory_format: Any = None) -> Spec:
    """The tensor itself if its memory is row-major, else a copy that is."""
    return input if input.is_contiguous() else copied(input)


@primitive(node_name="ToCopy", promotes=True)
def cast(input: Spec, *, dtype: Any) -> Spec:
    """input converted to `dtype`."""
    return Spec(input.shape, dtype)


@cast.array
def cast_array(xp: Any, input: Any, dtype: Any) -> Any:
    """Converts as C does; complex to real drops the imaginary part."""
    if input.dtype.kind == "c" and not dtype.is_complex:
        input = input.real
    return xp.asarray(input).astype(dtype.numpy)


@cast.vjp()
def cast_vjp(F: Any, g: Any, needs: Any, input: Any, dtype: Any) -> Any:
    """g in the input's dtype."""
    return F.cast(g, dtype=input.dtype)


@primitive
def zeros_of(input: Spec, *, shape: Shape) -> Spec:
    """Zeros of `shape` where input lies, in its dtype."""
    return Spec(shape, input.dtype)


@zeros_of.array
def zeros_of_array(xp: Any, input: Any, shape: Shape) -> Any:
    """New memory."""
    return xp.zeros(shape, input.dtype)


@primitive
def ones_of(input: Spec, *, shape: Shape) -> Spec:
    """Ones of `shape` where input lies, in its dtype."""
    return Spec(shape, input.dtype)


@ones_of.array
def ones_of_array(xp: Any, input: Any, shape: Shape) -> Any:
    """New memory."""
    return xp.ones(shape, input.dtype)


# -- joins and splits ------------------------------------------------------------------------------


@primitive(may_alias=True, promotes=False, node_name="PassThrough")
def pass_through(tensors: list[Spec]) -> tuple[Spec, ...]:
    """The same tensors behind one node, where hooks see all their gradients at once."""
    return tuple(Spec(tuple(x.shape), x.dtype) for x in tensors)


@pass_through.array
def pass_through_array(xp: Any, tensors: Any) -> Any:
    """The same arrays."""
    return tuple(tensors)


@pass_through.vjp()
def pass_through_vjp(F: Any, g: Any, needs: Any, tensors: Any) -> Any:
    """The gradients as they come."""
    return tuple(g)


@primitive(promotes=True)
def cat(tensors: list[Spec], dim: int = 0) -> Spec:
    """The tensors one behind the other along `dim`; all other sizes must be equal.

    Example:
        >>> torch.cat([torch.zeros(1, 2), torch.ones(2, 2)]).shape
        torch.Size([3, 2])
    """
    first = next((x for x in tensors if tuple(x.shape) != (0,)), tensors[0])
    shape = list(first.shape)
    if not shape:
        raise ShapeError("cat: expected tensors with dimensions. Got 0-d tensors. Use stack().")
    d = normalized_dim(dim, len(shape), "cat")
    total = 0
    for k, x in enumerate(tensors):
        if tuple(x.shape) == (0,):
            continue
        other = list(x.shape)
        if len(other) != len(shape) or other[:d] + other[d + 1 :] != shape[:d] + shape[d + 1 :]:
            raise ShapeError(
                f"cat: expected tensors of one shape but for dimension {d}. Got tensors[0] "
                f"{tuple(shape)} and tensors[{k}] {tuple(other)}."
            )
        total += other[d]
    shape[d] = total
    return Spec(tuple(shape), first.dtype)


@cat.array
def cat_array(xp: Any, tensors: Any, dim: int = 0) -> Any:
    """Empty 1-d tensors are left out, as PyTorch does."""
    joined = [x for x in tensors if x.shape != (0,)] or tensors
    return xp.concatenate(joined, dim)


@cat.vjp()
def cat_vjp(F: Any, g: Any, needs: Any, tensors: Any, dim: Any) -> Any:
    """For each tensor its part of g."""
    return tuple(
        F.part_of_cat(g, like=tensors, index=k, dim=dim) if need else None
        for k, need in enumerate(needs)
    )


@primitive(may_alias=True, node_name="Slice")
def part_of_cat(g: Spec, *, like: tuple[Shape, ...], index: int, dim: int) -> Spec:
    """The part of g that tensor `index` is, of tensors with the shapes `like` joined along
    `dim`."""
    return Spec(like[index], g.dtype)


@part_of_cat.array
def part_of_cat_array(xp: Any, g: Any, like: Any, index: int, dim: int) -> Any:
    """A view of g."""
    if like[index] == (0,):
        return xp.zeros((0,), g.dtype)
    d = dim % g.ndim
    start = builtins.sum(shape[d] for shape in like[:index] if shape != (0,))
    return g[(slice(None),) * d + (slice(start, start + like[index][d]),)]


@part_of_cat.vjp()
def part_of_cat_vjp(F: Any, h: Any, needs: Any, g: Any, like: Any, index: Any, dim: Any) -> Any:
    """h in its place, zeros around it."""
    return F.embed_in_cat(h, like=g, shapes=like, index=index, dim=dim)


@primitive
def embed_in_cat(h: Spec, *, like: Shape, shapes: tuple[Shape, ...], index: int, dim: int) -> Spec:
    """Zeros of shape `like` with h where tensor `index` of the joined ones is."""
    return Spec(like, h.dtype)


@embed_in_cat.array
def embed_in_cat_array(xp: Any, h: Any, like: Any, shapes: Any, index: int, dim: int) -> Any:
    """The opposite of `part_of_cat`."""
    out = xp.zeros(like, h.dtype)
    part_of_cat_array(xp, out, shapes, index, dim)[...] = h
    return out


@embed_in_cat.vjp()
def embed_in_cat_vjp(
    F: Any, g: Any, needs: Any, h: Any, like: Any, shapes: Any, index: Any, dim: Any
) -> Any:
    """That part of g."""
    return F.part_of_cat(g, like=shapes, index=index, dim=dim)


concat = concatenate = cat


@primitive(promotes=True)
def stack(tensors: list[Spec], dim: int = 0) -> Spec:
    """The tensors, all of one shape, along a new dimension `dim`."""
    shape = list(tensors[0].shape)
    for k, x in enumerate(tensors):
        if list(x.shape) != shape:
            raise ShapeError(
                f"stack: expected tensors of one shape. Got tensors[0] {tuple(shape)} and "
                f"tensors[{k}] "
                f"{tuple(x.shape)}."
            )
    shape.insert(normalized_dim(dim, len(shape) + 1, "stack"), len(tensors))
    return Spec(tuple(shape), tensors[0].dtype)


@stack.array
def stack_array(xp: Any, tensors: Any, dim: int = 0) -> Any:
    """One copy of each."""
    return xp.stack(tensors, dim)


@stack.vjp()
def stack_vjp(F: Any, g: Any, needs: Any, tensors: Any, dim: Any) -> Any:
    """For each tensor its slice of g."""
    return tuple(F.select_at(g, dim=dim, index=k) if need else None for k, need in enumerate(needs))


@primitive(is_view=True, node_name="Select")
def select_at(input: Spec, *, dim: int, index: int) -> Spec:
    """The slice `index` of dimension `dim`, which vanishes."""
    d = normalized_dim(dim, len(input.shape), "select")
    n = input.shape[d] if input.shape else 0
    if not -n <= index < n:
        raise OutOfBoundsError(
            f"select: expected an index from {-n} to {n - 1} in dimension {d} of shape "
            f"{tuple(input.shape)}. Got {index}."
        )
    keep = [k for k in range(len(input.shape)) if k != d]
    return Spec(_permuted(input.shape, keep), input.dtype, _permuted(input.stride(), keep))


@select_at.array
def select_array(xp: Any, input: Any, dim: int, index: int) -> Any:
    """A view."""
    return input[(slice(None),) * (dim % input.ndim) + (index, ...)]


@select_at.vjp()
def select_vjp(F: Any, g: Any, needs: Any, input: Any, dim: Any, index: Any) -> Any:
    """g in its place, zeros around it."""
    return F.embed_slice(g, like=input, dim=dim, start=index, length=None)


@primitive(is_view=True, node_name="Slice")
def narrow(input: Spec, dim: int, start: int, length: int) -> Spec:
    """`length` slices of dimension `dim` from `start` on, as a view."""
    d = normalized_dim(dim, len(input.shape), "narrow")
    n = input.shape[d]
    first = start + n if start < 0 else start
    if length < 0 or not 0 <= first <= n - length:
        raise ShapeError(
            f"narrow: expected start and length within dimension {d} of shape "
            f"{tuple(input.shape)}. "
            f"Got start {start}, length {length}."
        )
    shape = (*input.shape[:d], length, *input.shape[d + 1 :])
    return Spec(shape, input.dtype, input.stride())


@narrow.array
def narrow_array(xp: Any, input: Any, dim: int, start: int, length: int) -> Any:
    """A view."""
    n = input.shape[dim]
    first = start + n if start < 0 else start
    if length < 0 or not 0 <= first <= n - length:
        raise ValueError("out of range")
    return input[(slice(None),) * (dim % input.ndim) + (slice(first, first + length),)]


@narrow.vjp()
def narrow_vjp(F: Any, g: Any, needs: Any, input: Any, dim: Any, start: Any, length: Any) -> Any:
    """g in its place, zeros around it."""
    return F.embed_slice(g, like=input, dim=dim, start=start, length=length)


@primitive
def embed_slice(g: Spec, *, like: Shape, dim: int, start: int, length: int | None) -> Spec:
    """Zeros of shape `like` with g at `start` of `dim`; without a length, g lacks that
    dimension."""
    return Spec(like, g.dtype)


@embed_slice.array
def embed_slice_array(
    xp: Any, g: Any, like: Shape, dim: int, start: int, length: int | None
) -> Any:
    """The opposite of `select_at` and `narrow`."""
    out = xp.zeros(like, g.dtype)
    if length is None:
        select_array(xp, out, dim, start)[...] = g
    else:
        narrow_array(xp, out, dim, start, length)[...] = g
    return out


@embed_slice.vjp(static="length")
def embed_slice_vjp(
    F: Any, h: Any, needs: Any, g: Any, like: Any, dim: Any, start: Any, length: Any
) -> Any:
    """That slice of h."""
    if length is None:
        return F.select_at(h, dim=dim, index=start)
    return F.narrow(h, dim=dim, start=start, length=length)


def select(input: Spec, dim: int, index: int) -> Spec:
    """The slice `index` of dimension `dim` as a view, without that dimension."""
    return select_at(input, dim=dim, index=int(index))


@primitive(is_view=True, node_name="Unbind")
def unbind(input: Spec, dim: int = 0) -> tuple[Spec, ...]:
    """All slices of dimension `dim`, as views without it."""
    d = normalized_dim(dim, len(input.shape), "unbind")
    shape = input.shape[:d] + input.shape[d + 1 :]
    return tuple(Spec(shape, input.dtype) for _ in range(input.shape[d]))


@unbind.array
def unbind_array(xp: Any, input: Any, dim: int = 0) -> Any:
    """Views."""
    before = (slice(None),) * (dim % input.ndim)
    return tuple([input[(*before, k, ...)] for k in range(input.shape[dim])])


@unbind.vjp()
def unbind_vjp(F: Any, g: Any, needs: Any, input: Any, dim: Any) -> Any:
    """The slices joined again."""
    return F.stack(list(g), dim=dim)


@primitive(is_view=True, node_name="Split")
def split_sizes(input: Spec, *, sizes: Shape, dim: int) -> tuple[Spec, ...]:
    """Views of `sizes` slices each along `dim`."""
    d = normalized_dim(dim, len(input.shape), "split")
    if builtins.sum(sizes) != input.shape[d] or builtins.any(n < 0 for n in sizes):
        raise ShapeError(
            f"split: expected sizes that add up to {input.shape[d]}, dimension {d} of shape "
            f"{tuple(input.shape)}. Got {tuple(sizes)}."
        )
    shape = input.shape
    return tuple(Spec((*shape[:d], n, *shape[d + 1 :]), input.dtype, input.stride()) for n in sizes)


@split_sizes.array
def split_array(xp: Any, input: Any, sizes: Shape, dim: int) -> Any:
    """Views."""
    if builtins.sum(sizes) != input.shape[dim] or (sizes and builtins.min(sizes) < 0):
        raise ValueError("sizes do not add up")
    before = (slice(None),) * (dim % input.ndim)
    parts, start = [], 0
    for n in sizes:
        parts.append(input[(*before, slice(start, start + n))])
        start += n
    return tuple(parts)


@split_sizes.vjp()
def split_vjp(F: Any, g: Any, needs: Any, input: Any, sizes: Any, dim: Any) -> Any:
    """The parts joined again."""
    return F.cat(list(g), dim=dim)


def split(tensor: Spec, split_size_or_sections: int | Sequence[int], dim: int = 0) -> Any:
    """Views along `dim`: of that many slices each (the last may have fewer), or of the sizes
    listed."""
    n = tensor.size(dim)
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step <= 0:
            raise ShapeError(f"split: expected a positive size. Got {step}.")
        sizes = tuple(builtins.min(step, n - k) for k in range(0, n, step)) or (0,)
    else:
        sizes = tuple(int(s) for s in split_size_or_sections)
    return split_sizes(tensor, sizes=sizes, dim=dim)


def chunk(input: Spec, chunks: int, dim: int = 0) -> Any:
    """At most `chunks` views of equal size along `dim`; the last may be smaller."""
    if chunks <= 0:
        raise ShapeError(f"chunk: expected a positive number of chunks. Got {chunks}.")
    return split(input, builtins.max(1, -(-input.size(dim) // chunks)), dim)


# -- order and repetition --------------------------------------------------------------------------


@primitive(node_name="Flip")
def flip_along(input: Spec, *, dims: Any) -> Spec:
    """The order of the elements reversed along `dims`, in new memory."""
    normalized_dims(dims, len(input.shape), "flip")
    return Spec(input.shape, input.dtype)


@flip_along.array
def flip_array(xp: Any, input: Any, dims: Any) -> Any:
    """A copy, as PyTorch has no negative strides."""
    return xp.ascontiguousarray(xp.flip(input, dims)) if input.ndim else input.copy()


@flip_along.vjp()
def flip_vjp(F: Any, g: Any, needs: Any, input: Any, dims: Any) -> Any:
    """g reversed."""
    return F.flip_along(g, dims=dims)


def flip(input: Spec, *dims: Any) -> Spec:
    """The order of the elements reversed along `dims`."""
    return flip_along(input, dims=sizes_of(dims))


@primitive(node_name="Roll")
def roll_along(input: Spec, *, shifts: Any, dims: Any) -> Spec:
    """Elements moved by `shifts` along `dims`, re-entering at the other end."""
    return Spec(input.shape, input.dtype)


@roll_along.array
def roll_array(xp: Any, input: Any, shifts: Any, dims: Any) -> Any:
    """NumPy's roll."""
    return xp.roll(input, shifts, dims)


@roll_along.vjp(static="shifts")
def roll_vjp(F: Any, g: Any, needs: Any, input: Any, shifts: Any, dims: Any) -> Any:
    """g moved back."""
    back = -shifts if isinstance(shifts, int) else tuple(-s for s in shifts)
    return F.roll_along(g, shifts=back, dims=dims)


def roll(input: Spec, shifts: Any, dims: Any = None) -> Spec:
    """Elements moved by `shifts` along `dims` (or the flat tensor), re-entering at the other
    end."""
    if dims is not None and not isinstance(dims, int):
        shifts = tuple(shifts) if not isinstance(shifts, int) else (shifts,) * len(dims)
        dims = tuple(dims)
    elif not isinstance(shifts, int):
        (shifts,) = shifts
    return roll_along(input, shifts=shifts, dims=dims)


def repeat(input: Spec, *repeats: Any) -> Spec:
    """Copies of the tensor side by side, `repeats` times along each dimension."""
    times = sizes_of(repeats)
    shape = tuple(input.shape)
    if len(times) < len(shape):
        raise ShapeError(
            f"repeat: expected at least {len(shape)} counts for shape {shape}. Got {times}."
        )
    shape = (1,) * (len(times) - len(shape)) + shape
    interleaved = [n for size in shape for n in (1, size)]
    repeated = [n for pair in zip(times, shape, strict=True) for n in pair]
    out = expand(reshape(input, *interleaved), *repeated)
    return reshape(out, *[a * b for a, b in zip(times, shape, strict=True)])


def _triangle(name: str, doc: str) -> Any:
    def rule(input: Spec, diagonal: int = 0) -> Spec:
        if len(input.shape) < 2:
            raise ShapeError(f"{name}: expected at least 2 dimensions. Got {tuple(input.shape)}.")
        return Spec(input.shape, input.dtype)

    rule.__name__, rule.__doc__, rule.__module__ = name, doc, __name__
    function = primitive(rule, name=name)

    @function.array
    def array(xp: Any, input: Any, diagonal: int = 0) -> Any:
        return getattr(xp, name)(input, diagonal)

    @function.vjp()
    def vjp(F: Any, g: Any, needs: Any, input: Any, diagonal: Any) -> Any:
        return getattr(F, name)(g, diagonal=diagonal)

    return function


tril = _triangle("tril", "The lower triangle of matrices, up to `diagonal`; zeros above.")
triu = _triangle("triu", "The upper triangle of matrices, from `diagonal` on; zeros below.")


@primitive(node_name="ConstantPad")
def pad_constant(input: Spec, *, pad: Shape, value: float = 0.0) -> Spec:
    """`value` put around: pad holds (before, after) of the last dimension, then the one before it,
    ..."""
    if len(pad) % 2 or len(pad) > 2 * len(input.shape):
        raise ShapeError(
            f"pad: expected up to {len(input.shape)} pairs for shape {tuple(input.shape)}. Got "
            f"{pad}."
        )
    shape = list(input.shape)
    for k in range(len(pad) // 2):
        shape[-1 - k] += pad[2 * k] + pad[2 * k + 1]
    if builtins.any(n < 0 for n in shape):
        raise ShapeError(f"pad: expected no negative sizes. {tuple(input.shape)} padded by {pad}.")
    return Spec(tuple(shape), input.dtype)


@pad_constant.array
def pad_array(xp: Any, input: Any, pad: Shape, value: float = 0.0) -> Any:
    """Negative widths cut off."""
    shape, inner, source = list(input.shape), [slice(None)] * input.ndim, [slice(None)] * input.ndim
    for k in range(len(pad) // 2):
        before, after = pad[2 * k], pad[2 * k + 1]
        n = shape[-1 - k]
        shape[-1 - k] = n + before + after
        inner[-1 - k] = slice(builtins.max(before, 0), shape[-1 - k] - builtins.max(after, 0))
        source[-1 - k] = slice(builtins.max(-before, 0), n - builtins.max(-after, 0))
    out = xp.full(shape, value, input.dtype)
    out[tuple(inner)] = input[tuple(source)]
    return out


@pad_constant.vjp(static="pad")
def pad_vjp(F: Any, g: Any, needs: Any, input: Any, pad: Any, value: Any) -> Any:
    """g without its border."""
    return F.pad_constant(g, pad=tuple(-n for n in pad), value=0.0)
