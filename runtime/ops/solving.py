"""Determinants, inverses, linear systems, powers and exponentials of matrices.

A is (..., n, n), a matrix or a batch of them. Sources: Giles, "An extended collection of matrix
derivative results" (2008), sec. 2.2; Higham, "The scaling and squaring method for the matrix
exponential revisited" (2005); Mathias, "A chain rule for matrix functions" (1996), for its
derivative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..core import dtypes
from ..core.creation import eye
from ..errors import DTypeError, ShapeError
from .arithmetic import where
from .declare import Spec, composite, primitive
from .decompositions import attempted, mH, require_square, require_success
from .return_types import return_type
from .triangular import batch_of, broadcast_matrices, lu_array, require_system

__all__ = ["det", "logdet", "matrix_exp", "matrix_power"]

PER_MATRIX = (Ellipsis, None, None)
"""The index that lets a number per matrix broadcast with matrices."""

# -- determinants ----------------------------------------------------------------------------------


@primitive(node_name="LinalgDet")
def determinant(A: Spec) -> Spec:
    """The determinant of each matrix."""
    return Spec(A.shape[:-2], A.dtype)


@determinant.array
def determinant_array(xp: Any, A: Any) -> Any:
    """The product of LU's pivots."""
    return xp.asarray(xp.linalg.det(A))


@determinant.vjp(saves="A")
def determinant_vjp(F: Any, g: Any, needs: Any, A: Any) -> Any:
    """g times the cofactors."""
    return F.mul(F.slice_view(g, index=PER_MATRIX), F.cofactors(A))


@primitive
def cofactors(A: Spec) -> Spec:
    """det(A) A.mT^-1, which is finite for singular matrices as well."""
    return Spec(A.shape, A.dtype)


@cofactors.array
def cofactors_array(xp: Any, A: Any) -> Any:
    """By singular values: of U diag(S) Vh they are det(U Vh) conj(U) diag(products of the others)
    conj(Vh).

    The inverse would be cheaper, but loses all digits near singular matrices.
    """
    if not A.size:
        return A.copy()
    U, S, Vh = xp.linalg.svd(A)
    one = xp.ones_like(S[..., :1])
    before = xp.cumprod(xp.concatenate([one, S[..., :-1]], -1), -1)
    behind = xp.cumprod(xp.concatenate([one, S[..., :0:-1]], -1), -1)[..., ::-1]
    phase = xp.linalg.det(xp.matmul(U, Vh))[..., None]
    scale = (phase * before * behind).astype(A.dtype)[..., None, :]
    return xp.matmul(xp.conj(U) * scale, xp.conj(Vh))


@cofactors.vjp(saves="A out")
def cofactors_vjp(F: Any, g: Any, needs: Any, A: Any, out: Any) -> Any:
    """With C the result: <g, C> A.mT^-1 - C g.mT A.mT^-1, where A is not singular."""
    inverse = F.transpose(F.inverted(A)[0], dim0=-2, dim1=-1)
    inner = F.sum_over(F.mul(g, out), dim=(-2, -1), keepdim=True)
    turned = F.matmul(out, F.transpose(g, dim0=-2, dim1=-1))
    return F.minus(F.mul(inner, inverse), F.matmul(turned, inverse))


@primitive(node_name="LinalgSlogdet", is_holomorphic=False)
def sign_and_log(A: Spec) -> tuple[Spec, Spec]:
    """The determinant as a number of size 1, or 0, and the logarithm of its absolute value."""
    return Spec(A.shape[:-2], A.dtype), Spec(A.shape[:-2], A.dtype.to_real())


@sign_and_log.array
def sign_and_log_array(xp: Any, A: Any) -> tuple[Any, Any]:
    """From LU's pivots, without overflow."""
    sign, log = xp.linalg.slogdet(A)
    return xp.asarray(sign), xp.asarray(log)


@sign_and_log.vjp(saves="A out")
def sign_and_log_vjp(F: Any, g: Any, needs: Any, A: Any, out: Any) -> Any:
    """(glog + 1j Im(gsign conj(sign))) A.mH^-1; the sign of a real determinant is constant."""
    weight = g[1]
    if A.dtype.is_complex and g[0] is not None:
        turn = F.mul(F.imag_part(F.mul(g[0], F.conj(out[0]))), 1j)
        weight = turn if weight is None else F.plus(weight, turn)
    inverse = mH(F, F.inverted(A)[0])
    if weight is None:
        return F.mul(inverse, 0.0)
    return F.mul(F.slice_view(weight, index=PER_MATRIX), inverse)


def det(A: Spec) -> Spec:
    """The determinant of square A (..., n, n), of the batch's shape; second derivatives need an
    invertible A."""
    require_square("linalg.det", A)
    return determinant(A)


