"""Norms of vectors and matrices, condition numbers, and products of vectors."""

from __future__ import annotations

import math
from typing import Any

from ..core import dtypes
from ..core.batched import anywhere
from ..errors import DTypeError, ShapeError
from .cumulative import cumprod
from .declare import Spec, primitive
from .decompositions import require_matrices, require_square
from .joins import cat
from .numpy_names import numpy_names
from .products import cross as vector_product
from .shapes import Dims, normalized_dim, normalized_dims, reduced_shape, require_float
from .singular_values import svdvals
from .solving import inv_ex
from .strided import diagonal as of_dims

INF = math.inf

# -- vectors ---------------------------------------------------------------------------------------


@primitive(node_name="LinalgVectorNorm", layout="row_major")
def power_norm(input: Spec, *, ord: float, dim: Dims, keepdim: bool) -> Spec:
    """sum(|input|**ord)**(1/ord) over `dim`, for a finite ord that is not 0."""
    return Spec(reduced_shape(tuple(input.shape), dim, keepdim, "linalg.vector_norm"), input.dtype)


@power_norm.array
def power_norm_array(xp: Any, input: Any, ord: float, dim: Any, keepdim: bool) -> Any:
    """Squares and roots where they are, powers elsewhere."""
    powers = xp.square(input) if ord == 2 else xp.absolute(input) ** ord
    total = xp.add.reduce(powers, dim, None, None, keepdim)
    return xp.sqrt(total) if ord == 2 else total if ord == 1 else total ** (1 / ord)


@power_norm.vjp(saves="input out", static="ord")
def power_norm_vjp(
    F: Any, g: Any, needs: Any, input: Any, out: Any, ord: Any, dim: Any, keepdim: Any
) -> Any:
    """g sign(input) (|input| / norm)**(ord - 1), and 0 at 0, a subgradient there."""
    g = F.expand_reduced(g, like=input, dim=dim, keepdim=keepdim)
    if ord == 1:
        return F.mul(g, F.sign(input))
    length = F.expand_reduced(out, like=input, dim=dim, keepdim=keepdim)
    length = F.where(F.eq(length, 0.0), 1.0, length)
    if ord == 2:
        return F.mul(g, F.divide(input, length))
    size = F.where(F.eq(input, 0.0), 1.0, F.divide(F.abs(input), length))
    return F.mul(g, F.mul(F.sign(input), F.power_number(size, exponent=ord - 1)))


