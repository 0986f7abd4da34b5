"""Sparse arrays: what a tensor of layout `sparse_coo` holds.

Coordinate format: the elements that are kept, and where they stand. All other elements are zeros.
The class takes the place of a NumPy or CuPy array in `Tensor._array` and among bare gradients; it
has the arithmetic that a backward pass and an optimizer need, and refuses everything else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import LayoutError, ShapeError
from . import dtypes

in_use = False
"""Whether there ever was a sparse array; until then nobody looks for one."""

rules: dict[str, Callable[..., Any]] = {}
"""By operation, what it does where some arguments are sparse tensors; `flambeau.sparse` fills it.
An operation without a rule runs its body, if it has one, or is refused."""


KNOWN_AS = {"ctypes": "data_ptr", "data": "data_ptr"}
"""What users call the members of arrays that are not here."""


class Flags:
    """What NumPy tells of an array's memory."""

    c_contiguous = False
    writeable = True


class SparseArray:
    """The elements `values` (nnz, *dense sizes) at `indices` (sparse_dim, nnz), int64.

    `shape` is that of the whole; its first `sparse_dim` dimensions are indexed, the others dense.
    Values of an index that comes twice add up, unless `is_coalesced`: then the indices are in
    row-major order, each once. Written to by `array[...] = other`, as views share the object.
    """

    __slots__ = ("dtype", "indices", "is_coalesced", "shape", "values")
    __array_priority__ = 2000

    def __init__(
        self, indices: Any, values: Any, shape: tuple[int, ...], is_coalesced: bool = False
    ) -> None:
        global in_use
        in_use = True
        self.indices = indices
        self.values = values
        self.shape = tuple(shape)
        self.dtype = dtypes.from_numpy(values.dtype)
        self.is_coalesced = is_coalesced or indices.shape[1] < 2

    # -- what it is ------------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements, zeros included."""
        return math.prod(self.shape)

    @property
    def sparse_dim(self) -> int:
        """Number of indexed dimensions."""
        return int(self.indices.shape[0])

    @property
    def nnz(self) -> int:
        """Number of indices."""
        return int(self.indices.shape[1])

    @property
    def itemsize(self) -> int:
        """Bytes per value."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of indices and values."""
        return int(self.indices.nbytes + self.values.nbytes)

    @property
    def strides(self) -> tuple[int, ...]:
        """Zeros, as the elements lie at no distances."""
        return (0,) * len(self.shape)

    @property
    def flags(self) -> Flags:
        """What code asks of any array: that this one may be written."""
        return Flags()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise refusal(KNOWN_AS.get(name, name), self.shape)

    def __repr__(self) -> str:
        return f"SparseArray(shape={self.shape}, nnz={self.nnz}, {self.dtype})"

    def __reduce__(self) -> tuple[Any, ...]:
        return SparseArray, (self.indices, self.values, self.shape, self.is_coalesced)

    # -- other forms -----------------------------------------------------------------------------

    def with_values(self, values: Any) -> SparseArray:
        """Other values (nnz, *dense sizes) at the same indices."""
        shape = (*self.shape[: self.sparse_dim], *values.shape[1:])
        return SparseArray(self.indices, values, shape, self.is_coalesced)

    def copy(self) -> SparseArray:
        """The same with memory of its own."""
        return SparseArray(self.indices.copy(), self.values.copy(), self.shape, self.is_coalesced)

    def positions(self) -> Any:
        """The indices as single numbers that count the indexed part row by row: (nnz,) int64."""
        return row_major(self.indices, self.shape)

    def coalesced(self) -> SparseArray:
        """The same with each index once, in row-major order."""
        if self.is_coalesced:
            return self
        xp = module_of(self.values)
        ordered, order = in_order(self.positions(), math.prod(self.shape[: self.sparse_dim]))
        is_first = xp.ones(len(ordered), bool)
        is_first[1:] = ordered[1:] != ordered[:-1]
        starts = xp.flatnonzero(is_first)
        values = self.values[order]
        if len(starts) < len(ordered):
            values = sum_runs(xp, values, starts, is_first)
        return SparseArray(self.indices[:, order[starts]], values, self.shape, True)

    def to_dense(self) -> Any:
        """The whole as a bare dense array."""
        found = self.coalesced()
        out = module_of(self.values).zeros(self.shape, self.values.dtype)
        if found.nnz:
            place = tuple(found.indices)
            out[place] = found.values if place else found.values[0]
        return out

    def item(self) -> Any:
        """The only element of an array of one."""
        return self.values.sum().item()

    # -- arithmetic of gradients -----------------------------------------------------------------

    def __add__(self, other: Any) -> Any:
        if other.__class__ is not SparseArray:
            return self._added_to(other.copy())
        if other.sparse_dim != self.sparse_dim or other.shape != self.shape:
            raise ShapeError(
                f"add: expected sparse arrays of one shape. Got {self.shape} and {other.shape}."
            )
        xp = module_of(self.values)
        indices = xp.concatenate([self.indices, other.indices], 1)
        values = xp.concatenate([self.values, other.values])
        out = SparseArray(indices, values, self.shape)
        return out.coalesced() if self.is_coalesced and other.is_coalesced else out

    __radd__ = __add__

    def __iadd__(self, other: Any) -> Any:
        self[...] = self + other
        return self

    def __mul__(self, number: Any) -> SparseArray:
        return self.with_values(self.values * number)

    __rmul__ = __mul__

    def __imul__(self, number: Any) -> SparseArray:
        self.values *= number
        return self

    def _added_to(self, out: Any) -> Any:
        """The dense array `out`, to which this was added in place."""
        found = self.coalesced()
        if found.nnz:
            place = tuple(found.indices)
            out[place] += found.values if place else found.values[0]
        return out

    def __setitem__(self, index: Any, value: Any) -> None:
        if index is not Ellipsis:
            raise refusal("writing at an index", self.shape)
        if value.__class__ is not SparseArray:
            if not isinstance(value, int | float) or value != 0:
                raise refusal("writing dense values into a sparse tensor", self.shape)
            value = SparseArray(self.indices[:, :0], self.values[:0], self.shape, True)
        if value.indices is self.indices:
            self.values[...] = value.values
        else:
            self.indices, self.values = value.indices.copy(), value.values.copy()
        self.is_coalesced = value.is_coalesced

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if ufunc is np.add and method == "__call__":
            first, second = inputs[:2]
            sparse, dense = (second, first) if second.__class__ is SparseArray else inputs[:2]
            given = options.get("out") or inputs[2:]
            target = given[0] if given else None
            if target is None:
                return sparse + dense
            if target is dense and dense.__class__ is np.ndarray:
                return sparse._added_to(target)
        if method == "__call__" and ufunc in (np.isnan, np.isfinite, np.isinf):
            return ufunc(self.values)
        raise refusal(ufunc.__name__, self.shape)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise refusal("conversion to NumPy", self.shape)