Slogdet = return_type("linalg_slogdet", "sign", "logabsdet")


def slogdet(A: Spec) -> Any:
    """The determinant of A (..., n, n) as `sign` (1, -1 or 0; of size 1 or 0 if complex) and
    `logabsdet`, the real logarithm of its size: -inf for singular matrices."""
    require_square("linalg.slogdet", A)
    return Slogdet(*sign_and_log(A))


def logdet(A: Spec) -> Spec:
    """log(det(A)) of A (..., n, n): NaN for negative determinants, -inf for 0."""
    require_square("logdet", A)
    sign, log = sign_and_log(A)
    if A.dtype.is_complex:
        return sign.log() + log
    return where(sign < 0, math.nan, log)


# -- inverses and systems --------------------------------------------------------------------------

SINGULAR = (
    "expected invertible matrices. U's diagonal element {} is zero in A = P @ L @ U. Use lstsq or "
    "pinv for singular ones."
)
InvEx = return_type("linalg_inv_ex", "inverse", "info")
SolveEx = return_type("linalg_solve_ex", "result", "info")


def zero_pivot(xp: Any) -> Any:
    """The function that counts up to the first zero among a matrix's pivots."""
    return lambda A: max(int(lu_array(xp, A, True)[2]), 1)


@primitive(node_name="LinalgInvEx")
def inverted(A: Spec) -> tuple[Spec, Spec]:
    """A^-1, and int32 info: 0, or the number of the first zero on LU's diagonal."""
    return Spec(A.shape, A.dtype), Spec(A.shape[:-2], dtypes.int32)


@inverted.array
def inverted_array(xp: Any, A: Any) -> tuple[Any, Any]:
    """LAPACK's gesv; NaN for singular matrices."""
    return attempted(xp, xp.linalg.inv, zero_pivot(xp), A)


@inverted.vjp(saves="out")
def inverted_vjp(F: Any, g: Any, needs: Any, A: Any, out: Any) -> Any:
    """-A.mT^-1 g A.mT^-1."""
    flipped = F.transpose(out[0], dim0=-2, dim1=-1)
    return F.neg(F.matmul(flipped, F.matmul(g[0], flipped)))


@primitive(node_name="LinalgSolveEx")
def solve_matrices(A: Spec, B: Spec) -> tuple[Spec, Spec]:
    """X with A @ X = B (..., n, p), and int32 info as `inverted`."""
    batch = batch_of("linalg.solve", A, B)
    return Spec((*batch, *B.shape[-2:]), B.dtype), Spec(batch, dtypes.int32)


@solve_matrices.array
def solve_matrices_array(xp: Any, A: Any, B: Any) -> tuple[Any, Any]:
    """LAPACK's gesv; NaN for singular matrices."""
    return attempted(xp, xp.linalg.solve, zero_pivot(xp), *broadcast_matrices(xp, A, B))


@solve_matrices.vjp(saves="A out")
def solve_matrices_vjp(F: Any, g: Any, needs: Any, A: Any, B: Any, out: Any) -> Any:
    """gB solves A.mT gB = g; gA = -gB X.mT."""
    gB = F.solve_matrices(F.transpose(A, dim0=-2, dim1=-1), g[0])[0]
    gA = F.neg(F.matmul(gB, F.transpose(out[0], dim0=-2, dim1=-1))) if needs[0] else None
    return (
        F.sum_to(gA, like=A) if needs[0] else None,
        F.sum_to(gB, like=B) if needs[1] else None,
    )


def inv_ex(A: Spec, *, check_errors: bool = False) -> Any:
    """The inverse of A (..., n, n), NaN for singular matrices, and int32 `info` of the batch's
    shape: 0, or the number of the first zero on LU's diagonal.

    Raises: LinAlgError for singular matrices if `check_errors`.
    """
    require_square("linalg.inv", A)
    found, info = inverted(A)
    if check_errors:
        require_success("linalg.inv", info, SINGULAR)
    return InvEx(found, info)


def inv(A: Spec) -> Spec:
    """The inverse of A (..., n, n).

    Raises: LinAlgError (a RuntimeError) for singular matrices.
    """
    return inv_ex(A, check_errors=True).inverse


