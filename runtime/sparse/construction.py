"""Making sparse tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends.sparse import sparse_key
from ..core import creation, dtypes, layouts
from ..core.dispatch import DispatchKey
from ..core.sparse_arrays import SparseArray, module_of, row_major, rules
from ..core.tensor import Tensor, wrap
from ..errors import LayoutError, ShapeError
from ..ops.indexing import getitem
from . import invariants
from .graph import assembled, indices_of, is_sparse

__all__ = ["sparse_coo_tensor"]


def sparse_coo_tensor(
    indices: Any = None,
    values: Any = None,
    size: Any = None,
    *,
    dtype: dtypes.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
    is_coalesced: bool | None = None,
    pin_memory: bool = False,
    layout: Any = None,
) -> Tensor:
    """A tensor with `values` (nnz, *dense sizes) at `indices` (sparse_dim, nnz), zero elsewhere.

    Without `size` it is as large as the indices need; with `size` alone, also as the only argument,
    it is empty. Values of an index that comes twice add up. `is_coalesced` promises sorted, unique
    indices. `check_invariants` (default: `torch.sparse.check_sparse_tensor_invariants`) checks
    that and that all indices lie within the size.
    Raises: RuntimeError for parts that do not fit each other.

    Example:
        >>> torch.sparse_coo_tensor([[0, 1], [2, 0]], [3.0, 4.0], (2, 3)).to_dense()
        tensor([[0., 0., 3.],
                [4., 0., 0.]])
    """
    if values is None:
        return _without_values(indices if size is None else size, dtype, device, requires_grad)
    if indices is None:
        raise TypeError("sparse_coo_tensor: expected indices with the values. Got none.")
    given = creation.as_tensor(values, dtype=dtype, device=device)
    with given._key.guard:
        return _assembled(indices, given, size, requires_grad, check_invariants, is_coalesced)


def _assembled(
    indices: Any,
    given: Tensor,
    size: Any,
    requires_grad: bool,
    check_invariants: bool | None,
    is_coalesced: bool | None,
) -> Tensor:
    array = _index_array(indices, given)
    if array.shape[1] != (given.shape[0] if given.ndim else 0):
        raise ShapeError(
            f"sparse_coo_tensor: expected as many values as indices, {array.shape[1]}. Got values "
            f"of shape {tuple(given.shape)}."
        )
    shape = _size_of(array, given) if size is None else creation.sizes((size,))
    _require_fitting(array, given, shape)
    if invariants.enabled() if check_invariants is None else check_invariants:
        _check(array, shape, bool(is_coalesced))
    out = assembled(array, given, shape, bool(is_coalesced))
    if requires_grad and out._edge is None:
        out = assembled(array, given.detach(), shape, bool(is_coalesced))
        out.requires_grad = True
    return out


def _without_values(size: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    if size is None or isinstance(size, Tensor):
        raise TypeError("sparse_coo_tensor: expected values or a size. Got neither.")
    out = empty(creation.sizes((size,)), creation.key_for(dtype, device))
    out.requires_grad = requires_grad
    return out


def empty(shape: tuple[int, ...], key: DispatchKey, sparse_dim: int | None = None) -> Tensor:
    """A sparse tensor of zeros, where `key`, a dense one, says."""
    depth = len(shape) if sparse_dim is None else sparse_dim
    xp = key.backend.xp
    with key.guard:
        indices = xp.zeros((depth, 0), np.int64)
        values = xp.zeros((0, *shape[depth:]), key.dtype.numpy)
    array = SparseArray(indices, values, shape, True)
    return wrap(array, sparse_key(key.device, key.dtype))


rules["empty"] = empty


def _index_array(indices: Any, values: Tensor) -> Any:
    found = creation.as_tensor(indices, device=values.device)
    if is_sparse(found) or found.ndim != 2:
        raise ShapeError(
            "sparse_coo_tensor: expected indices of shape (sparse_dim, nnz). Got "
            f"{tuple(found.shape)}."
        )
    if not found.numel():
        return found._array.astype(np.int64)
    if found.dtype.is_complex or found.dtype is dtypes.bool_:
        raise ShapeError(f"sparse_coo_tensor: expected indices of integers. Got {found.dtype}.")
    return found.to(dtypes.int64)._array


def _size_of(indices: Any, values: Tensor) -> tuple[int, ...]:
    if not indices.shape[1]:
        return (*(0,) * indices.shape[0], *values.shape[1:])
    if indices.size and int(indices.min()) < 0:
        raise ShapeError("sparse_coo_tensor: expected indices that are not negative.")
    return (*[int(n) + 1 for n in indices.max(1)], *values.shape[1:])


def _require_fitting(indices: Any, values: Tensor, shape: tuple[int, ...]) -> None:
    depth, inner = indices.shape[0], tuple(values.shape[1:])
    if len(shape) != depth + len(inner):
        raise ShapeError(
            f"sparse_coo_tensor: expected {depth} + {len(inner)} sizes, for rows of indices and "
            f"dimensions of values. Got size {shape}."
        )
    if shape[depth:] != inner:
        raise ShapeError(
            f"sparse_coo_tensor: expected values of shape {(indices.shape[1], *shape[depth:])} for "
            f"size {shape}. Got {tuple(values.shape)}."
        )
    _require_inside(indices, shape)


def _require_inside(indices: Any, shape: tuple[int, ...]) -> None:
    if not indices.size:
        return
    for d, (low, high) in enumerate(zip(indices.min(1), indices.max(1), strict=True)):
        if low < 0 or high >= shape[d]:
            wrong = int(low if low < 0 else high)
            raise ShapeError(
                f"sparse_coo_tensor: expected indices from 0 to {shape[d] - 1} in dimension {d} of "
                f"size {shape}. Got {wrong}."
            )


def _check(indices: Any, shape: tuple[int, ...], is_coalesced: bool) -> None:
    places = row_major(indices, shape)
    if is_coalesced and not bool((places[1:] > places[:-1]).all()):
        raise ShapeError(
            "sparse_coo_tensor: expected sorted indices, each once, with is_coalesced=True. Got "
            "others. Leave it out and call coalesce()."
        )


def spdiags(diagonals: Tensor, offsets: Tensor, shape: Any, layout: Any = None) -> Tensor:
    """The sparse matrix of `shape` with the rows of `diagonals` (count, length) on its diagonals
    `offsets` (count,): element j of a row goes to column j.

    Raises: RuntimeError for offsets that repeat or sizes that do not fit.
    """
    if layout not in (None, layouts.sparse_coo):
        raise LayoutError(f"spdiags: expected layout torch.sparse_coo. Got {layout}.")
    offsets = offsets.reshape(-1)
    diagonals = diagonals.unsqueeze(0) if diagonals.ndim == 1 else diagonals
    rows, columns = creation.sizes((shape,))
    if diagonals.ndim != 2 or diagonals.shape[0] != len(offsets):
        raise ShapeError(
            f"spdiags: expected a row of diagonals for each of {len(offsets)} offsets. Got shape "
            f"{tuple(diagonals.shape)}."
        )
    bare = offsets._array
    xp = module_of(bare)
    if len(xp.unique(bare)) != len(bare):
        raise ShapeError("spdiags: expected each offset once. Got some twice.")
    column = xp.tile(xp.arange(min(diagonals.shape[1], columns)), (len(bare), 1))
    row = column - bare[:, None]
    diagonal, place = xp.nonzero((row >= 0) & (row < rows))
    chosen = indices_of(diagonals, diagonal), indices_of(diagonals, place)
    indices = xp.stack([row[diagonal, place], column[diagonal, place]])
    return assembled(indices, getitem(diagonals, chosen), (rows, columns))
