"""Sums, means and largest elements of bags of rows of a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.grad_mode import no_grad
from ..core import dtypes
from ..core.creation import from_numpy, zeros
from ..core.tensor import Tensor
from ..errors import OutOfBoundsError, ShapeError
from .arithmetic import masked_fill
from .embedding import embedding_lookup
from .gather import gather
from .reductions import argmax
from .updates import index_add
from .views import reshape, unsqueeze


def renormalize_rows(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale those rows of weight, in place, that `indices` name and whose norm is above
    `max_norm`."""
    with no_grad():
        for row in indices.unique().tolist():
            size = float(weight[row].norm(norm_type))
            if size > max_norm:
                weight[row] *= max_norm / (size + 1e-7)


def _bags(input: Tensor, offsets: Any, include_last_offset: bool) -> tuple[Any, int]:
    """For each place of the flat input the number of its bag, and how many bags there are."""
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError("embedding_bag: expected no offsets for an input of 2 dimensions.")
        rows, length = input.shape
        return np.repeat(np.arange(rows), length), rows
    if input.ndim != 1 or offsets is None or offsets.ndim != 1:
        raise ShapeError(
            f"embedding_bag: expected input (bags, length), or (n,) with offsets (bags,). Got "
            f"input {tuple(input.shape)} and offsets "
            f"{None if offsets is None else tuple(offsets.shape)}."
        )
    starts = offsets.cpu().numpy().astype(np.int64)
    count = input.shape[0]
    if len(starts) and (starts[0] != 0 or starts.max() > count):
        raise ValueError(
            f"embedding_bag: expected offsets from 0 to {count}. Got {starts.tolist()}."
        )
    if include_last_offset:
        starts = starts[:-1]
    bounds = np.append(starts, count)
    return np.repeat(np.arange(len(starts)), np.diff(bounds)), len(starts)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or largest elements (`mode`) of the rows of weight (n, d) in each bag: (bags,
    d). A bag is a row of input, or reaches from one of `offsets` to the next.

    `per_sample_weights` multiply the rows of a sum; rows `padding_idx` do not count.
    Raises: ValueError for modes and weights that do not fit, IndexError for a row not there.
    """
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"embedding_bag: expected mode sum, mean or max. Got {mode!r}.")
    if per_sample_weights is not None:
        if mode != "sum":
            raise NotImplementedError(
                f"embedding_bag: expected mode 'sum' with per_sample_weights. Got {mode!r}."
            )
        if tuple(per_sample_weights.shape) != tuple(input.shape):
            raise ShapeError(
                f"embedding_bag: expected per_sample_weights of input's shape "
                f"{tuple(input.shape)}. Got {tuple(per_sample_weights.shape)}."
            )
    numbers, count = _bags(input, offsets, include_last_offset)
    rows = reshape(input, -1).to(dtypes.int64)
    if padding_idx is not None and padding_idx < 0:
        padding_idx += weight.shape[0]
    if max_norm is not None:
        renormalize_rows(weight, rows, max_norm, norm_type)
    kept = np.ones(len(numbers), bool)
    values = rows.cpu().numpy()
    if values.size and not 0 <= values.min() <= values.max() < weight.shape[0]:
        raise OutOfBoundsError(
            f"embedding_bag: expected indices from 0 to {weight.shape[0] - 1}. Got "
            f"{values.min()} to {values.max()}."
        )
    if padding_idx is not None:
        kept = values != padding_idx
    numbers = numbers[kept]
    lengths = np.bincount(numbers, minlength=count)
    chosen = rows if kept.all() else rows[from_numpy(kept).to(rows.device)]
    vectors = embedding_lookup(weight, chosen)
    if mode == "max":
        return _largest(vectors, numbers, lengths)
    if per_sample_weights is not None:
        factors = reshape(per_sample_weights, -1)
        factors = factors if kept.all() else factors[from_numpy(kept).to(rows.device)]
        vectors = vectors * unsqueeze(factors, 1)
    if scale_grad_by_freq:
        vectors = _scaled_by_frequency(vectors, values[kept])
    out = zeros(count, weight.shape[1], dtype=weight.dtype, device=weight.device)
    out = index_add(out, 0, from_numpy(numbers).to(rows.device), vectors)
    if mode == "mean":
        divisors = from_numpy(np.maximum(lengths, 1)).to(weight.device, weight.dtype)
        out = out / unsqueeze(divisors, 1)
    return out


def _scaled_by_frequency(vectors: Tensor, rows: Any) -> Tensor:
    """The vectors, with gradients divided by how often their row occurs."""
    _, place, often = np.unique(rows, return_inverse=True, return_counts=True)
    factor = from_numpy(1.0 / often[place]).to(vectors.device, vectors.dtype)
    weighted = vectors * unsqueeze(factor, 1)
    return weighted + (vectors - weighted).detach()


def _largest(vectors: Tensor, numbers: Any, lengths: Any) -> Tensor:
    """The largest elements of each bag, 0 for an empty one; the first of equals gets the
    gradient."""
    count, width = len(lengths), vectors.shape[1]
    longest = max(int(lengths.max(initial=0)), 1)
    starts = np.append(0, np.cumsum(lengths)[:-1]) if count else np.zeros(0, np.int64)
    place = starts[:, None] + np.arange(longest)
    inside = np.arange(longest) < lengths[:, None]
    if not len(numbers):
        return zeros(count, width, dtype=vectors.dtype, device=vectors.device)
    index = from_numpy(np.where(inside, place, 0)).to(vectors.device)
    bags = reshape(vectors[reshape(index, -1)], count, longest, width)
    outside = from_numpy(~inside).to(vectors.device)
    best = argmax(masked_fill(bags.detach(), unsqueeze(outside, 2), -float("inf")), 1, True)
    found = reshape(gather(bags, 1, best), count, width)
    is_empty = from_numpy(lengths == 0).to(vectors.device)
    return masked_fill(found, unsqueeze(is_empty, 1), 0.0)


def scaled_embedding(weight: Tensor, input: Tensor, padding_idx: int | None) -> Tensor:
    """`embedding_lookup` with gradients divided by how often their row occurs."""
    rows = embedding_lookup(weight, input, padding_idx=padding_idx)
    flat = reshape(rows, -1, weight.shape[1])
    scaled = _scaled_by_frequency(flat, input.cpu().numpy().reshape(-1))
    return reshape(scaled, *rows.shape)
