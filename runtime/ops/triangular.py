"""Triangular systems, LU decomposition and products of reflections.

A is (..., n, n) unless said otherwise, a matrix or a batch of them; pivots count from 1, as
LAPACK's do. Source: Giles (2008), sec. 2.2, for systems; Lee's "LU decomposition" in Seeger et al.
(2017), for factors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core import dtypes
from ..core.creation import eye
from ..errors import DTypeError, ShapeError
from .declare import Index, Spec, kernel, primitive
from .decompositions import mH, require_matrices, require_square, require_success
from .joins import cat
from .return_types import return_type
from .shapes import broadcast

# -- triangular systems ----------------------------------------------------------------------------


def batch_of(operation: str, A: Any, B: Any) -> tuple[int, ...]:
    """The batch dimensions that A and B broadcast to."""
    batches = {"A": Spec(A.shape[:-2], A.dtype), "B": Spec(B.shape[:-2], B.dtype)}
    return broadcast(operation, batches)


def broadcast_matrices(xp: Any, A: Any, B: Any) -> tuple[Any, Any]:
    """Arrays of matrices with their batch dimensions broadcast, as CuPy wants them."""
    if A.shape[:-2] == B.shape[:-2]:
        return A, B
    batch = xp.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    return tuple(xp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (A, B))


@primitive(node_name="LinalgSolveTriangular")
def triangular(A: Spec, B: Spec, *, upper: bool, unitriangular: bool) -> Spec:
    """X with A @ X = B, where only a triangle of A is read, and no diagonal if that is to be 1."""
    batch = batch_of("linalg.solve_triangular", A, B)
    return Spec((*batch, A.shape[-1], B.shape[-1]), B.dtype)


@triangular.array
def triangular_array(xp: Any, A: Any, B: Any, upper: bool, unitriangular: bool) -> Any:
    """The library's general solver, which finds nothing to eliminate; substitution where it refuses
    a zero on the diagonal, for infinities as PyTorch gives."""
    A, B = broadcast_matrices(xp, A, B)
    T = xp.triu(A) if upper else xp.tril(A)
    if unitriangular:
        eye = xp.eye(A.shape[-1], dtype=bool)
        T = xp.where(eye, A.dtype.type(1), T)
    try:
        return xp.linalg.solve(T, B)
    except np.linalg.LinAlgError:
        return _substituted(T, B, upper)


def _substituted(T: Any, B: Any, upper: bool) -> Any:
    X = B.copy()
    order = range(T.shape[-1])
    for k in reversed(order) if upper else order:
        rest = slice(0, k) if upper else slice(k + 1, None)
        X[..., k, :] /= T[..., k, k, None]
        X[..., rest, :] -= T[..., rest, k, None] * X[..., k, None, :]
    return X


def is_worth_a_loop(A: Any, *rest: Any, **attributes: Any) -> bool:
    """Whether to call LAPACK matrix by matrix: it takes 1.5 us each, as long as the general kernels
    take at n = 10, where a batch of them costs no calls."""
    return A.ndim == 2 or A.shape[-1] >= 16


def scipy_triangular(A: Any, B: Any, upper: bool, unitriangular: bool) -> Any:
    """BLAS's trsm: 4 us instead of 8 us at n = 10, 12 ms instead of 36 ms at n = 1000."""
    from scipy.linalg.blas import get_blas_funcs

    A, B = broadcast_matrices(np, A, B)
    if A.dtype != B.dtype:
        A, B = (x.astype(np.result_type(A, B), copy=False) for x in (A, B))
    out = np.empty(B.shape, B.dtype)
    if not out.size:
        return out
    trsm = get_blas_funcs("trsm", dtype=A.dtype)
    for k in np.ndindex(A.shape[:-2]):
        # BLAS is column-major: it sees the transposes, for which no row-major array is copied.
        out[k] = trsm(1.0, A[k].T, B[k].T, side=1, lower=upper, trans_a=0, diag=unitriangular).T
    return out


kernel(triangular, "cpu", when=is_worth_a_loop)(scipy_triangular)


def solved_triangular(xp: Any, A: Any, B: Any, upper: bool) -> Any:
    """The fastest kernel of `xp` for triangular systems."""
    if xp is np and is_worth_a_loop(A):
        return scipy_triangular(A, B, upper, False)
    return triangular_array(xp, A, B, upper, False)


