"""Singular values: their decomposition, the pseudo-inverse, ranks and least squares.

A is (..., m, n), a matrix or a batch of them, and k = min(m, n). Sources: Giles (2008) and Wan &
Zhang (2019) for the SVD, as in `decompositions`; Golub & Pereyra, "The differentiation of
pseudo-inverses and nonlinear least squares problems" (1973), eq. 4.12, for the pseudo-inverse.
"""

from __future__ import annotations

from typing import Any

from ..core import dtypes
from ..core.batched import anywhere
from ..core.creation import as_tensor
from ..core.limits import finfo
from ..errors import DTypeError, ShapeError
from .declare import Index, Spec, composite, primitive
from .decompositions import converged, eigvalsh, mH, require_matrices, require_square
from .joins import cat
from .return_types import return_type

# -- the decomposition -----------------------------------------------------------------------------


@primitive(node_name="LinalgSvd", is_holomorphic=False)
def svd_thin(A: Spec, *, order: str) -> tuple[Spec, Spec, Spec]:
    """U (..., m, k), descending real S (..., k) and Vh (..., k, n) of A = U @ diag(S) @ Vh; `order`
    tells how m compares with n: one of < = >."""
    *batch, rows, columns = A.shape
    k = min(rows, columns)
    return (
        Spec((*batch, rows, k), A.dtype),
        Spec((*batch, k), A.dtype.to_real()),
        Spec((*batch, k, columns), A.dtype),
    )


@svd_thin.array
def svd_array(xp: Any, A: Any, order: str) -> tuple[Any, Any, Any]:
    """LAPACK's gesdd."""
    return tuple(converged(xp, "svd", A, full_matrices=False))


@svd_thin.vjp(saves="out", static="order")
def svd_vjp(F: Any, g: Any, needs: Any, A: Any, out: Any, order: Any) -> Any:
    """U (skew(U.mH gU) / E S + S skew(V.mH gV) / E + diag(gS)) V.mH, with E[i, j] = S[j]^2 - S[i]^2
    and skew(X) = X - X.mH; then what leaves the spans of U and V, where they are not everything.
    """
    (gU, gS, gVh), (U, S, Vh) = g, out
    parts = []
    if gU is not None or gVh is not None:
        gaps = F.reciprocal_gaps(F.mul(S, S))
    if gU is not None:
        inside = F.matmul(mH(F, U), gU)
        turned = F.columns_scaled(F.mul(F.minus(inside, mH(F, inside)), gaps), S)
        parts.append(F.matmul(F.matmul(U, turned), Vh))
        inverse = F.divide(1.0, S)
        if order == ">":
            leaving = F.columns_scaled(F.minus(gU, F.matmul(U, inside)), inverse)
            parts.append(F.matmul(leaving, Vh))
        if U.dtype.is_complex:
            phase = F.imag_part(F.sum_over(F.mul(F.conj(U), gU), dim=-2))
            phase = F.mul(F.mul(phase, inverse), 1j)
            parts.append(F.matmul(F.columns_scaled(U, phase), Vh))
    if gVh is not None:
        inside = F.matmul(Vh, mH(F, gVh))
        turned = F.mul(F.minus(inside, mH(F, inside)), gaps)
        parts.append(F.matmul(F.columns_scaled(U, S), F.matmul(turned, Vh)))
        if order == "<":
            outside = F.minus(gVh, F.matmul(mH(F, inside), Vh))
            parts.append(F.matmul(F.columns_scaled(U, F.divide(1.0, S)), outside))
    if gS is not None:
        parts.append(F.matmul(F.columns_scaled(U, gS), Vh))
    total = parts[0]
    for part in parts[1:]:
        total = F.plus(total, part)
    return total


@composite
def singular_values(F: Any, A: Spec, *, order: str) -> Spec:
    """The singular values of `svd_thin`."""
    return F.svd_thin(A, order=order)[1]


@singular_values.array
def singular_values_array(xp: Any, A: Any, order: str) -> Any:
    """Without singular vectors, which cost most of the time."""
    return converged(xp, "svd", A, compute_uv=False)


@primitive
def orthogonal_complement(U: Spec) -> Spec:
    """Orthonormal columns (..., m, m - k) that complete those of U (..., m, k), without a
    gradient."""
    rows, columns = U.shape[-2:]
    return Spec((*U.shape[:-1], rows - columns), U.dtype)


