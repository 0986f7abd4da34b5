"""Samples of the tensor half of the API: special functions, statistics, products, updates, views."""

# ruff: noqa: E501 - a table reads best with a sample a line

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sp

from .kit import Sample, apart, array, integers


def on(
    low: float, high: float, reference: Callable[..., Any] | None, **options: Any
) -> list[Sample]:
    """A vector, a matrix and a scalar between `low` and `high`."""
    return [Sample((array(*s, low=low, high=high, seed=k),), {}, reference, **options)
            for k, s in enumerate([(5,), (2, 3), ()])]  # fmt: skip


def pair(
    low: float, high: float, reference: Callable[..., Any] | None, **options: Any
) -> list[Sample]:
    """Two tensors that broadcast, between `low` and `high`."""
    shapes = [((4,), (4,)), ((2, 3), (3,)), ((2, 1), (1, 3))]
    return [Sample((array(*a, low=low, high=high, seed=1), array(*b, low=low, high=high, seed=9)), {}, reference, **options)
            for a, b in shapes]  # fmt: skip


FLAT: dict[str, Any] = {"gradient": False}

SPECIAL: dict[str, list[Sample]] = {
    "digamma": on(0.4, 3, sp.digamma), "erfcx": on(-1.5, 2, sp.erfcx), "ndtri": on(0.1, 0.9, sp.ndtri),
    "log_ndtr": on(-3, 2, sp.log_ndtr), "ndtr": on(-2, 2, sp.ndtr), "entr": on(0.2, 2, sp.entr),
    "i0": on(-2, 2, sp.i0), "i0e": on(0.3, 2, sp.i0e), "i1": on(0.3, 2, sp.i1), "i1e": on(0.3, 2, sp.i1e),
    "bessel_j0": on(0.4, 3, sp.j0), "bessel_j1": on(0.4, 3, sp.j1),
    "bessel_y0": on(0.4, 3, sp.y0), "bessel_y1": on(0.4, 3, sp.y1),
    "modified_bessel_k0": on(0.4, 3, sp.k0), "modified_bessel_k1": on(0.4, 3, sp.k1),
    "scaled_modified_bessel_k0": on(0.4, 3, sp.k0e),
    "scaled_modified_bessel_k1": on(0.4, 3, sp.k1e),
    "xlogy": [*pair(0.3, 2, sp.xlogy), Sample((np.array([0.0, 0.0, 1.0]), np.array([0.0, 2.0, 1.0])), {}, sp.xlogy, False)],
    "xlog1py": pair(0.3, 2, sp.xlog1py), "sinc": on(0.2, 2, np.sinc),
    "polygamma_of": [Sample((array(4, low=0.4, high=3),), {"n": n}, lambda x, n: sp.polygamma(n, x)) for n in (0, 1, 3)],
    "mvlgamma": [Sample((array(4, low=2.5, high=4),), {"p": 3}, lambda x, p: sp.multigammaln(x, p) if x.ndim == 0 else np.array([sp.multigammaln(v, p) for v in x]))],
    "igamma": pair(0.4, 2, sp.gammainc, **FLAT), "igammac": pair(0.4, 2, sp.gammaincc, **FLAT),
    "zeta": pair(1.5, 3, sp.zeta, **FLAT),
    "logit_within": [*[Sample((array(5, low=0.1, high=0.9),), {"eps": e}, None) for e in (None, 0.2)],
                     Sample((array(5, low=0.1, high=0.9),), {}, sp.logit)],
    "logaddexp2": pair(-2, 2, np.logaddexp2), "hypot": pair(0.3, 2, np.hypot),
    "ldexp": pair(-2, 2, lambda x, y: x * 2**y),
    "frac": [Sample((apart(6),), {}, lambda x: x - np.trunc(x))],
    "deg2rad": on(-90, 90, np.deg2rad), "rad2deg": on(-2, 2, np.rad2deg),
    "fmax": [Sample((apart(6), apart(6, seed=5) + 0.03), {}, np.fmax), Sample((np.array([np.nan, 1.0]), np.array([2.0, np.nan])), {}, np.fmax, False)],
    "fmin": [Sample((apart(6), apart(6, seed=5) + 0.03), {}, np.fmin)],
    "copysign": [Sample((apart(6), apart(6, seed=5)), {}, np.copysign, second_order=False)],
    "nextafter": [Sample((np.array([1.0, 2.0]), np.array([2.0, 1.0])), {}, np.nextafter, False)],
    "heaviside": [Sample((np.array([-1.0, 0.0, 2.0]), np.array([0.5, 0.25, 0.5])), {}, np.heaviside, False)],
    "gcd": [Sample((integers(6, high=20), integers(6, high=20, seed=1)), {}, np.gcd)],
    "lcm": [Sample((integers(6, high=20), integers(6, high=20, seed=1)), {}, np.lcm)],
    "nan_replaced": [Sample((np.array([1.0, np.nan, np.inf, -np.inf]),), {"nan": 0.5, "posinf": 9.0, "neginf": -9.0}, lambda x, **k: np.nan_to_num(x, **k), False),
                     Sample((array(3),), {"nan": 0.5, "posinf": 9.0, "neginf": -9.0}, lambda x, **k: x)],
    "trunc_quotient": [Sample((apart(6), np.full(6, 0.7)), {}, lambda x, y: np.trunc(x / y), second_order=False)],
    "celu": [Sample((apart(6),), {"alpha": 0.7}, None)], "selu": [Sample((apart(6),), {}, None)],
    "prelu_shaped": [Sample((apart(6), array(6)), {}, lambda x, w: np.where(x > 0, x, w * x))],
    "hardshrink": [Sample((apart(8) * 2 + 0.03,), {}, lambda x: np.where(abs(x) <= 0.5, 0, x))],
    "softshrink": [Sample((apart(8) * 2 + 0.03,), {}, lambda x: np.sign(x) * np.maximum(abs(x) - 0.5, 0))],
    "tanhshrink": on(-2, 2, lambda x: x - np.tanh(x)),
    "threshold_numbers": [Sample((apart(6),), {"threshold": 0.2, "value": 7.0}, lambda x, threshold, value: np.where(x <= threshold, value, x))],
    "squared": on(-2, 2, np.square),
    "signbit": [Sample((np.array([-1.0, -0.0, 2.0]),), {}, np.signbit, False)],
    "isposinf": [Sample((np.array([np.inf, -np.inf, 1.0]),), {}, np.isposinf, False)],
    "isneginf": [Sample((np.array([np.inf, -np.inf, 1.0]),), {}, np.isneginf, False)],
    "bitwise_left_shift": [Sample((integers(5), integers(5, seed=1)), {}, np.left_shift)],
    "bitwise_right_shift": [Sample((integers(5, high=50), integers(5, seed=1)), {}, np.right_shift)],
}  # fmt: skip


