"""Factors of matrices: Cholesky, QR, LU, eigenvalues, singular values.

A is (..., m, n), a matrix or a batch of them. Gradient rules name the cotangent of X `gX` and write
X.mH for the conjugate transpose.
Sources: Giles, "An extended collection of matrix derivative results" (2008); Murray,
"Differentiation of the Cholesky decomposition" (2016), eq. 10; Seeger et al., "Auto-differentiating
linear algebra" (2017), sec. 3; Wan & Zhang, "Automatic differentiation for complex valued SVD"
(2019); Boeddeker et al., "On the computation of complex-valued gradients" (2017), for eig.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from ..core import dtypes
from ..core.batched import anywhere, bare
from ..errors import DTypeError, LinAlgError, ShapeError
from .declare import Spec, composite, primitive
from .joins import cat
from .return_types import return_type

# -- what the linear algebra modules share ---------------------------------------------------------


def mH(F: Any, A: Any) -> Any:
    """The conjugate transpose of each matrix."""
    flipped = F.transpose(A, dim0=-2, dim1=-1)
    return F.conj(flipped) if A.dtype.is_complex else flipped


def require_matrices(operation: str, A: Any, name: str = "A") -> None:
    """Raises: unless A has at least 2 dimensions and a dtype that there are kernels for."""
    if len(A.shape) < 2:
        raise ShapeError(
            f"{operation}: expected {name} with at least 2 dimensions, matrices or batches of "
            f"them. Got shape {tuple(A.shape)}."
        )
    require_precision(operation, A, name)


def require_precision(operation: str, A: Any, name: str = "A") -> None:
    """Raises: unless the dtype is float32, float64, or complex of such parts."""
    if A.dtype.category < dtypes.FLOAT or A.dtype.itemsize < 4:
        raise DTypeError(
            f"{operation}: expected {name} of float32, float64, complex64 or complex128. Got "
            f"{A.dtype}, shape {tuple(A.shape)}. Convert it with {name}.float()."
        )


def require_square(operation: str, A: Any, name: str = "A") -> None:
    """Raises: as `require_matrices`, and for matrices that are not square."""
    require_matrices(operation, A, name)
    if A.shape[-1] != A.shape[-2]:
        raise ShapeError(
            f"{operation}: expected {name} with square matrices. Got shape {tuple(A.shape)}."
        )


def require_success(operation: str, info: Any, problem: str) -> None:
    """Raises: LinAlgError where `info` is not 0; `problem` says what number it gives."""
    if info.is_meta or not anywhere(info):
        return
    with info._key.guard:
        values = bare(info._array).reshape(-1)
    values = values.get() if hasattr(values, "get") else values
    first = int(np.flatnonzero(values)[0])
    place = f"(Batch element {first}): " if info.ndim else ""
    raise LinAlgError(f"{operation}: {place}{problem.format(int(values[first]))}")


def raising(xp: Any) -> Any:
    """The context in which `xp.linalg` raises LinAlgError, as CuPy does only when asked."""
    if xp is np:
        return contextlib.nullcontext()
    import cupyx

    return cupyx.errstate(linalg="raise")


def attempted(xp: Any, function: Any, failure: Any, A: Any, *rest: Any) -> tuple[Any, Any]:
    """`function(A, ...)` and int32 `info` per matrix: 0, or `failure(A)` where it raises, with NaN
    for a result. All arguments share their batch dimensions."""
    batch = A.shape[:-2]
    with raising(xp):
        try:
            return function(A, *rest), xp.zeros(batch, xp.int32)
        except np.linalg.LinAlgError:
            if not batch:
                out = (rest or (A,))[0]
                return xp.full_like(out, xp.nan), xp.full((), failure(A), xp.int32)
    arrays = [a.reshape(-1, *a.shape[-2:]) for a in (A, *rest)]
    pairs = [attempted(xp, function, failure, *one) for one in zip(*arrays, strict=True)]
    out = xp.stack([p[0] for p in pairs])
    info = xp.stack([p[1] for p in pairs])
    return out.reshape(*batch, *out.shape[1:]), info.reshape(batch)


def converged(xp: Any, name: str, *args: Any, **options: Any) -> Any:
    """`xp.linalg.<name>`. Raises: LinAlgError where its iteration finds no end, as with NaN."""
    with raising(xp):
        try:
            return getattr(xp.linalg, name)(*args, **options)
        except np.linalg.LinAlgError as error:
            raise LinAlgError(
                f"linalg.{name}: expected finite, not too ill-conditioned matrices. Got shape "
                f"{tuple(args[0].shape)}: {error}. Look for NaN and infinities."
            ) from None


@primitive
def columns_scaled(input: Spec, factors: Spec) -> Spec:
    """input @ diag(factors): (..., m, n), (..., n) -> (..., m, n)."""
    return Spec(input.shape, input.dtype)


@columns_scaled.array
def columns_scaled_array(xp: Any, input: Any, factors: Any) -> Any:
    """A product that broadcasts over rows."""
    return input * factors[..., None, :]


@columns_scaled.vjp(saves="input factors")
def columns_scaled_vjp(F: Any, g: Any, needs: Any, input: Any, factors: Any) -> Any:
    """g @ diag(factors), and g * input summed over rows."""
    return (
        F.columns_scaled(g, factors) if needs[0] else None,
        F.sum_over(F.mul(g, input), dim=-2) if needs[1] else None,
    )


@primitive
def reciprocal_gaps(values: Spec) -> Spec:
    """1 / (values[j] - values[i]) at (i, j), 0 on the diagonal: (..., n) -> (..., n, n)."""
    return Spec((*values.shape, values.shape[-1]), values.dtype)


@reciprocal_gaps.array
def reciprocal_gaps_array(xp: Any, values: Any) -> Any:
    """Infinite where two values are equal, as the eigenvectors then have no derivative."""
    gaps = values[..., None, :] - values[..., :, None]
    gaps += xp.where(xp.eye(values.shape[-1], dtype=bool), xp.inf, 0).astype(values.real.dtype)
    return 1 / gaps


@reciprocal_gaps.vjp(saves="out")
def reciprocal_gaps_vjp(F: Any, g: Any, needs: Any, values: Any, out: Any) -> Any:
    """-g / gap**2, for value j and against value i."""
    slope = F.neg(F.mul(g, F.mul(out, out)))
    return F.minus(F.sum_over(slope, dim=-2), F.sum_over(slope, dim=-1))


def _half_diagonal_upper(F: Any, A: Any) -> Any:
    """The upper triangle, its diagonal halved: the part P of a Hermitian A = P + P.mH."""
    return F.mul(F.plus(F.triu(A), F.triu(A, diagonal=1)), 0.5)


# -- Cholesky --------------------------------------------------------------------------------------


@primitive(node_name="LinalgCholeskyEx", is_holomorphic=False)
def cholesky_lower(A: Spec, *, upper: bool) -> tuple[Spec, Spec]:
    """L with A = L @ L.mH, read from the lower or `upper` triangle, and int32 info: 0, or the order
    of the first leading minor that is not positive."""
    return Spec(A.shape, A.dtype), Spec(A.shape[:-2], dtypes.int32)


@cholesky_lower.array
def cholesky_array(xp: Any, A: Any, upper: bool) -> tuple[Any, Any]:
    """LAPACK's potrf."""
    if upper:
        A = xp.conj(A).swapaxes(-1, -2)

    def minor(one: Any) -> int:
        for k in range(1, one.shape[-1]):
            try:
                xp.linalg.cholesky(one[:k, :k])
            except np.linalg.LinAlgError:
                return k
        return int(one.shape[-1])

    L, info = attempted(xp, xp.linalg.cholesky, minor, A)
    if A.size:  # NaN is not positive either, but nobody raises for it
        unknown = xp.isnan(L.diagonal(0, -2, -1))
        found = xp.where(unknown.any(-1), unknown.argmax(-1) + 1, 0)
        info = xp.where(info == 0, found, info).astype(xp.int32)
    return L, info


