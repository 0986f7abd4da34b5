"""Joining and taking apart along conventional dimensions, and combinations of tensors."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

from ..core.dtypes import promote_types
from ..core.tensor import Size, Tensor
from ..errors import ShapeError
from .declare import Spec
from .joins import cat, narrow, split_sizes, stack
from .numpy_names import numpy_names
from .shapes import broadcast_sizes, normalized_dim
from .views import expand, reshape, unsqueeze

__all__ = [
    "_chunk_cat",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "broadcast_shapes",
    "broadcast_tensors",
    "cartesian_prod",
    "column_stack",
    "combinations",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "meshgrid",
    "split_with_sizes",
    "tensor_split",
    "vsplit",
    "vstack",
]


def _several(tensors: tuple[Any, ...]) -> list[Any]:
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        return list(tensors[0])
    return list(tensors)


def _each(function: Any) -> Any:
    """`function` of one tensor, or of several: then a tuple."""

    def each(*tensors: Any) -> Any:
        if len(tensors) == 1 and isinstance(tensors[0], Tensor):
            return function(tensors[0])
        return tuple(function(t) for t in _several(tensors))

    each.__name__ = each.__qualname__ = function.__name__
    each.__doc__ = function.__doc__
    return each


@_each
def atleast_1d(tensor: Spec) -> Spec:
    """A 0-d tensor with one dimension, others as they are; several give a tuple."""
    return tensor if len(tensor.shape) else reshape(tensor, 1)


@_each
def atleast_2d(tensor: Spec) -> Spec:
    """Tensors of fewer dimensions with new first ones, up to 2; several give a tuple."""
    rank = len(tensor.shape)
    return tensor if rank > 1 else reshape(tensor, 1, -1) if rank else reshape(tensor, 1, 1)


@_each
def atleast_3d(tensor: Spec) -> Spec:
    """(n,) as (1, n, 1) and (n, m) as (n, m, 1); several give a tuple."""
    rank = len(tensor.shape)
    if rank > 2:
        return tensor
    return unsqueeze(tensor, -1) if rank == 2 else reshape(tensor, 1, -1, 1)


def hstack(tensors: Sequence[Spec]) -> Spec:
    """Joined along the second dimension, vectors along their only one."""
    parts = list(atleast_1d(list(tensors)))
    return cat(parts, 0 if len(parts[0].shape) == 1 else 1)


def vstack(tensors: Sequence[Spec]) -> Spec:
    """Joined as rows."""
    return cat(list(atleast_2d(list(tensors))), 0)


def dstack(tensors: Sequence[Spec]) -> Spec:
    """Joined along the third dimension."""
    return cat(list(atleast_3d(list(tensors))), 2)


def column_stack(tensors: Sequence[Spec]) -> Spec:
    """Joined along the second dimension, vectors as columns."""
    return cat([t if len(t.shape) > 1 else reshape(t, -1, 1) for t in tensors], 1)


@numpy_names
def split_with_sizes(input: Spec, split_sizes: Sequence[int], dim: int = 0) -> Any:
    """Parts of the given sizes along dim, as views."""
    return _split(input, sizes=tuple(split_sizes), dim=dim)


_split = split_sizes


@numpy_names
def tensor_split(
    input: Spec,
    indices_or_sections: Any = None,
    dim: int = 0,
    *,
    indices: Any = None,
    sections: int | None = None,
    tensor_indices_or_sections: Any = None,
) -> Any:
    """Views along dim: `n` parts of nearly equal size (the first ones longer), or parts that begin
    at the given indices.

    Raises: RuntimeError for a number of parts below 1.
    """
    d = normalized_dim(dim, len(input.shape), "tensor_split")
    n = input.shape[d]
    names = (indices_or_sections, indices, sections, tensor_indices_or_sections)
    indices_or_sections = next(given for given in names if given is not None)
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        parts = indices_or_sections
        if parts <= 0:
            raise ShapeError(f"tensor_split: expected at least one part. Got {parts}.")
        base, longer = divmod(n, parts)
        bounds = list(itertools.accumulate([base + (k < longer) for k in range(parts)], initial=0))
    else:
        bounds = [0, *[slice(None, i).indices(n)[1] for i in indices_or_sections], n]
    pairs = itertools.pairwise(bounds)
    return tuple(narrow(input, d, min(a, n), max(b - a, 0)) for a, b in pairs)


def _splitter(name: str, dim: int, least: int) -> Any:
    def function(
        input: Spec, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None
    ) -> Any:
        rank = len(input.shape)
        if rank < least:
            raise ShapeError(
                f"{name}: expected at least {least} dimensions. Got shape {tuple(input.shape)}."
            )
        along = 0 if name == "hsplit" and rank == 1 else dim
        n = input.shape[along]
        names = (indices_or_sections, indices, sections)
        parts = next(given for given in names if given is not None)
        if isinstance(parts, int) and (parts <= 0 or n % parts):
            raise ShapeError(
                f"{name}: expected a number of parts that divides {n}, the size of dimension "
                f"{along}. Got {parts}."
            )
        return tensor_split(input, parts, along)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`tensor_split` along dimension {dim}, into parts of equal size."
    return function


hsplit, vsplit, dsplit = (
    _splitter("hsplit", 1, 1),
    _splitter("vsplit", 0, 2),
    _splitter("dsplit", 2, 3),
)


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that tensors of the given shapes broadcast to. Raises: RuntimeError if none."""
    sizes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    return Size(broadcast_sizes("broadcast_shapes", sizes))