def _strided(size: Any, stride: Any, offset: int, shape: Any) -> dict[str, Any]:
    steps = [int(np.prod(shape[k + 1 :])) for k in range(len(shape))]
    return {"size": size, "stride": stride, "offset": offset, "geometry": (shape, tuple(steps))}


def _moved(g: Any, source: Any, target: Any) -> Any:
    memory = np.zeros(64)
    size, stride, offset = source
    for place in np.ndindex(*size):
        memory[offset + sum(i * s for i, s in zip(place, stride, strict=True))] += g[place]
    size, stride, offset = target
    return np.array([memory[offset + sum(i * s for i, s in zip(p, stride, strict=True))] for p in np.ndindex(*size)]).reshape(size)  # fmt: skip


SHAPES: dict[str, list[Sample]] = {
    "moved_between": [Sample((array(2, 3),), {"source": ((2, 3), (1, 2), 0), "target": ((6,), (1,), 0)}, _moved)],
    "diagonal": [Sample((array(3, 4), *a), {}, lambda x, *a: np.diagonal(x, *a)) for a in ((), (1,), (-1,))]
    + [Sample((array(2, 3, 4), 0, 1, 2), {}, np.diagonal)],
    "diag": [Sample((array(3),), {}, np.diag), Sample((array(3), -1), {}, np.diag), Sample((array(3, 4), 1), {}, np.diag)],
    "diag_embed": [Sample((array(2, 3),), {}, lambda x: np.stack([np.diag(r) for r in x]))],
    "diagflat": [Sample((array(2, 2), 1), {}, np.diagflat)], "trace": [Sample((array(3, 4),), {}, np.trace)],
    "unfold": [Sample((array(7), 0, 3, 2), {}, lambda x, d, n, s: np.stack([x[k : k + n] for k in range(0, len(x) - n + 1, s)])),
               Sample((array(4, 5), 1, 2, 1), {}, lambda x, d, n, s: np.stack([x[:, k : k + n] for k in range(4)], 1))],
    "hstack": [Sample(([array(2, 2), array(2, 3)],), {}, np.hstack), Sample(([array(2), array(3)],), {}, np.hstack)],
    "vstack": [Sample(([array(3), array(3, seed=1)],), {}, np.vstack)], "dstack": [Sample(([array(2, 2), array(2, 2, seed=1)],), {}, np.dstack)],
    "column_stack": [Sample(([array(3), array(3, 2)],), {}, np.column_stack)],
    "tensor_split": [Sample((array(7), 3), {}, lambda x, n: np.array_split(x, n)), Sample((array(5, 2), (1, 3)), {}, lambda x, n: np.split(x, n))],
    "block_diag": [Sample((array(2, 2), array(1, 3)), {}, lambda a, b: np.block([[a, np.zeros((2, 3))], [np.zeros((1, 2)), b]]))],
    "meshgrid": [Sample((array(2), array(3)), {}, lambda a, b: list(np.meshgrid(a, b, indexing="ij"))),
                 Sample((array(2), array(3)), {"indexing": "xy"}, lambda a, b, indexing: list(np.meshgrid(a, b)))],
    "cartesian_prod": [Sample((array(2), array(3)), {}, lambda a, b: np.array([[p, q] for p in a for q in b]))],
    "combinations": [Sample((array(4),), {}, lambda a: np.array([[a[i], a[j]] for i in range(4) for j in range(i + 1, 4)]))],
    "rot90": [Sample((array(2, 3), k), {}, np.rot90) for k in (0, 1, 2, -1)],
    "fliplr": [Sample((array(2, 3),), {}, np.fliplr)], "flipud": [Sample((array(2, 3),), {}, np.flipud)],
    "tile": [Sample((array(2, 3), (2,)), {}, np.tile), Sample((array(3), (2, 2)), {}, np.tile)],
    "repeat_interleave": [Sample((array(2, 3), 2), {}, np.repeat), Sample((array(2, 3), 2, 1), {}, np.repeat),
                          Sample((array(3), [0, 2, 1]), {}, np.repeat)],
    "permute_copy": [Sample((array(2, 3, 4), (2, 0, 1)), {}, np.transpose)],
}  # fmt: skip


