"""`FloatTensor` and its like: types that tell a dtype."""

from __future__ import annotations

from typing import Any

from ..core import creation, dtypes
from ..core.tensor import Size, Tensor

__all__ = [
    "BFloat16Tensor",
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
    "set_default_tensor_type",
]


class TensorType(type):
    """The kind of `FloatTensor` and its like: calling one makes a tensor, and tensors of its dtype
    and device are instances of it."""

    dtype: dtypes.dtype
    place: str

    def __instancecheck__(cls, instance: Any) -> bool:
        return (
            isinstance(instance, Tensor)
            and instance.dtype is cls.dtype
            and instance.device.type == cls.place
            and not instance.is_sparse
        )

    def __call__(cls, *args: Any, device: Any = None) -> Tensor:
        return made(args, cls.dtype, device or cls.place)


def made(args: tuple[Any, ...], dtype: Any, device: Any) -> Tensor:
    """A copy of data, or a tensor of sizes."""
    if len(args) == 1 and not isinstance(args[0], int | Size):
        return creation.tensor(args[0], dtype=dtype, device=device)
    return creation.empty(*args, dtype=dtype, device=device)


def tensor_type(name: str, dtype: dtypes.dtype, place: str = "cpu") -> TensorType:
    """The type `name` of tensors of `dtype` on `place`."""
    members = {"dtype": dtype, "place": place, "__doc__": f"Tensors of {dtype} on {place}."}
    return TensorType(name, (), members)


FloatTensor = tensor_type("FloatTensor", dtypes.float32)
DoubleTensor = tensor_type("DoubleTensor", dtypes.float64)
HalfTensor = tensor_type("HalfTensor", dtypes.float16)
BFloat16Tensor = tensor_type("BFloat16Tensor", dtypes.bfloat16)
LongTensor = tensor_type("LongTensor", dtypes.int64)
IntTensor = tensor_type("IntTensor", dtypes.int32)
ShortTensor = tensor_type("ShortTensor", dtypes.int16)
CharTensor = tensor_type("CharTensor", dtypes.int8)
ByteTensor = tensor_type("ByteTensor", dtypes.uint8)
BoolTensor = tensor_type("BoolTensor", dtypes.bool_)

_BY_NAME = {
    kind.__name__: kind for kind in list(globals().values()) if isinstance(kind, TensorType)
}


def set_default_tensor_type(t: Any) -> None:
    """Make the dtype of `t` (a type such as `torch.DoubleTensor`, or its name) the default."""
    kind = _BY_NAME[t.rsplit(".", 1)[-1]] if isinstance(t, str) else t
    dtypes.set_default_dtype(kind.dtype)