def solve_ex(A: Spec, B: Spec, *, left: bool = True, check_errors: bool = False) -> Any:
    """X with A @ X = B, or X @ A = B if not `left`, and `info` as in `inv_ex`.

    A is (..., n, n), B (..., n, p) or a batch of vectors, of the shape of A without its last
    dimension (or of one dimension); batches broadcast.
    Raises: RuntimeError for shapes that do not fit, LinAlgError as in `inv_ex`.
    """
    require_square("linalg.solve", A)
    is_vector = len(B.shape) == 1 or tuple(B.shape) == tuple(A.shape[:-1])
    if is_vector and not left:
        raise ShapeError(
            f"linalg.solve: expected matrices in B for left=False. Got B {tuple(B.shape)} for A "
            f"{tuple(A.shape)}. Use B.unsqueeze(-2)."
        )
    right = B.unsqueeze(-1) if is_vector else B
    require_system("linalg.solve", A, right, left)
    found, info = solve_matrices(A, right) if left else solve_matrices(A.mT, right.mT)
    if check_errors:
        require_success("linalg.solve", info, SINGULAR)
    if not left:
        found = found.mT
    return SolveEx(found.squeeze(-1) if is_vector else found, info)


def solve(A: Spec, B: Spec, *, left: bool = True) -> Spec:
    """X with A @ X = B, or X @ A = B if not `left`, see `solve_ex`.

    Raises: LinAlgError (a RuntimeError) for singular matrices.
    """
    return solve_ex(A, B, left=left, check_errors=True).result


def tensorinv(A: Spec, ind: int = 2) -> Spec:
    """The inverse of the linear map that tensordot with A computes: A has `ind` dimensions of rows,
    then those of columns, of the same product; the result columns first.

    Raises: RuntimeError for ind <= 0, or if the products differ.
    """
    shape = tuple(A.shape)
    rows, columns = math.prod(shape[:ind]), math.prod(shape[ind:])
    if ind <= 0 or rows != columns:
        raise ShapeError(
            "linalg.tensorinv: expected ind > 0 and dimensions of the same product before and "
            f"after it. Got ind {ind}, shape {shape}: {rows} and {columns}."
        )
    return inv(A.reshape(rows, columns)).reshape(*shape[ind:], *shape[:ind])


def tensorsolve(A: Spec, B: Spec, dims: Sequence[int] | None = None) -> Spec:
    """X with tensordot(A, X, X.ndim) = B: A has the dimensions of B, then those of X, which have
    the same product. `dims` of A are moved behind the others first.

    Raises: RuntimeError for shapes that do not fit.
    """
    if dims is not None:
        A = A.movedim(tuple(dims), tuple(range(len(A.shape) - len(dims), len(A.shape))))
    rest = tuple(A.shape[len(B.shape) :])
    n = math.prod(rest)
    if n != B.numel() or math.prod(A.shape[: len(B.shape)]) != n:
        raise ShapeError(
            "linalg.tensorsolve: expected A with the dimensions of B, then others of the same "
            f"product. Got A {tuple(A.shape)}, B {tuple(B.shape)}."
        )
    return solve(A.reshape(n, n), B.reshape(-1)).reshape(rest)


# -- powers and exponentials -----------------------------------------------------------------------


