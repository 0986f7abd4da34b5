"""Between dense and sparse: `to_dense`, `to_sparse`, `sparse_mask`, and other devices."""

from __future__ import annotations

from typing import Any

from ..core import layouts
from ..core.dispatch import guarded
from ..core.sparse_arrays import rules
from ..core.tensor import Tensor
from ..errors import LayoutError, ShapeError
from ..ops import transfer
from ..ops.gather import nonzero
from ..ops.indexing import getitem, index_put_values
from .graph import (
    assembled,
    coalesced,
    for_values,
    gathered,
    indices_of,
    is_sparse,
    values_of,
)


@guarded
def to_dense(self: Tensor, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
    """The tensor with its zeros written out; a dense one as it is. Its gradient is sparse: with
    the tensor's own indices."""
    if not is_sparse(self):
        return self if dtype is None else self.to(dtype)
    if dtype is not None:
        self = self.to(dtype)
    found = coalesced(self)
    array, values = found._array, values_of(found)
    zeros = values.detach().new_zeros(array.shape)
    if not array.sparse_dim:
        return zeros + values.sum(0)
    return index_put_values(zeros, values, index=tuple(array.indices), accumulate=False)


def to_sparse(
    self: Tensor,
    sparse_dim: int | None = None,
    *,
    layout: Any = None,
    blocksize: Any = None,
    dense_dim: int | None = None,
) -> Tensor:
    """The nonzero elements of the tensor as a sparse one, coalesced; of the first `sparse_dim`
    dimensions if given, then with dense values of the others. A sparse one as it is.

    Raises: LayoutError for another layout than `torch.sparse_coo`, RuntimeError for a number of
    dimensions that the tensor has not.
    """
    if layout not in (None, layouts.sparse_coo) or blocksize is not None:
        raise LayoutError(
            f"to_sparse: expected layout torch.sparse_coo, the one there is. Got {layout}."
        )
    if dense_dim is not None:
        sparse_dim = self.ndim - dense_dim
    if is_sparse(self):
        if sparse_dim not in (None, self._array.sparse_dim):
            raise LayoutError(
                f"to_sparse: expected a dense tensor, or sparse_dim {self._array.sparse_dim}, as "
                f"this sparse one has. Got {sparse_dim}. Use to_dense() first."
            )
        return self
    depth = self.ndim if sparse_dim is None else sparse_dim
    if not (0 < depth <= self.ndim or depth == self.ndim == 0):
        raise ShapeError(
            f"to_sparse: expected sparse_dim from 1 to {self.ndim}, the dimensions of shape "
            f"{tuple(self.shape)}. Got {sparse_dim}."
        )
    return _kept(self, depth)


@guarded
def _kept(dense: Tensor, depth: int) -> Tensor:
    bare = dense.detach() != 0
    for _ in range(dense.ndim - depth):
        bare = bare.any(-1)
    indices = nonzero(bare).t().contiguous()._array
    place = tuple(indices_of(dense, row) for row in indices)
    values = getitem(dense, place) if place else dense.reshape(1)[: indices.shape[1]]
    return assembled(indices, values, tuple(dense.shape), True)


@guarded
def sparse_mask(self: Tensor, mask: Tensor) -> Tensor:
    """This tensor's elements at the indices of the sparse tensor `mask`, zeros among them kept.

    Raises: LayoutError for a dense mask, RuntimeError for one of another shape.
    """
    if not is_sparse(mask):
        raise LayoutError(
            "sparse_mask: expected a sparse mask. Got a dense tensor. Use to_sparse()."
        )
    if tuple(mask.shape) != tuple(self.shape):
        raise ShapeError(
            f"sparse_mask: expected a mask of shape {tuple(self.shape)}. Got {tuple(mask.shape)}."
        )
    pattern = mask._array
    return assembled(
        pattern.indices, gathered(self, pattern.indices), pattern.shape, pattern.is_coalesced
    )


def to_device(input: Tensor, place: Any) -> Tensor:
    """Indices and values on another device."""
    if place.type == "meta":
        raise LayoutError("to: expected a device with memory for a sparse tensor. Got meta.")
    input = for_values(input)
    array = input._array
    indices = transfer.to_device(indices_of(input), place=place)._array
    values = transfer.to_device(values_of(input), place=place)
    return assembled(indices, values, array.shape, array.is_coalesced)


rules["to_device"] = to_device
