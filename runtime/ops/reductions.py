"""Reductions: sums, means, spread, counts; and their opposite, expansion."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core import dtypes
from ..errors import DTypeError
from . import shapes
from .declare import Mask, Spec, composite, pointwise, primitive
from .shapes import Dims, Shape, numpy_axis, reduced_shape

__all__ = [
    "all",
    "any",
    "count_nonzero",
    "cumsum",
    "hash_tensor",
    "logsumexp",
    "mean",
    "norm",
    "std",
    "sum",
    "var",
]


# -- sum and its opposite --------------------------------------------------------------------------


@primitive(node_name="Sum", layout="row_major")
def sum_over(input: Spec, *, dim: Dims = None, keepdim: bool = False) -> Spec:
    """The sum over `dim`."""
    return Spec(reduced_shape(tuple(input.shape), dim, keepdim, "sum"), input.dtype)


@sum_over.array
def sum_array(xp: Any, input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """NumPy sums pairwise along the last axis."""
    return xp.add.reduce(input, numpy_axis(dim), input.dtype, None, keepdim)


@sum_over.vjp()
def sum_vjp(F: Any, g: Any, needs: Any, input: Any, dim: Any, keepdim: Any) -> Any:
    """g for every element that was added."""
    return F.expand_reduced(g, like=input, dim=dim, keepdim=keepdim)


@sum_over.naming
def sum_name(node: Any) -> str:
    """PyTorch numbers the form with `dim` 1."""
    return "SumBackward0" if node.attributes[0] is None else "SumBackward1"


@primitive(may_alias=True, moves=True)
def expand_reduced(g: Spec, *, like: Shape, dim: Dims, keepdim: bool) -> Spec:
    """`g`, the result of reducing an array of shape `like` over `dim`, repeated to that shape."""
    return Spec(like, g.dtype)


def broadcast_view(xp: Any, array: Any, shape: Shape) -> Any:
    """`array` broadcast to `shape` as a read-only view.

    For a 0-d array NumPy's own function takes 2 us, this a quarter of it.
    """
    if array.shape or xp is not np:
        return xp.broadcast_to(array, shape)
    view = np.ndarray(shape, array.dtype, np.asarray(array), 0, (0,) * len(shape))
    view.flags.writeable = False
    return view


@expand_reduced.array
def expand_reduced_array(xp: Any, g: Any, like: Shape, dim: Dims, keepdim: bool) -> Any:
    """A read-only view of g."""
    if not keepdim and g.shape:
        dims = shapes.normalized_dims(dim, len(like), "sum")
        g = g.reshape([1 if k in dims else n for k, n in enumerate(like)])
    return broadcast_view(xp, g, like)


@expand_reduced.vjp()
def expand_reduced_vjp(
    F: Any, h: Any, needs: Any, g: Any, like: Any, dim: Any, keepdim: Any
) -> Any:
    """The sum again."""
    return F.sum_over(h, dim=dim, keepdim=keepdim)


@primitive(may_alias=True)
def sum_to(input: Spec, *, like: Shape) -> Spec:
    """The sum over the dimensions that broadcasting from shape `like` repeated."""
    return Spec(like, input.dtype)


@sum_to.array
def sum_to_array(xp: Any, input: Any, like: Shape) -> Any:
    """All repeated dimensions in one reduction."""
    if input.shape == like:
        return input
    extra = input.ndim - len(like)
    if extra == 1 and input.shape[1:] == like:
        return xp.add.reduce(input, 0)
    repeated = [k + extra for k, n in enumerate(like) if n == 1 and input.shape[k + extra] != 1]
    axes = (*range(extra), *repeated)
    return xp.add.reduce(input, axes, keepdims=True).reshape(like)


@sum_to.vjp()
def sum_to_vjp(F: Any, g: Any, needs: Any, input: Any, like: Any) -> Any:
    """g repeated again."""
    return F.expand_to(g, like=input)


@primitive(may_alias=True, moves=True)
def expand_to(input: Spec, *, like: Shape) -> Spec:
    """input broadcast to the shape `like`."""
    return Spec(like, input.dtype)


@expand_to.array
def expand_to_array(xp: Any, input: Any, like: Shape) -> Any:
    """A read-only view."""
    return xp.broadcast_to(input, like)


@expand_to.vjp()
def expand_to_vjp(F: Any, g: Any, needs: Any, input: Any, like: Any) -> Any:
    """The sum of all copies."""
    return F.sum_to(g, like=input)


def accumulated(F: Any, input: Any, dtype: Any) -> Any:
    """`input` in `dtype`; integers and bools are added up as int64 unless told otherwise."""
    if dtype is None and input.dtype.category < dtypes.FLOAT:
        dtype = dtypes.int64
    if dtype is None or dtype is input.dtype:
        return input
    return F.cast(input, dtype=dtypes.as_dtype(dtype))


@composite
def sum(F: Any, input: Spec, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Spec:
    """The sum over `dim` (an int, a tuple, or all); integers add up as int64.

    Example:
        >>> torch.ones(2, 3).sum(dim=1)
        tensor([3., 3.])
    """
    if hasattr(input, "shape"):
        input = accumulated(F, input, dtype)
    return F.sum_over(input, dim=dim, keepdim=keepdim)


@primitive(node_name="Mean", layout="row_major")
def mean_over(input: Spec, *, dim: Dims = None, keepdim: bool = False) -> Spec:
    """The mean over `dim`."""
    if input.dtype.category < dtypes.FLOAT:
        raise DTypeError(
            f"mean: expected a floating-point tensor. Got {input.dtype}, shape "
            f"{tuple(input.shape)}. "
            "Pass dtype=torch.float32, or use x.float().mean()."
        )
    return Spec(reduced_shape(tuple(input.shape), dim, keepdim, "mean"), input.dtype)


@mean_over.array
def mean_array(xp: Any, input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """The sum divided by the count; refuses integers so that the rule explains."""
    if input.dtype.kind in "biu":
        raise TypeError("mean of integers")
    axis = numpy_axis(dim)
    total = sum_array(xp, input, axis, keepdim)
    return total / (input.size // max(total.size, 1) if total.size else 1)


@mean_over.vjp()
def mean_vjp(F: Any, g: Any, needs: Any, input: Any, dim: Any, keepdim: Any) -> Any:
    """g / count for every element."""
    return F.expand_mean(g, like=input, dim=dim, keepdim=keepdim)


@mean_over.naming
def mean_name(node: Any) -> str:
    """PyTorch numbers the form with `dim` 1."""
    return "MeanBackward0" if node.attributes[0] is None else "MeanBackward1"


@primitive(may_alias=True)
def expand_mean(g: Spec, *, like: Shape, dim: Dims, keepdim: bool) -> Spec:
    """`g` divided by the number of elements it is the mean of, repeated to the shape `like`."""
    return Spec(like, g.dtype)


@expand_mean.array
def expand_mean_array(xp: Any, g: Any, like: Shape, dim: Dims, keepdim: bool) -> Any:
    """Divides before it repeats."""
    count = math.prod(like) // max(g.size, 1)
    scaled = g / g.dtype.type(max(count, 1))
    return expand_reduced_array(xp, scaled, like, dim, keepdim)


@expand_mean.vjp()
def expand_mean_vjp(F: Any, h: Any, needs: Any, g: Any, like: Any, dim: Any, keepdim: Any) -> Any:
    """The mean again."""
    return F.mean_over(h, dim=dim, keepdim=keepdim)


@composite
def mean(
    F: Any, input: Spec, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None
) -> Spec:
    """The mean over `dim` (an int, a tuple, or all) of floating-point numbers.

    Raises: RuntimeError for integers without `dtype`.
    """
    if dtype is not None:
        input = F.cast(input, dtype=dtypes.as_dtype(dtype))
    return F.mean_over(input, dim=dim, keepdim=keepdim)


# -- spread ----------------------------------------------------------------------------------------


def _correction(unbiased: bool | None, correction: float | None) -> float:
    if correction is not None:
        return correction
    return 1.0 if unbiased is None or unbiased else 0.0


@composite
def var(
    F: Any,
    input: Spec,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Spec:
    """sum((input - mean)**2) / (n - correction) over `dim`; correction is 1 unless told
    otherwise."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if input.dtype.is_complex:
        options = {"unbiased": unbiased, "keepdim": keepdim, "correction": correction}
        real, imag = F.real_part(input), F.imag_part(input)
        return F.plus(F.var(real, dim=dim, **options), F.var(imag, dim=dim, **options))
    count = 1
    for d in shapes.normalized_dims(dim, len(input.shape), "var"):
        count *= input.shape[d] if input.shape else 1
    freedom = max(count - _correction(unbiased, correction), 0.0)
    return F.var_over(input, dim=dim, keepdim=keepdim, freedom=freedom)


