"""Views of memory by strides: diagonals, sliding windows, `as_strided`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd.node import named
from ..backends.accumulation import add_at
from ..core.spec import contiguous_strides
from ..errors import ShapeError
from .declare import Spec, primitive
from .shapes import Shape, normalized_dim

__all__ = ["as_strided", "diag", "diag_embed", "diagflat", "diagonal", "trace"]


@primitive(is_view=True, node_name="AsStrided")
def strided(input: Spec, *, size: Shape, stride: Shape, offset: int, geometry: Any) -> Spec:
    """The memory from `offset` elements after input's first one, seen with `size` and `stride`.

    `geometry` is input's own (shape, strides), which the gradient needs.
    """
    return Spec(size, input.dtype, stride)


@strided.array
def strided_array(
    xp: Any, input: Any, size: Shape, stride: Shape, offset: int, geometry: Any
) -> Any:
    """Through a one-dimensional view that reaches the first element."""
    step = input.dtype.itemsize if offset >= 0 else -input.dtype.itemsize
    as_strided = xp.lib.stride_tricks.as_strided
    start = as_strided(input, (abs(offset) + 1,), (step,))[-1:]
    return as_strided(start, size, tuple(s * input.dtype.itemsize for s in stride))


@strided.vjp(static="size stride offset geometry")
def strided_vjp(
    F: Any, g: Any, needs: Any, input: Any, size: Any, stride: Any, offset: Any, geometry: Any
) -> Any:
    """g added up where elements of input lie; those that share a place share its sum equally."""
    here = (*geometry, 0)
    moved = F.moved_between(g, source=(size, stride, offset), target=here)
    if not shares_places(*geometry):
        return moved
    return F.divide(
        moved, F.moved_between(F.ones_of(moved, shape=geometry[0]), source=here, target=here)
    )


def shares_places(shape: Shape, strides: Shape) -> bool:
    """Whether elements lie at one place of memory because a dimension was expanded."""
    return any(n > 1 and step == 0 for n, step in zip(shape, strides, strict=True))


@primitive(is_view=True, node_name="AsStrided")
def strided_by_element(
    input: Spec, *, size: Shape, stride: Shape, offset: int, source: Any, target: Any
) -> Spec:
    """Like `strided`, of an input whose elements share places; each has a gradient of its own.

    `source` and `target`, as (size, stride, offset), are the result and the input as they would lie
    if the input's elements had places of their own.
    """
    return Spec(size, input.dtype, stride)


@strided_by_element.array
def strided_by_element_array(
    xp: Any, input: Any, size: Shape, stride: Shape, offset: int, source: Any, target: Any
) -> Any:
    """As `strided`."""
    return strided_array(xp, input, size, stride, offset, ())


@strided_by_element.vjp(static="size stride offset source target")
def strided_by_element_vjp(
    F: Any,
    g: Any,
    needs: Any,
    input: Any,
    size: Any,
    stride: Any,
    offset: Any,
    source: Any,
    target: Any,
) -> Any:
    """g added up where elements of input would lie."""
    return F.moved_between(g, source=source, target=target)


def _shown(input: Spec, view: Callable[[Shape], tuple[Shape, Shape, int]]) -> Spec:
    """The elements of input at (size, stride, offset), which `view` tells from input's strides."""
    shape, steps = tuple(input.shape), tuple(input.stride())
    size, stride, offset = view(steps)
    if not shares_places(shape, steps):
        return strided(input, size=size, stride=stride, offset=offset, geometry=(shape, steps))
    rows = contiguous_strides(shape)
    return strided_by_element(
        input,
        size=size,
        stride=stride,
        offset=offset,
        source=view(rows),
        target=(shape, rows, 0),
    )


@primitive
def moved_between(g: Spec, *, source: Any, target: Any) -> Spec:
    """The sums of the elements of g at each place of memory, as `target` shows that memory.

    `source` and `target` are (size, stride, offset) over the same memory; g has source's size.
    """
    return Spec(target[0], g.dtype)


@moved_between.array
def moved_between_array(xp: Any, g: Any, source: Any, target: Any) -> Any:
    """One addition of all elements into a buffer, one gather."""
    there, here = _places(xp, *source), _places(xp, *target)
    if not g.size or not here.size:
        return xp.zeros(target[0], g.dtype)
    first = min(int(there.min()), int(here.min()))
    last = max(int(there.max()), int(here.max()))
    memory = xp.zeros(last - first + 1, g.dtype)
    add_at(xp, memory, there.reshape(-1) - first, g.reshape(-1))
    return memory[here - first]


def _places(xp: Any, size: Shape, stride: Shape, offset: int) -> Any:
    """The place of each element in memory."""
    places = xp.full(size, offset, xp.int64)
    for k, (n, step) in enumerate(zip(size, stride, strict=True)):
        line = xp.arange(n) * step
        places += line.reshape([n if j == k else 1 for j in range(len(size))])
    return places


@moved_between.vjp(static="source target")
def moved_between_vjp(F: Any, h: Any, needs: Any, g: Any, source: Any, target: Any) -> Any:
    """Back the same way."""
    return F.moved_between(h, source=target, target=source)