@triangular.vjp(saves="A out", static="upper unitriangular")
def triangular_vjp(
    F: Any, g: Any, needs: Any, A: Any, B: Any, out: Any, upper: Any, unitriangular: Any
) -> Any:
    """gB solves A.mT gB = g; gA = -gB X.mT, of which the triangle."""
    flipped = F.transpose(A, dim0=-2, dim1=-1)
    gB = F.triangular(flipped, g, upper=not upper, unitriangular=unitriangular)
    gA = None
    if needs[0]:
        full = F.neg(F.matmul(gB, F.transpose(out, dim0=-2, dim1=-1)))
        if upper:
            full = F.triu(full, diagonal=int(unitriangular))
        else:
            full = F.tril(full, diagonal=-int(unitriangular))
        gA = F.sum_to(full, like=A)
    return gA, F.sum_to(gB, like=B) if needs[1] else None


def require_system(operation: str, A: Any, B: Any, left: bool = True) -> None:
    """Raises: unless A is square, and B has matrices of one dtype with it that A multiplies."""
    require_square(operation, A)
    require_matrices(operation, B, "B")
    if A.dtype is not B.dtype:
        raise DTypeError(
            f"{operation}: expected A and B of one dtype. Got A of {A.dtype} and B of {B.dtype}. "
            "Convert one with .to()."
        )
    if A.shape[-1] != B.shape[-2 if left else -1]:
        side = "rows" if left else "columns"
        raise ShapeError(
            f"{operation}: expected B with {A.shape[-1]} {side}, as A {tuple(A.shape)} has. Got B "
            f"{tuple(B.shape)}."
        )


