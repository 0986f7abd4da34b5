"""Running products, extremes and logarithmic sums; differences and integrals along a dimension."""

from __future__ import annotations

import math
from typing import Any

from ..backends.pointwise import complex_logaddexp
from ..core import dtypes
from ..errors import ShapeError
from .copies import copied
from .declare import Spec, composite, primitive
from .gather import gather
from .joins import cat, narrow
from .numpy_names import numpy_names
from .return_types import SELECTIONS
from .shapes import normalized_dim, require_float

__all__ = [
    "cummax",
    "cummin",
    "cumprod",
    "cumulative_trapezoid",
    "diff",
    "gradient",
    "logcumsumexp",
    "trapezoid",
    "vander",
]


@primitive(node_name="Cumprod", layout="row_major")
def cumprod_along(input: Spec, *, dim: int) -> Spec:
    """Running products along `dim`."""
    normalized_dim(dim, len(input.shape), "cumprod")
    return Spec(input.shape, input.dtype)


@cumprod_along.array
def cumprod_array(xp: Any, input: Any, dim: int) -> Any:
    """NumPy's own."""
    return xp.cumprod(input, dim, dtype=input.dtype) if input.ndim else input.copy()


@cumprod_along.vjp(saves="input out")
def cumprod_vjp(F: Any, g: Any, needs: Any, input: Any, out: Any, dim: Any) -> Any:
    """Sums from the end of g * out, over the element; elements of 0 by products without them."""
    return F.cumprod_gradient(g, input, out, dim=dim)


@composite
def cumprod_gradient(F: Any, g: Spec, input: Spec, out: Spec, *, dim: int) -> Spec:
    """sum over j >= i of g_j * out_j / x_i; for short dimensions without the division, so that
    zeros have second derivatives."""
    length = input.shape[dim] if len(input.shape) else 1
    if length <= SHORT:
        return _by_products_of_others(F, g, input, dim, length)
    weighted = F.mul(g, out)
    total = F.flip_along(F.cumsum_along(F.flip_along(weighted, dims=(dim,)), dim=dim), dims=(dim,))
    return F.divide(total, input)


def _by_products_of_others(F: Any, g: Any, input: Any, dim: int, length: int) -> Any:
    """sum over j >= i of g_j * prod over k <= j, k != i of x_k, by a (..., i, k) array."""
    if not len(input.shape):
        return F.mul(g, F.ones_of(input, shape=()))
    ones = F.ones_of(input, shape=(length, length))
    is_self = F.eq(F.tril(ones), F.triu(ones))
    last = F.unsqueeze(F.transpose(input, dim0=dim, dim1=-1), dim=-2)
    others = F.cumprod_along(F.where(is_self, 1.0, last), dim=-1)
    weights = F.unsqueeze(F.transpose(g, dim0=dim, dim1=-1), dim=-2)
    total = F.sum(F.triu(F.mul(others, weights)), dim=-1)
    return F.transpose(total, dim0=dim, dim1=-1)


SHORT = 128
"""Elements along the dimension up to which n**2 products are affordable."""


@cumprod_gradient.array
def cumprod_gradient_array(xp: Any, g: Any, input: Any, out: Any, dim: int) -> Any:
    """Without zeros by division; else each element's own products, n**2 of them."""
    if not input.ndim:
        return g.copy()
    if (input != 0).all():
        weighted = xp.flip(xp.cumsum(xp.flip(g * out, dim), dim, dtype=out.dtype), dim)
        return weighted / input
    x, w = xp.moveaxis(input, dim, -1), xp.moveaxis(g, dim, -1)
    result = xp.zeros_like(x)
    for i in range(x.shape[-1]):
        others = x.copy()
        others[..., i] = 1
        result[..., i] = (xp.cumprod(others, -1)[..., i:] * w[..., i:]).sum(-1)
    return xp.moveaxis(result, -1, dim)