def matrix_power(A: Spec, n: int) -> Spec:
    """A @ ... @ A, n times, by squaring; of the inverse for n < 0. A is (..., m, m).

    Raises: LinAlgError for n < 0 and a singular matrix, TypeError for an n that is no integer.
    """
    if not isinstance(n, int):
        raise TypeError(f"linalg.matrix_power: expected an integer n. Got {n!r}.")
    if len(A.shape) < 2 or A.shape[-1] != A.shape[-2] or n < 0:
        require_square("linalg.matrix_power", A)
    if n < 0:
        return matrix_power(inv(A), -n)
    if n == 0:
        one = eye(A.shape[-1], dtype=A.dtype, device=A.device)
        return one.expand(*A.shape).clone() + A.detach() * 0
    if n % 2:
        return A if n == 1 else A @ matrix_power(A, n - 1)
    half = matrix_power(A, n // 2)
    return half @ half


ORDER = 13
"""Of the Pade approximant; its error is below half a float64's last bit up to norm REACH."""
REACH = 5.371920351148152
"""theta_13 of Higham (2005), table 2.3."""
PADE = [
    math.factorial(2 * ORDER - k)
    * math.factorial(ORDER)
    / (math.factorial(2 * ORDER) * math.factorial(ORDER - k) * math.factorial(k))
    for k in range(ORDER + 1)
]
"""Coefficients of the approximant's numerator, (2p-k)! p! / ((2p)! (p-k)! k!)."""


@primitive(node_name="LinalgMatrixExp")
def matrix_exponential(A: Spec) -> Spec:
    """exp(A) = 1 + A + A @ A / 2 + ..."""
    return Spec(A.shape, A.dtype)


@matrix_exponential.array
def matrix_exponential_array(xp: Any, A: Any) -> Any:
    """Scaled to norm REACH, the Pade approximant, squared again; each matrix as often as it
    needs."""
    if not A.size:
        return A.copy()
    norm = xp.absolute(A).sum(-2).max(-1)
    finite = xp.where(xp.isfinite(norm), norm, 0).astype(xp.float64)
    times = xp.maximum(xp.ceil(xp.log2(xp.maximum(finite, 1e-300) / REACH)), 0)
    times = times[..., None, None]
    A1 = (A * (0.5**times).astype(norm.dtype)).astype(A.dtype, copy=False)
    A2 = xp.matmul(A1, A1)
    A4 = xp.matmul(A2, A2)
    A6 = xp.matmul(A2, A4)
    one = xp.eye(A.shape[-1], dtype=A.dtype)

    def half(first: int) -> Any:
        c = PADE[first::2]
        high = c[6] * A6 + c[5] * A4 + c[4] * A2
        return xp.matmul(A6, high) + c[3] * A6 + c[2] * A4 + c[1] * A2 + c[0] * one

    odd, even = xp.matmul(A1, half(1)), half(0)
    out = xp.linalg.solve(even - odd, even + odd)
    for k in range(int(times.max())):
        out = xp.where(times > k, xp.matmul(out, out), out)
    return out


@matrix_exponential.vjp(saves="A")
def matrix_exponential_vjp(F: Any, g: Any, needs: Any, A: Any) -> Any:
    """The derivative at A.mT, in the direction g."""
    return F.matrix_exponential_slope(F.transpose(A, dim0=-2, dim1=-1), g)


@composite
def matrix_exponential_slope(F: Any, A: Spec, E: Spec) -> Spec:
    """The derivative of exp at A in the direction E: the upper right block of
    exp([[A, E], [0, A]])."""
    n = A.shape[-1]
    zeros = F.zeros_of(A, shape=tuple(A.shape))
    upper, lower = F.cat([A, E], dim=-1), F.cat([zeros, A], dim=-1)
    blocks = F.matrix_exponential(F.cat([upper, lower], dim=-2))
    return F.narrow(F.narrow(blocks, dim=-2, start=0, length=n), dim=-1, start=n, length=n)


@matrix_exponential_slope.array
def matrix_exponential_slope_array(xp: Any, A: Any, E: Any) -> Any:
    """The same on arrays."""
    n = A.shape[-1]
    upper = xp.concatenate([A, E], -1)
    lower = xp.concatenate([xp.zeros_like(A), A], -1)
    return matrix_exponential_array(xp, xp.concatenate([upper, lower], -2))[..., :n, n:]


def matrix_exp(A: Spec) -> Spec:
    """exp(A) = 1 + A + A @ A / 2 + ... of square A (..., n, n)."""
    require_square("linalg.matrix_exp", A)
    return matrix_exponential(A)


# -- products of many ------------------------------------------------------------------------------


def multi_dot(tensors: Sequence[Spec]) -> Spec:
    """The product of two or more matrices in the order that takes the fewest multiplications; the
    first may be a row and the last a column of one dimension, which the result then lacks.

    Raises: RuntimeError for fewer than two tensors, or other dimensions.
    Source: Cormen et al., "Introduction to algorithms", sec. 15.2.
    """
    tensors = list(tensors)
    ranks = [len(t.shape) for t in tensors]
    if len(tensors) < 2 or not {ranks[0], ranks[-1]} <= {1, 2} or set(ranks[1:-1]) - {2}:
        raise ShapeError(
            "linalg.multi_dot: expected two or more matrices, the first and last of them vectors "
            f"if need be. Got shapes {[tuple(t.shape) for t in tensors]}."
        )
    if len({t.dtype for t in tensors}) > 1:
        raise DTypeError(f"linalg.multi_dot: expected one dtype. Got {[t.dtype for t in tensors]}.")
    chain = tensors.copy()
    if ranks[0] == 1:
        chain[0] = chain[0].unsqueeze(0)
    if ranks[-1] == 1:
        chain[-1] = chain[-1].unsqueeze(-1)
    out = _chained(chain, _best_splits([*(t.shape[0] for t in chain), chain[-1].shape[1]]))
    shape = [n for n, rank in zip(out.shape, (ranks[0], ranks[-1]), strict=True) if rank == 2]
    return out.reshape(shape)


def _best_splits(sizes: list[int]) -> dict[tuple[int, int], int]:
    """For each run i..j of factors, of shapes sizes[k] x sizes[k + 1], where to split it."""
    count = len(sizes) - 1
    costs = {(i, i): 0 for i in range(count)}
    splits = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            ways = [
                (costs[i, k] + costs[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            costs[i, j], splits[i, j] = min(ways)
    return splits


def _chained(chain: list[Any], splits: dict[tuple[int, int], int]) -> Any:
    def product(i: int, j: int) -> Any:
        if i == j:
            return chain[i]
        k = splits[i, j]
        return product(i, k) @ product(k + 1, j)

    return product(0, len(chain) - 1)
