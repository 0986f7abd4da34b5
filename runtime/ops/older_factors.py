"""Factors as older functions of `torch.*` give and take them: LU, LDL, reflections, low ranks.

Source: Halko, Martinsson and Tropp, "Finding structure with randomness", arXiv:0909.4061,
algorithms 4.4 and 5.1, for the approximate ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import dtypes
from ..core.creation import eye
from ..errors import LinAlgError, ShapeError
from .declare import Index, Spec, primitive
from .decompositions import qr as qr_factors
from .decompositions import require_matrices, require_square
from .linalg import outer
from .return_types import return_type
from .sampling import randn
from .singular_values import svd as singular_vectors
from .triangular import householder_product as orgqr
from .triangular import (
    lu_factor_ex,
    require_system,
    rows_unswapped,
    solve_triangular,
    unit_lower,
)
from .triangular import lu_solve as solved_by_lu

__all__ = [
    "geqrf", "ger", "lu", "lu_solve", "lu_unpack", "orgqr", "ormqr", "pca_lowrank", "svd_lowrank",
    "triangular_solve",
]  # fmt: skip

ger = outer
Unpacked = return_type("lu_unpack", "P", "L", "U")
TriangularSolve = return_type("triangular_solve", "solution", "cloned_coefficient")
Geqrf = return_type("geqrf", "a", "tau")
LDLFactor = return_type("linalg_ldl_factor", "LD", "pivots")
LDLFactorEx = return_type("linalg_ldl_factor_ex", "LD", "pivots", "info")

# -- LU --------------------------------------------------------------------------------------------


def lu(A: Spec, pivot: bool = True, get_infos: bool = False) -> Any:
    """LU and pivots of A (..., m, n), and with `get_infos` the info of each matrix; see
    `torch.linalg.lu_factor_ex`."""
    LU, pivots, info = lu_factor_ex(A, pivot=pivot, check_errors=not get_infos)
    return (LU, pivots, info) if get_infos else (LU, pivots)


def lu_solve(b: Spec, LU_data: Spec, LU_pivots: Spec) -> Spec:
    """X with A @ X = b, for the A whose LU and pivots are given."""
    return solved_by_lu(LU_data, LU_pivots, b)


def lu_unpack(
    LU_data: Spec, LU_pivots: Spec, unpack_data: bool = True, unpack_pivots: bool = True
) -> Any:
    """P, L and U of A = P @ L @ U from its LU (..., m, n) and pivots; what is not to be unpacked is
    empty."""
    require_matrices("lu_unpack", LU_data, "LU_data")
    if LU_pivots.dtype is not dtypes.int32:
        raise TypeError(f"lu_unpack: expected int32 pivots. Got {LU_pivots.dtype}.")
    rows, columns = LU_data.shape[-2:]
    empty = LU_data.new_zeros((0,))
    P, L, U = empty, empty, empty
    if unpack_pivots:
        P = rows_unswapped(_identities(LU_data, rows), LU_pivots)
    if unpack_data:
        L, U = unit_lower(LU_data), LU_data.narrow(-2, 0, min(rows, columns)).triu()
    return Unpacked(P, L, U)


def _identities(like: Any, n: int) -> Any:
    identity = eye(n, dtype=like.dtype, device=like.device)
    return identity.expand(*like.shape[:-2], n, n)


def triangular_solve(
    input: Spec,
    A: Spec,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> Any:
    """X with A @ X = input for triangular A, or with A.mT @ X = input; and a copy of A."""
    require_system("triangular_solve", A, input)
    matrix = A.transpose(-2, -1) if transpose else A
    solution = solve_triangular(
        matrix, input, upper=upper != transpose, unitriangular=unitriangular
    )
    batch = tuple(solution.shape[:-2])
    return TriangularSolve(solution, A.expand(*batch, *A.shape[-2:]).clone())


# -- reflections -----------------------------------------------------------------------------------


@primitive
def householder_vectors(A: Spec) -> tuple[Spec, Spec]:
    """The QR factors of A (..., m, n) as LAPACK packs them: R above, the vectors of the reflections
    below the diagonal; and their factors tau (..., min(m, n))."""
    require_matrices("geqrf", A)
    return A, Spec((*A.shape[:-2], min(A.shape[-2:])), A.dtype)


@householder_vectors.array
def householder_vectors_array(xp: Any, A: Any) -> tuple[Any, Any]:
    """LAPACK's own."""
    if not A.size:
        return A.copy(), xp.zeros((*A.shape[:-2], min(A.shape[-2:])), A.dtype)
    packed, tau = xp.linalg.qr(A, mode="raw")
    return packed.swapaxes(-1, -2).copy(), tau