def as_strided(input: Spec, size: Any, stride: Any, storage_offset: int | None = None) -> Spec:
    """The storage of input from `storage_offset` (input's own unless given) on, seen with `size`
    and `stride`, all in elements.

    Raises: RuntimeError if sizes and strides differ in number, or reach beyond the storage.
    """
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise ShapeError(
            f"as_strided: expected as many strides as sizes. Got size {size}, stride {stride}."
        )
    own = input.storage_offset()
    offset = 0 if storage_offset is None else storage_offset - own
    if input.device.type != "meta" and 0 not in size:
        last = own + offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        held = storage_length(input)
        if own + offset < 0 or last >= held:
            raise ShapeError(
                f"as_strided: expected places within the storage of {held} elements. Size {size}, "
                f"stride {stride} and offset {own + offset} reach {last}."
            )
    geometry = (tuple(input.shape), tuple(input.stride()))
    return strided(input, size=size, stride=stride, offset=offset, geometry=geometry)


def storage_length(input: Spec) -> int:
    """Elements of the memory that input shows a part of."""
    owner = input if input._base is None else input._base
    if not owner.numel():
        return 0
    return 1 + sum((n - 1) * s for n, s in zip(owner.shape, owner.stride(), strict=True))


def diagonal(input: Spec, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Spec:
    """A view of the diagonals of dimensions dim1 and dim2, along a new last dimension; `offset`
    above 0 means one above the main diagonal.

    Raises: RuntimeError if both dimensions are the same.
    """
    rank = len(input.shape)
    a, b = normalized_dim(dim1, rank, "diagonal"), normalized_dim(dim2, rank, "diagonal")
    if a == b:
        raise ShapeError(f"diagonal: expected two different dimensions. Got {dim1} and {dim2}.")
    rows, columns = input.shape[a], input.shape[b]
    length = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    kept = [k for k in range(rank) if k not in (a, b)]
    size = (*[input.shape[k] for k in kept], length)

    def view(steps: Shape) -> tuple[Shape, Shape, int]:
        start = offset * steps[b] if offset >= 0 else -offset * steps[a]
        stride = (*[steps[k] for k in kept], steps[a] + steps[b])
        return size, stride, start if length else 0

    return _shown(input, view)


def unfold(input: Spec, dimension: int, size: int, step: int) -> Spec:
    """A view of all slices of `size` elements along `dimension`, `step` apart, as a new last
    dimension.

    Raises: RuntimeError if a slice is longer than the dimension, or step is not positive.
    """
    rank = len(input.shape)
    d = normalized_dim(dimension, rank, "unfold")
    n = input.shape[d] if rank else 1
    if not 0 <= size <= n or step <= 0:
        raise ShapeError(
            f"unfold: expected size from 0 to {n} and a positive step. Got {size} and {step}."
        )
    own = tuple(input.shape)

    def view(steps: Shape) -> tuple[Shape, Shape, int]:
        if not rank:
            return (size,), (1,), 0
        shape = (*own[:d], (n - size) // step + 1, *own[d + 1 :], size)
        return shape, (*steps[:d], steps[d] * step, *steps[d + 1 :], steps[d]), 0

    return _shown(input, view)


def diag(input: Spec, diagonal: int = 0) -> Spec:
    """The diagonal of a matrix, or the matrix with the given diagonal.

    Raises: RuntimeError for other than 1 or 2 dimensions.
    """
    if len(input.shape) == 1:
        return diag_embed(input, diagonal)
    if len(input.shape) != 2:
        raise ShapeError(f"diag: expected 1 or 2 dimensions. Got shape {tuple(input.shape)}.")
    return _diagonal(input, diagonal).clone()


_diagonal = diagonal


def diag_embed(input: Spec, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Spec:
    """Matrices in the dimensions dim1 and dim2 of the result, whose diagonals are the last
    dimension of input."""
    rank = len(input.shape) + 1
    a, b = normalized_dim(dim1, rank, "diag_embed"), normalized_dim(dim2, rank, "diag_embed")
    if a == b:
        raise ShapeError(f"diag_embed: expected two different dimensions. Got {dim1} and {dim2}.")
    n = input.shape[-1] + abs(offset)
    shape = list(input.shape[:-1])
    for k in sorted((a, b)):
        shape.insert(k, n)
    steps = [1] * rank
    for k in range(rank - 2, -1, -1):
        steps[k] = steps[k + 1] * shape[k + 1]
    start = offset * steps[b] if offset >= 0 else -offset * steps[a]
    kept = [k for k in range(rank) if k not in (a, b)]
    source = (
        tuple(input.shape),
        (*[steps[k] for k in kept], steps[a] + steps[b]),
        start,
    )
    return moved_between(input, source=source, target=(tuple(shape), tuple(steps), 0))


def diagflat(input: Spec, offset: int = 0) -> Spec:
    """The matrix whose diagonal holds all elements of input."""
    return diag_embed(input.reshape(-1), offset)


def trace(input: Spec) -> Spec:
    """The sum of a matrix's diagonal. Raises: RuntimeError for another number of dimensions."""
    if len(input.shape) != 2:
        raise ShapeError(f"trace: expected a matrix. Got shape {tuple(input.shape)}.")
    return named(diagonal(input).sum(), "Trace")
