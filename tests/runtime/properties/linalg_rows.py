"""Linear algebra: solutions and determinants by NumPy, factors by what they multiply to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
from hypothesis import strategies as st

import flambeau as torch
from flambeau import complex64, complex128, float32, float64

from .calls import Arguments, In, Row
from .drawing import shapes, sizes

FACTORED = (float32, float64, complex64, complex128)
Check = Callable[[Any], bool]


def regular(a: Any) -> Any:
    """Square matrices far from singular, with different eigenvalues and singular values."""
    n = a.shape[-1]
    return 0.2 * a + np.diag(1.0 + np.arange(n))


def tall(a: Any) -> Any:
    """Matrices of full rank with different singular values."""
    out = 0.2 * a
    for k in range(min(a.shape[-2:])):
        out[..., k, k] += 1.0 + k
    return out


def adjoint(a: Any) -> Any:
    return a.swapaxes(-1, -2).conj()


def hermitian(a: Any) -> Any:
    """Hermitian, positive definite, with different eigenvalues."""
    half = regular(a)
    return (half + adjoint(half)) / 2 + 0.5 * np.eye(a.shape[-1])


def symmetrized(a: Any) -> Any:
    """For gradients: these functions read one triangle, and differ by how it is moved."""
    return (a + a.mH) / 2


def triangle(upper: bool) -> Callable[[Any], Any]:
    return lambda a: (np.triu if upper else np.tril)(regular(a))


def factor(a: Any) -> Any:
    """Lower Cholesky factors."""
    return np.linalg.cholesky(hermitian(a))


def lower(a: Any) -> Any:
    return a.tril()


def square(made: Callable[[Any], Any] = regular, least: int = 0, **options: Any) -> Any:
    """Batches of square matrices and one of each of the `options`."""

    def arguments(draw: Any) -> Arguments:
        n = draw(st.integers(least, 4))
        batch = draw(shapes(max_dims=2))
        chosen = {k: draw(st.sampled_from(v)) for k, v in options.items()}
        return (In((*batch, n, n), -1, 1, made),), chosen

    return arguments


def oblong(least: int = 0, filled_batch: bool = False, **options: Any) -> Any:
    """Batches of matrices of any sides."""

    def arguments(draw: Any) -> Arguments:
        m, n = draw(st.integers(least, 4)), draw(st.integers(least, 4))
        batch = draw(shapes(max_dims=1, min_side=int(filled_batch)))
        chosen = {k: draw(st.sampled_from(v)) for k, v in options.items()}
        return (In((*batch, m, n), -1, 1, tall),), chosen

    return arguments


def system(made: Callable[[Any], Any] = regular) -> Callable[[Any], Arguments]:
    """Matrices and right-hand sides."""

    def arguments(draw: Any) -> Arguments:
        n, k = draw(sizes), draw(sizes)
        batch = draw(shapes(max_dims=1))
        return (In((*batch, n, n), -1, 1, made), In((*batch, n, k))), {}

    return arguments


def reversed_system(made: Callable[[Any], Any]) -> Callable[[Any], Arguments]:
    """The right-hand sides first, as cholesky_solve takes them."""

    def arguments(draw: Any) -> Arguments:
        (a, b), kwargs = system(made)(draw)
        return (b, a), kwargs

    return arguments


def triangular(draw: Any) -> Arguments:
    upper, left = draw(st.booleans()), draw(st.booleans())
    (a, b), _ = system(triangle(upper))(draw)
    wide = b if left else In((*b.shape[:-2], b.shape[-1], b.shape[-2]))
    return (a, wide), {"upper": upper, "left": left}


def least_squares(draw: Any) -> Arguments:
    n, k = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    m, batch = n + draw(st.integers(0, 2)), draw(shapes(max_dims=1, min_side=1))
    return (In((*batch, m, n), -1, 1, tall), In((*batch, m, k))), {}


def normed(draw: Any) -> Arguments:
    order = draw(st.sampled_from(["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]))
    (a,), _ = oblong(least=1)(draw)
    return (a, order), {"keepdim": draw(st.booleans())}


def matrix_norm(a: Any, order: Any, keepdim: bool) -> Any:
    return np.linalg.norm(a, order, (-2, -1), keepdims=keepdim)


# -- what factors must satisfy ---------------------------------------------------------------------


def near(a: Any, b: Any) -> bool:
    """Equal but for the roundings of the narrower type; shapes too."""
    step = 2e-4 if np.asarray(a).dtype.itemsize <= 8 and _is_single(a) else 1e-10
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=step, atol=step)


def _is_single(a: Any) -> bool:
    return np.asarray(a).dtype in (np.float32, np.complex64)


def orthonormal(q: Any) -> bool:
    return near(
        adjoint(q) @ q,
        np.broadcast_to(np.eye(q.shape[-1]), (*q.shape[:-2], *[q.shape[-1]] * 2)).astype(q.dtype),
    )


def free(_: Any) -> bool:
    """A result that another result's check covers."""
    return True