def _index_add(x: Any, d: int, index: Any, source: Any) -> Any:
    out = x.copy()
    np.add.at(out, (slice(None),) * d + (index,), source)
    return out


def _put_along(reduce: Any) -> Callable[..., Any]:
    def reference(x: Any, d: int, index: Any, src: Any, *args: Any, **kwargs: Any) -> Any:
        out = x.copy()
        for place in np.ndindex(*index.shape):
            target = list(place)
            target[d] = index[place]
            out[tuple(target)] = reduce(out[tuple(target)], src[place])
        return out

    return reference


_ROWS = np.array([0, 2, 2])
_PLACES = np.array([[0, 2, 1], [1, 0, 1]])
UPDATES: dict[str, list[Sample]] = {
    "index_put": [Sample((array(3, 4), (_ROWS,), array(3, 4, seed=1), True), {}, lambda x, i, v, a: _index_add(x, 0, i[0], v))],
    "index_add": [Sample((array(3, 4), 0, _ROWS, array(3, 4, seed=1)), {}, _index_add), Sample((array(2, 3), 1, _ROWS, array(2, 3, seed=1)), {}, _index_add)],
    "index_copy": [Sample((array(3, 4), 0, _ROWS[:2], array(2, 4, seed=1)), {}, lambda x, d, i, s: np.stack([s[0], x[1], s[1]]))],
    "index_fill": [Sample((array(3, 2), 0, _ROWS, 1.5), {}, lambda x, d, i, v: np.stack([np.full(2, v), x[1], np.full(2, v)]))],
    "scatter_reduce": [
        Sample((array(2, 4), 1, _PLACES, array(2, 3, seed=1), "sum"), {}, _put_along(np.add)),
        Sample((array(2, 4, low=0.5), 1, _PLACES, array(2, 3, low=0.5, seed=1), "prod"), {}, _put_along(np.multiply)),
        Sample((apart(2, 4), 1, _PLACES, apart(2, 3, seed=1) + 0.03, "amax"), {}, _put_along(np.maximum)),
        Sample((apart(2, 4), 1, _PLACES, apart(2, 3, seed=1) + 0.03, "amin"), {}, _put_along(np.minimum)),
        Sample((array(2, 4), 1, _PLACES, array(2, 3, seed=1), "mean"), {"include_self": False}, None),
    ],
    "scatter_reduced": [
        Sample((array(2, 4), _PLACES, array(2, 3, seed=1)), {"dim": 1, "reduce": "prod"}, lambda x, i, s, dim, reduce: _put_along(np.multiply)(x, dim, i, s)),
        Sample((apart(2, 4), _PLACES, apart(2, 3, seed=1) + 0.03), {"dim": 1, "reduce": "amax"}, lambda x, i, s, dim, reduce: _put_along(np.maximum)(x, dim, i, s)),
    ],
    "index_reduce": [Sample((array(3, 2, low=0.5), 0, _ROWS, array(3, 2, low=0.5, seed=1), "prod"), {}, lambda x, d, i, s, r: np.stack([x[0] * s[0], x[1], x[2] * s[1] * s[2]]))],
    "masked_scatter": [Sample((array(2, 2), np.array([[True, False], [False, True]]), array(3, seed=1)), {}, lambda x, m, s: np.array([[s[0], x[0, 1]], [x[1, 0], s[1]]]))],
    "take": [Sample((array(2, 3), np.array([[0, 5], [-1, 2]])), {}, np.take)],
    "put": [Sample((array(2, 3), np.array([0, 5]), array(2, seed=1)), {}, lambda x, i, s: np.array([[s[0], *x[0, 1:]], [*x[1, :2], s[1]]]))],
    "select_scatter": [Sample((array(2, 3), array(3, seed=1), 0, 1), {}, lambda x, s, d, i: np.stack([x[0], s]))],
    "slice_scatter": [Sample((array(4, 2), array(2, 2, seed=1), 0, 1, 3), {}, lambda x, s, d, a, b: np.concatenate([x[:1], s, x[3:]]))],
    "diagonal_scatter": [Sample((array(2, 2), array(2, seed=1)), {}, lambda x, s: np.array([[s[0], x[0, 1]], [x[1, 0], s[1]]]))],
}  # fmt: skip