@composite
def cumprod(F: Any, input: Spec, dim: int, *, dtype: Any = None) -> Spec:
    """Running products along `dim`; integers multiply as int64 unless `dtype` says otherwise."""
    if dtype is None and input.dtype.category < dtypes.FLOAT:
        dtype = dtypes.int64
    if dtype is not None and dtype is not input.dtype:
        input = F.cast(input, dtype=dtypes.as_dtype(dtype))
    return F.cumprod_along(input, dim=dim)


def vander(x: Spec, N: int | None = None, increasing: bool = False) -> Spec:
    """The powers of each element of a vector as rows, x^(N-1) to x^0 unless `increasing`:
    (n,) -> (n, N); N is n unless given.

    Raises: RuntimeError for another number of dimensions or a negative N.
    """
    if len(x.shape) != 1:
        raise ShapeError(f"vander: expected a vector. Got shape {tuple(x.shape)}.")
    count = x.shape[0] if N is None else N
    if count < 0:
        raise ShapeError(f"vander: expected N of at least 0. Got {N}.")
    if x.dtype.category < dtypes.FLOAT:
        x = x.to(dtypes.int64)
    factors = x.unsqueeze(1).expand(x.shape[0], max(count - 1, 0))
    ones = x.new_ones(x.shape[0], min(count, 1))
    powers = cat([ones, cumprod(factors, 1)], 1) if count > 1 else ones
    return powers if increasing else powers.flip(1)


def _running_extreme(name: str) -> Any:
    def rule(input: Spec, *, dim: int) -> Spec:
        normalized_dim(dim, len(input.shape), name)
        return Spec(input.shape, dtypes.int64)

    rule.__name__, rule.__module__ = f"{name}_positions", __name__
    rule.__doc__ = f"Where the elements of {name} lie along `dim`, the last ones of equals; int64."
    positions = primitive(
        rule,
        name=f"{name}_positions",
        node_name=name.capitalize(),
        layout="row_major",
        refuses="complex",
    )

    @positions.array
    def array(xp: Any, input: Any, dim: int) -> Any:
        """The running largest of the places where a new extreme is reached."""
        if not input.ndim:
            return xp.zeros((), xp.int64)
        x = xp.moveaxis(input, dim, -1)
        result = xp.zeros(x.shape, xp.int64)
        if not x.size:
            return xp.moveaxis(result, -1, dim)
        best, place = x[..., 0], result[..., 0]
        for i in range(1, x.shape[-1]):
            here = x[..., i]
            wins = here >= best if name == "cummax" else here <= best
            wins = wins & (best == best) | (here != here)
            best, place = xp.where(wins, here, best), xp.where(wins, i, place)
            result[..., i] = place
        return xp.moveaxis(result, -1, dim)

    kind = SELECTIONS[name]

    def function(input: Spec, dim: int) -> Any:
        indices = positions(input, dim=dim)
        return kind(gather(input, dim, indices), indices)

    function.__name__ = function.__qualname__ = name
    what = "largest" if name == "cummax" else "smallest"
    function.__doc__ = f"The {what} element so far along `dim`: named tuple of values and indices."
    return function


cummax, cummin = (numpy_names(_running_extreme(name)) for name in ("cummax", "cummin"))


@composite
def logcumsumexp(F: Any, input: Spec, dim: int) -> Spec:
    """log(cumsum(exp(input))) along `dim`, without overflow."""
    if input.dtype.is_complex:
        return F.complex_logcumsumexp(input, dim=dim)
    require_float("logcumsumexp", "input", input)
    return F.real_logcumsumexp(input, dim=dim)


@primitive(name="real_logcumsumexp", node_name="Logcumsumexp", layout="row_major")
def real_logcumsumexp(input: Spec, *, dim: int) -> Spec:
    """log(cumsum(exp(input))) of real numbers."""
    normalized_dim(dim, len(input.shape), "logcumsumexp")
    return Spec(input.shape, input.dtype)


@real_logcumsumexp.array
def logcumsumexp_array(xp: Any, input: Any, dim: int) -> Any:
    """A running logaddexp."""
    return _running(xp, xp.logaddexp, input, dim)


