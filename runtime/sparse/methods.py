"""What sparse tensors add to tensors: their parts, and ways to and from them."""

from __future__ import annotations

from typing import Any

from ..backends.sparse import sparse_key
from ..core import layouts
from ..core.devices import device
from ..core.sparse_arrays import SparseArray, rules
from ..core.tensor import Tensor, wrap
from ..errors import LayoutError
from ..ops.inplace import check_writable, write
from . import conversion, graph, products
from .graph import indices_of, is_sparse


def _require_sparse(tensor: Tensor, name: str) -> None:
    if not is_sparse(tensor):
        raise LayoutError(
            f"{name}: expected a tensor of layout torch.sparse_coo. Got a dense one of shape "
            f"{tuple(tensor.shape)}. Use its to_sparse()."
        )


def _require_coalesced(tensor: Tensor, name: str) -> None:
    _require_sparse(tensor, name)
    if not tensor._array.is_coalesced:
        raise RuntimeError(
            f"{name}: expected a coalesced tensor. Got one whose indices may repeat. Use "
            "coalesce() first."
        )


def coalesce(self: Tensor) -> Tensor:
    """The tensor with sorted indices, each once, and their values added up; itself if it is so."""
    _require_sparse(self, "coalesce")
    return graph.coalesced(self)


def is_coalesced(self: Tensor) -> bool:
    """Whether the indices are known to be sorted, each once."""
    _require_sparse(self, "is_coalesced")
    return bool(self._array.is_coalesced)


def indices(self: Tensor) -> Tensor:
    """The indices (sparse_dim, nnz), int64. Raises: RuntimeError unless coalesced."""
    _require_coalesced(self, "indices")
    return indices_of(self)


def values(self: Tensor) -> Tensor:
    """The values (nnz, *dense sizes), in the tensor's memory; recorded.

    Raises: RuntimeError unless coalesced.
    """
    _require_coalesced(self, "values")
    return graph.values_of(self)


def raw_indices(self: Tensor) -> Tensor:
    """The indices, coalesced or not."""
    _require_sparse(self, "_indices")
    return indices_of(self)


def raw_values(self: Tensor) -> Tensor:
    """The values, coalesced or not, outside the graph."""
    _require_sparse(self, "_values")
    return graph.values_of(self.detach())


def _nnz(self: Tensor) -> int:
    """How many indices there are."""
    _require_sparse(self, "_nnz")
    return int(self._array.nnz)


def sparse_dim(self: Tensor) -> int:
    """Number of dimensions that are indexed; 0 for a dense tensor."""
    return self._array.sparse_dim if is_sparse(self) else 0


def dense_dim(self: Tensor) -> int:
    """Number of dimensions that each value has."""
    return self.ndim - sparse_dim(self)


def sparse_resize_(self: Tensor, size: Any, sparse_dim: int, dense_dim: int) -> Tensor:
    """Give the tensor another size, in which its indices and values still fit, in place."""
    _require_sparse(self, "sparse_resize_")
    check_writable(self, "sparse_resize_")
    array = self._array
    sizes = tuple(size)
    kept = (array.sparse_dim, array.ndim - array.sparse_dim) == (sparse_dim, dense_dim)
    grows = len(sizes) == array.ndim and all(
        n >= m for n, m in zip(sizes, array.shape, strict=True)
    )
    if not kept or not grows or sizes[sparse_dim:] != array.shape[sparse_dim:]:
        raise LayoutError(
            f"sparse_resize_: expected sizes not below {array.shape}, with the same sparse and "
            f"dense dimensions. Got {sizes}, {sparse_dim}, {dense_dim}."
        )
    array.shape = sizes
    return self


def sparse_resize_and_clear_(self: Tensor, size: Any, sparse_dim: int, dense_dim: int) -> Tensor:
    """Give the tensor another size and no elements, in place."""
    from .construction import empty

    _require_sparse(self, "sparse_resize_and_clear_")
    check_writable(self, "sparse_resize_and_clear_")
    made = empty(tuple(size), self._key.plain, sparse_dim)._array
    write(self, made, "sparse_resize_and_clear_")
    self._array.shape = made.shape
    return self


def _coalesced_(self: Tensor, coalesced: bool) -> Tensor:
    """Say that the indices are sorted, each once, or may not be."""
    _require_sparse(self, "_coalesced_")
    self._array.is_coalesced = bool(coalesced)
    return self


def _layout(self: Tensor) -> Any:
    """`torch.strided` for dense tensors, `torch.sparse_coo` for sparse ones."""
    return layouts.sparse_coo if is_sparse(self) else layouts.strided


METHODS = {
    "coalesce": coalesce, "is_coalesced": is_coalesced, "indices": indices, "values": values,
    "_indices": raw_indices, "_values": raw_values, "_nnz": _nnz, "sparse_dim": sparse_dim,
    "dense_dim": dense_dim, "_dimI": sparse_dim, "_dimV": dense_dim,
    "sparse_resize_": sparse_resize_, "sparse_resize_and_clear_": sparse_resize_and_clear_,
    "_coalesced_": _coalesced_, "to_dense": conversion.to_dense,
    "to_sparse": conversion.to_sparse, "to_sparse_coo": conversion.to_sparse,
    "sparse_mask": conversion.sparse_mask, "smm": products.smm, "sspaddmm": products.sspaddmm,
    "layout": property(_layout), "is_sparse": property(is_sparse),
}  # fmt: skip
for _name, _member in METHODS.items():
    setattr(Tensor, _name, _member)


# -- pickling --------------------------------------------------------------------------------------


def reduced(tensor: Tensor, state: dict[str, Any]) -> tuple[Any, ...]:
    """What `Tensor.__reduce_ex__` gives for a sparse tensor."""
    parts: SparseArray = tensor.detach().cpu()._array
    return rebuild, (type(tensor), parts, str(tensor.device), tensor.requires_grad, state)


def rebuild(
    cls: type[Tensor], parts: SparseArray, place: str, requires_grad: bool, state: Any
) -> Tensor:
    """The tensor that `reduced` took apart."""
    out = wrap(parts, sparse_key(device("cpu"), parts.dtype)).to(place)
    out.__class__ = cls
    out.requires_grad = requires_grad
    vars(out).update(state)
    return out


rules["reduce"] = reduced
