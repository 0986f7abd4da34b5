"""Bags of rows of a table, each bag reduced to one vector."""

from __future__ import annotations

from typing import Any

from ..core.ranges import arange
from ..core.tensor import Tensor
from ..errors import DTypeError, ShapeError
from .declare import Index, Spec, primitive
from .embedding import embedding_lookup, embedding_weight_gradient, rows_of
from .joins import cat
from .slicewise import slicewise

__all__ = ["embedding_bag"]

SUM, MEAN, MAX = 0, 1, 2
"""PyTorch's numbers of the modes."""


@primitive
def bag_numbers(offsets: Index, *, count: int) -> Index:
    """For each of `count` positions the bag it lies in; bag k begins at offsets[k]: (count,)."""
    return Spec((count,), offsets.dtype)


@bag_numbers.array
def bag_numbers_array(xp: Any, offsets: Any, count: int) -> Any:
    """How many bags have begun up to each position."""
    begun = xp.bincount(offsets, minlength=count + 1)[:count]
    return (xp.cumsum(begun) - 1).astype(offsets.dtype)


def _checked(weight: Tensor, indices: Tensor, offsets: Tensor, mode: int, weights: Any) -> None:
    """Raises: RuntimeError for what does not fit."""
    for name, x in (("indices", indices), ("offsets", offsets)):
        if x.ndim != 1 or x.dtype.is_floating_point or x.dtype.is_complex:
            raise DTypeError(
                f"embedding_bag: expected {name} of integers in one dimension. Got {x.dtype}, "
                f"shape {tuple(x.shape)}."
            )
    if weight.ndim != 2 or mode not in (SUM, MEAN, MAX):
        raise ShapeError(
            "embedding_bag: expected weight (rows, columns) and mode 0 (sum), 1 (mean) or 2 (max). "
            f"Got weight {tuple(weight.shape)} and mode {mode}."
        )
    if weights is not None and (mode != SUM or tuple(weights.shape) != tuple(indices.shape)):
        raise ShapeError(
            "embedding_bag: expected per_sample_weights in mode sum only, one for each index "
            f"{tuple(indices.shape)}. Got {tuple(weights.shape)} and mode {mode}."
        )
    if offsets.is_meta or not offsets.numel():
        return
    first, last = int(offsets[0]), int(offsets[-1])
    if first != 0 or last > indices.shape[0]:
        raise ShapeError(
            f"embedding_bag: expected offsets from 0 to at most {indices.shape[0]}, the number of "
            f"indices. Got {first} as the first and {last} as the last."
        )
    if bool((offsets[1:] < offsets[:-1]).any()):
        raise ShapeError("embedding_bag: expected offsets that do not fall. Got some that do.")


@slicewise
def embedding_bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = SUM,
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sums (mode 0), means (1) or maxima (2) of bags of rows of weight (n, d): bag k holds the rows
    named from indices[offsets[k]] up to the next bag's first; empty bags give 0.

    Returns the vectors (bags, d), the bag of each index, the number of rows in each bag without
    padding, and for maxima the rows (bags, d) they came from, else those numbers again.
    `per_sample_weights` scale rows in mode sum; `include_last_offset`: the last offset only ends a
    bag; rows `padding_idx` are left out. If `sparse`, the gradient of a leaf is a sparse
    tensor.
    Raises: RuntimeError for what does not fit, IndexError for an index that is not there.
    """
    _checked(weight, indices, offsets, mode, per_sample_weights)
    begins = offsets[:-1] if include_last_offset else offsets
    bags = begins.shape[0]
    if padding_idx is not None:
        padding_idx %= weight.shape[0]
    if not bags or not indices.numel():
        none = indices.new_zeros(bags)
        empty = weight.sum() * 0 if weight.numel() else weight.sum()
        return empty * weight.new_zeros(bags, weight.shape[1]), indices.new_zeros(0), none, none
    bag = bag_numbers(begins, count=indices.shape[0])
    kept = None if padding_idx is None else indices != padding_idx
    ones = indices.new_ones(indices.shape[0]) if kept is None else kept.to(indices.dtype)
    sizes = indices.new_zeros(bags).index_add(0, bag, ones)
    if mode == MAX:
        values, rows = _maxima(weight, indices, begins, sizes, kept, padding_idx)
        return values, bag, sizes, rows
    vectors = rows_of(weight, indices, padding_idx, scale_grad_by_freq, sparse)
    if per_sample_weights is not None:
        vectors = vectors * per_sample_weights.unsqueeze(1)
    if kept is not None:
        vectors = vectors.masked_fill(kept.logical_not().unsqueeze(1), 0.0)
    # Adding up by bag is what the gradient of a lookup does by row.
    values = embedding_weight_gradient(vectors, bag, like=(bags, weight.shape[1]))
    if mode == MEAN:
        values = values / sizes.clamp(min=1).unsqueeze(1).to(values.dtype)
    return values, bag, sizes, sizes


def _maxima(
    weight: Tensor, indices: Tensor, begins: Tensor, sizes: Tensor, kept: Any, padding_idx: Any
) -> tuple[Tensor, Tensor]:
    """Each bag's maxima and the rows they came from, by a table (bags, length of the longest)."""
    count = indices.shape[0]
    ends = cat([begins[1:], begins.new_full((1,), count)])
    longest = count if indices.is_meta else max(int((ends - begins).max()), 1)
    places = begins.unsqueeze(1) + arange(longest, device=indices.device, dtype=begins.dtype)
    inside = places < ends.unsqueeze(1)
    places = places.clamp(max=count - 1)
    if kept is not None:
        inside = inside & kept[places]
    rows = indices[places]
    vectors = embedding_lookup(weight, rows, padding_idx=padding_idx)
    lowest = vectors.masked_fill(inside.logical_not().unsqueeze(2), float("-inf"))
    values, which = lowest.max(1)
    empty = (sizes == 0).unsqueeze(1)
    return values.masked_fill(empty, 0.0), rows.gather(1, which).masked_fill(empty, 0)
