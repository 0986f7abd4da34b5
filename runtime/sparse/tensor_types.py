"""`torch.sparse.FloatTensor` and its like: names of element types, as constructors."""

from __future__ import annotations

from typing import Any

from ..core import dtypes
from ..core.tensor import Size, Tensor
from .construction import sparse_coo_tensor
from .graph import is_sparse


class SparseTensorType(type):
    """A class whose instances are the sparse tensors of one dtype, which keep their own class."""

    dtype: dtypes.dtype

    def __instancecheck__(cls, instance: Any) -> bool:
        return is_sparse(instance) and instance.dtype is cls.dtype

    def __call__(cls, *args: Any) -> Tensor:
        """Of sizes, or of indices, values and a size."""
        if not args or isinstance(args[0], int | Size):
            sizes = args[0] if args and isinstance(args[0], Size) else args
            return sparse_coo_tensor(tuple(sizes), dtype=cls.dtype)
        return sparse_coo_tensor(*args, dtype=cls.dtype)


def _made(name: str, dtype: dtypes.dtype) -> SparseTensorType:
    return SparseTensorType(name, (), {"dtype": dtype, "__module__": __name__})


FloatTensor = _made("FloatTensor", dtypes.float32)
DoubleTensor = _made("DoubleTensor", dtypes.float64)
HalfTensor = _made("HalfTensor", dtypes.float16)
BFloat16Tensor = _made("BFloat16Tensor", dtypes.bfloat16)
LongTensor = _made("LongTensor", dtypes.int64)
IntTensor = _made("IntTensor", dtypes.int32)
ShortTensor = _made("ShortTensor", dtypes.int16)
CharTensor = _made("CharTensor", dtypes.int8)
ByteTensor = _made("ByteTensor", dtypes.uint8)
BoolTensor = _made("BoolTensor", dtypes.bool_)
