"""Statistics: medians and other quantiles, means without NaN, covariance, counts."""

from __future__ import annotations

import math
from typing import Any

from ..autograd.node import named
from ..core import dtypes
from ..core.batched import anywhere
from ..core.creation import tensor
from ..core.dispatch import guarded, key_of
from ..core.tensor import wrap
from ..errors import DTypeError, ShapeError
from .declare import Spec
from .gather import gather
from .numpy_names import numpy_names
from .reductions import deviation, var
from .return_types import SELECTIONS, return_type
from .shapes import Dims, normalized_dim, require_values
from .slicewise import slicewise
from .sorting import argsort, rank_positions, sort
from .steps import step

__all__ = [
    "aminmax",
    "bincount",
    "corrcoef",
    "cov",
    "kthvalue",
    "median",
    "mode",
    "nanmean",
    "nanmedian",
    "nanquantile",
    "nansum",
    "quantile",
    "renorm",
    "std_mean",
    "var_mean",
]

# -- several reductions at once --------------------------------------------------------------------


MinAndMax = return_type("aminmax", "min", "max")


@numpy_names
def aminmax(input: Spec, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest and the largest element, of all or along `dim`: a named tuple."""
    if dim is None and keepdim:
        dims = list(range(len(input.shape)))
        return MinAndMax(input.amin(dims, keepdim), input.amax(dims, keepdim))
    return MinAndMax(input.amin(dim, keepdim), input.amax(dim, keepdim))


@numpy_names
def var_mean(
    input: Spec, dim: Any = None, unbiased: Any = None, keepdim: bool = False,
    *, correction: float | None = None,
) -> tuple[Spec, Spec]:  # fmt: skip
    """`var` and `mean` over `dim`."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return var(input, dim, unbiased, keepdim, correction=correction), input.mean(dim, keepdim)


@numpy_names
def std_mean(
    input: Spec, dim: Any = None, unbiased: Any = None, keepdim: bool = False,
    *, correction: float | None = None,
) -> tuple[Spec, Spec]:  # fmt: skip
    """`std` and `mean` over `dim`."""
    spread, mean = var_mean(input, dim, unbiased, keepdim, correction=correction)
    return deviation(spread), mean


# -- without NaN -----------------------------------------------------------------------------------


@numpy_names
def nansum(input: Spec, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Spec:
    """The sum over `dim` with NaN as 0."""
    if input.dtype.category >= dtypes.FLOAT:
        input = input.masked_fill(input.isnan(), 0)
    return input.sum(dim, keepdim, dtype=dtype)


@numpy_names
def nanmean(input: Spec, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Spec:
    """The mean over `dim` of the elements that are not NaN."""
    if input.dtype.category < dtypes.FLOAT:
        raise DTypeError(f"nanmean: expected floating-point numbers. Got {input.dtype}.")
    total = nansum(input, dim, keepdim, dtype=dtype)
    return total / input.isnan().logical_not().sum(dim, keepdim)


# -- order statistics ------------------------------------------------------------------------------


def _flat(input: Any) -> Any:
    return input.reshape(-1)


def _at_rank(name: str, input: Any, dim: int, keepdim: bool, ranks: Any) -> Any:
    """Values and indices at the `ranks` (int, or a tensor for each row) of the sorted elements."""
    if not len(input.shape):
        return SELECTIONS[name](input.clone(), input.new_zeros((), dtype=dtypes.int64))
    d = normalized_dim(dim, len(input.shape), name)
    if not input.shape[d]:
        raise IndexError(
            f"{name}: expected elements along dimension {d}. Got {tuple(input.shape)}."
        )
    if isinstance(ranks, int):
        place = rank_positions(input, dim=d, rank=ranks)
    else:
        place = argsort(input, d, stable=True).gather(d, ranks)
    values = gather(input, d, place)
    if not keepdim:
        values, place = values.squeeze(d), place.squeeze(d)
    return SELECTIONS[name](named(values, name.capitalize()), place)


@numpy_names
def kthvalue(input: Spec, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th smallest element along `dim`: named tuple of values and indices.

    Raises: RuntimeError for k outside the dimension.
    """
    n = input.shape[normalized_dim(dim, len(input.shape), "kthvalue")] if input.ndim else 1
    if not 1 <= k <= n:
        raise RuntimeError(f"kthvalue: expected k from 1 to {n}. Got {k}.")
    return _at_rank("kthvalue", input, dim, keepdim, k - 1)


@numpy_names
def median(input: Spec, dim: Any = None, keepdim: bool = False) -> Any:
    """The median, the lower one of an even number; NaN if one is NaN. Along `dim`: named tuple of
    values and indices."""
    if dim is None:
        if not input.numel():
            return input.new_full((), math.nan)
        return named(median(_flat(input), 0).values, "Median")
    if not len(input.shape):
        return _at_rank("median", input, 0, keepdim, 0)
    d = normalized_dim(dim, len(input.shape), "median")
    n = input.shape[d]
    if input.dtype.category < dtypes.FLOAT or not n:
        return _at_rank("median", input, d, keepdim, (n - 1) // 2)
    # NaN sorts last: where there is one, the last element is NaN.
    missing = input.isnan().any(d, keepdim=True)
    first_nan = input.isnan().to(dtypes.int64).argmax(d, keepdim=True)
    place = rank_positions(input, dim=d, rank=(n - 1) // 2)
    place = place.where(missing.logical_not(), first_nan)
    values = gather(input, d, place)
    if not keepdim:
        values, place = values.squeeze(d), place.squeeze(d)
    return SELECTIONS["median"](named(values, "Median1"), place)


@numpy_names
def nanmedian(input: Spec, dim: Any = None, keepdim: bool = False) -> Any:
    """The median of the elements that are not NaN; as `median` otherwise."""
    if input.dtype.category < dtypes.FLOAT:
        found = median(input, dim, keepdim)
        return found if dim is None else SELECTIONS["nanmedian"](*found)
    if dim is None:
        if not input.numel():
            return input.new_full((), math.nan)
        return nanmedian(_flat(input), 0).values
    if not len(input.shape):
        return _at_rank("nanmedian", input, 0, keepdim, 0)
    d = normalized_dim(dim, len(input.shape), "nanmedian")
    count = input.isnan().logical_not().sum(d, keepdim=True)
    return _at_rank("nanmedian", input, d, keepdim, ((count - 1).clamp(min=0)) // 2)


@numpy_names
@slicewise
@guarded
def mode(input: Spec, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element along `dim`, the smallest of several: named tuple of values and
    indices (of the last occurrence)."""
    if not len(input.shape):
        return _at_rank("mode", input, 0, keepdim, 0)
    d = normalized_dim(dim, len(input.shape), "mode")
    if not input.shape[d]:
        raise IndexError(f"mode: expected elements along dimension {d}. Got {tuple(input.shape)}.")
    if input.is_meta:
        return SELECTIONS["mode"](input.amax(d, keepdim), input.argmax(d, keepdim))
    ordered, order = sort(input.detach().movedim(d, -1), -1, stable=True)
    xp = input._key.backend.xp
    values = ordered._array
    same = values[..., 1:] == values[..., :-1]
    run = xp.zeros(values.shape, xp.int64)
    for i in range(1, values.shape[-1]):
        run[..., i] = xp.where(same[..., i - 1], run[..., i - 1] + 1, 0)
    best = run.argmax(-1)[..., None]  # the end of the first of the longest runs
    key = key_of(input.device, dtypes.int64)
    place = gather(order, -1, wrap(xp.asarray(best), key)).movedim(-1, d)
    found = gather(input, d, place)
    if not keepdim:
        found, place = found.squeeze(d), place.squeeze(d)
    return SELECTIONS["mode"](found, place)


@numpy_names
def quantile(
    input: Spec, q: Any, dim: int | None = None, keepdim: bool = False,
    *, interpolation: str = "linear",
) -> Spec:  # fmt: skip
    """The q-th quantiles (0 to 1, a number or vector) along `dim` or of all elements; a vector q
    makes a new first dimension. NaN if one is NaN.

    `interpolation` between neighbours: linear, lower, higher, midpoint or nearest.
    Raises: RuntimeError for q outside [0, 1], another interpolation or mixed dtypes.
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, skips_nan=False)


@numpy_names
def nanquantile(
    input: Spec, q: Any, dim: int | None = None, keepdim: bool = False,
    *, interpolation: str = "linear",
) -> Spec:  # fmt: skip
    """`quantile` of the elements that are not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, skips_nan=True)


def _quantile(
    name: str, input: Any, q: Any, dim: Any, keepdim: bool, how: str, skips_nan: bool
) -> Any:
    if how not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError(
            f"{name}: expected linear, lower, higher, midpoint or nearest. Got {how!r}."
        )
    if not input.dtype.is_floating_point or not input.numel():
        raise RuntimeError(
            f"{name}: expected floating-point numbers. Got {input.dtype}, {tuple(input.shape)}."
        )
    q = q if hasattr(q, "shape") else tensor(q, dtype=input.dtype, device=input.device)
    if q.dtype is not input.dtype or len(q.shape) > 1:
        raise RuntimeError(
            f"{name}: expected q of {input.dtype} with at most one dimension. Got {q.dtype}, "
            f"{tuple(q.shape)}."
        )
    if not q.is_meta and anywhere((q < 0) | (q > 1) | q.isnan()):
        raise RuntimeError(f"{name}: expected q from 0 to 1. Got {q.tolist()}.")
    rank = len(input.shape)
    d = None if dim is None else normalized_dim(dim, rank, name)
    rows = _flat(input) if d is None or not rank else input.movedim(d, -1)
    ordered = sort(rows, -1).values
    missing = rows.isnan()
    last = rows.shape[-1] - 1
    count = (missing.logical_not().sum(-1, keepdim=True) - 1).clamp(min=0) if skips_nan else last
    place = q.reshape(-1) * (count.to(q.dtype) if skips_nan else float(count))
    place = place.expand(*ordered.shape[:-1], q.numel())
    if how == "nearest":
        place = place.round()
    elif how == "lower":
        place = place.floor()
    elif how == "higher":
        place = place.ceil()
    below = place.floor().to(dtypes.int64)
    low = gather(ordered, -1, below)
    if how in ("linear", "midpoint"):
        high = gather(ordered, -1, place.ceil().to(dtypes.int64))
        weight = place - below if how == "linear" else (place - below > 0).to(q.dtype) * 0.5
        low = low.lerp(high, weight)
    if not skips_nan:
        low = low.masked_fill(missing.any(-1, keepdim=True), math.nan)
    out = low.movedim(-1, 0)
    if keepdim:
        out = out.unsqueeze(d + 1) if d is not None and rank else out.reshape(-1, *[1] * rank)
    return out if len(q.shape) else out.squeeze(0)


# -- several variables -----------------------------------------------------------------------------


def cov(input: Spec, *, correction: float = 1, fweights: Any = None, aweights: Any = None) -> Spec:
    """The covariances of the rows of input (variables by observations), weighted by counts and
    importances of the observations."""
    if len(input.shape) > 2:
        raise ShapeError(f"cov: expected at most 2 dimensions. Got shape {tuple(input.shape)}.")
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is not None and len(given.shape) > 1:
            raise ShapeError(
                f"cov: expected {name} with at most 1 dimension. Got {tuple(given.shape)}."
            )
    if fweights is not None and fweights.dtype.category >= dtypes.FLOAT:
        raise DTypeError(f"cov: expected fweights of whole numbers. Got {fweights.dtype}.")
    rows = input.reshape(1, -1) if len(input.shape) < 2 else input
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        if given.numel() != rows.shape[1]:
            raise ShapeError(
                f"cov: expected {name} for {rows.shape[1]} observations. Got {given.numel()}."
            )
        if not given.is_meta and bool((given < 0).any()):
            raise RuntimeError(f"cov: expected {name} of at least 0. Got negative ones.")
    weights: Any = fweights
    if aweights is not None:
        weights = aweights if weights is None else weights * aweights
    if weights is None:
        total: Any = rows.shape[1]
        mean = rows.sum(1, keepdim=True) / total
        freedom: Any = max(total - correction, 0)
    else:
        total = weights.sum()
        mean = (rows * weights).sum(1, keepdim=True) / total
        freedom = total - correction
        if aweights is not None and correction:
            freedom = total - correction * (weights * aweights).sum() / total
    centred = rows - mean
    other = centred if weights is None else centred * weights
    return ((other @ centred.conj().mT) / freedom).squeeze()


def corrcoef(input: Spec) -> Spec:
    """The correlation coefficients of the rows of input."""
    found = cov(input)
    if not len(found.shape):
        return found / found
    scale = found.diagonal().abs().sqrt()
    found = found / scale.unsqueeze(0) / scale.unsqueeze(1)
    return found if found.dtype.is_complex else found.clamp(-1, 1)


# -- counts ----------------------------------------------------------------------------------------


@slicewise
@step("input", "weights")
@guarded
def bincount(input: Spec, weights: Any = None, minlength: int = 0) -> Spec:
    """How often each of 0, 1, ... occurs in a vector of integers; with `weights` their sums.

    Raises: RuntimeError for negative numbers or another shape of weights.
    """
    require_values("bincount", input)
    xp = input._key.backend.xp
    array = input._array
    if (
        array.ndim != 1
        or input.dtype.category != dtypes.INTEGER
        or (array.size and array.min() < 0)
    ):
        raise RuntimeError(
            f"bincount: expected a vector of integers from 0 on. Got {input.dtype}, shape "
            f"{tuple(input.shape)}."
        )
    if minlength < 0 or (weights is not None and tuple(weights.shape) != tuple(input.shape)):
        raise RuntimeError("bincount: expected minlength of at least 0 and a weight per element.")
    given = None if weights is None else weights.detach()._array
    counts = xp.bincount(array, given, minlength)
    dtype = dtypes.int64
    if weights is not None and array.size:  # the sums of nothing are counts
        dtype = dtypes.float32 if weights.dtype is dtypes.float32 else dtypes.float64
    return wrap(xp.asarray(counts, dtype.numpy), key_of(input.device, dtype))


@numpy_names
def renorm(input: Spec, p: float, dim: int, maxnorm: float) -> Spec:
    """Slices along `dim` whose p-norm is above `maxnorm` scaled down to it."""
    rank = len(input.shape)
    if rank < 2 or p <= 0 or maxnorm < 0:
        raise ShapeError(
            f"renorm: expected at least 2 dimensions, p above 0 and maxnorm of at least 0. Got "
            f"shape {tuple(input.shape)}, {p} and {maxnorm}."
        )
    d = normalized_dim(dim, rank, "renorm")
    length = input.norm(p, [k for k in range(rank) if k != d], keepdim=True)
    factor = (maxnorm / (length + 1e-7)).where(length > maxnorm, length.new_ones(()))
    return input * factor