def refusal(what: str, shape: Any) -> LayoutError:
    """The error for an operation that sparse tensors do not have."""
    return LayoutError(
        f"{what}: not there for sparse tensors. Expected dense ones. Got layout torch.sparse_coo"
        f"{f', shape {tuple(shape)}' if shape else ''}. Use to_dense() first."
    )


def module_of(array: Any) -> Any:
    """NumPy or CuPy, whichever made the array."""
    if isinstance(array, np.ndarray):
        return np
    import cupy

    return cupy


def row_major(indices: Any, shape: tuple[int, ...]) -> Any:
    """Each column of `indices` (dims, nnz) as one number, which counts the elements of the first
    dims sizes of `shape` row by row. Raises: ShapeError if int64 cannot count them."""
    sizes = shape[: len(indices)]
    if math.prod(sizes) > 2**63 - 1:
        raise ShapeError(f"Expected sparse sizes whose product int64 holds. Got {tuple(sizes)}.")
    places = module_of(indices).zeros(indices.shape[1], np.int64)
    for n, index in zip(sizes, indices, strict=True):
        places *= n
        places += index
    return places


def from_row_major(places: Any, sizes: tuple[int, ...]) -> Any:
    """The opposite of `row_major`: (len(sizes), nnz)."""
    xp = module_of(places)
    indices = xp.empty((len(sizes), len(places)), np.int64)
    for k in range(len(sizes) - 1, -1, -1):
        n = max(sizes[k], 1)
        indices[k] = places % n
        places = places // n
    return indices


def in_order(places: Any, bound: int) -> tuple[Any, Any]:
    """`places`, below `bound`, sorted, and where each stood; equal ones in their old order."""
    xp, n = module_of(places), len(places)
    if xp is not np or bound * n >= 2**63:
        order = xp.argsort(places, kind="stable")
        return places[order], order
    # NumPy sorts numbers in vector registers, but not stably, and argsort not so: 100,000 of them
    # took 1.6 ms with their place in the low digits and 10.3 ms by a stable argsort.
    keys = np.sort(places * n + np.arange(n))
    ordered = keys // max(n, 1)
    return ordered, keys - ordered * n


def sum_runs(xp: Any, values: Any, starts: Any, is_first: Any) -> Any:
    """The sums of the runs of rows of `values` that begin at `starts`."""
    if xp is not np:
        out = xp.zeros((len(starts), *values.shape[1:]), values.dtype)
        xp.add.at(out, xp.cumsum(is_first) - 1, values)
        return out
    if values.dtype == np.bool_:
        return np.logical_or.reduceat(values, starts, 0)
    return np.add.reduceat(values, starts, 0)