RUNNING: dict[str, list[Sample]] = {
    "cumprod": [Sample((array(2, 4, low=0.5), 1), {}, np.cumprod), Sample((np.array([1.5, 0.0, 2.0, 3.0]), 0), {}, np.cumprod, second_order=False)],
    "cumprod_gradient": [Sample((array(4), array(4, low=0.5, seed=1), np.cumprod(array(4, low=0.5, seed=1))), {"dim": 0}, None, False)],
    "cummax": [Sample((apart(2, 4), 1), {}, None)], "cummin": [Sample((apart(5), 0), {}, None)],
    "drop_weights": [Sample((array(2, 3, 5),), {"dropped": 0.5, "seed": 1, "offset": 8, "held": 0}, None)],
    "philox_dropout": [Sample((array(3, 4),), {"probability": 0.5, "value": 2.0, "seed": 1, "offset": 8, "held": 0, "threads": 256}, None)],
    "top_positions": [Sample((np.array([1.0, 3.0, 3.0, 2.0]),), {"dim": 0, "k": 3, "largest": True}, lambda x, dim, k, largest: np.array([1, 2, 3]), False), Sample((apart(3, 5),), {"dim": 0, "k": 2, "largest": False}, lambda x, dim, k, largest: x.argsort(0)[:2], False)],
    "rank_positions": [Sample((np.array([1.0, 3.0, 3.0, 2.0]),), {"dim": 0, "rank": 2}, lambda x, dim, rank: np.array([1]), False), Sample((apart(3, 5),), {"dim": 1, "rank": 4}, lambda x, dim, rank: x.argsort(1)[:, 4:], False)],
    "cummax_positions": [Sample((np.array([1.0, 3.0, 3.0, 2.0]),), {"dim": 0}, lambda x, dim: np.array([0, 1, 2, 2]), False)],
    "cummin_positions": [Sample((np.array([3.0, 1.0, 1.0, 2.0]),), {"dim": 0}, lambda x, dim: np.array([0, 1, 2, 2]), False)],
    "logcumsumexp": [Sample((array(2, 4), 1), {}, lambda x, d: np.log(np.cumsum(np.exp(x), d)))],
    "diff": [Sample((array(2, 5),), {}, np.diff), Sample((array(5), 2), {}, np.diff)],
    "trapezoid": [Sample((array(2, 5),), {}, np.trapezoid), Sample((array(5), np.sort(array(5, seed=1))), {}, np.trapezoid)],
    "gradient": [Sample((array(5),), {}, lambda x: [np.gradient(x)]), Sample((array(3, 4),), {"edge_order": 2}, lambda x, edge_order: list(np.gradient(x, edge_order=edge_order)))],
    "var_mean": [Sample((array(3, 4), 1), {}, lambda x, d: [x.var(d, ddof=1), x.mean(d)])],
    "aminmax": [Sample((apart(3, 4),), {"dim": 1}, lambda x, dim: [x.min(dim), x.max(dim)])],
    "nansum": [Sample((np.array([1.0, np.nan, 2.0]),), {}, np.nansum, False), Sample((array(3),), {}, np.nansum)],
    "nanmean": [Sample((np.array([1.0, np.nan, 2.0]),), {}, np.nanmean, False), Sample((array(3),), {}, np.nanmean)],
    "kthvalue": [Sample((apart(3, 5), 2), {}, None)], "median": [Sample((apart(3, 5), 1), {}, None), Sample((apart(5),), {}, np.median)],
    "nanmedian": [Sample((np.array([3.0, np.nan, 1.0, 2.0]),), {}, np.nanmedian, False)],
    "quantile": [Sample((apart(3, 5), 0.3, 1), {}, lambda x, q, d: np.quantile(x, q, d)),
                 *[Sample((apart(6), 0.3), {"interpolation": how}, lambda x, q, interpolation: np.quantile(x, q, method=interpolation), False)
                   for how in ("lower", "higher", "midpoint", "nearest")]],
    "nanquantile": [Sample((np.array([3.0, np.nan, 1.0, 2.0]), 0.4), {}, np.nanquantile, False)],
    "cov": [Sample((array(3, 5),), {}, np.cov), Sample((array(5),), {}, np.cov)], "corrcoef": [Sample((array(3, 5),), {}, np.corrcoef)],
    "renorm": [Sample((array(3, 4), 2.0, 0, 1.0), {}, None)], "dist": [Sample((array(3), array(3, seed=1)), {}, lambda x, y: np.linalg.norm(x - y))],
}  # fmt: skip

