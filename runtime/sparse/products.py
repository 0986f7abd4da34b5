"""Matrix products with sparse operands."""

from __future__ import annotations

from ..core.dispatch import guarded
from ..core.sparse_arrays import module_of, refusal
from ..core.tensor import Tensor
from ..errors import LayoutError, ShapeError
from ..ops.indexing import getitem
from ..ops.linalg import addmm as dense_addmm
from ..ops.sparse_products import place_product
from .elementwise import rule
from .graph import assembled, coalesced, for_values, indices_of, is_sparse, values_of
from .movement import repeated, runs, transpose


def _require_matrix(name: str, tensor: Tensor) -> None:
    if tensor._array.sparse_dim != 2 or tensor.ndim != 2:
        raise LayoutError(
            f"{name}: expected a sparse matrix of two sparse dimensions. Got shape "
            f"{tuple(tensor.shape)} with {tensor._array.sparse_dim} of them."
        )


@rule("matmul")
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Sparse times sparse is sparse; with a dense operand the product is dense."""
    a, b = tuple(input.shape), tuple(other.shape)
    if not a or not b or a[-1] != b[0 if len(b) == 1 else -2]:
        raise ShapeError(
            f"mm: expected as many columns in input as rows in the other. Got {a} and {b}."
        )
    if len(a) == 3 and len(b) == 3 and is_sparse(input) and not is_sparse(other):
        return _batches(input, other)
    if is_sparse(input) and is_sparse(other):
        _require_matrix("mm", input)
        _require_matrix("mm", other)
        return sparse_product(input, other)
    if is_sparse(input):
        return _sparse_dense(input, other)
    _require_matrix("mm", other)
    if len(a) == 1:
        return matmul(transpose(other, 0, 1), input)
    if len(a) != 2:
        raise refusal("matmul with a batch", b)
    return _sparse_dense(transpose(other, 0, 1), input.t()).t()


@guarded
def _sparse_dense(input: Tensor, other: Tensor) -> Tensor:
    _require_matrix("mm", input)
    if other.ndim > 2:
        raise refusal("matmul with a batch", input.shape)
    if other.ndim == 1:
        return _sparse_dense(input, other.unsqueeze(1)).squeeze(1)
    input = for_values(input)
    rows, columns = (
        indices_of(input, input._array.indices[0]),
        indices_of(input, input._array.indices[1]),
    )
    return place_product(rows, columns, values_of(input), other, like=(input.shape[0],))


@guarded
def _batches(input: Tensor, other: Tensor) -> Tensor:
    """(b, n, k) sparse times (b, k, m): one product with all blocks along a diagonal."""
    (b, n, k), m = tuple(input.shape), other.shape[2]
    if other.shape[0] != b or input._array.sparse_dim != 3:
        raise ShapeError(
            f"bmm: expected batches of one size with three sparse dimensions. Got "
            f"{tuple(input.shape)} and {tuple(other.shape)}."
        )
    input = for_values(input)
    batch, row, column = input._array.indices
    rows, columns = indices_of(input, batch * n + row), indices_of(input, batch * k + column)
    flat = other.reshape(b * k, m)
    return place_product(rows, columns, values_of(input), flat, like=(b * n,)).reshape(b, n, m)


@guarded
def sparse_product(input: Tensor, other: Tensor) -> Tensor:
    """(n, k) @ (k, m), both sparse: the products of all pairs that meet, added up; coalesced."""
    a, b = coalesced(input), coalesced(other)
    xp = module_of(a._array.indices)
    (rows, middle), (other_rows, columns) = a._array.indices, b._array.indices
    starts = xp.searchsorted(other_rows, middle)
    counts = xp.searchsorted(other_rows, middle, "right") - starts
    left, right = repeated(xp, counts), runs(xp, starts, counts)
    values = getitem(values_of(a), indices_of(a, left)) * getitem(
        values_of(b), indices_of(b, right)
    )
    indices = xp.stack([rows[left], columns[right]])
    return coalesced(assembled(indices, values, (input.shape[0], other.shape[1])))


@rule("linear")
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.mT + bias."""
    product = matmul(input, weight.t())
    return product if bias is None else product + bias


def mm(mat1: Tensor, mat2: Tensor, reduce: str = "sum") -> Tensor:
    """The product of two matrices of which at least one is sparse: (n, k) @ (k, m) -> (n, m).

    Dense if one is dense; sparse of sparse ones. The gradient of a sparse operand has that
    operand's indices. Raises: LayoutError for two dense ones, RuntimeError for sizes that differ.
    """
    if reduce != "sum":
        raise LayoutError(
            f"torch.sparse.mm: expected reduce 'sum' for this layout. Got {reduce!r}."
        )
    if not (is_sparse(mat1) or is_sparse(mat2)):
        raise LayoutError("torch.sparse.mm: expected a sparse operand. Got two dense ones. Use @.")
    for x in (mat1, mat2):
        if x.ndim != 2:
            raise ShapeError(f"mm: expected two matrices. Got shape {tuple(x.shape)}.")
    return matmul(mat1, mat2)


def addmm(
    mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1.0, alpha: float = 1.0
) -> Tensor:
    """beta * mat + alpha * (mat1 @ mat2), where mat1 is sparse."""
    return dense_addmm(mat, mat1, mat2, beta=beta, alpha=alpha)


def spmm(input: Tensor, mat2: Tensor) -> Tensor:
    """`torch.mm`."""
    return input.mm(mat2)


def hspmm(mat1: Tensor, mat2: Tensor) -> Tensor:
    """Sparse (n, k) @ dense (k, m) as a tensor with one sparse dimension: the rows of mat1 that
    have elements."""
    _require_matrix("hspmm", mat1)
    found = coalesced(mat1)
    xp = module_of(found._array.indices)
    rows, numbers = xp.unique(found._array.indices[0], return_inverse=True)
    columns = indices_of(found, found._array.indices[1])
    places = indices_of(found, numbers.reshape(-1))
    values = place_product(places, columns, values_of(found), mat2, like=(len(rows),))
    return assembled(rows[None], values, (mat1.shape[0], mat2.shape[1]), True)


def smm(input: Tensor, mat: Tensor) -> Tensor:
    """Sparse (n, k) @ dense (k, m) as a sparse matrix, whole in the rows that have elements."""
    found = hspmm(input, mat)
    array, values = found._array, values_of(found)
    xp, m = module_of(array.indices), array.shape[1]
    columns = xp.tile(xp.arange(m), array.nnz)
    indices = xp.stack([xp.repeat(array.indices[0], m), columns])
    return assembled(indices, values.reshape(-1), array.shape, True)


def sspaddmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2) as a sparse matrix, of sparse input and mat1 and a dense
    mat2; not coalesced."""
    product = smm(mat1, mat2) * alpha
    product._array.is_coalesced = False
    return input * beta + product