@cholesky_lower.vjp(saves="out")
def cholesky_vjp(F: Any, g: Any, needs: Any, A: Any, out: Any, upper: Any) -> Any:
    """L.mH^-1 P L^-1 / 2, where P has the lower triangle of L.mH @ gL on both sides."""
    L = mH(F, out[0])
    lower = F.matmul(L, g[0])
    both = F.plus(F.tril(lower), mH(F, F.tril(lower, diagonal=-1)))
    left = F.triangular(L, F.mul(both, 0.5), upper=True, unitriangular=False)
    return mH(F, F.triangular(L, mH(F, left), upper=True, unitriangular=False))


def cholesky_ex(A: Spec, *, upper: bool = False, check_errors: bool = False) -> Any:
    """The Cholesky factor of Hermitian positive definite A (..., n, n), and `info`: 0, or the order
    of the first leading minor that is not positive; int32 of the batch's shape.

    Only the lower triangle is read (the upper one for `upper`); the gradient is Hermitian.
    """
    require_square("linalg.cholesky", A)
    L, info = cholesky_lower(A, upper=bool(upper))
    if check_errors:
        require_success("linalg.cholesky", info, NOT_POSITIVE)
    return CholeskyEx(L.mH if upper else L, info)


NOT_POSITIVE = (
    "expected a positive definite matrix. The leading minor of order {} is not. Symmetrize it, or "
    "add a multiple of torch.eye(n)."
)
CholeskyEx = return_type("linalg_cholesky_ex", "L", "info")


