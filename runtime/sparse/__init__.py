"""Sparse tensors in coordinate format, `torch.sparse_coo`: PyTorch's `torch.sparse`.

A sparse tensor is a `Tensor` whose array is a `core.sparse_arrays.SparseArray`. What operations do
with one is said by the rules here (`elementwise`, `movement`, `reductions`, `products`), which
compose them of dense ones; an operation without a rule raises LayoutError.
"""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from . import methods as methods  # attaches the methods
from .construction import spdiags
from .invariants import check_sparse_tensor_invariants
from .products import addmm, hspmm, mm, smm, spmm
from .reductions import log_softmax, softmax
from .tensor_types import (
    BFloat16Tensor,
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
)

__all__ = [
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor",
    "HalfTensor", "IntTensor", "LongTensor", "ShortTensor", "addmm",
    "check_sparse_tensor_invariants", "hspmm", "log_softmax", "mm", "smm", "softmax", "spdiags",
    "spmm", "sum",
]  # fmt: skip


def sum(input: Tensor, dim: Any = None, dtype: Any = None) -> Tensor:
    """The sum over `dim` (an int, several, or all): sparse while a sparse dimension is left."""
    return input.sum(dim, dtype=dtype)