def broadcast_tensors(*tensors: Any) -> tuple[Spec, ...]:
    """Views of all tensors in their common shape."""
    several = _several(tensors)
    shape = broadcast_sizes("broadcast_tensors", [tuple(t.shape) for t in several])
    return tuple(expand(t, shape) for t in several)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Spec, ...]:
    """Coordinates on the grid that vectors span, one tensor per vector; "xy" swaps the first two
    dimensions.

    Raises: RuntimeError for another indexing or tensors with more than one dimension.
    """
    several = _several(tensors)
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f"meshgrid: expected indexing 'ij' or 'xy'. Got {indexing!r}.")
    for t in several:
        if len(t.shape) > 1:
            raise ShapeError(f"meshgrid: expected vectors. Got shape {tuple(t.shape)}.")
    swaps = indexing == "xy" and len(several) > 1
    if swaps:
        several[:2] = several[1::-1]
    shape = tuple(t.numel() for t in several)
    grids = []
    for k, t in enumerate(several):
        line = reshape(t, *[-1 if j == k else 1 for j in range(len(shape))])
        grids.append(expand(line, shape))
    if swaps:
        grids[:2] = grids[1::-1]
    return tuple(grids)


def _chunk_cat(tensors: Any, dim: int, num_chunks: int) -> Spec:
    """The tensors side by side in rows of chunks: each is filled up with zeros to a multiple of
    `num_chunks` along `dim` and cut there, (*before, n, ...) -> (*before, num_chunks, rest).

    Raises: RuntimeError for tensors without elements, or whose dimensions before `dim` differ.
    """
    several = list(tensors)
    if not several or num_chunks <= 0 or any(not t.numel() for t in several):
        raise ShapeError(
            f"_chunk_cat: expected tensors with elements and at least one chunk. Got shapes "
            f"{[tuple(t.shape) for t in several]}, {num_chunks} chunks."
        )
    ranks = {t.ndim for t in several}
    if dim < 0 and len(ranks) > 1:
        raise ShapeError(f"_chunk_cat: expected dim from 0 on, as ranks differ. Got {dim}.")
    d = normalized_dim(dim, min(ranks), "_chunk_cat")
    before = tuple(several[0].shape[:d])
    rows = []
    for t in several:
        if tuple(t.shape[:d]) != before:
            raise ShapeError(
                f"_chunk_cat: expected sizes {before} before dimension {d}. Got {tuple(t.shape)}."
            )
        missing = -t.shape[d] % num_chunks
        padded = cat([t, t.new_zeros(*before, missing, *t.shape[d + 1 :])], d)
        rows.append(reshape(padded, *before, num_chunks, -1))
    return cat(rows, -1)


def cartesian_prod(*tensors: Any) -> Spec:
    """All combinations of one element of each vector, as rows."""
    several = _several(tensors)
    for t in several:
        if len(t.shape) != 1:
            raise ShapeError(f"cartesian_prod: expected vectors. Got shape {tuple(t.shape)}.")
    if len(several) == 1:
        return several[0]
    return stack([g.reshape(-1) for g in meshgrid(*several)], 1)


def combinations(input: Spec, r: int = 2, with_replacement: bool = False) -> Spec:
    """All choices of r elements of a vector, as rows, in the order of itertools."""
    if len(input.shape) != 1:
        raise ShapeError(f"combinations: expected a vector. Got shape {tuple(input.shape)}.")
    if r < 0:
        raise RuntimeError(f"combinations: expected r of at least 0. Got {r}.")
    if r == 0:
        return input.new_empty(0)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input.shape[0]), r))
    if not rows:
        return input.new_empty(0, r)
    return input[[n for row in rows for n in row]].reshape(-1, r)


def block_diag(*tensors: Any) -> Spec:
    """The matrices along the diagonal of one, zeros elsewhere."""
    blocks = [atleast_2d(t) for t in _several(tensors)]
    for b in blocks:
        if len(b.shape) != 2:
            raise ShapeError(f"block_diag: expected at most 2 dimensions. Got {tuple(b.shape)}.")
    common = functools.reduce(promote_types, [b.dtype for b in blocks])
    blocks = [b.to(common) for b in blocks]
    width = sum(b.shape[1] for b in blocks)
    rows, at = [], 0
    for b in blocks:
        n, m = b.shape
        rows.append(cat([b.new_zeros(n, at), b, b.new_zeros(n, width - at - m)], 1))
        at += m
    return cat(rows, 0)
