"""Functions of elements behind which there is no single formula, copies of views, distances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sp
from hypothesis import strategies as st

from .calls import Arguments, In, Row, axis
from .drawing import COMPLEX, EVERY_DTYPE, FLOATS, broadcastable, shapes, sizes

WIDE = FLOATS[2:]


def one(low: float = -3.0, high: float = 3.0, **options: Any) -> Callable[[Any], Arguments]:
    """A tensor, and one of each of the `options`."""

    def arguments(draw: Any) -> Arguments:
        chosen = {k: draw(st.sampled_from(v)) for k, v in options.items()}
        return (In(draw(shapes()), low, high),), chosen

    return arguments


def together(count: int, **bounds: float) -> Callable[[Any], Arguments]:
    """Tensors whose shapes broadcast."""

    def arguments(draw: Any) -> Arguments:
        found, _ = draw(broadcastable(count))
        return tuple(In(s, **bounds) for s in found), {}

    return arguments


def alike(count: int, least: int = 0, **options: Any) -> Callable[[Any], Arguments]:
    """Tensors of one shape, and one of each of the `options`."""

    def arguments(draw: Any) -> Arguments:
        shape = draw(shapes(min_dims=least))
        chosen = {k: draw(st.sampled_from(v)) for k, v in options.items()}
        return tuple(In(shape) for _ in range(count)), chosen

    return arguments


def along(count: int, **options: Any) -> Callable[[Any], Arguments]:
    """Tensors of one shape with a dimension, counted from either end."""

    def arguments(draw: Any) -> Arguments:
        tensors, kwargs = alike(count, 1, **options)(draw)
        return tensors, {"dim": axis(draw, len(tensors[0].shape)), **kwargs}

    return arguments


def numbers_and(x: Any, degree: int) -> Callable[[Any], Arguments]:
    """A tensor and the degree of a polynomial."""
    return lambda draw: ((In(draw(shapes()), *x), draw(st.integers(0, degree))), {})


def shifted(name: str) -> Callable[[Any, int], Any]:
    return lambda x, n: getattr(sp, name)(n, 2 * x - 1)


def third_and_fourth(sign: int) -> Callable[[Any, int], Any]:
    """V_n = U_n - U_(n-1) and W_n = U_n + U_(n-1), where U_(-1) is 0."""

    def reference(x: Any, n: int) -> Any:
        before = sp.eval_chebyu(n - 1, x) if n else 0 * x
        return sp.eval_chebyu(n, x) + sign * before

    return reference


def polynomials() -> list[Row]:
    inside, wide = (-1.0, 1.0), (-2.0, 2.0)
    table = {
        "chebyshev_polynomial_t": (inside, lambda x, n: sp.eval_chebyt(n, x)),
        "chebyshev_polynomial_u": (inside, lambda x, n: sp.eval_chebyu(n, x)),
        "chebyshev_polynomial_v": (inside, third_and_fourth(-1)),
        "chebyshev_polynomial_w": (inside, third_and_fourth(1)),
        "shifted_chebyshev_polynomial_t": ((0.0, 1.0), shifted("eval_chebyt")),
        "shifted_chebyshev_polynomial_u": ((0.0, 1.0), shifted("eval_chebyu")),
        "hermite_polynomial_h": (wide, lambda x, n: sp.eval_hermite(n, x)),
        "hermite_polynomial_he": (wide, lambda x, n: sp.eval_hermitenorm(n, x)),
        "laguerre_polynomial_l": (wide, lambda x, n: sp.eval_laguerre(n, x)),
        "legendre_polynomial_p": (inside, lambda x, n: sp.eval_legendre(n, x)),
    }
    return [
        Row(f"special.{name}", numbers_and(bounds, 5), reference, only=WIDE, terms=256,
            gradient=False)
        for name, (bounds, reference) in table.items()
    ]  # fmt: skip


def sgn(x: Any) -> Any:
    size = np.abs(x)
    return np.where(size == 0, 0, x / np.where(size == 0, 1, size))


def frexp(x: Any) -> Any:
    return np.frexp(x)


def nan_to_num(x: Any, nan: float, posinf: float) -> Any:
    return np.nan_to_num(x, nan=nan, posinf=posinf)


def thresholds(draw: Any) -> Arguments:
    return (In(draw(shapes())), 0, 2), {}


def cosine(x: Any, y: Any, dim: int) -> Any:
    """With norms of at least eps, which is 1e-8."""
    lengths = [np.maximum(np.sqrt((a * a).sum(dim)), 1e-8) for a in (x, y)]
    return (x * y).sum(dim) / (lengths[0] * lengths[1])


def dist(x: Any, y: Any, p: float) -> Any:
    return (np.abs(x - y) ** p).sum() ** (1 / p)


def points(draw: Any) -> Arguments:
    return (In((draw(sizes), draw(sizes))),), {"p": draw(st.sampled_from([1.0, 2.0, 3.0]))}


def pdist(x: Any, p: float) -> Any:
    i, j = np.triu_indices(len(x), 1)
    return (np.abs(x[i] - x[j]) ** p).sum(-1) ** (1 / p)


def observations(draw: Any) -> Arguments:
    shape = (draw(st.integers(1, 3)), draw(st.integers(2, 4)))
    return (In(shape, made=lambda a: a + np.arange(shape[1])),), {}


def weighed(draw: Any) -> Arguments:
    args, _ = observations(draw)
    return args, {"correction": draw(st.integers(0, 1))}


def limited(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=2, max_dims=3))
    p = draw(st.sampled_from([1.0, 2.0, 3.0]))
    return (In(shape),), {"p": p, "dim": axis(draw, len(shape)), "maxnorm": 2.0}


def renorm(x: Any, p: float, dim: int, maxnorm: float) -> Any:
    others = tuple(k for k in range(x.ndim) if k != dim % x.ndim)
    size = (np.abs(x) ** p).sum(others, keepdims=True) ** (1 / p)
    return np.where(size > maxnorm, x * (maxnorm / (size + 1e-7)), x)


def slopes(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1, max_dims=3, min_side=3))
    dim = draw(st.integers(0, len(shape) - 1))
    return (In(shape),), {"spacing": draw(st.sampled_from([1.0, 0.5])), "dim": dim,
                          "edge_order": draw(st.sampled_from([1, 2]))}  # fmt: skip


def gradient(x: Any, spacing: float, dim: int, edge_order: int) -> Any:
    return np.gradient(x, spacing, axis=dim, edge_order=edge_order)


def into_diagonal(draw: Any) -> Arguments:
    m, n, offset = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(-2, 2))
    length = len(np.zeros((m, n)).diagonal(offset))
    return (In((m, n)), In((length,)), offset), {}


def diagonal_scatter(x: Any, y: Any, offset: int) -> Any:
    out = x.copy()
    rows = np.arange(len(y)) + max(-offset, 0)
    out[rows, rows + offset] = y
    return out


def into_slice(draw: Any) -> Arguments:
    shape = list(draw(shapes(min_dims=1)))
    dim = draw(st.integers(0, len(shape) - 1))
    start, step = draw(st.integers(0, shape[dim])), draw(st.integers(1, 2))
    end = draw(st.integers(start, shape[dim]))
    part = [*shape[:dim], len(range(start, end, step)), *shape[dim + 1 :]]
    return (In(tuple(shape)), In(tuple(part)), dim, start, end, step), {}


def slice_scatter(x: Any, y: Any, dim: int, start: int, end: int, step: int) -> Any:
    out = x.copy()
    out[(slice(None),) * dim + (slice(start, end, step),)] = y
    return out


def into_one(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1, min_side=1))
    dim = draw(st.integers(0, len(shape) - 1))
    part = (*shape[:dim], *shape[dim + 1 :])
    return (In(shape), In(part), dim, draw(st.integers(-shape[dim], shape[dim] - 1))), {}


def select_scatter(x: Any, y: Any, dim: int, index: int) -> Any:
    out = x.copy()
    out[(slice(None),) * dim + (index,)] = y
    return out


def copied(draw: Any, name: str) -> Arguments:
    shape = draw(shapes(min_dims=2, max_dims=3, min_side=1))
    a, b = axis(draw, len(shape)), axis(draw, len(shape))
    order = tuple(draw(st.permutations(range(len(shape)))))
    extra = {
        "alias": (), "detach": (), "diagonal": (draw(st.integers(-1, 1)),),
        "expand": ((2, *shape),), "narrow": (a, 0, 1), "permute": (order,),
        "select": (a, 0), "squeeze": (), "transpose": (a, b), "unsqueeze": (a,), "unbind": (a,),
        "view": ((-1,),), "split": (2, a),
    }[name]  # fmt: skip
    return (In(shape), *extra), {}


VIEWS: dict[str, Callable[..., Any]] = {
    "alias": lambda x: x,
    "detach": lambda x: x,
    "diagonal": lambda x, k: x.diagonal(k),
    "expand": np.broadcast_to,
    "narrow": lambda x, dim, start, length: x.take(range(start, start + length), dim),
    "permute": np.transpose,
    "select": lambda x, dim, k: x.take(k, dim),
    "squeeze": np.squeeze,
    "transpose": np.swapaxes,
    "unsqueeze": np.expand_dims,
    "unbind": lambda x, dim: [x.take(k, dim) for k in range(x.shape[dim])],
    "view": np.reshape,
    "split": lambda x, n, dim: np.split(x, range(n, x.shape[dim], n), dim),
}


def copies() -> list[Row]:
    return [
        Row(f"{name}_copy", lambda draw, name=name: copied(draw, name), reference,
            gradient=name != "detach")
        for name, reference in VIEWS.items()
    ]  # fmt: skip


ROWS = [
    Row("angle", one(), np.angle),
    Row("sgn", one(), sgn, second=False),
    Row("conj_physical", one(), np.conj),
    Row("resolve_conj", one(), lambda x: x),
    Row("real", one(), np.real),
    Row("imag", one(), np.imag, only=COMPLEX),
    Row("isreal", one(), np.isreal, on_meta=False),
    Row("view_as_real", one(), lambda x: np.stack([x.real, x.imag], -1), only=COMPLEX),
    Row("complex", together(2), lambda x, y: x + 1j * y, only=WIDE),
    Row("polar", together(2, low=0.2), lambda r, phi: r * np.exp(1j * phi), only=WIDE),
    Row("nan_to_num", one(nan=[0.5], posinf=[9.0]), nan_to_num, only=FLOATS),
    Row("float_power", together(2, low=0.3), lambda x, y: np.float_power(x, y)),
    Row("clamp_min", together(2), np.maximum, gradient=False),  # equal drawings have no slope
    Row("clamp_max", together(2), np.minimum, gradient=False),
    Row("logit", one(0.1, 0.9, eps=[None, 0.2]), lambda x, eps: sp.logit(
        x if eps is None else np.clip(x, eps, 1 - eps)), only=WIDE),
    Row("frexp", one(), frexp, gradient=False, on_meta=False),
    Row("F.threshold", thresholds, lambda x, t, v: np.where(x <= t, v, x)),
    Row("isclose", together(2, high=2), np.isclose, gradient=False),
    Row("polygamma", lambda draw: (lambda n, x: ((n, In(x, 0.5, 3)), {}))(
        draw(st.integers(1, 3)), draw(shapes())), lambda n, x: sp.polygamma(n, x), only=WIDE),
    Row("mvlgamma", one(1.5, 4, p=[1, 2, 3]),
        lambda x, p: p * (p - 1) / 4 * np.log(np.pi) + sum(sp.gammaln(x - k / 2) for k in range(p)),
        only=WIDE),
    *polynomials(),
    Row("cosine_similarity", along(2), cosine, only=FLOATS[1:], terms=64),
    Row("dist", alike(2, p=[1.0, 2.0, 3.0]), dist, only=FLOATS, terms=64),
    Row("pdist", points, pdist, only=WIDE, second=False),
    Row("cov", weighed, lambda x, correction: np.cov(x, ddof=correction).reshape(
        (len(x), len(x)) if x.ndim > 1 and len(x) > 1 else ()), terms=64, second=False,
        only=EVERY_DTYPE[1:]),
    Row("corrcoef", observations, np.corrcoef, terms=256, only=EVERY_DTYPE[8:10], second=False),
    Row("renorm", limited, renorm, only=WIDE, terms=64, second=False),
    Row("gradient", slopes, gradient, only=EVERY_DTYPE[6:]),
    Row("diagonal_scatter", into_diagonal, diagonal_scatter),
    Row("slice_scatter", into_slice, slice_scatter),
    Row("select_scatter", into_one, select_scatter),
    *copies(),
]  # fmt: skip