def geqrf(input: Spec) -> Any:
    """The QR factors of input as LAPACK packs them: `a` (..., m, n) and `tau`; see `ormqr`."""
    require_matrices("geqrf", input)
    return Geqrf(*householder_vectors(input.detach()))


def ormqr(input: Spec, tau: Spec, other: Spec, left: bool = True, transpose: bool = False) -> Spec:
    """Q @ other, or other @ Q unless `left`, or either with Q.mH (`transpose`), for the Q (m, m) of
    the reflections in input (..., m, k) and tau, as `geqrf` gives them."""
    require_matrices("ormqr", input, "input")
    require_matrices("ormqr", other, "other")
    rows = other.shape[-2 if left else -1]
    if input.shape[-2] != rows or tau.shape[-1] > input.shape[-1]:
        raise ShapeError(
            f"ormqr: expected reflections of {rows} rows and a tau for each. Got input "
            f"{tuple(input.shape)}, tau {tuple(tau.shape)}, other {tuple(other.shape)}."
        )
    if not left:
        return ormqr(input, tau, other.mH, True, not transpose).mH
    vectors = unit_lower(input)
    order = range(tau.shape[-1])
    for i in order if transpose else reversed(order):
        v = vectors.narrow(-1, i, 1)
        scale = tau.narrow(-1, i, 1).unsqueeze(-1)
        other = other - (scale.conj() if transpose else scale) * (v @ (v.mH @ other))
    return other


# -- LDL -------------------------------------------------------------------------------------------


@primitive
def ldl_packed(A: Spec, *, hermitian: bool) -> tuple[Spec, Spec, Spec]:
    """The factors of symmetric A = L @ D @ L.mT (`hermitian`: L.mH), as LAPACK packs them."""
    require_square("linalg.ldl_factor", A)
    pivots = Spec(A.shape[:-1], dtypes.int32)
    return A, pivots, Spec(A.shape[:-2], dtypes.int32)


@ldl_packed.array
def ldl_array(xp: Any, A: Any, hermitian: bool) -> tuple[Any, Any, Any]:
    """Bunch and Kaufman's pivoting, matrix by matrix on the host."""
    from scipy.linalg.lapack import get_lapack_funcs

    host = A if xp is np else xp.asnumpy(A)
    name = "hetrf" if hermitian and host.dtype.kind == "c" else "sytrf"
    factor = get_lapack_funcs(name, dtype=host.dtype)
    LD = np.empty(host.shape, host.dtype)
    pivots = np.empty(host.shape[:-1], np.int32)
    info = np.zeros(host.shape[:-2], np.int32)
    for k in np.ndindex(host.shape[:-2]):
        if host.shape[-1]:
            LD[k], pivots[k], info[k] = factor(host[k], lower=True)
    return xp.asarray(np.tril(LD)), xp.asarray(pivots), xp.asarray(info)


def ldl_factor_ex(A: Spec, *, hermitian: bool = False, check_errors: bool = False) -> Any:
    """LD, pivots and info of symmetric (or Hermitian) A (..., n, n), see `ldl_factor`.

    Raises: LinAlgError for a singular D if `check_errors`.
    """
    require_square("linalg.ldl_factor", A)
    LD, pivots, info = ldl_packed(A.detach(), hermitian=hermitian)
    if check_errors and not info.is_meta and bool((info != 0).any()):
        raise LinAlgError("linalg.ldl_factor: D has a zero on its diagonal.")
    return LDLFactorEx(LD, pivots, info)


def ldl_factor(A: Spec, *, hermitian: bool = False) -> Any:
    """A = L @ D @ L.mT (L.mH if `hermitian`) of symmetric A (..., n, n) with blocks of 1 and 2 in
    D, packed as LAPACK's sytrf does; only the lower triangle of A is read."""
    return LDLFactor(*ldl_factor_ex(A, hermitian=hermitian, check_errors=True)[:2])


@primitive
def ldl_solved(LD: Spec, pivots: Index, B: Spec, *, hermitian: bool) -> Spec:
    """X with A @ X = B for the A that was factored."""
    return Spec(B.shape, B.dtype)