@orthogonal_complement.array
def orthogonal_complement_array(xp: Any, U: Any) -> Any:
    """The last columns of the complete Q of U."""
    return xp.linalg.qr(U, mode="complete")[0][..., U.shape[-1] :]


def _order(A: Any) -> str:
    rows, columns = A.shape[-2:]
    return "=" if rows == columns else "<" if rows < columns else ">"


def svd(A: Spec, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """A = U @ diag(S) @ Vh for A (..., m, n), S (..., k) descending, k = min(m, n), with
    orthonormal columns of U and rows of Vh: U (..., m, m) and Vh (..., n, n), or (..., m, k) and
    (..., k, n) for `full_matrices=False`.

    Gradients of U and Vh need distinct singular values, and do not reach beyond the first k
    columns or rows. `driver`, a choice among cuSOLVER's algorithms, is accepted and ignored.
    """
    require_matrices("linalg.svd", A)
    U, S, Vh = svd_thin(A, order=_order(A))
    if full_matrices:
        rows, columns = A.shape[-2:]
        if rows > columns:
            U = cat([U, orthogonal_complement(U)], -1)
        elif rows < columns:
            Vh = cat([Vh, orthogonal_complement(Vh.mH).mH], -2)
    return SVD(U, S, Vh)


SVD = return_type("linalg_svd", "U", "S", "Vh")


def svdvals(A: Spec, *, driver: str | None = None) -> Spec:
    """The singular values (..., k) of A (..., m, n), descending; see `svd`."""
    require_matrices("linalg.svdvals", A)
    return singular_values(A, order=_order(A))


# -- pseudo-inverse --------------------------------------------------------------------------------


@primitive(node_name="LinalgPinv", is_holomorphic=False)
def pinv_above(A: Spec, atol: Index, rtol: Index, *, hermitian: bool) -> Spec:
    """The inverse of A on the span of the singular values above max(atol, rtol * largest): (..., n,
    m)."""
    *batch, rows, columns = A.shape
    return Spec((*batch, columns, rows), A.dtype)


@pinv_above.array
def pinv_array(xp: Any, A: Any, atol: Any, rtol: Any, hermitian: bool) -> Any:
    """By eigenvalues if A is Hermitian, else by singular values."""
    if not A.size:
        return xp.zeros((*A.shape[:-2], A.shape[-1], A.shape[-2]), A.dtype)
    if hermitian:
        S, U = converged(xp, "eigh", A)
        Vh = xp.conj(U).swapaxes(-1, -2)
    else:
        U, S, Vh = converged(xp, "svd", A, full_matrices=False)
    size = xp.absolute(S)
    kept = size > _cutoff(xp, size, atol, rtol)
    inverse = xp.where(kept, 1 / xp.where(kept, S, 1), 0).astype(S.dtype)
    return xp.matmul(
        xp.conj(Vh).swapaxes(-1, -2) * inverse[..., None, :], xp.conj(U).swapaxes(-1, -2)
    )


def _cutoff(xp: Any, size: Any, atol: Any, rtol: Any) -> Any:
    return xp.maximum(atol[..., None], rtol[..., None] * size.max(-1, keepdims=True))


@pinv_above.vjp(saves="A out")
def pinv_vjp(
    F: Any, g: Any, needs: Any, A: Any, atol: Any, rtol: Any, out: Any, hermitian: Any
) -> Any:
    """-P.mH g P.mH + (1 - A P) g.mH P P.mH + P.mH P g.mH (1 - P A), with P the result."""
    P, Ph, gh = out, mH(F, out), mH(F, g)
    right = F.matmul(F.matmul(gh, P), Ph)
    left = F.matmul(Ph, F.matmul(P, gh))
    total = F.minus(right, F.matmul(A, F.matmul(P, right)))
    total = F.plus(total, F.minus(left, F.matmul(F.matmul(left, P), A)))
    return F.minus(total, F.matmul(F.matmul(Ph, g), Ph)), None, None


def _tolerances(operation: str, A: Any, atol: Any, rtol: Any) -> tuple[Any, Any]:
    """Both as tensors. If neither is given, rtol is max(m, n) * eps; where only atol is, rtol is 0
    but for an atol of 0."""
    kind = A.dtype.to_real()
    usual = max(A.shape[-2:]) * finfo(kind).eps
    for name, value in (("atol", atol), ("rtol", rtol)):
        if hasattr(value, "dtype") and value.dtype.is_complex:
            raise DTypeError(f"{operation}: expected {name} of a real dtype. Got {value.dtype}.")

    def tensor(value: Any) -> Any:
        return as_tensor(value, dtype=kind, device=A.device)

    absolute = tensor(0.0 if atol is None else atol)
    if rtol is not None:
        return absolute, tensor(rtol)
    return absolute, (absolute <= 0).to(kind) * usual


def pinv(
    A: Spec,
    rcond: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
) -> Spec:
    """The Moore-Penrose inverse (..., n, m) of A (..., m, n); singular values up to
    max(atol, rtol * the largest) count as 0.

    Tolerances are numbers or tensors of the batch's shape; by default atol is 0 and rtol
    max(m, n) * eps, or 0 if atol is given. `rcond` is an older name of rtol. With `hermitian` only
    the lower triangle is read. The gradient is right where the rank stays the same.
    """
    (require_square if hermitian else require_matrices)("linalg.pinv", A)
    limits = _tolerances("linalg.pinv", A, atol, rtol if rcond is None else rcond)
    return pinv_above(A, *limits, hermitian=hermitian)


def matrix_rank(
    A: Spec,
    tol: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
) -> Spec:
    """How many singular values of A (..., m, n) are above max(atol, rtol * the largest): int64 of
    the batch's shape.

    Tolerances are as in `pinv`; `tol` is an older name of atol, with an rtol of 0.
    """
    (require_square if hermitian else require_matrices)("linalg.matrix_rank", A)
    atol, rtol = (atol, rtol) if tol is None else (tol, 0.0)
    atol, rtol = _tolerances("linalg.matrix_rank", A, atol, rtol)
    A = A.detach()
    size = eigvalsh(A).abs() if hermitian else svdvals(A)
    if not size.shape[-1]:
        return size.new_zeros(size.shape[:-1], dtype=dtypes.int64)
    largest = size.amax(-1, keepdim=True)
    cutoff = atol.unsqueeze(-1).maximum(rtol.unsqueeze(-1) * largest)
    return (size > cutoff).sum(-1)


# -- least squares ---------------------------------------------------------------------------------

LstSq = return_type("linalg_lstsq", "solution", "residuals", "rank", "singular_values")
DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def lstsq(A: Spec, B: Spec, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """The X (..., n, p) of least norm that minimizes ||A @ X - B|| for A (..., m, n) and B (..., m,
    p), or (..., m) where p has no dimension; batches broadcast.

    Returns the solution; residuals, the squared norms of B - A @ X (..., p), empty unless m > n,
    all ranks are n, and the driver is not "gelsy"; the rank (empty for driver "gels"); the singular
    values (empty but for drivers "gelsd" and "gelss"). Singular values up to `rcond`
    (max(m, n) * eps) times the largest count as 0. Every `driver` computes by singular values here;
    it decides on what is returned, and is "gelsy" unless given, on the GPU "gels".
    Raises: RuntimeError for an unknown driver, or shapes that do not fit.
    """
    require_matrices("linalg.lstsq", A)
    driver = driver or ("gels" if A.is_cuda else "gelsy")
    if driver not in DRIVERS:
        raise ShapeError(f"linalg.lstsq: expected a driver among {DRIVERS}. Got {driver!r}.")
    is_vector = len(B.shape) == len(A.shape) - 1 and tuple(B.shape) == tuple(A.shape[:-1])
    rows, columns = A.shape[-2:]
    if B.dtype is not A.dtype:
        raise DTypeError(f"linalg.lstsq: expected one dtype. Got A {A.dtype} and B {B.dtype}.")
    if not is_vector and (len(B.shape) < 2 or B.shape[-2] != rows):
        raise ShapeError(
            f"linalg.lstsq: expected B with {rows} rows, as A {tuple(A.shape)} has. Got B "
            f"{tuple(B.shape)}."
        )
    right = B.unsqueeze(-1) if is_vector else B
    solution = pinv(A, rcond) @ right
    empty = A.new_zeros((0,), dtype=A.dtype.to_real())
    rank = matrix_rank(A, rtol=rcond)
    residuals, values = empty, empty
    if rows > columns and driver != "gelsy" and (A.is_meta or not anywhere(rank != columns)):
        residuals = (A @ solution - right).abs().square().sum(-2)
    if driver in ("gelsd", "gelss"):
        values = svdvals(A.detach())
    if driver == "gels":
        rank = rank.new_zeros((0,))
    if is_vector:
        solution = solution.squeeze(-1)
    return LstSq(solution, residuals, rank, values)
