"""Sums, norms and softmax over the elements that are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.dispatch import guarded
from ..core.sparse_arrays import SparseArray, module_of, refusal, row_major
from ..core.tensor import Tensor, wrap
from ..errors import LayoutError
from ..ops import extremes, reductions
from ..ops.activations import log_softmax as dense_log_softmax
from ..ops.activations import softmax as dense_softmax
from ..ops.indexing import getitem, index_embed
from ..ops.joins import cat
from ..ops.shapes import normalized_dim, normalized_dims
from .elementwise import rule
from .graph import assembled, coalesced, indices_of, is_sparse, values_of, with_values


@rule("sum_over")
def sum_over(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Sparse and coalesced while a sparse dimension is left, else dense."""
    dims = normalized_dims(dim, input.ndim, "sum")
    input = coalesced(input)
    array = input._array
    depth = array.sparse_dim
    values = values_of(input)
    inner = [d - depth + 1 for d in dims if d >= depth]
    if inner:
        values = reductions.sum_over(values, dim=tuple(inner), keepdim=keepdim)
    kept = [d for d in range(depth) if d not in dims]
    sizes = tuple(array.shape[d] if d in kept else 1 for d in range(depth) if d in kept or keepdim)
    if not kept:
        out = reductions.sum_over(values, dim=0)
        return out.reshape((*sizes, *out.shape)) if keepdim else out
    if len(kept) == depth:
        return with_values(input, values)
    xp = module_of(array.indices)
    indices = array.indices[kept]
    if keepdim:
        indices = xp.zeros_like(array.indices)
        indices[kept] = array.indices[kept]
    return coalesced(assembled(indices, values, (*sizes, *values.shape[1:])))


@rule("euclidean_norm")
def euclidean_norm(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Over all elements, as zeros do not count."""
    if len(normalized_dims(dim, input.ndim, "norm")) != input.ndim:
        raise refusal("norm over some dimensions", input.shape)
    out = reductions.euclidean_norm(values_of(coalesced(input)))
    return out.reshape((1,) * input.ndim) if keepdim else out


@rule("any")
def any_nonzero(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Over all elements, as zeros do not count."""
    if dim is not None:
        raise refusal("any over some dimensions", input.shape)
    return reductions.any(values_of(coalesced(input)))


def _extreme(name: str) -> Callable[..., Tensor]:
    def extreme(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
        if len(normalized_dims(dim, input.ndim, name)) != input.ndim:
            raise refusal(f"{name} over some dimensions", input.shape)
        values = values_of(coalesced(input)).reshape(-1)
        if values.numel() < input.numel():
            values = cat([values, values.detach().new_zeros(1)])
        out: Tensor = getattr(extremes, name)(values)
        return out.reshape((1,) * input.ndim) if keepdim else out

    extreme.__doc__ = f"The {name} of all elements, with a zero among them if one is not kept."
    return extreme


rule("amax")(_extreme("amax"))
rule("amin")(_extreme("amin"))


# -- softmax ---------------------------------------------------------------------------------------


def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """exp(x) over its sum along `dim`, where what is not kept counts as minus infinity; coalesced.

    Raises: LayoutError for a dense tensor.
    """
    return _softmax(input, "softmax", dim, dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The logarithm of `softmax`."""
    return _softmax(input, "log_softmax", dim, dtype)


@guarded
def _softmax(input: Tensor, name: str, dim: int, dtype: Any) -> Tensor:
    if not is_sparse(input):
        raise LayoutError(
            f"torch.sparse.{name}: expected a sparse tensor. Got a dense one of shape "
            f"{tuple(input.shape)}. Use torch.{name}."
        )
    d = normalized_dim(dim, input.ndim, name)
    input = coalesced(input if dtype is None else input.to(dtype))
    array, values = input._array, values_of(input)
    if d >= array.sparse_dim:
        dense = dense_softmax if name == "softmax" else dense_log_softmax
        return with_values(input, dense(values, d - array.sparse_dim + 1))
    if not array.nnz:
        return with_values(input, values)
    groups, count = _groups(array, d)
    group = indices_of(input, groups)
    like = (count, *array.values.shape[1:])
    shifted = values - wrap(_largest(array.values, groups, like)[groups], values._key)
    exponentials = shifted.exp()
    index = (groups,)
    sums = index_embed(exponentials, like=like, index=index, unique=False)
    if name == "softmax":
        return with_values(input, exponentials / getitem(sums, group))
    return with_values(input, shifted - getitem(sums.log(), group))


def _groups(array: SparseArray, dim: int) -> tuple[Any, int]:
    """For each index the number of the line along `dim` that it is on, and how many there are."""
    xp = module_of(array.indices)
    rest = [k for k in range(array.sparse_dim) if k != dim]
    lines = row_major(array.indices[rest], tuple(array.shape[k] for k in rest))
    found, groups = xp.unique(lines, return_inverse=True)
    return groups.reshape(-1), len(found)


def _largest(values: Any, groups: Any, like: tuple[int, ...]) -> Any:
    xp = module_of(values)
    out = xp.full(like, -xp.inf, values.dtype)
    xp.maximum.at(out, groups, values)
    return out
