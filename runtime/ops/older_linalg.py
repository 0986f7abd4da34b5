"""Linear algebra under the older names of `torch.*`, where they differ from `torch.linalg`."""

from __future__ import annotations

from typing import Any

from ..core.creation import eye
from .declare import Spec, primitive
from .decompositions import cholesky as cholesky_factor
from .decompositions import mH, require_square
from .decompositions import qr as qr_factors
from .return_types import return_type
from .singular_values import pinv, svdvals
from .singular_values import svd as singular_vectors
from .solving import inv
from .solving import slogdet as sign_and_logarithm
from .triangular import batch_of, require_system, solved_triangular

__all__ = [
    "cholesky",
    "cholesky_inverse",
    "cholesky_solve",
    "inverse",
    "pinverse",
    "qr",
    "slogdet",
    "svd",
]

inverse = inv
SVD = return_type("svd", "U", "S", "V")
OldQR = return_type("qr", "Q", "R")


def cholesky(input: Spec, upper: bool = False) -> Spec:
    """`torch.linalg.cholesky`."""
    return cholesky_factor(input, upper=upper)


def cholesky_solve(B: Spec, L: Spec, upper: bool = False) -> Spec:
    """X with A @ X = B (..., n, p), for the A whose Cholesky factor is L (..., n, n)."""
    require_system("cholesky_solve", L, B)
    return solved_by_factor(B, L, upper=upper)


@primitive(node_name="CholeskySolve", is_holomorphic=False)
def solved_by_factor(B: Spec, L: Spec, *, upper: bool) -> Spec:
    """X with L @ L.mH @ X = B; for `upper` L.mH @ L @ X = B."""
    return Spec((*batch_of("cholesky_solve", L, B), *B.shape[-2:]), B.dtype)


@solved_by_factor.array
def solved_by_factor_array(xp: Any, B: Any, L: Any, upper: bool) -> Any:
    """Two triangular systems."""
    adjoint = xp.conj(L).swapaxes(-1, -2)
    first, second = (adjoint, L) if upper else (L, adjoint)
    middle = solved_triangular(xp, first, B, False)
    return solved_triangular(xp, second, middle, True)


@solved_by_factor.vjp(saves="L out", static="upper")
def solved_by_factor_vjp(F: Any, g: Any, needs: Any, B: Any, L: Any, out: Any, upper: Any) -> Any:
    """gB solves A gB = g; with gA = -gB X.mH, gL = (gA + gA.mH) L, that of all elements of L."""
    gB = F.solved_by_factor(g, L, upper=upper)
    gL = None
    if needs[1]:
        gA = F.neg(F.matmul(gB, mH(F, out)))
        both = F.plus(gA, mH(F, gA))
        gL = F.sum_to(F.matmul(L, both) if upper else F.matmul(both, L), like=L)
    return F.sum_to(gB, like=B) if needs[0] else None, gL


def cholesky_inverse(L: Spec, upper: bool = False) -> Spec:
    """The inverse of the A whose Cholesky factor is L (..., n, n)."""
    require_square("cholesky_inverse", L, "L")
    one = eye(L.shape[-1], dtype=L.dtype, device=L.device)
    return cholesky_solve(one.expand(*L.shape), L, upper)


def qr(input: Spec, some: bool = True) -> Any:
    """`torch.linalg.qr`, with mode "reduced" for `some`, else "complete"."""
    return OldQR(*qr_factors(input, "reduced" if some else "complete"))


def svd(input: Spec, some: bool = True, compute_uv: bool = True) -> Any:
    """input = U @ diag(S) @ V.mH, as `torch.linalg.svd` with V for Vh; `some` means not
    `full_matrices`. Without `compute_uv` U and V are zeros."""
    if not compute_uv:
        rows, columns = input.shape[-2:]
        batch = tuple(input.shape[:-2])
        U, V = input.new_zeros((*batch, rows, rows)), input.new_zeros((*batch, columns, columns))
        return SVD(U, svdvals(input), V)
    U, S, Vh = singular_vectors(input, full_matrices=not some)
    return SVD(U, S, Vh.mH)


def pinverse(input: Spec, rcond: float = 1e-15) -> Spec:
    """`torch.linalg.pinv` with `rcond` for rtol."""
    return pinv(input, rcond)


OldSlogdet = return_type("slogdet", "sign", "logabsdet")


def slogdet(input: Spec) -> Any:
    """`torch.linalg.slogdet`."""
    return OldSlogdet(*sign_and_logarithm(input))