def _running(xp: Any, join: Any, input: Any, dim: int) -> Any:
    """`join` of each element with the result so far, along `dim`."""
    if not input.ndim:
        return input.copy()
    x = xp.moveaxis(input, dim, -1)
    result = x.copy()
    for i in range(1, x.shape[-1]):
        result[..., i] = join(result[..., i - 1], x[..., i])
    return xp.moveaxis(result, -1, dim)


@primitive(name="complex_logcumsumexp", node_name="Logcumsumexp", layout="row_major")
def complex_logcumsumexp(input: Spec, *, dim: int) -> Spec:
    """log(cumsum(exp(input))) of complex numbers, on the principal branch."""
    normalized_dim(dim, len(input.shape), "logcumsumexp")
    return Spec(input.shape, input.dtype)


@complex_logcumsumexp.array
def complex_logcumsumexp_array(xp: Any, input: Any, dim: int) -> Any:
    """A running complex logaddexp."""
    return _running(xp, lambda x, y: complex_logaddexp(xp, x, y), input, dim)


@complex_logcumsumexp.vjp(saves="input out", static="dim")
def complex_logcumsumexp_vjp(F: Any, g: Any, needs: Any, input: Any, out: Any, dim: Any) -> Any:
    """exp(x_i) times the sum over j >= i of g_j * exp(-out_j), in logarithms."""
    terms = F.flip_along(F.minus(F.log(g), out), dims=(dim,))
    total = F.flip_along(F.complex_logcumsumexp(terms, dim=dim), dims=(dim,))
    return F.exp(F.plus(total, input))


@real_logcumsumexp.vjp(saves="input out", static="dim")
def logcumsumexp_vjp(F: Any, g: Any, needs: Any, input: Any, out: Any, dim: Any) -> Any:
    """exp(x_i) times the sum over j >= i of g_j * exp(-out_j), in logarithms: for positive and
    negative g each, so that none is infinite."""
    parts = []
    for signed in (g, F.neg(g)):
        positive = F.gt(signed, 0)
        size = F.log(F.where(positive, signed, 1.0))
        terms = F.where(positive, F.minus(size, out), -math.inf)
        turned = F.flip_along(terms, dims=(dim,))
        total = F.flip_along(F.real_logcumsumexp(turned, dim=dim), dims=(dim,))
        parts.append(F.exp(F.plus(total, input)))
    return F.minus(parts[0], parts[1])