def solve_triangular(
    A: Spec, B: Spec, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Spec:
    """X with A @ X = B for triangular A (..., n, n) and B (..., n, p); with `left=False` X @ A = B
    and B is (..., p, n). Batches broadcast.

    Only the triangle that `upper` says is read; with `unitriangular` its diagonal counts as 1.
    Raises: RuntimeError for shapes that do not fit. A zero on the diagonal gives infinities.
    """
    require_system("linalg.solve_triangular", A, B, left)
    if not left:
        return solve_triangular(A.mT, B.mT, upper=not upper, unitriangular=unitriangular).mT
    return triangular(A, B, upper=bool(upper), unitriangular=bool(unitriangular))


# -- LU --------------------------------------------------------------------------------------------


@primitive(node_name="LinalgLuFactorEx", is_holomorphic=False)
def lu_packed(A: Spec, *, pivot: bool) -> tuple[Spec, Spec, Spec]:
    """L below the diagonal and U, in one matrix (..., m, n), with A = P @ L @ U; int32 pivots
    (..., k) and info: 0, or the number of the first zero on U's diagonal.

    The gradient is that of square matrices.
    """
    *batch, rows, columns = A.shape
    pivots = Spec((*batch, min(rows, columns)), dtypes.int32)
    return Spec(A.shape, A.dtype), pivots, Spec(tuple(batch), dtypes.int32)


@lu_packed.array
def lu_array(xp: Any, A: Any, pivot: bool) -> tuple[Any, Any, Any]:
    """Elimination column by column, for all matrices of the batch at once."""
    *batch, rows, columns = A.shape
    LU = A.reshape(math.prod(batch), rows, columns).copy()
    k = min(rows, columns)
    pivots = xp.empty((len(LU), k), xp.int32)
    every = xp.arange(len(LU))
    for j in range(k):
        found = xp.full(len(LU), j)
        if pivot and len(LU):
            found = j + _pivot_size(xp, LU[:, j:, j]).argmax(-1)
            swapped = LU[every, found]
            LU[every, found] = LU[:, j]
            LU[:, j] = swapped
        pivots[:, j] = found + 1
        head = LU[:, j, j]
        head = xp.where(head == 0, head.dtype.type(1), head)  # nothing to eliminate
        LU[:, j + 1 :, j] /= head[:, None]
        LU[:, j + 1 :, j + 1 :] -= LU[:, j + 1 :, j, None] * LU[:, j, None, j + 1 :]
    zeros = LU[:, xp.arange(k), xp.arange(k)] == 0
    info = xp.where(zeros.any(-1), zeros.argmax(-1) + 1, 0) if k else xp.zeros(len(LU))
    info = info.astype(xp.int32).reshape(batch)
    return LU.reshape(A.shape), pivots.reshape(*batch, k), info


def _pivot_size(xp: Any, candidates: Any) -> Any:
    """What LAPACK compares, |Re| + |Im| for complex numbers."""
    if candidates.dtype.kind != "c":
        return xp.absolute(candidates)
    return xp.absolute(candidates.real) + xp.absolute(candidates.imag)


@kernel(lu_packed, "cpu", when=lambda A, pivot: pivot and A.size and is_worth_a_loop(A))
def lu_lapack(A: Any, pivot: bool) -> tuple[Any, Any, Any]:
    """LAPACK's getrf: 5 us instead of 110 us at n = 10, 0.07 s instead of 0.3 s at n = 1000."""
    from scipy.linalg.lapack import get_lapack_funcs

    (getrf,) = get_lapack_funcs(("getrf",), (A,))
    LU = np.empty(A.shape, A.dtype)
    pivots = np.empty((*A.shape[:-2], min(A.shape[-2:])), np.int32)
    info = np.empty(A.shape[:-2], np.int32)
    for k in np.ndindex(A.shape[:-2]):
        LU[k], pivots[k], info[k] = getrf(A[k])
    pivots += 1  # SciPy counts from 0
    return LU, pivots, info


@lu_packed.vjp(saves="out")
def lu_vjp(F: Any, g: Any, needs: Any, A: Any, out: Any, pivot: Any) -> Any:
    """P L.mH^-1 (below(L.mH gL) + above(gU U.mH)) U.mH^-1, with below excluding the diagonal."""
    LU, pivots, _ = out
    L, U = F.unit_lower(LU), F.triu(LU)
    below = F.tril(F.matmul(mH(F, L), F.tril(g[0], diagonal=-1)), diagonal=-1)
    above = F.triu(F.matmul(F.triu(g[0]), mH(F, U)))
    left = F.triangular(mH(F, L), F.plus(below, above), upper=True, unitriangular=True)
    # X U.mH = left
    right = mH(F, F.triangular(U, mH(F, left), upper=True, unitriangular=False))
    return F.rows_unswapped(right, pivots)


@primitive
def unit_lower(LU: Spec) -> Spec:
    """What is below the diagonal, ones on it: (..., m, n) -> (..., m, min(m, n))."""
    return Spec((*LU.shape[:-1], min(LU.shape[-2:])), LU.dtype)


@unit_lower.array
def unit_lower_array(xp: Any, LU: Any) -> Any:
    """A triangle and an identity."""
    rows, columns = LU.shape[-2], min(LU.shape[-2:])
    return xp.tril(LU[..., :columns], -1) + xp.eye(rows, columns, dtype=LU.dtype)


@unit_lower.vjp()
def unit_lower_vjp(F: Any, g: Any, needs: Any, LU: Any) -> Any:
    """g below the diagonal, zeros elsewhere."""
    return F.pad_to(F.tril(g, diagonal=-1), like=LU)


def permutation_array(xp: Any, pivots: Any, rows: int) -> Any:
    """The row of A that stands at each row of L @ U: int64 (..., rows)."""
    flat = pivots.reshape(math.prod(pivots.shape[:-1]), pivots.shape[-1])
    order = xp.broadcast_to(xp.arange(rows), (len(flat), rows)).copy()
    every = xp.arange(len(flat))
    for j in range(flat.shape[-1]):
        other = flat[:, j] - 1
        swapped = order[every, other]
        order[every, other] = order[:, j]
        order[:, j] = swapped
    return order.reshape(*pivots.shape[:-1], rows)


def _swapping(name: str, back: bool, doc: str) -> Any:
    def rule(input: Spec, pivots: Index) -> Spec:
        batch = broadcast(name, {"input": Spec(input.shape[:-2], input.dtype),
                                 "pivots": Spec(pivots.shape[:-1], input.dtype)})  # fmt: skip
        return Spec((*batch, *input.shape[-2:]), input.dtype)

    rule.__name__, rule.__doc__, rule.__module__ = name, doc, __name__
    function = primitive(rule, name=name)

    @function.array
    def array(xp: Any, input: Any, pivots: Any) -> Any:
        order = permutation_array(xp, pivots, input.shape[-2])
        order = (xp.argsort(order, -1) if back else order)[..., None]
        batch = xp.broadcast_shapes(input.shape[:-2], order.shape[:-2])
        input = xp.broadcast_to(input, (*batch, *input.shape[-2:]))
        order = xp.broadcast_to(order, input.shape)
        return xp.take_along_axis(input, order, -2)

    @function.vjp(saves="pivots")
    def vjp(F: Any, g: Any, needs: Any, input: Any, pivots: Any) -> Any:
        other = F.rows_swapped if back else F.rows_unswapped
        return F.sum_to(other(g, pivots), like=input), None

    return function


rows_swapped = _swapping("rows_swapped", False, "P.mT @ input, for the P of LU's pivots.")
rows_unswapped = _swapping("rows_unswapped", True, "P @ input, for the P of LU's pivots.")


def lu_factor_ex(A: Spec, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """LU (..., m, n), int32 pivots (..., k) and int32 info of A = P @ L @ U.

    L is below the diagonal of LU and has ones on its own, U the rest; row i was exchanged with row
    pivots[i] - 1; info is 0 or the number of the first zero on U's diagonal.

    Without `pivot` P is the identity. Raises: LinAlgError for such zeros if `check_errors`.
    """
    require_matrices("linalg.lu_factor", A)
    rows, columns = A.shape[-2:]
    if rows == columns:
        LU, pivots, info = lu_packed(A, pivot=pivot)
    else:
        LU, pivots, info = lu_packed(A.detach(), pivot=pivot)
        if A.requires_grad:
            LU = _rectangular(rows_swapped(A, pivots), rows, columns)
    if check_errors:
        require_success("linalg.lu_factor", info, "U's diagonal element {} is zero.")
    return LUFactorEx(LU, pivots, info)


def _rectangular(A: Any, rows: int, columns: int) -> Any:
    """LU of A, which needs no pivoting, by that of the leading square, from which the rest
    follows: its gradient does too."""
    k = min(rows, columns)
    square = lu_packed(A.narrow(-2, 0, k).narrow(-1, 0, k), pivot=False)[0]
    if rows > columns:
        below = A.narrow(-2, k, rows - k)
        return cat([square, solve_triangular(square, below, upper=True, left=False)], -2)
    beside = A.narrow(-1, k, columns - k)
    beside = triangular(square, beside, upper=False, unitriangular=True)
    return cat([square, beside], -1)


LUFactorEx = return_type("linalg_lu_factor_ex", "LU", "pivots", "info")
LUFactor = return_type("linalg_lu_factor", "LU", "pivots")
LU = return_type("linalg_lu", "P", "L", "U")


def lu_factor(A: Spec, *, pivot: bool = True) -> Any:
    """LU and pivots of A (..., m, n), see `lu_factor_ex`.

    Raises: LinAlgError for zeros on U's diagonal, by which `lu_solve` would divide.
    """
    return LUFactor(*lu_factor_ex(A, pivot=pivot, check_errors=True)[:2])


def lu(A: Spec, *, pivot: bool = True) -> Any:
    """A = P @ L @ U for A (..., m, n): a permutation P (..., m, m), L (..., m, k) lower triangular
    with ones on the diagonal, U (..., k, n) upper triangular, k = min(m, n). P is empty without
    `pivot`."""
    packed, pivots, _ = lu_factor_ex(A, pivot=pivot)
    rows, columns = A.shape[-2:]
    L, U = unit_lower(packed), packed.narrow(-2, 0, min(rows, columns)).triu()
    if not pivot:
        return LU(A.new_zeros((0,)), L, U)
    return LU(rows_unswapped(eye(rows, dtype=A.dtype, device=A.device), pivots), L, U)


def lu_solve(LU: Spec, pivots: Spec, B: Spec, *, left: bool = True, adjoint: bool = False) -> Spec:
    """X with A @ X = B (`left`), X @ A = B, or either with A.mH (`adjoint`), for the A whose
    LU (..., n, n) and pivots (..., n) `lu_factor` gave. Batches broadcast."""
    require_system("linalg.lu_solve", LU, B, left)
    if pivots.dtype is not dtypes.int32 or tuple(pivots.shape) != tuple(LU.shape[:-1]):
        raise ShapeError(
            f"linalg.lu_solve: expected int32 pivots {tuple(LU.shape[:-1])}, as lu_factor gives "
            f"for LU {tuple(LU.shape)}. Got {pivots.dtype}, shape {tuple(pivots.shape)}."
        )
    if not left:
        return lu_solve(LU, pivots, B.mH, adjoint=not adjoint).mH
    if not adjoint:
        B = triangular(LU, rows_swapped(B, pivots), upper=False, unitriangular=True)
        return triangular(LU, B, upper=True, unitriangular=False)
    B = triangular(LU.mH, B, upper=False, unitriangular=False)
    return rows_unswapped(triangular(LU.mH, B, upper=True, unitriangular=True), pivots)


def householder_product(A: Spec, tau: Spec) -> Spec:
    """The first n columns (..., m, n) of the product of the reflections 1 - tau[i] v v.mH, where v
    is column i of A (..., m, n) below the diagonal, 1 on it and 0 above; tau is (..., k), k <= n.

    Raises: RuntimeError unless m >= n >= k.
    """
    require_matrices("linalg.householder_product", A)
    (rows, columns), count = A.shape[-2:], tau.shape[-1] if len(tau.shape) else 0
    if not rows >= columns >= count or tuple(tau.shape[:-1]) != tuple(A.shape[:-2]):
        raise ShapeError(
            "linalg.householder_product: expected A (..., m, n) and tau (..., k) with m >= n >= k. "
            f"Got A {tuple(A.shape)} and tau {tuple(tau.shape)}."
        )
    vectors = unit_lower(A)
    product = eye(rows, columns, dtype=A.dtype, device=A.device).expand(*A.shape)
    for i in reversed(range(count)):
        v = vectors.narrow(-1, i, 1)
        scale = tau.narrow(-1, i, 1).unsqueeze(-1)
        product = product - scale * v @ (v.mH @ product)
    return product