@ldl_solved.array
def ldl_solved_array(xp: Any, LD: Any, pivots: Any, B: Any, hermitian: bool) -> Any:
    """Matrix by matrix on the host."""
    from scipy.linalg.lapack import get_lapack_funcs

    hosts = [a if xp is np else xp.asnumpy(a) for a in (LD, pivots, B)]
    name = "hetrs" if hermitian and hosts[0].dtype.kind == "c" else "sytrs"
    solve = get_lapack_funcs(name, dtype=hosts[0].dtype)
    batch = np.broadcast_shapes(hosts[0].shape[:-2], hosts[2].shape[:-2])
    factors = np.broadcast_to(hosts[0], (*batch, *hosts[0].shape[-2:]))
    places = np.broadcast_to(hosts[1], (*batch, hosts[1].shape[-1]))
    right = np.broadcast_to(hosts[2], (*batch, *hosts[2].shape[-2:]))
    out = np.empty(right.shape, right.dtype)
    if places.size and not (np.abs(places) >= 1).all() & (np.abs(places) <= out.shape[-2]).all():
        raise ValueError("linalg.ldl_solve: expected pivots as ldl_factor gives them.")
    for k in np.ndindex(batch):
        if out[k].size:
            out[k], _ = solve(factors[k], places[k], right[k], lower=True)
    return xp.asarray(out)


def ldl_solve(LD: Spec, pivots: Spec, B: Spec, *, hermitian: bool = False) -> Spec:
    """X with A @ X = B, for the A whose LD and pivots `ldl_factor` gave."""
    require_system("linalg.ldl_solve", LD, B)
    if pivots.dtype is not dtypes.int32 or tuple(pivots.shape) != tuple(LD.shape[:-1]):
        raise ShapeError(
            f"linalg.ldl_solve: expected int32 pivots {tuple(LD.shape[:-1])}. Got {pivots.dtype}, "
            f"shape {tuple(pivots.shape)}."
        )
    batch = np.broadcast_shapes(tuple(LD.shape[:-2]), tuple(B.shape[:-2]))
    return ldl_solved(LD, pivots, B.expand(*batch, *B.shape[-2:]), hermitian=hermitian)


# -- low ranks -------------------------------------------------------------------------------------


def _approximate_range(A: Any, q: int, niter: int) -> Any:
    """q orthonormal columns that nearly span those of A, by `niter` power iterations."""
    Q = qr_factors(A @ randn(A.shape[-1], q, dtype=A.dtype, device=A.device)).Q
    for _ in range(niter):
        Q = qr_factors(A.mH @ Q).Q
        Q = qr_factors(A @ Q).Q
    return Q


def svd_lowrank(A: Spec, q: int | None = 6, niter: int | None = 2, M: Any = None) -> Any:
    """U (..., m, q), S (..., q) and V (..., n, q) with A - M nearly U @ diag(S) @ V.mH, from random
    projections refined `niter` times."""
    require_matrices("svd_lowrank", A)
    rank, steps = 6 if q is None else q, 2 if niter is None else niter
    A = A if M is None else A - M.expand(*A.shape)
    is_wide = A.shape[-2] < A.shape[-1]
    A = A.mH if is_wide else A
    Q = _approximate_range(A, rank, steps)
    U, S, Vh = singular_vectors(Q.mH @ A, full_matrices=False)
    U, V = Q @ U, Vh.mH
    return (V, S, U) if is_wide else (U, S, V)


def pca_lowrank(A: Spec, q: int | None = None, center: bool = True, niter: int = 2) -> Any:
    """`svd_lowrank` of A (..., m, n) with each column's mean taken off (`center`): the principal
    directions are the columns of V. Raises: ValueError for q outside 0 to min(m, n)."""
    require_matrices("pca_lowrank", A)
    most = min(A.shape[-2:])
    rank = min(6, most) if q is None else q
    if not 0 <= rank <= most:
        raise ValueError(f"pca_lowrank: expected q from 0 to {most}. Got {q}.")
    if niter < 0:
        raise ValueError(f"pca_lowrank: expected niter not below 0. Got {niter}.")
    if center:
        A = A.to_dense()  # as the difference is
        A = A - A.mean(-2, keepdim=True)
    return svd_lowrank(A, rank, niter)