def cholesky(A: Spec, *, upper: bool = False) -> Spec:
    """L, lower triangular, with A = L @ L.mH for Hermitian positive definite A (..., n, n); for
    `upper` L.mH.

    Raises: LinAlgError (a RuntimeError) where A is not positive definite.
    """
    return cholesky_ex(A, upper=upper, check_errors=True).L


# -- QR --------------------------------------------------------------------------------------------


@primitive(node_name="LinalgQr", is_holomorphic=False)
def qr_tall(A: Spec) -> tuple[Spec, Spec]:
    """Q (..., m, n) and R (..., n, n) of A (..., m, n) with m >= n."""
    return Spec(A.shape, A.dtype), Spec((*A.shape[:-2], A.shape[-1], A.shape[-1]), A.dtype)


@qr_tall.array
def qr_tall_array(xp: Any, A: Any) -> tuple[Any, Any]:
    """LAPACK's geqrf and orgqr."""
    return tuple(xp.linalg.qr(A))


@qr_tall.vjp(saves="out")
def qr_tall_vjp(F: Any, g: Any, needs: Any, A: Any, out: Any) -> Any:
    """(gQ + Q H) R.mH^-1, where the Hermitian H has the upper triangle of gR R.mH - Q.mH gQ."""
    (gQ, gR), (Q, R) = g, out
    parts = []
    if gR is not None:
        parts.append(F.matmul(gR, mH(F, R)))
    if gQ is not None:
        parts.append(F.neg(F.matmul(mH(F, Q), gQ)))
    half = _half_diagonal_upper(F, parts[0] if len(parts) == 1 else F.plus(*parts))
    full = F.matmul(Q, F.plus(half, mH(F, half)))
    full = full if gQ is None else F.plus(gQ, full)
    return mH(F, F.triangular(R, mH(F, full), upper=True, unitriangular=False))


@primitive
def qr_other(A: Spec, *, mode: str) -> tuple[Spec, Spec]:
    """QR without a gradient: `complete`, Q (..., m, m) and R (..., m, n); or `r`, no Q."""
    *batch, rows, columns = A.shape
    k = min(rows, columns)
    q = (*batch, rows, rows) if mode == "complete" else (0,)
    r = (*batch, rows if mode == "complete" else k, columns)
    return Spec(q, A.dtype), Spec(r, A.dtype)


@qr_other.array
def qr_other_array(xp: Any, A: Any, mode: str) -> tuple[Any, Any]:
    """NumPy's modes of the same names."""
    if mode == "r":
        return xp.empty((0,), A.dtype), xp.linalg.qr(A, mode="r")
    return tuple(xp.linalg.qr(A, mode="complete"))