def qr(a: Any, mode: str = "reduced") -> tuple[Check, Check]:
    m, n = a.shape[-2:]
    k = m if mode == "complete" else min(m, n)

    def factors(found: Any) -> bool:
        q, r = found
        if mode == "r":
            return q.size == 0 and near(adjoint(r) @ r, adjoint(a) @ a)
        shaped = q.shape == (*a.shape[:-1], k) and r.shape == (*a.shape[:-2], k, n)
        return shaped and near(q @ r, a.astype(q.dtype)) and orthonormal(q)

    return factors, lambda found: np.array_equal(found[1], np.triu(found[1]))


def svd(a: Any, full_matrices: bool = True) -> tuple[Check, Any, Check]:
    k = min(a.shape[-2:])

    def factors(found: Any) -> bool:
        u, s, vh = found
        whole = (u[..., :k] * s[..., None, :]) @ vh[..., :k, :]
        return near(whole, a.astype(u.dtype)) and orthonormal(u) and orthonormal(adjoint(vh))

    return factors, np.linalg.svd(a, compute_uv=False), free


def eigh(a: Any, UPLO: str = "L") -> tuple[Any, Check]:
    def vectors(found: Any) -> bool:
        w, v = found
        return near(v * w[..., None, :], a.astype(v.dtype) @ v) and orthonormal(v)

    return np.linalg.eigvalsh(a, UPLO), vectors


def eig(a: Any) -> tuple[Check, Check]:
    def values(found: Any) -> bool:
        return near(np.prod(found[0], -1), np.linalg.det(a).astype(found[0].dtype))

    return values, lambda found: near(
        found[1] * found[0][..., None, :], a.astype(found[1].dtype) @ found[1]
    )


def eigvals(a: Any) -> Check:
    def right(found: Any) -> bool:
        (w,) = found
        sums = near(w.sum(-1), np.trace(a, axis1=-2, axis2=-1).astype(w.dtype))
        return sums and near(np.prod(w, -1), np.linalg.det(a).astype(w.dtype))

    return right


def lu(a: Any) -> tuple[Check, Check, Check]:
    return (
        lambda found: near(found[0] @ found[1] @ found[2], a.astype(found[1].dtype)),
        lambda found: np.array_equal(found[1], np.tril(found[1])),
        lambda found: np.array_equal(found[2], np.triu(found[2])),
    )


def cholesky(a: Any, upper: bool = False) -> Any:
    factor = np.linalg.cholesky(a)
    return adjoint(factor) if upper else factor


def solve_triangular(a: Any, b: Any, upper: bool, left: bool) -> Any:
    return np.linalg.solve(a, b) if left else adjoint(np.linalg.solve(adjoint(a), adjoint(b)))


def lstsq(a: Any, b: Any) -> list[Any]:
    return [np.linalg.pinv(a) @ b, free, free, free]


def lu_factor(a: Any) -> tuple[Check, Check]:
    """Both factors in one matrix, with the rows that were exchanged, counted from 1."""

    def right(found: Any) -> bool:
        packed, pivots = found[0], found[1]
        m, n = a.shape[-2:]
        k = min(m, n)
        low, high = np.tril(packed[..., :k], -1), np.triu(packed[..., :k, :])
        product = (low + np.eye(m, k, dtype=low.dtype)) @ high
        for at in np.ndindex(*a.shape[:-2]):
            for row in reversed(range(k)):
                other = pivots[at][row] - 1
                product[at][[row, other]] = product[at][[other, row]]
        return near(product, a.astype(packed.dtype))

    return right, lambda found: found[1].dtype == np.int32


def reflected(draw: Any) -> Arguments:
    m = draw(st.integers(1, 4))
    n = draw(st.integers(1, m))
    k = draw(st.integers(0, n))
    batch = draw(shapes(max_dims=1))
    return (In((*batch, m, n), -1, 1), In((*batch, k), -1, 1)), {}


def householder(a: Any, tau: Any) -> Any:
    """The first columns of H_1 ... H_k, where H_i = 1 - tau_i v_i v_i^H."""
    m, n = a.shape[-2:]
    out = np.broadcast_to(np.eye(m, n), a.shape).astype(a.dtype)
    for i in reversed(range(tau.shape[-1])):
        v = np.where(np.arange(m) > i, a[..., :, i], 0)
        v[..., i] = 1
        v = v[..., :, None]
        out = out - tau[..., i, None, None] * v @ (adjoint(v) @ out)
    return out


def ldl(a: Any) -> tuple[Check, Check]:
    """Checked by the solutions that ldl_solve finds with it."""

    def right(found: Any) -> bool:
        tensors = [torch.from_numpy(x) for x in found[:2]]
        b = torch.ones(*a.shape[:-1], 1, dtype=tensors[0].dtype)
        x = torch.linalg.ldl_solve(*tensors, b, hermitian=True).numpy()
        return near(a.astype(x.dtype) @ x, b.numpy())

    return right, free


def exponential(a: Any) -> Any:
    return scipy.linalg.expm(a) if a.size else a