@composite(node_name="Var", layout="row_major")
def var_over(
    F: Any, input: Spec, *, dim: Dims = None, keepdim: bool = False, freedom: float = 1.0
) -> Spec:
    """sum((input - mean)**2) / freedom over `dim`."""
    centred = F.minus(input, F.mean_over(input, dim=dim, keepdim=True))
    squares = F.sum_over(F.squared(centred), dim=dim, keepdim=keepdim)
    return F.divide(squares, freedom)


@var_over.array
def var_array(
    xp: Any, input: Any, dim: Dims = None, keepdim: bool = False, freedom: float = 1.0
) -> Any:
    """In place where it can be."""
    centred = input - mean_array(xp, input, dim, True)
    centred *= centred
    squares = sum_array(xp, centred, dim, keepdim)
    return xp.true_divide(squares, squares.dtype.type(freedom))


@var_over.vjp(saves="input")
def var_vjp(F: Any, g: Any, needs: Any, input: Any, dim: Any, keepdim: Any, freedom: float) -> Any:
    """g * 2 (input - mean) / freedom."""
    centred = F.minus(input, F.mean_over(input, dim=dim, keepdim=True))
    shares = F.divide(F.mul(g, 2.0), freedom)
    return F.mul(F.expand_reduced(shares, like=input, dim=dim, keepdim=keepdim), centred)