@qr_other.vjp(static="mode")
def qr_other_vjp(F: Any, g: Any, needs: Any, A: Any, mode: Any) -> Any:
    """There is none: the gradient needs Q, and not more columns of it than A has."""
    needed = "needs Q" if mode == "r" else "is not unique if Q has more columns than A"
    raise LinAlgError(
        f"linalg.qr: expected mode 'reduced' for a gradient. Got {mode!r}, where it {needed}."
    )


def qr(A: Spec, mode: str = "reduced") -> Any:
    """A = Q @ R with orthonormal columns of Q and upper triangular R, for A (..., m, n).

    `mode` "reduced": Q (..., m, k), R (..., k, n), k = min(m, n); "complete": Q (..., m, m),
    R (..., m, n); "r": Q is empty. The gradient needs the first k columns of A to be independent.
    Raises: RuntimeError for another mode, or for gradients of "r", and of "complete" if m > n.
    """
    require_matrices("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise ShapeError(f"linalg.qr: expected mode 'reduced', 'complete' or 'r'. Got {mode!r}.")
    rows, columns = A.shape[-2:]
    if mode == "r" or (mode == "complete" and rows > columns):
        return QR(*qr_other(A, mode=mode))
    if rows >= columns:
        return QR(*qr_tall(A))
    # The first columns decide on Q, and Q on the rest of R; so the gradient follows too.
    Q, R = qr_tall(A.narrow(-1, 0, rows))
    return QR(Q, cat([R, Q.mH @ A.narrow(-1, rows, columns - rows)], -1))


QR = return_type("linalg_qr", "Q", "R")


# -- eigenvalues -----------------------------------------------------------------------------------


@primitive(node_name="LinalgEigh", is_holomorphic=False)
def eigh_pairs(A: Spec, *, UPLO: str) -> tuple[Spec, Spec]:
    """Ascending real eigenvalues and orthonormal eigenvectors V of Hermitian A, read from its lower
    or upper triangle."""
    return Spec(A.shape[:-1], A.dtype.to_real()), Spec(A.shape, A.dtype)


@eigh_pairs.array
def eigh_array(xp: Any, A: Any, UPLO: str) -> tuple[Any, Any]:
    """LAPACK's syevd and heevd."""
    return tuple(converged(xp, "eigh", A, UPLO))


@eigh_pairs.vjp(saves="out")
def eigh_vjp(F: Any, g: Any, needs: Any, A: Any, out: Any, UPLO: Any) -> Any:
    """V (diag(gw) + skew(V.mH gV) / 2 gaps) V.mH, Hermitian; skew(X) is X - X.mH, and the gap at
    (i, j) w[j] - w[i]."""
    (gw, gV), (w, V) = g, out
    parts = []
    if gw is not None:
        parts.append(F.columns_scaled(V, gw))
    if gV is not None:
        inside = F.matmul(mH(F, V), gV)
        skew = F.mul(F.minus(inside, mH(F, inside)), 0.5)
        parts.append(F.matmul(V, F.mul(skew, F.reciprocal_gaps(w))))
    return F.matmul(parts[0] if len(parts) == 1 else F.plus(*parts), mH(F, V))


@composite
def eigenvalues_hermitian(F: Any, A: Spec, *, UPLO: str) -> Spec:
    """The eigenvalues of `eigh_pairs`."""
    return F.eigh_pairs(A, UPLO=UPLO)[0]


@eigenvalues_hermitian.array
def eigenvalues_hermitian_array(xp: Any, A: Any, UPLO: str) -> Any:
    """Without eigenvectors, which cost most of the time."""
    return converged(xp, "eigvalsh", A, UPLO)


def _triangle(operation: str, A: Any, UPLO: str) -> str:
    """ "L" or "U". Raises: RuntimeError for another one, or what is not square."""
    require_square(operation, A)
    if str(UPLO).upper() not in ("L", "U"):
        raise ShapeError(f"{operation}: expected UPLO 'L' or 'U'. Got {UPLO!r}.")
    return UPLO.upper()


def eigh(A: Spec, UPLO: str = "L") -> Any:
    """A = V @ diag(w) @ V.mH for Hermitian A (..., n, n): ascending real eigenvalues w (..., n) and
    orthonormal eigenvectors, the columns of V (..., n, n).

    Only the lower triangle is read, for UPLO "U" the upper one. The gradient of V needs distinct
    eigenvalues.
    """
    return Eigh(*eigh_pairs(A, UPLO=_triangle("linalg.eigh", A, UPLO)))


Eigh = return_type("linalg_eigh", "eigenvalues", "eigenvectors")


def eigvalsh(A: Spec, UPLO: str = "L") -> Spec:
    """The ascending real eigenvalues (..., n) of Hermitian A (..., n, n), see `eigh`."""
    return eigenvalues_hermitian(A, UPLO=_triangle("linalg.eigvalsh", A, UPLO))


@primitive(node_name="LinalgEig", is_holomorphic=False)
def eig_pairs(A: Spec) -> tuple[Spec, Spec]:
    """Complex eigenvalues and eigenvectors of length 1 of any square A."""
    kind = A.dtype.to_complex()
    return Spec(A.shape[:-1], kind), Spec(A.shape, kind)


@eig_pairs.array
def eig_pairs_array(xp: Any, A: Any) -> tuple[Any, Any]:
    """LAPACK's geev; NumPy returns real arrays where all eigenvalues are."""
    w, V = converged(xp, "eig", A)
    kind = xp.complex64 if A.dtype.itemsize == 4 or A.dtype == xp.complex64 else xp.complex128
    return w.astype(kind, copy=False), V.astype(kind, copy=False)


@eig_pairs.vjp(saves="out")
def eig_pairs_vjp(F: Any, g: Any, needs: Any, A: Any, out: Any) -> Any:
    """V.mH^-1 (diag(gw) + (V.mH gV - V.mH V diag(Re(diag(V.mH gV)))) / conj(gaps)) V.mH.

    The second term keeps the eigenvectors' length 1.
    """
    (gw, gV), (w, V) = g, out
    adjoint = F.conj(F.transpose(V, dim0=-2, dim1=-1))
    parts = []
    if gw is not None:
        # diag(gw) @ V.mH, so that the sum can be solved for at once
        parts.append(F.conj(F.transpose(F.columns_scaled(V, F.conj(gw)), dim0=-2, dim1=-1)))
    if gV is not None:
        along = F.real_part(F.sum_over(F.mul(F.conj(V), gV), dim=-2))
        across = F.minus(gV, F.columns_scaled(V, along))
        inner = F.mul(F.matmul(adjoint, across), F.conj(F.reciprocal_gaps(w)))
        parts.append(F.matmul(inner, adjoint))
    total = parts[0] if len(parts) == 1 else F.plus(*parts)
    solved = F.solve_matrices(adjoint, total)[0]
    return solved if A.dtype.is_complex else F.real_part(solved)


def eig(A: Spec) -> Any:
    """A = V @ diag(w) @ V^-1 for square A (..., n, n): complex eigenvalues w (..., n), in no order,
    and eigenvectors of length 1, the columns of V (..., n, n).

    The gradient needs distinct eigenvalues.
    """
    require_square("linalg.eig", A)
    return Eig(*eig_pairs(A))


Eig = return_type("linalg_eig", "eigenvalues", "eigenvectors")


@composite
def eigenvalues(F: Any, A: Spec) -> Spec:
    """The eigenvalues of `eig_pairs`."""
    return F.eig_pairs(A)[0]


@eigenvalues.array
def eigenvalues_array(xp: Any, A: Any) -> Any:
    """Without eigenvectors, which cost most of the time."""
    w = converged(xp, "eigvals", A)
    single = A.dtype.itemsize == 4 or A.dtype == xp.complex64
    return w.astype(xp.complex64 if single else xp.complex128, copy=False)


def eigvals(A: Spec) -> Spec:
    """The complex eigenvalues (..., n) of square A (..., n, n), in no order."""
    require_square("linalg.eigvals", A)
    return eigenvalues(A)
