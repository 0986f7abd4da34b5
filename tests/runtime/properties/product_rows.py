"""The matmul family: shapes that broadcast, sizes of 0 and 1, beta and alpha."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from .calls import NUMBERS, Arguments, In, Row
from .drawing import EVERY_DTYPE, broadcastable, shapes, sizes


def of_sizes(*letters: str) -> Callable[[Any], Arguments]:
    """Tensors with dimensions named by letters; one size a letter."""

    def arguments(draw: Any) -> Arguments:
        length = {c: draw(sizes) for c in sorted(set("".join(letters)))}
        return tuple(In(tuple(length[c] for c in word)) for word in letters), {}

    return arguments


def scaled(*letters: str) -> Callable[[Any], Arguments]:
    """The same behind an input that broadcasts to the last dimensions, with beta and alpha."""

    def arguments(draw: Any) -> Arguments:
        (first, *others), _ = of_sizes(*letters)(draw)
        cut = draw(st.integers(0, len(first.shape) - 1))
        narrow = tuple(1 if draw(st.booleans()) else n for n in first.shape[cut:])
        factors = st.sampled_from([0, 1, 2, -1])
        return (In(narrow), *others), {"beta": draw(factors), "alpha": draw(factors)}

    return arguments


def added(product: Callable[..., Any]) -> Callable[..., Any]:
    """beta * input + alpha * product."""

    def reference(x: Any, a: Any, b: Any, beta: int, alpha: int) -> Any:
        whole = np.asarray(product(a, b))
        if whole.dtype == bool:
            return np.logical_or(x & bool(beta), whole & bool(alpha))
        return np.asarray(beta * np.broadcast_to(x, whole.shape) + alpha * whole)

    return reference


def matmul_like(draw: Any) -> Arguments:
    n, k, m = draw(sizes), draw(sizes), draw(sizes)
    (left, right), _ = draw(broadcastable(2, max_dims=2))
    a = (*left, n, k) if draw(st.integers(0, 3)) else (k,)
    b = (*right, k, m) if draw(st.integers(0, 3)) else (k,)
    return (In(a), In(b)), {}


def equations(draw: Any) -> Arguments:
    forms = [
        ("ij,jk->ik", "ij", "jk"), ("ij,ij->", "ij", "ij"), ("bij,bjk->bik", "bij", "bjk"),
        ("i,j->ij", "i", "j"), ("ii->i", "ii"), ("ij->ji", "ij"), ("ij->", "ij"), ("ii->", "ii"),
        ("bij,j,bi->b", "bij", "j", "bi"), ("ij,kj,lj->ikl", "ij", "kj", "lj"), ("ij,j", "ij", "j"),
    ]  # fmt: skip
    equation, *letters = draw(st.sampled_from(forms))
    tensors, _ = of_sizes(*letters)(draw)
    return (equation, *tensors), {}


def einsum(equation: str, *arrays: Any) -> Any:
    return np.einsum(equation, *arrays)


def contraction(draw: Any) -> Arguments:
    a, rest = draw(shapes(max_dims=3)), draw(shapes(max_dims=2))
    count = draw(st.integers(0, len(a)))
    return (In(a), In((*a[len(a) - count :], *rest))), {"dims": count}


def chained(draw: Any) -> Arguments:
    widths = draw(st.lists(sizes, min_size=2, max_size=5))
    return tuple(In(pair) for pair in itertools.pairwise(widths)), {}


def listed(draw: Any) -> Arguments:
    widths = draw(st.lists(sizes, min_size=3, max_size=5))
    return ([In(pair) for pair in itertools.pairwise(widths)],), {}


def any_two(draw: Any) -> Arguments:
    return (In(draw(shapes(max_dims=3))), In(draw(shapes(max_dims=3)))), {}


def inner_like(draw: Any) -> Arguments:
    k = draw(sizes)
    return (In((*draw(shapes(max_dims=2)), k)), In((*draw(shapes(max_dims=2)), k))), {}


def along_a_dim(draw: Any, *, size: int | None = None) -> Arguments:
    shape = list(draw(shapes(min_dims=1, max_dims=3)))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    if size is not None:
        shape[dim] = size
    return (In(tuple(shape)), In(tuple(shape))), {"dim": dim}


def linear_like(draw: Any) -> Arguments:
    k, m = draw(sizes), draw(sizes)
    bias = (In((m,)),) if draw(st.booleans()) else ()
    return (In((*draw(shapes(max_dims=2)), k)), In((m, k)), *bias), {}


def bilinear_like(draw: Any) -> Arguments:
    lead = draw(shapes(max_dims=2, min_side=1))
    i, j, m = (draw(st.integers(1, 4)) for _ in range(3))
    return (In((*lead, i)), In((*lead, j)), In((m, i, j)), In((m,))), {}


def distances(draw: Any) -> Arguments:
    n, m, k = draw(sizes), draw(sizes), draw(sizes)
    batch = draw(shapes(max_dims=1))
    return (In((*batch, n, k)), In((*batch, m, k))), {"p": draw(st.sampled_from([1.0, 2.0, 3.0]))}


def cdist(x: Any, y: Any, p: float) -> Any:
    gaps = np.abs(x[..., :, None, :] - y[..., None, :, :])
    return (gaps**p).sum(-1) ** (1 / p)


def bilinear(x: Any, y: Any, w: Any, b: Any) -> Any:
    return np.einsum("...i,mij,...j->...m", x, w, y) + b


def total(a: Any, b: Any) -> Any:
    return np.matmul(a, b).sum(0) if a.dtype != bool else np.matmul(a, b).any(0)


def cross(x: Any, y: Any, dim: int) -> Any:
    return np.cross(x, y, axis=dim)


def power(draw: Any) -> Arguments:
    n = draw(sizes)
    return (In((*draw(shapes(max_dims=1)), n, n), -1, 1), draw(st.integers(0, 5))), {}


ROWS = [
    Row("mm", of_sizes("nk", "km"), np.matmul),
    Row("bmm", of_sizes("bnk", "bkm"), np.matmul),
    Row("mv", of_sizes("nk", "k"), np.matmul),
    Row("dot", of_sizes("k", "k"), np.dot),
    Row("vdot", of_sizes("k", "k"), np.vdot),
    Row("outer", of_sizes("n", "m"), np.outer),
    Row("ger", of_sizes("n", "m"), np.outer),
    Row("inner", inner_like, lambda x, y: x * y if not (x.ndim and y.ndim) else np.inner(x, y)),
    Row("matmul", matmul_like, np.matmul),
    Row("kron", any_two, np.kron),
    Row("einsum", equations, einsum, only=EVERY_DTYPE[5:]),
    Row("tensordot", contraction, lambda x, y, dims: np.tensordot(x, y, dims)),
    Row("addmm", scaled("nm", "nk", "km"), added(np.matmul), only=NUMBERS, terms=64),
    Row("addmv", scaled("n", "nk", "k"), added(np.matmul), only=NUMBERS, terms=64),
    Row("addr", scaled("nm", "n", "m"), added(np.outer), only=NUMBERS, terms=64),
    Row("baddbmm", scaled("bnm", "bnk", "bkm"), added(np.matmul), only=NUMBERS, terms=64),
    Row("addbmm", scaled("nm", "bnk", "bkm"), added(total), only=NUMBERS, terms=128),
    Row("chain_matmul", chained, lambda *arrays: functools.reduce(np.matmul, arrays), terms=512),
    Row("linalg.multi_dot", listed, lambda arrays: functools.reduce(np.matmul, arrays), terms=512),
    Row("linalg.matrix_power", power, np.linalg.matrix_power, only=NUMBERS, terms=128),
    Row("matrix_power", power, np.linalg.matrix_power, only=NUMBERS, terms=128),
    Row("linalg.vecdot", along_a_dim, lambda x, y, dim: (x.conj() * y).sum(dim)),
    Row("cross", functools.partial(along_a_dim, size=3), cross),
    Row("linalg.cross", functools.partial(along_a_dim, size=3),
        cross),
    Row("F.linear", linear_like, lambda x, w, b=0: np.matmul(x, w.T) + b, terms=64),
    Row("F.bilinear", bilinear_like, bilinear, terms=128),
    Row("cdist", distances, cdist, second=False),
]  # fmt: skip