@numpy_names
def vector_norm(
    x: Spec,
    ord: float = 2,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Spec:
    """sum(|x|**ord)**(1/ord) over `dim`, by default all dimensions; for ord inf the largest |x|,
    for -inf the smallest, for 0 how many are not 0. Real, also of complex x.

    `dtype` is what x is converted to first. Raises: RuntimeError for integers, or for ord < 0 or
    inf over no elements.
    """
    if isinstance(ord, str | complex):
        raise DTypeError(f"linalg.vector_norm: expected a number as ord. Got {ord!r}.")
    x = _converted("linalg.vector_norm", x, dtype)
    kind = x.dtype.to_real()
    dims = normalized_dims(dim, len(x.shape), "linalg.vector_norm") if len(x.shape) else ()
    if (ord < 0 or ord == INF) and any(not x.shape[d] for d in dims):
        raise ShapeError(
            f"linalg.vector_norm: expected elements to find the norm of order {ord} of. Got shape "
            f"{tuple(x.shape)}, dim {dim}."
        )
    if ord == 0:
        return (x != 0).to(kind).sum(dims, keepdim) if dims else (x != 0).to(kind)
    size = x.abs() if x.dtype.is_complex else x
    if not dims:
        return size.abs()
    if abs(ord) == INF:
        size = size.abs()
        return size.amax(dims, keepdim) if ord > 0 else size.amin(dims, keepdim)
    return power_norm(size, ord=ord, dim=dims, keepdim=keepdim)


def _converted(operation: str, x: Any, dtype: Any) -> Any:
    """x in the dtype asked for. Raises: RuntimeError where that drops digits or parts."""
    if x.dtype.category < dtypes.FLOAT:
        raise DTypeError(
            f"{operation}: expected floating-point or complex numbers. Got {x.dtype}, shape "
            f"{tuple(x.shape)}. Convert it with .float()."
        )
    if dtype is None or dtype is x.dtype:
        return x
    if dtype.is_complex != x.dtype.is_complex or dtypes.promote_types(dtype, x.dtype) is not dtype:
        raise DTypeError(
            f"{operation}: expected a dtype that holds {x.dtype} without loss, complex if and only "
            f"if it is. Got {dtype}."
        )
    return x.to(dtype)


# -- matrices --------------------------------------------------------------------------------------

ORDERS = (1, -1, 2, -2, INF, -INF)


@numpy_names
def matrix_norm(
    A: Spec,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Spec:
    """A norm of the matrices in the two dimensions `dim`: "fro" of all elements; "nuc" the sum of
    the singular values, 2 the largest, -2 the smallest; 1 the largest sum of sizes of a column, -1
    the smallest, inf and -inf of a row.

    Raises: RuntimeError for another order, for other than two dimensions, for float16.
    """
    require_matrices("linalg.matrix_norm", A)
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(dims) != 2:
        raise ShapeError(f"linalg.matrix_norm: expected two dimensions in dim. Got {dim!r}.")
    rows, columns = normalized_dims(dims, len(A.shape), "linalg.matrix_norm")
    if ord == "fro":
        return vector_norm(A, 2, (rows, columns), keepdim, dtype=dtype)
    A = _converted("linalg.matrix_norm", A, dtype)
    if ord == "nuc" or (not isinstance(ord, str) and ord in (2, -2)):
        values = svdvals(A.movedim((rows, columns), (-2, -1)))
        found = values.sum(-1) if ord == "nuc" else _extreme(values, -1, ord)
        if keepdim:
            for d in sorted((rows, columns)):
                found = found.unsqueeze(d)
        return found
    if isinstance(ord, str) or ord not in ORDERS:
        raise ShapeError(
            f"linalg.matrix_norm: expected ord 'fro', 'nuc', or one of {ORDERS}. Got {ord!r}."
        )
    summed, kept = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = vector_norm(A, 1, summed, keepdim=True)
    found = _extreme(sums, kept, ord)
    if keepdim:
        return found.unsqueeze(kept)
    return found.squeeze(summed if summed < kept else summed - 1)


def _extreme(values: Any, dim: int, ord: float) -> Any:
    """The largest or smallest; of none, the largest is 0."""
    if ord > 0:
        return values.amax(dim) if values.shape[dim] else values.sum(dim)
    return values.amin(dim)


@numpy_names
def norm(
    A: Spec,
    ord: Any = None,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Spec:
    """The vector norm of order `ord` over one dimension, the matrix norm over two; without `ord`
    the vector norm of order 2 over `dim`, by default all. With `ord` and no `dim`, A must have one
    or two dimensions.

    Raises: RuntimeError for other numbers of dimensions, and as `vector_norm` and `matrix_norm`.
    """
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    rank = len(A.shape) if dim is None else 1 if isinstance(dim, int) else len(dim)
    if rank not in (1, 2) or (rank == 1 and isinstance(ord, str)):
        wanted = "two dimensions" if isinstance(ord, str) else "one or two dimensions"
        raise ShapeError(
            f"linalg.norm: expected {wanted} for ord {ord!r}. Got shape {tuple(A.shape)}, dim "
            f"{dim}."
        )
    if rank == 1:
        return vector_norm(A, ord, dim, keepdim, dtype=dtype)
    return matrix_norm(A, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype)


def cond(A: Spec, p: Any = None) -> Spec:
    """The condition number of A (..., m, n): the largest singular value by the smallest for p None
    or 2, the inverse of that for -2; for another order of `matrix_norm` norm(A) norm(A^-1), inf for
    singular matrices.

    Raises: RuntimeError for matrices that are not square, and for an unknown order.
    """
    require_matrices("linalg.cond", A)
    if p is None or p in (2, -2):
        values = svdvals(A)
        largest, smallest = values.select(-1, 0), values.select(-1, -1)
        return smallest / largest if p == -2 else largest / smallest
    require_square("linalg.cond", A)
    if 0 in A.shape[-2:]:
        return A.new_zeros(A.shape[:-2], dtype=A.dtype.to_real())
    inverse, info = inv_ex(A)
    found = matrix_norm(A, p) * matrix_norm(inverse, p)
    return found if A.is_meta or not anywhere(info) else found.masked_fill(info != 0, INF)


# -- products of vectors ---------------------------------------------------------------------------


@numpy_names
def cross(input: Spec, other: Spec, *, dim: int = -1) -> Spec:
    """The vector product of vectors of 3 elements along `dim`; other dimensions broadcast.

    Raises: RuntimeError for another size, or different numbers of dimensions.
    """
    if len(input.shape) != len(other.shape):
        raise ShapeError(
            "linalg.cross: expected as many dimensions in input as in other. Got "
            f"{tuple(input.shape)} and {tuple(other.shape)}."
        )
    d = normalized_dim(dim, len(input.shape), "linalg.cross")
    if input.shape[d] != 3 or other.shape[d] != 3:
        raise ShapeError(
            f"linalg.cross: expected 3 elements along dimension {dim}. Got {tuple(input.shape)} "
            f"and {tuple(other.shape)}."
        )
    return vector_product(input, other, dim=d)


@numpy_names
def vecdot(x: Spec, y: Spec, *, dim: int = -1) -> Spec:
    """The sum of conj(x) * y over `dim`; other dimensions broadcast.

    Raises: RuntimeError for integers.
    """
    require_float("linalg.vecdot", "x", x)
    require_float("linalg.vecdot", "y", y)
    return (x.conj() * y).sum(dim)


def diagonal(A: Spec, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Spec:
    """A view of the diagonals of matrices, along a new last dimension; `offset` above 0 means one
    above the main diagonal."""
    return of_dims(A, offset, dim1, dim2)


def vander(x: Spec, *, N: int | None = None) -> Spec:
    """The powers x**0, ..., x**(N - 1) of x (..., n) along a new last dimension; N is n unless
    given. Integers give int64.

    Raises: RuntimeError for N below 1.
    """
    if not len(x.shape):
        x = x.unsqueeze(-1)
    count = x.shape[-1] if N is None else N
    if N is not None and N < 1:
        raise ShapeError(f"linalg.vander: expected N from 1 on. Got {N}.")
    x = x if x.dtype.category >= dtypes.FLOAT else x.to(dtypes.int64)
    ones = x.new_ones((*x.shape, 1))
    if count < 2:
        return ones.narrow(-1, 0, count)
    powers = x.unsqueeze(-1).expand(*x.shape, count - 1)
    return cumprod(cat([ones, powers], -1), -1)
