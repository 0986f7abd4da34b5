"""The bridges between sparse tensors and dense ones, recorded like operations.

    values_of   the values of a sparse tensor, dense        its gradient is `assembled`
    assembled   a sparse tensor of dense values             its gradient is gathered at the indices
    coalesced   the same matrix, each index once            its gradient passes through
    copied      the same matrix in memory of its own        its gradient passes through

All other operations on sparse tensors are compositions of dense ones between these, so that
gradients of every order follow. A gradient of a sparse tensor has that tensor's indices, and means
the matrix: at an index that comes twice it would count twice. So whatever is recorded begins with
`coalesced`.
"""

from __future__ import annotations

from typing import Any

from ..autograd.grad_mode import is_grad_enabled
from ..autograd.node import Node, tick
from ..backends.sparse import sparse_key
from ..core.dispatch import guarded, key_of
from ..core.dtypes import int64
from ..core.sparse_arrays import SparseArray, module_of, row_major
from ..core.tensor import Tensor, wrap
from ..ops.indexing import getitem


def is_sparse(tensor: Any) -> bool:
    """Whether `tensor` is a sparse tensor."""
    return isinstance(tensor, Tensor) and tensor._array.__class__ is SparseArray


def wrap_sparse(array: SparseArray, like: Tensor) -> Tensor:
    """A tensor of `array`, which lies where `like` does."""
    return wrap(array, sparse_key(like.device, array.dtype))


def indices_of(tensor: Tensor, array: Any = None) -> Tensor:
    """The indices (sparse_dim, nnz), or other bare indices, as a tensor where `tensor` lies."""
    bare = tensor._array.indices if array is None else array
    return wrap(bare, key_of(tensor.device, int64))


class SparseNode(Node):
    """A bridge: the indices and the shape of its sparse side."""

    label = ""

    def __init__(self, source: Tensor, key: Any, sparse: SparseArray) -> None:
        self.edges = (source._edge,)
        self.key = key
        self.saved = (None,)
        self.sequence = tick()
        self.indices, self.shape = sparse.indices, sparse.shape
        self.result_shape = sparse.shape

    def name(self) -> str:
        """As PyTorch names it."""
        return f"{self.label}Backward0"


class ValuesNode(SparseNode):
    """Puts the gradient of the values back at the indices."""

    label = "Values"

    def apply(self, g: Any) -> Any:
        """The bare sparse gradient."""
        return (SparseArray(self.indices, g, self.shape, True),), (False,)

    def apply_recorded(self, g: Any) -> Any:
        """The same, recorded."""
        return (assembled(self.indices, g, self.shape, True),)


class AssembleNode(SparseNode):
    """Takes the gradient, sparse or dense, at the indices."""

    label = "SparseCooTensorWithDimsAndTensors"

    def apply(self, g: Any) -> Any:
        """The bare gradient of the values."""
        return (_gathered(g, self.indices),), (g.__class__ is not SparseArray,)

    def apply_recorded(self, g: Any) -> Any:
        """The same, recorded."""
        return (gathered(g, self.indices),)


class SameMatrixNode(SparseNode):
    """Hands the gradient on: the matrix stays the same."""

    def apply(self, g: Any) -> Any:
        """g itself."""
        return (g,), (None,)

    def apply_recorded(self, g: Any) -> Any:
        """g itself."""
        return (g,)


def _gathered(g: Any, indices: Any) -> Any:
    """The elements of the bare `g` at `indices`."""
    if g.__class__ is not SparseArray:
        place = tuple(indices)
        return g[place] if place else g[None].repeat(indices.shape[1], 0)
    if g.indices is indices:
        return g.values
    found = g.coalesced()
    if not found.nnz:
        shape = (indices.shape[1], *found.values.shape[1:])
        return module_of(found.values).zeros(shape, found.values.dtype)
    places, is_there = _found_at(found, indices)
    values = found.values[places]
    values[~is_there] = 0
    return values


def _found_at(array: SparseArray, indices: Any) -> tuple[Any, Any]:
    """For each of `indices`, where it stands in the coalesced `array`, and whether it does. The
    array has some."""
    xp = module_of(indices)
    own, wanted = array.positions(), row_major(indices, array.shape)
    places = xp.minimum(xp.searchsorted(own, wanted), len(own) - 1)
    return places, own[places] == wanted


@guarded
def gathered(g: Tensor, indices: Any) -> Tensor:
    """The elements of the tensor g, sparse or dense, at the bare `indices`; recorded."""
    if not is_sparse(g):
        place = tuple(indices_of(g, row) for row in indices)
        return getitem(g, place) if place else g.expand(indices.shape[1], *g.shape)
    if g._array.indices is indices:
        return values_of(g)
    g = coalesced(g)
    values = values_of(g)
    if not g._array.nnz:
        return values.new_zeros((indices.shape[1], *values.shape[1:]))
    places, is_there = _found_at(g._array, indices)
    found = getitem(values, indices_of(g, places))
    mask = is_there.reshape(-1, *(1,) * (found.ndim - 1)).astype(values.dtype.numpy)
    return found * wrap(mask, values._key)


def values_of(tensor: Tensor) -> Tensor:
    """The values (nnz, *dense sizes) of a sparse tensor, which share its memory; recorded."""
    array = tensor._array
    plain = key_of(tensor.device, array.dtype)
    out = wrap(array.values, plain)
    out._writes = tensor._writes
    if tensor._edge is not None and is_grad_enabled():
        out._edge = node = ValuesNode(tensor, plain, array)
        node.result_shape = array.values.shape
    return out


def assembled(
    indices: Any, values: Tensor, shape: tuple[int, ...], is_coalesced: bool = False
) -> Tensor:
    """The sparse tensor of `values` (nnz, *dense sizes) at the bare `indices`; recorded."""
    array = SparseArray(indices, values._array, shape, is_coalesced)
    out = wrap_sparse(array, values)
    if values._edge is not None and is_grad_enabled():
        out._edge = AssembleNode(values, out._key, array)
    return out


@guarded
def coalesced(tensor: Tensor) -> Tensor:
    """The tensor with each index once, in row-major order; itself if it is so already."""
    if tensor._array.is_coalesced:
        return tensor
    return _same_matrix(tensor, tensor._array.coalesced(), "Coalesce")


@guarded
def copied(tensor: Tensor) -> Tensor:
    """The same in new memory."""
    return _same_matrix(tensor, tensor._array.copy(), "Clone")


def _same_matrix(tensor: Tensor, array: SparseArray, label: str) -> Tensor:
    out = wrap(array, tensor._key)
    if tensor._edge is not None and is_grad_enabled():
        out._edge = node = SameMatrixNode(tensor, tensor._key, array)
        node.label = label
    return out


def for_values(tensor: Tensor) -> Tensor:
    """The tensor to take the values of where indices may repeat: coalesced if it is recorded."""
    return coalesced(tensor) if tensor._edge is not None and is_grad_enabled() else tensor


def with_values(tensor: Tensor, values: Tensor) -> Tensor:
    """Other values at the indices of a sparse tensor."""
    array = tensor._array
    shape = (*array.shape[: array.sparse_dim], *values.shape[1:])
    return assembled(array.indices, values, shape, array.is_coalesced)
