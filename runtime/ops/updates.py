"""Tensors with a part replaced or added to: by index, by mask, by slice."""

from __future__ import annotations

import math
from typing import Any

from ..core import dtypes
from ..core.batched import anywhere
from ..core.creation import as_tensor, full_like
from ..core.limits import iinfo
from ..core.sparse_arrays import refusal
from ..core.tensor import Tensor
from ..errors import DTypeError, OutOfBoundsError, ShapeError
from .declare import Spec
from .gather import scatter_add, scatter_values
from .indexing import index_put_values, parse_index
from .inplace import inplace, setitem
from .numpy_names import numpy_names
from .scattering import scatter_reduced
from .shapes import broadcast_sizes, normalized_dim
from .slicewise import slicewise
from .steps import step
from .strided import as_strided, diagonal

__all__ = [
    "as_strided_scatter",
    "diagonal_scatter",
    "index_add",
    "index_copy",
    "index_fill",
    "index_put",
    "index_reduce",
    "masked_scatter",
    "put",
    "scatter_reduce",
    "select_scatter",
    "slice_scatter",
    "take",
]


def index_put(input: Spec, indices: Any, values: Spec, accumulate: bool = False) -> Spec:
    """input with input[indices] = values, or += with `accumulate`; `indices` is a tuple of tensors,
    None for a whole dimension."""
    parsed, _ = parse_index(input, tuple(slice(None) if i is None else i for i in indices))
    return index_put_values(input, values, index=parsed, accumulate=accumulate)


_added_in_place = inplace(index_put, "index_put_")


def index_put_(self: Tensor, indices: Any, values: Spec, accumulate: bool = False) -> Tensor:
    """`index_put`, written into this tensor, which is returned; without `accumulate` nothing but
    those places is touched."""
    if accumulate or values.dtype is not self.dtype:
        return _added_in_place(self, indices, values, accumulate)
    setitem(self, tuple(slice(None) if i is None else i for i in indices), values)
    return self


def _along(name: str, input: Any, dim: int, index: Any) -> tuple[int, tuple[Any, ...]]:
    """The dimension and the index of its slices. Raises: RuntimeError for an index that is none."""
    rank = max(len(input.shape), 1)
    d = normalized_dim(dim, rank, name)
    if index.dtype not in (dtypes.int64, dtypes.int32) or len(index.shape) > 1:
        raise DTypeError(
            f"{name}: expected a vector of int64 or int32 as index. Got {index.dtype}, shape "
            f"{tuple(index.shape)}."
        )
    return d, (*[slice(None)] * d, index.reshape(-1))


def _require_slices(name: str, input: Any, d: int, index: Any, source: Any) -> Any:
    """`source` with as many dimensions as input. Raises: RuntimeError if its slices do not fit."""
    own = list(input.shape) or [1]
    own[d] = index.numel()
    shape = list(source.shape) or [1]
    if shape != own:
        raise ShapeError(
            f"{name}: expected source of shape {tuple(own)}. Got {tuple(source.shape)}."
        )
    return source.reshape(own)


def _placed(name: str, input: Any, dim: int, index: Any, source: Any) -> tuple[Any, Any]:
    """Where the slices of `source` belong, and they in input's number of dimensions.

    Raises: RuntimeError for another dtype or other sizes.
    """
    d, places = _along(name, input, dim, index)
    _require_same(name, input, source)
    return places, _require_slices(name, input, d, index, source)


def _put_slices(input: Any, places: Any, values: Any, accumulate: bool = False) -> Any:
    """`index_put`, for which a 0-d input is a vector of one."""
    rows = input if len(input.shape) else input.reshape(1)
    return index_put(rows, places, values, accumulate).reshape(input.shape)


@numpy_names
def index_add(input: Spec, dim: int, index: Spec, source: Spec, *, alpha: Any = 1) -> Spec:
    """input with alpha * source added to the slices of `dim` that `index` names, repeated ones
    repeatedly."""
    places, source = _placed("index_add", input, dim, index, source)
    return _put_slices(input, places, source * alpha, accumulate=True)


@numpy_names
def index_copy(input: Spec, dim: int, index: Spec, source: Spec) -> Spec:
    """input with source in the slices of `dim` that `index` names."""
    places, source = _placed("index_copy", input, dim, index, source)
    return _put_slices(input, places, source)