PRODUCTS: dict[str, list[Sample]] = {
    "einsum": [Sample((e, *ops), {}, np.einsum) for e, ops in [
        ("ij,jk->ik", (array(2, 3), array(3, 4))), ("bij,bjk", (array(2, 3, 2), array(2, 2, 3))), ("ii->i", (array(3, 3),)), ("ij->", (array(2, 3),)),
        ("i,j->ij", (array(2), array(3))), ("...ij,...kj->...ik", (array(2, 3, 4), array(2, 2, 4))), ("ij,jk,kl->il", (array(2, 3), array(3, 2), array(2, 4))),
        ("ij,ij->j", (array(2, 3), array(2, 3, seed=1)))]],
    "tensordot": [Sample((array(2, 3, 4), array(3, 4, 2)), {}, np.tensordot), Sample((array(2, 3), array(4, 3)), {"dims": ([1], [1])}, lambda a, b, dims: np.tensordot(a, b, dims))],
    "inner": [Sample((array(2, 3), array(4, 3)), {}, np.inner)], "kron": [Sample((array(2, 3), array(2, 2)), {}, np.kron)],
    "vdot": [Sample((array(3), array(3, seed=1)), {}, np.vdot)],
    "baddbmm": [Sample((array(2, 3, 4), array(2, 3, 2), array(2, 2, 4)), {"beta": 0.5, "alpha": 2.0}, lambda c, a, b, beta, alpha: beta * c + alpha * (a @ b))],
    "addbmm": [Sample((array(3, 4), array(2, 3, 2), array(2, 2, 4)), {}, lambda c, a, b: c + (a @ b).sum(0))],
    "addmv": [Sample((array(3), array(3, 4), array(4)), {}, lambda c, a, b: c + a @ b)], "addr": [Sample((array(3, 4), array(3), array(4)), {}, lambda c, a, b: c + np.outer(a, b))],
    "chain_matmul": [Sample((array(2, 5), array(5, 3), array(3, 4)), {}, lambda a, b, c: a @ b @ c)],
    "cross": [Sample((array(2, 3), array(2, 3, seed=1)), {"dim": 1}, lambda a, b, dim: np.cross(a, b))],
    "cdist": [Sample((array(3, 4), array(2, 4, seed=7), p), {}, lambda a, b, p: np.array([[np.linalg.norm(u - v, p) for v in b] for u in a])) for p in (1.0, 2.0, 3.0)],
}  # fmt: skip

SEARCHES: dict[str, list[Sample]] = {
    "msort": [Sample((apart(4, 2),), {}, lambda x: np.sort(x, 0))],
    "unravel_index": [Sample((integers(4, high=6),), {"shape": (2, 3)}, lambda x, shape: list(np.unravel_index(x, shape)))],
}  # fmt: skip

SAMPLES: dict[str, list[Sample]] = {
    **SPECIAL,
    **SHAPES,
    **UPDATES,
    **RUNNING,
    **PRODUCTS,
    **SEARCHES,
}