@composite
def std(
    F: Any,
    input: Spec,
    dim: Dims = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Spec:
    """The square root of `var`."""
    return F.deviation(F.var(input, dim, unbiased, keepdim, correction=correction))


@pointwise(name="deviation", node_name="Std")
def deviation(m: Any, variance: Spec) -> Spec:
    """sqrt(variance)."""
    return m.sqrt(variance)


@deviation.gradient
def deviation_gradient(m: Any, g: Any, out: Any, variance: Any) -> Any:
    """0 where nothing varies, so that equal elements get a gradient of 0 and not NaN."""
    zero = out <= 0
    return m.where(zero, 0.0, g / (2 * m.where(zero, 1.0, out)))


@composite
def norm(F: Any, input: Spec, p: Any = "fro", dim: Dims = None, keepdim: bool = False) -> Spec:
    """sum(|input|**p)**(1/p) over `dim`; p is 2 unless told otherwise, inf for the largest, "nuc"
    for the sum of singular values."""
    shapes.require_float("norm", "input", input)
    if p == "nuc":
        from .norms import matrix_norm  # built on the reductions

        return matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim)
    if p is not None and p != "fro" and not isinstance(p, int | float):
        raise TypeError(f"norm: expected a number, 'fro' or 'nuc' as p. Got {p!r}.")
    if input.dtype.is_complex:
        input = F.abs(input)
    if p in ("fro", None, 2):
        return F.euclidean_norm(input, dim=dim, keepdim=keepdim)
    size = F.abs(input)
    if p == float("inf"):
        return F.amax(size, dim=dim, keepdim=keepdim)
    if p == float("-inf"):
        return F.amin(size, dim=dim, keepdim=keepdim)
    if p == 0:
        return F.sum_over(F.cast(F.ne(input, 0), dtype=input.dtype), dim=dim, keepdim=keepdim)
    if p == 1:
        return F.sum_over(size, dim=dim, keepdim=keepdim)
    return F.pow(F.sum_over(F.pow(size, p), dim=dim, keepdim=keepdim), 1.0 / p)