def index_copy_(self: Tensor, dim: int, index: Spec, source: Spec) -> Tensor:
    """`index_copy`, written into this tensor, which is returned; nothing but those slices is
    touched, as of a cache that grows."""
    places, source = _placed("index_copy_", self, dim, index, source)
    setitem(self if len(self.shape) else self.view(1), places, source)
    return self


@numpy_names
def index_fill(input: Spec, dim: int, index: Spec, value: Any) -> Spec:
    """input with `value` in the slices of `dim` that `index` names."""
    _, places = _along("index_fill", input, dim, index)
    if hasattr(value, "shape") and len(value.shape):
        raise ShapeError(f"index_fill: expected a number or 0-d tensor. Got {tuple(value.shape)}.")
    if not hasattr(value, "shape"):
        value = as_tensor(value, dtype=input.dtype, device=input.device)
    value = value.to(input.dtype)
    if value.requires_grad and not (index.is_meta or index._key.level):
        # Each slice is filled once, and has one share in the value's gradient.
        _, places = _along("index_fill", input, dim, index.unique())
    return _put_slices(input, places, value)


def _require_same(name: str, input: Any, source: Any) -> None:
    if source.dtype is not input.dtype:
        raise DTypeError(f"{name}: expected source of {input.dtype}. Got {source.dtype}.")


REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


@numpy_names
def scatter_reduce(
    input: Spec, dim: int, index: Spec, src: Spec, reduce: str, *, include_self: bool = True
) -> Spec:
    """input with src combined into it at `index` along `dim` by sum, prod, mean, amax or amin;
    without `include_self` what input holds there does not take part.

    Raises: RuntimeError for another reduction.
    """
    if reduce not in REDUCTIONS:
        raise RuntimeError(
            f"scatter_reduce: expected one of {', '.join(REDUCTIONS)}. Got {reduce!r}."
        )
    if input.dtype is dtypes.bool_:
        whole = input.to(dtypes.int64), src.to(dtypes.int64)
        out = scatter_reduce(whole[0], dim, index, whole[1], reduce, include_self=include_self)
        return out.to(dtypes.bool_)
    if not (len(input.shape) and len(index.shape)):
        rows = scatter_reduce(
            input.reshape(tuple(input.shape) or (1,)), 0, index.reshape(-1), src.reshape(-1),
            reduce, include_self=include_self,
        )  # fmt: skip
        return rows.reshape(tuple(input.shape))
    if not index.numel():
        return input.clone()
    _require_same("scatter_reduce", input, src)
    src = src[tuple(slice(n) for n in index.shape)]
    if input.is_meta:
        return scatter_add(input, dim, index, src)  # of the same shape
    if reduce in ("sum", "mean"):
        base = input if include_self else scatter_values(input, index, src * 0, dim=dim)
        total = scatter_add(base, dim, index, src)
        if reduce == "sum":
            return total.to(input.dtype)
        ones = src.detach() * 0 + 1
        start = input.detach() * 0 + (1 if include_self else 0)
        count = scatter_add(start, dim, index, ones).clamp(min=1)
        if input.dtype.category < dtypes.FLOAT:
            return total.div(count, rounding_mode="floor")
        return total / count
    return _reduced(input, dim, index, src, reduce, include_self)


@slicewise
def _reduced(input: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool) -> Any:
    """Products and extremes."""
    if not include_self:
        neutral = {"prod": 1, "amax": _lowest(input.dtype), "amin": _highest(input.dtype)}[reduce]
        input = scatter_values(input, index, full_like(src.detach(), neutral), dim=dim)
    return scatter_reduced(input, index, src, dim=dim, reduce=reduce)


def _lowest(dtype: Any) -> Any:
    if dtype.is_floating_point:
        return -math.inf
    return False if dtype is dtypes.bool_ else iinfo(dtype).min


def _highest(dtype: Any) -> Any:
    if dtype.is_floating_point:
        return math.inf
    return True if dtype is dtypes.bool_ else iinfo(dtype).max


@numpy_names
def index_reduce(
    input: Spec, dim: int, index: Spec, source: Spec, reduce: str, *, include_self: bool = True
) -> Spec:
    """input with source combined into the slices of `dim` that `index` names, by prod, mean, amax
    or amin."""
    d, _ = _along("index_reduce", input, dim, index)
    if not len(input.shape):
        rows = input.reshape(1)
        found = index_reduce(rows, 0, index, source.reshape(-1), reduce, include_self=include_self)
        return found.reshape(())
    source = _require_slices("index_reduce", input, d, index, source)
    wide = index.reshape(*[-1 if k == d else 1 for k in range(len(input.shape))])
    wide = wide.to(dtypes.int64).expand(tuple(source.shape))
    return scatter_reduce(input, d, wide, source, reduce, include_self=include_self)