def _rows() -> list[Row]:
    exact = {"terms": 2048, "only": FACTORED}
    either = [False, True]

    def row(name: str, arguments: Any, reference: Any, **options: Any) -> Row:
        return Row(name, arguments, reference, **{**exact, **options})

    return [
        *[row(n, square(), np.linalg.det) for n in ("det", "linalg.det")],
        *[row(n, square(), np.linalg.slogdet) for n in ("slogdet", "linalg.slogdet")],
        row("logdet", square(hermitian), lambda a: np.linalg.slogdet(a)[1]),
        *[row(n, square(), np.linalg.inv) for n in ("inverse", "linalg.inv")],
        row(
            "linalg.inv_ex",
            square(),
            lambda a: (np.linalg.inv(a), np.zeros(a.shape[:-2], np.int32)),
        ),
        row("linalg.solve", system(), np.linalg.solve),
        row("linalg.solve_triangular", triangular, solve_triangular),
        row("linalg.cholesky", square(hermitian, upper=either), cholesky, through=symmetrized),
        row("cholesky", square(hermitian, upper=either), cholesky, through=symmetrized),
        row(
            "cholesky_solve",
            reversed_system(factor),
            lambda b, a: np.linalg.solve(a @ adjoint(a), b),
            through=lower,
        ),
        row(
            "cholesky_inverse",
            square(factor),
            lambda a: np.linalg.inv(a @ adjoint(a)),
            through=lower,
        ),
        row("linalg.qr", oblong(mode=["reduced"]), qr, gauged=True),
        row("linalg.qr", oblong(mode=["complete", "r"]), qr, label="whole", gradient=False),
        row("qr", oblong(), qr, gauged=True),
        row(
            "linalg.eigh",
            square(hermitian, UPLO=["L", "U"]),
            eigh,
            gauged=True,
            through=symmetrized,
        ),
        row(
            "linalg.eigvalsh",
            square(hermitian),
            lambda a: np.linalg.eigvalsh(a),
            through=symmetrized,
        ),
        row("linalg.eig", square(least=1), eig, gradient=False),
        row("linalg.eigvals", square(least=1), eigvals, gradient=False),
        row("linalg.svd", oblong(full_matrices=[False]), svd, gauged=True),
        row("linalg.svd", oblong(full_matrices=[True]), svd, label="whole", gradient=False),
        row("linalg.svdvals", oblong(), lambda a: np.linalg.svd(a, compute_uv=False)),
        row("linalg.pinv", oblong(), np.linalg.pinv),
        row("pinverse", oblong(), np.linalg.pinv),
        row(
            "linalg.matrix_rank",
            oblong(),
            lambda a: np.full(a.shape[:-2], min(a.shape[-2:])),
            gradient=False,
        ),
        row("linalg.matrix_norm", normed, matrix_norm, second=False),
        row("linalg.cond", square(least=1), np.linalg.cond),
        row("linalg.matrix_exp", square(), exponential),
        row("matrix_exp", square(), exponential),
        row("linalg.lstsq", least_squares, lstsq),
        row("linalg.lu", oblong(least=1), lu),
        row("linalg.lu_factor", oblong(least=1), lu_factor, gradient=False),
        row(
            "linalg.lu_factor_ex", oblong(least=1), lambda a: (*lu_factor(a), free), gradient=False
        ),
        row("linalg.householder_product", reflected, householder),
        row(
            "linalg.ldl_factor",
            square(hermitian, least=1, hermitian=[True]),
            lambda a, hermitian: ldl(a),
            gradient=False,
        ),
        row("linalg.solve_ex", system(), lambda a, b: (np.linalg.solve(a, b), free)),
        row(
            "linalg.cholesky_ex",
            square(hermitian),
            lambda a: (np.linalg.cholesky(a), free),
            through=symmetrized,
        ),
        row(
            "geqrf",
            oblong(least=1),
            lambda a: (
                lambda found: near(
                    np.abs(np.triu(found[0][..., : min(a.shape[-2:]), :])),
                    np.abs(np.linalg.qr(a, "r")).astype(found[0].real.dtype),
                ),
                free,
            ),
            gradient=False,
        ),
        row("linalg.vander", _points, lambda x, N: np.stack([x**k for k in range(N)], -1)),
        row("linalg.diagonal", oblong(), lambda a: a.diagonal(0, -2, -1)),
        row("linalg.tensorinv", _invertible, lambda a, ind: np.linalg.tensorinv(a, ind)),
        row("linalg.tensorsolve", _tensor_system, np.linalg.tensorsolve),
    ]


def _as_matrix(shape: tuple[int, ...]) -> Callable[[Any], Any]:
    n = int(np.sqrt(np.prod(shape)))
    return lambda a: regular(a.reshape(n, n)).reshape(shape)


def _points(draw: Any) -> Arguments:
    return (In(draw(shapes(min_dims=1, max_dims=2)), -2, 2),), {"N": draw(st.integers(2, 4))}


def _invertible(draw: Any) -> Arguments:
    p, q = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    shape = (p * q, p, q)
    return (In(shape, -1, 1, _as_matrix(shape)),), {"ind": 1}


def _tensor_system(draw: Any) -> Arguments:
    p, q = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    shape = (p, q, p * q)
    return (In(shape, -1, 1, _as_matrix(shape)), In((p, q))), {}


ROWS = _rows()
