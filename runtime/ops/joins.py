"""Joins and splits along a dimension."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from ..core import dtypes
from ..errors import OutOfBoundsError, ShapeError
from .declare import Spec, primitive
from .numpy_names import numpy_names
from .shapes import Shape, normalized_dim
from .views import permuted

__all__ = ["cat", "chunk", "concat", "concatenate", "narrow", "select", "split", "stack", "unbind"]


@primitive(may_alias=True, promotes=False, node_name="PassThrough", moves=True)
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


@primitive(promotes=True, moves=True)
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


@primitive(may_alias=True, node_name="Slice", moves=True)
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


@primitive(moves=True)
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


@primitive(promotes=True, moves=True)
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
    shape = tensors[0].shape
    if dim == 0 and shape and [t.shape for t in tensors].count(shape) == len(tensors):
        # NumPy's stack makes views of all of them first: 128 images take 40 us, not 90.
        return xp.concatenate(tensors).reshape(len(tensors), *shape)
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
    return Spec(permuted(input.shape, keep), input.dtype, permuted(input.stride(), keep))


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
    """`length` slices of dimension `dim` from `start` on (an int or 0-d tensor), as a view."""
    d = normalized_dim(dim, len(input.shape), "narrow")
    n = input.shape[d]
    start = _whole(start)
    first = start + n if start < 0 else start
    if length < 0 or not 0 <= first <= n - length:
        raise ShapeError(
            f"narrow: expected start and length within dimension {d} of shape "
            f"{tuple(input.shape)}. "
            f"Got start {start}, length {length}."
        )
    shape = (*input.shape[:d], length, *input.shape[d + 1 :])
    return Spec(shape, input.dtype, input.stride())


def _whole(start: Any) -> int:
    """`start` as an int. Raises: RuntimeError for a tensor that is not one whole number."""
    if type(start) is int:
        return start
    if hasattr(start, "shape") and (start.shape or start.dtype.category != dtypes.INTEGER):
        raise ShapeError(
            f"narrow: expected start as an int or a 0-d tensor of integers. Got shape "
            f"{tuple(start.shape)}, {start.dtype}."
        )
    return start.__index__()


@narrow.array
def narrow_array(xp: Any, input: Any, dim: int, start: int, length: int) -> Any:
    """A view."""
    n = input.shape[dim]
    start = _whole(start)
    first = start + n if start < 0 else start
    if length < 0 or not 0 <= first <= n - length:
        raise ValueError("out of range")
    return input[(slice(None),) * (dim % input.ndim) + (slice(first, first + length),)]


@narrow.vjp()
def narrow_vjp(F: Any, g: Any, needs: Any, input: Any, dim: Any, start: Any, length: Any) -> Any:
    """g in its place, zeros around it."""
    return F.embed_slice(g, like=input, dim=dim, start=start, length=length)


@primitive(moves=True)
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


@numpy_names
def select(input: Spec, dim: int, index: int) -> Spec:
    """The slice `index` of dimension `dim` as a view, without that dimension."""
    return select_at(input, dim=dim, index=int(index))


@primitive(is_view=True, node_name="Unbind")
def unbind(input: Spec, dim: int = 0) -> tuple[Spec, ...]:
    """All slices of dimension `dim`, as views without it."""
    d = normalized_dim(dim, len(input.shape), "unbind")
    shape = input.shape[:d] + input.shape[d + 1 :]
    strides = (*input.stride()[:d], *input.stride()[d + 1 :])
    return tuple(Spec(shape, input.dtype, strides) for _ in range(input.shape[d]))


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
        if step < 0 or (n and not step):
            raise ShapeError(f"split: expected a positive size. Got {step}.")
        sizes = tuple(builtins.min(step, n - k) for k in range(0, n, step or 1)) or (0,)
    else:
        sizes = tuple(int(s) for s in split_size_or_sections)
    return split_sizes(tensor, sizes=sizes, dim=dim)


@numpy_names
def chunk(input: Spec, chunks: int, dim: int = 0) -> Any:
    """At most `chunks` views of equal size along `dim`; the last may be smaller. Of nothing, that
    many times nothing."""
    if chunks <= 0:
        raise ShapeError(f"chunk: expected a positive number of chunks. Got {chunks}.")
    n = input.size(dim)
    return split(input, -(-n // chunks) if n else [0] * chunks, dim)