@step("input", "mask", "source")
@slicewise
def masked_scatter(input: Spec, mask: Spec, source: Spec) -> Spec:
    """input with the elements where `mask` holds replaced by those of source, in order.

    Raises: RuntimeError if source has too few elements or mask is not bool.
    """
    if mask.dtype is not dtypes.bool_:
        raise DTypeError(f"masked_scatter: expected mask of torch.bool. Got {mask.dtype}.")
    _require_same("masked_scatter", input, source)
    shape = broadcast_sizes("masked_scatter", [tuple(input.shape), tuple(mask.shape)])
    input, mask = input.expand(shape), mask.expand(shape)
    if input.is_meta:
        return input.new_empty(shape)
    count = int(mask.sum())
    if source.numel() < count:
        raise RuntimeError(
            f"masked_scatter: expected at least {count} elements in source. Got {source.numel()}."
        )
    return index_put(input, (mask,), source.reshape(-1)[:count])


def take(input: Spec, index: Spec) -> Spec:
    """The elements of the flat input at `index`, in index's shape.

    Raises: IndexError for numbers outside, RuntimeError for another dtype than int64.
    """
    if index.dtype is not dtypes.int64:
        raise DTypeError(f"take: expected index of torch.int64. Got {index.dtype}.")
    return input.reshape(-1)[_wrapped("take", input, index)].reshape(index.shape)


def put(input: Spec, index: Spec, source: Spec, accumulate: bool = False) -> Spec:
    """input with source written (or added) at `index` of the flat tensor."""
    if index.dtype is not dtypes.int64 or index.numel() != source.numel():
        raise RuntimeError(
            f"put: expected as many int64 numbers as elements of source. Got {index.dtype}, "
            f"{tuple(index.shape)} and {tuple(source.shape)}."
        )
    _require_same("put", input, source)
    places = (_wrapped("put", input, index),)
    flat = index_put(input.reshape(-1), places, source.reshape(-1), accumulate)
    return flat.reshape(input.shape)


def _wrapped(name: str, input: Any, index: Any) -> Any:
    n = input.numel()
    flat = index.reshape(-1)
    if flat.numel() and not flat.is_meta and anywhere((flat < -n) | (flat >= n)):
        raise OutOfBoundsError(f"{name}: expected numbers from {-n} to {n - 1} for {n} elements.")
    return flat.where(flat >= 0, flat + n)


def _replaced(input: Any, part: Any, src: Any, name: str) -> Any:
    """A clone of input with `src` in the view that `part` makes of it."""
    if input.is_sparse:
        raise refusal(name, input.shape)  # whose parts are no views
    out = input.clone()
    view = part(out)
    if tuple(view.shape) != tuple(src.shape):
        raise ShapeError(
            f"{name}: expected src of shape {tuple(view.shape)}. Got {tuple(src.shape)}."
        )
    view.copy_(src)
    return out


@numpy_names
def select_scatter(input: Spec, src: Spec, dim: int, index: int) -> Spec:
    """input with src at `index` of dimension `dim`."""
    return _replaced(input, lambda x: x.select(dim, index), src, "select_scatter")


@numpy_names
def slice_scatter(
    input: Spec, src: Spec, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Spec:
    """input with src in the slice start:end:step of dimension `dim`."""
    d = normalized_dim(dim, len(input.shape), "slice_scatter")
    where = (*[slice(None)] * d, slice(start, end, step))
    return _replaced(input, lambda x: x[where], src, "slice_scatter")


def diagonal_scatter(input: Spec, src: Spec, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Spec:
    """input with src on the diagonal of dimensions dim1 and dim2."""
    return _replaced(input, lambda x: diagonal(x, offset, dim1, dim2), src, "diagonal_scatter")


def as_strided_scatter(
    input: Spec, src: Spec, size: Any, stride: Any, storage_offset: int | None = None
) -> Spec:
    """input with src where `as_strided` would show it."""
    return _replaced(
        input, lambda x: as_strided(x, size, stride, storage_offset), src, "as_strided_scatter"
    )