@numpy_names
def diff(input: Spec, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Spec:
    """Differences of neighbours along `dim`, taken n times; `prepend` and `append` are joined on
    first.

    Raises: RuntimeError for a 0-d tensor or a negative n.
    """
    if not len(input.shape) or n < 0:
        raise ShapeError(
            f"diff: expected dimensions and n of at least 0. Got shape {tuple(input.shape)}, n {n}."
        )
    d = normalized_dim(dim, len(input.shape), "diff")
    if not n:
        return copied(input)
    parts = [_as_part(prepend, input, d), input, _as_part(append, input, d)]
    parts = [p for p in parts if p is not None]
    if len(parts) > 1:
        input = cat(parts, d)
    for _ in range(min(n, input.shape[d])):
        size = input.shape[d] - 1
        later, earlier = narrow(input, d, 1, size), narrow(input, d, 0, size)
        input = later ^ earlier if input.dtype is dtypes.bool_ else later - earlier
    return input


def _as_part(part: Any, input: Any, dim: int) -> Any:
    if part is None or len(part.shape):
        return part
    return part.expand(*[1 if k == dim else n for k, n in enumerate(input.shape)])


@numpy_names
def trapezoid(y: Spec, x: Any = None, *, dx: Any = None, dim: int = -1) -> Spec:
    """The integral of y along `dim` by the trapezoidal rule, at places x or dx (1) apart."""
    return _trapezoids(y, x, dx, dim, "trapezoid").sum(dim)


@numpy_names
def cumulative_trapezoid(y: Spec, x: Any = None, *, dx: Any = None, dim: int = -1) -> Spec:
    """The running integral of y along `dim` by the trapezoidal rule."""
    return _trapezoids(y, x, dx, dim, "cumulative_trapezoid").cumsum(dim)


def _trapezoids(y: Any, x: Any, dx: Any, dim: int, name: str) -> Any:
    if x is not None and dx is not None:
        raise RuntimeError(f"{name}: expected x or dx, not both.")
    d = normalized_dim(dim, len(y.shape), name)
    n = max(y.shape[d] - 1, 0)
    sums = narrow(y, d, min(1, y.shape[d]), n) + narrow(y, d, 0, n)
    if x is None:
        return sums * ((1 if dx is None else dx) / 2)
    if len(x.shape) == 1 and len(y.shape) > 1:
        x = x.reshape(*[-1 if k == d else 1 for k in range(len(y.shape))])
    return sums * diff(x, dim=d - len(y.shape)) / 2


@numpy_names
def gradient(input: Spec, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> Any:
    """Estimates of the partial derivatives of the function whose samples are input: second-order
    central differences inside, differences of order `edge_order` at the ends; a tuple of one tensor
    per dimension.

    `spacing` is a number, a number per dimension, or the coordinates of each dimension.
    Raises: RuntimeError if a dimension is too short or the spacings do not fit.
    """
    rank = len(input.shape)
    if spacing is None:
        spacing = 1
    dims = range(rank) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    dims = [normalized_dim(d, rank, "gradient") for d in dims]
    is_number = isinstance(spacing, int | float | complex) or (
        hasattr(spacing, "shape") and not len(spacing.shape)
    )
    each: Any = spacing
    several = [spacing] * len(dims) if is_number else list(each)
    if hasattr(spacing, "shape") and not is_number:
        several = [spacing]
    if len(several) != len(dims) or edge_order not in (1, 2) or len(set(dims)) < len(dims):
        raise RuntimeError(
            f"gradient: expected a spacing for each of {len(dims)} different dimensions and "
            f"edge_order 1 or 2. Got {len(several)} and {edge_order}."
        )
    for d in dims:
        if input.shape[d] <= edge_order:
            raise ShapeError(
                f"gradient: expected more than {edge_order} elements along dimension {d}. Got "
                f"shape {tuple(input.shape)}."
            )
    floating = input if input.dtype.category >= dtypes.FLOAT else input / 1
    return tuple(_slope(floating, d, s, edge_order) for d, s in zip(dims, several, strict=True))


def _slope(f: Any, d: int, spacing: Any, edge_order: int) -> Any:
    n = f.shape[d]
    if hasattr(spacing, "shape") and len(spacing.shape):
        steps = diff(spacing.to(f.dtype)).reshape(*[-1 if k == d else 1 for k in range(f.ndim)])
    else:
        steps = (f.new_zeros(n - 1) + spacing).reshape(
            *[-1 if k == d else 1 for k in range(f.ndim)]
        )

    def at(t: Any, first: int, count: int) -> Any:
        return narrow(t, d, first, count)

    a, b = at(steps, 0, n - 2), at(steps, 1, n - 2)
    inside = (
        -b / (a * (a + b)) * at(f, 0, n - 2)
        + (b - a) / (a * b) * at(f, 1, n - 2)
        + a / (b * (a + b)) * at(f, 2, n - 2)
    )
    first, last = at(steps, 0, 1), at(steps, n - 2, 1)
    if edge_order == 1:
        left = (at(f, 1, 1) - at(f, 0, 1)) / first
        right = (at(f, n - 1, 1) - at(f, n - 2, 1)) / last
    else:
        p, q = first, at(steps, 1, 1)
        left = (
            -(2 * p + q) / (p * (p + q)) * at(f, 0, 1)
            + (p + q) / (p * q) * at(f, 1, 1)
            - p / (q * (p + q)) * at(f, 2, 1)
        )
        p, q = at(steps, n - 3, 1), last
        right = (
            q / (p * (p + q)) * at(f, n - 3, 1)
            - (p + q) / (p * q) * at(f, n - 2, 1)
            + (2 * q + p) / (q * (p + q)) * at(f, n - 1, 1)
        )
    return cat([left, inside, right], d)
