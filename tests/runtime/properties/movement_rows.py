"""Joins, parts, padding and rearrangements that test_rearrangement leaves out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
from hypothesis import strategies as st

from flambeau import int64

from .calls import REAL, Arguments, In, Row, axis
from .drawing import shapes, sizes


def ranked(low: int, high: int = 4) -> Callable[[Any], Arguments]:
    """A tensor alone, with so many dimensions."""
    return lambda draw: ((In(draw(shapes(low, high))),), {})


def several(draw: Any, max_dims: int = 3) -> Arguments:
    """A list of tensors of one shape."""
    shape = draw(shapes(max_dims=max_dims))
    return ([In(shape) for _ in range(draw(st.integers(1, 3)))],), {}


def vectors(draw: Any) -> Arguments:
    return tuple(In((draw(sizes),)) for _ in range(draw(st.integers(1, 3)))), {}


def matrices(draw: Any) -> Arguments:
    return tuple(In(draw(shapes(max_dims=2))) for _ in range(draw(st.integers(1, 3)))), {}


def embedded(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1, max_dims=3))
    a, b, *_ = draw(st.permutations(range(len(shape) + 1)))
    offset = draw(st.integers(-3, 3))
    return (In(shape),), {"offset": offset, "dim1": a, "dim2": b - len(shape) - 1}


def diag_embed(x: Any, offset: int, dim1: int, dim2: int) -> Any:
    n = x.shape[-1] + abs(offset)
    out = np.zeros((*x.shape[:-1], n, n), x.dtype)
    rows = np.arange(x.shape[-1]) + max(-offset, 0)
    out[..., rows, rows + offset] = x
    return np.moveaxis(out, (-2, -1), (dim1, dim2))


def with_offset(low: int, high: int) -> Callable[[Any], Arguments]:
    return lambda draw: ((In(draw(shapes(low, high))), draw(st.integers(-3, 3))), {})


def meshed(draw: Any) -> Arguments:
    (args, _), indexing = vectors(draw), draw(st.sampled_from(["ij", "xy"]))
    return args, {"indexing": indexing}


def meshgrid(*arrays: Any, indexing: str) -> Any:
    return np.meshgrid(*arrays, indexing=indexing) if arrays else []


def chosen(draw: Any) -> Arguments:
    pairs = {"r": draw(st.integers(1, 3)), "with_replacement": draw(st.booleans())}
    return (In((draw(st.integers(0, 4)),)),), pairs


def combinations(x: Any, r: int, with_replacement: bool) -> Any:
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    return np.array(list(pick(x, r)), x.dtype).reshape(-1, r)


def products_of(*arrays: Any) -> Any:
    grids = np.meshgrid(*arrays, indexing="ij")
    found = np.stack([g.reshape(-1) for g in grids], -1)
    return found[:, 0] if len(arrays) == 1 else found


def padded(mode: str) -> Callable[[Any], Arguments]:
    """Margins of the last dimensions, as wide as the mode takes."""

    def arguments(draw: Any) -> Arguments:
        if mode == "constant":
            shape = draw(shapes(min_dims=1))
            margins = draw(st.lists(st.integers(-1, 2), min_size=2, max_size=2 * len(shape)))
            margins = margins[: len(margins) // 2 * 2]
            short = any(
                shape[-1 - k // 2] + margins[k] + margins[k + 1] < 0 or shape[-1 - k // 2] == 0
                for k in range(0, len(margins), 2)
            )
            return (In(shape), [0, 1] if short else margins, mode, 1), {}
        moving = draw(st.integers(1, 2))
        inner = [draw(st.integers(2, 4)) for _ in range(moving)]
        shape = (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *inner)
        most = {"reflect": -1, "circular": 0, "replicate": 2}[mode]
        margins = [draw(st.integers(0, n + most)) for n in reversed(inner) for _ in range(2)]
        return (In(shape), margins, mode), {}

    return arguments


def pad(x: Any, margins: Any, mode: str, value: Any = 0) -> Any:
    widths = [(0, 0)] * x.ndim
    for k in range(0, len(margins), 2):
        widths[x.ndim - 1 - k // 2] = (margins[k], margins[k + 1])
    cut = tuple(
        slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, x.shape, strict=True)
    )
    grown = [(max(a, 0), max(b, 0)) for a, b in widths]
    names = {"circular": "wrap", "replicate": "edge"}
    options = {"constant_values": x.dtype.type(value)} if mode == "constant" else {}
    return np.pad(x[cut], grown, names.get(mode, mode), **options)


def cut_at(low: int, dim: int | None) -> Callable[[Any], Arguments]:
    """A tensor and the places, or the number of parts, for a split along `dim`."""

    def arguments(draw: Any) -> Arguments:
        shape = draw(shapes(low))
        along = dim if dim != 1 or len(shape) > 1 else 0
        n = shape[along]
        if draw(st.booleans()):
            divisors = [k for k in range(1, 5) if n % k == 0]
            return (In(shape), draw(st.sampled_from(divisors))), {}
        return (In(shape), sorted(draw(st.lists(st.integers(0, 4), max_size=3)))), {}

    return arguments


def one_index(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1, min_side=1))
    dim = axis(draw, len(shape))
    return (In(shape), dim, draw(st.integers(-shape[dim], shape[dim] - 1))), {}


def listed(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1))
    dim = axis(draw, len(shape))
    index = draw(st.lists(st.integers(0, shape[dim] - 1), max_size=4)) if shape[dim] else []
    where = In((len(index),), made=lambda _: np.array(index), dtype=int64)
    return (In(shape), dim, where), {}


def swapped(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1))
    return (In(shape), axis(draw, len(shape)), axis(draw, len(shape))), {}


def shuffled(draw: Any, up: bool) -> Arguments:
    r, c, h, w = (draw(st.integers(1, 3)) for _ in range(4))
    lead = draw(shapes(max_dims=1))
    shape = (*lead, c * r * r, h, w) if up else (*lead, c, h * r, w * r)
    return (In(shape), r), {}


def pixel_shuffle(x: Any, r: int) -> Any:
    *lead, c, h, w = x.shape
    parts = x.reshape(*lead, c // r**2, r, r, h, w)
    n = len(lead)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return parts.transpose(order).reshape(*lead, c // r**2, h * r, w * r)


def pixel_unshuffle(x: Any, r: int) -> Any:
    *lead, c, h, w = x.shape
    parts = x.reshape(*lead, c, h // r, r, w // r, r)
    n = len(lead)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return parts.transpose(order).reshape(*lead, c * r**2, h // r, w // r)


def grouped(draw: Any) -> Arguments:
    g, c = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    return (In((draw(st.integers(1, 2)), g * c, *draw(shapes(1, 2, 1)))), g), {}


def channel_shuffle(x: Any, g: int) -> Any:
    n, c, *rest = x.shape
    return x.reshape(n, g, c // g, *rest).swapaxes(1, 2).reshape(x.shape)


def powers(draw: Any) -> Arguments:
    n = draw(st.integers(0, 4))
    return (In((draw(sizes),), -2, 2),), {"N": n, "increasing": draw(st.booleans())}


ROWS = [
    Row("diag_embed", embedded, diag_embed),
    Row("diag", with_offset(1, 2), np.diag),
    Row("diagflat", with_offset(0, 3), lambda x, k: np.diagflat(x, k)),
    Row("trace", ranked(2, 2), np.trace),
    Row("fliplr", ranked(2), np.fliplr),
    Row("flipud", ranked(1), np.flipud),
    Row("swapaxes", swapped, np.swapaxes),
    Row("swapdims", swapped, np.swapaxes),
    Row("t", ranked(0, 2), np.transpose),
    Row("adjoint", ranked(2), lambda x: x.swapaxes(-1, -2).conj()),
    Row("select", one_index, lambda x, dim, k: x.take(k, dim)),
    Row("index_select", listed, lambda x, dim, index: x.take(index, dim)),
    Row("vander", powers, lambda x, N, increasing: np.vander(x, N, increasing), terms=64),
    Row("atleast_1d", ranked(0), np.atleast_1d),
    Row("atleast_2d", ranked(0), np.atleast_2d),
    Row("atleast_3d", ranked(0), np.atleast_3d),
    Row("hstack", several, np.hstack),
    Row("vstack", several, np.vstack),
    Row("dstack", several, np.dstack),
    Row("column_stack", several, lambda xs: np.column_stack(
        [np.reshape(x, (-1, 1)) if x.ndim < 2 else x for x in xs])),
    Row("block_diag", matrices, lambda *xs: scipy.linalg.block_diag(*map(np.atleast_2d, xs))),
    Row("cartesian_prod", vectors, products_of),
    Row("combinations", chosen, combinations),
    Row("meshgrid", meshed, meshgrid),
    Row("hsplit", cut_at(1, 1), np.hsplit),
    Row("vsplit", cut_at(2, 0), np.vsplit),
    Row("dsplit", cut_at(3, 2), np.dsplit),
    *[Row("F.pad", padded(mode), pad, mode)
      for mode in ("constant", "reflect", "circular", "replicate")],
    Row("pixel_shuffle", lambda draw: shuffled(draw, True), pixel_shuffle),
    Row("pixel_unshuffle", lambda draw: shuffled(draw, False), pixel_unshuffle),
    Row("channel_shuffle", grouped, channel_shuffle),
    Row("unique_consecutive", ranked(0), lambda x: _runs(x.reshape(-1)), "plain", only=REAL,
        gradient=False, on_meta=False),
]  # fmt: skip


def _runs(x: Any) -> Any:
    return x[np.concatenate([np.ones(min(len(x), 1), bool), x[1:] != x[:-1]])]