@primitive(node_name="LinalgVectorNorm", layout="row_major")
def euclidean_norm(input: Spec, *, dim: Dims = None, keepdim: bool = False) -> Spec:
    """sqrt(sum(input**2)) over `dim`."""
    shapes.require_float("norm", "input", input)
    return Spec(reduced_shape(tuple(input.shape), dim, keepdim, "norm"), input.dtype)


@euclidean_norm.array
def euclidean_norm_array(xp: Any, input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """The root of the sum of squares."""
    if input.dtype.kind in "biu":
        raise TypeError("norm of integers")
    return xp.sqrt(sum_array(xp, xp.square(input), dim, keepdim))


@euclidean_norm.vjp(saves="input out")
def euclidean_norm_vjp(
    F: Any, g: Any, needs: Any, input: Any, out: Any, dim: Any, keepdim: Any
) -> Any:
    """g * input / norm, and 0 where the norm is 0."""
    length = F.expand_reduced(out, like=input, dim=dim, keepdim=keepdim)
    safe = F.where(F.eq(length, 0.0), 1.0, length)
    expanded = F.expand_reduced(g, like=input, dim=dim, keepdim=keepdim)
    return F.mul(expanded, F.divide(input, safe))


@composite
def logsumexp(F: Any, input: Spec, dim: Dims, keepdim: bool = False) -> Spec:
    """log(sum(exp(input))) over `dim`, without overflow."""
    if input.dtype.category < dtypes.FLOAT:
        input = F.divide(input, 1)
    return F.logsumexp_over(input, dim=dim, keepdim=keepdim)


@primitive(name="logsumexp_over", node_name="Logsumexp", layout="row_major")
def logsumexp_over(input: Spec, *, dim: Dims, keepdim: bool = False) -> Spec:
    """log(sum(exp(input))) over `dim`, without overflow."""
    return Spec(reduced_shape(tuple(input.shape), dim, keepdim, "logsumexp"), input.dtype)


@logsumexp_over.array
def logsumexp_array(xp: Any, input: Any, dim: Dims, keepdim: bool = False) -> Any:
    """Shifted by the maximum where that is finite; complex numbers by a real one, so that the
    angle of the result is the sum's own."""
    if not input.ndim:
        if input.dtype.kind != "c":
            return input.copy()
        return xp.log(xp.exp(input - input.real)) + input.real
    axis = numpy_axis(dim)
    lowest = {} if input.size else {"initial": -math.inf}
    top = input.real.max(axis, keepdims=True, **lowest)
    top = xp.where(xp.isfinite(top), top, top.dtype.type(0))
    out = xp.log(xp.exp(input - top).sum(axis, keepdims=True)) + top
    return out if keepdim else out.squeeze(axis) if axis is not None else out.reshape(())


@logsumexp_over.vjp(saves="input out")
def logsumexp_vjp(F: Any, g: Any, needs: Any, input: Any, out: Any, dim: Any, keepdim: Any) -> Any:
    """g * softmax(input)."""
    total = F.expand_reduced(out, like=input, dim=dim, keepdim=keepdim)
    expanded = F.expand_reduced(g, like=input, dim=dim, keepdim=keepdim)
    return F.mul(expanded, F.exp(F.minus(input, total)))


# -- truth, counts, running sums -------------------------------------------------------------------


def _truth(name: str, doc: str) -> Any:
    def rule(input: Mask, dim: Dims = None, keepdim: bool = False) -> Spec:
        dtype = dtypes.uint8 if input.dtype is dtypes.uint8 else dtypes.bool_
        return Spec(reduced_shape(tuple(input.shape), dim, keepdim, name), dtype)

    rule.__name__, rule.__doc__, rule.__module__ = name, doc, __name__
    function = primitive(rule, name=name, layout="row_major")

    @function.array
    def array(xp: Any, input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
        out = getattr(xp, name)(input, axis=numpy_axis(dim), keepdims=keepdim)
        return out.astype(xp.uint8) if input.dtype == xp.uint8 else out

    return function


all = _truth("all", "Whether all elements over `dim` are nonzero; of uint8 as uint8.")
any = _truth("any", "Whether some element over `dim` is nonzero; of uint8 as uint8.")


@composite
def count_nonzero(F: Any, input: Spec, dim: Dims = None) -> Spec:
    """How many elements over `dim` are nonzero; int64."""
    return F.sum_over(F.cast(F.ne(input, 0), dtype=dtypes.int64), dim=dim)


@primitive(layout="row_major", refuses="complex")
def hash_tensor(input: Mask, dim: Dims = None, *, keepdim: bool = False, mode: int = 0) -> Spec:
    """Exclusive or over `dim` of the elements' 64 bits, as float64 or int64; uint64.

    Raises: ValueError for a `mode` other than 0.
    """
    if mode:
        raise ValueError(f"hash_tensor: expected mode 0, exclusive or. Got {mode}.")
    shape = reduced_shape(tuple(input.shape), dim, keepdim, "hash_tensor")
    return Spec(shape, dtypes.uint64)


@hash_tensor.array
def hash_tensor_array(
    xp: Any, input: Any, dim: Dims = None, *, keepdim: bool = False, mode: int = 0
) -> Any:
    """Halves of the reduced elements, folded together until one is left."""
    dims = shapes.normalized_dims(dim, input.ndim, "hash_tensor")
    moved = xp.moveaxis(input, dims, range(-len(dims), 0)) if input.ndim else input[None]
    kept = moved.shape[: input.ndim - len(dims)] if input.ndim else ()
    wide = moved.astype(xp.int64 if input.dtype.kind in "biu" else xp.float64)
    bits = wide.reshape(*kept, -1 if wide.size else math.prod(moved.shape[len(kept) :]))
    bits = xp.ascontiguousarray(bits).view(xp.uint64)
    while bits.shape[-1] > 1:
        half = (bits.shape[-1] + 1) // 2
        rest = bits[..., half:]
        bits[..., : rest.shape[-1]] ^= rest
        bits = bits[..., :half]
    found = bits[..., 0] if bits.shape[-1] else xp.zeros(kept, xp.uint64)
    return found.reshape(reduced_shape(tuple(input.shape), dim, keepdim, "hash_tensor"))


@primitive(node_name="Cumsum", layout="row_major")
def cumsum_along(input: Spec, *, dim: int) -> Spec:
    """Running sums along `dim`; same shape."""
    shapes.normalized_dim(dim, len(input.shape), "cumsum")
    return Spec(input.shape, input.dtype)


@cumsum_along.array
def cumsum_array(xp: Any, input: Any, dim: int) -> Any:
    """NumPy's cumulative sum."""
    return xp.cumsum(input, dim, dtype=input.dtype).reshape(input.shape)


@cumsum_along.vjp()
def cumsum_vjp(F: Any, g: Any, needs: Any, input: Any, dim: Any) -> Any:
    """Running sums of g from the end."""
    return F.flip_along(F.cumsum_along(F.flip_along(g, dims=dim), dim=dim), dims=dim)


@composite
def cumsum(F: Any, input: Spec, dim: int, *, dtype: Any = None) -> Spec:
    """Running sums along `dim`; integers add up as int64."""
    return F.cumsum_along(accumulated(F, input, dtype), dim=dim)
