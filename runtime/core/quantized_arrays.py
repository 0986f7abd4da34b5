"""Quantized arrays: what a tensor of dtype qint8, quint8 or qint32 holds.

Whole numbers q, the codes, that stand for the values (q - zero_point) * scale. The class takes the
place of a NumPy or CuPy array in `Tensor._array`; it computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import DTypeError
from . import dtypes

__all__ = [
    "per_channel_affine",
    "per_channel_affine_float_qparams",
    "per_channel_symmetric",
    "per_tensor_affine",
    "per_tensor_symmetric",
    "qscheme",
]

in_use = False
"""Whether there ever was a quantized array; until then nobody looks for one."""

rules: dict[str, Callable[..., Any]] = {}
"""By operation, what it does where some arguments are quantized; `ops.quantized_rules` fills it. An
operation without a rule runs its body, if it has one, or is refused."""


class qscheme:
    """How codes stand for values: with one scale or one per channel, zero in the middle or not."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return scheme_named, (self.name,)


per_tensor_affine = qscheme("per_tensor_affine")
per_tensor_symmetric = qscheme("per_tensor_symmetric")
per_channel_affine = qscheme("per_channel_affine")
per_channel_symmetric = qscheme("per_channel_symmetric")
per_channel_affine_float_qparams = qscheme("per_channel_affine_float_qparams")

SCHEMES = {
    s.name: s
    for s in (
        per_tensor_affine, per_tensor_symmetric, per_channel_affine, per_channel_symmetric,
        per_channel_affine_float_qparams,
    )
}  # fmt: skip


def scheme_named(name: str) -> qscheme:
    """The scheme called `name`, as in `scheme_named("per_tensor_affine")`."""
    return SCHEMES[name]


class QuantizedArray:
    """`codes`, an array of integers, with `scale` and `zero_point`: a float and an int, or, with
    `axis`, arrays of one for each index of that dimension.

    `dtype` is qint8, quint8 or qint32. Zero points that are floats are added before rounding.
    """

    __slots__ = ("axis", "codes", "dtype", "scale", "zero_point")
    __array_priority__ = 2000

    def __init__(
        self, codes: Any, dtype: dtypes.dtype, scale: Any, zero_point: Any, axis: int | None = None
    ) -> None:
        global in_use
        in_use = True
        self.codes, self.dtype = codes, dtype
        self.scale, self.zero_point, self.axis = scale, zero_point, axis

    def with_codes(self, codes: Any) -> QuantizedArray:
        """Other codes with the same meaning."""
        return QuantizedArray(codes, self.dtype, self.scale, self.zero_point, self.axis)

    @property
    def scheme(self) -> qscheme:
        """Which of the schemes it is."""
        if self.axis is None:
            return per_tensor_affine
        is_float = self.zero_point.dtype.kind == "f"
        return per_channel_affine_float_qparams if is_float else per_channel_affine

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""
        return tuple(self.codes.shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.codes.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self.codes.size)

    @property
    def itemsize(self) -> int:
        """Bytes per code."""
        return int(self.codes.itemsize)

    @property
    def nbytes(self) -> int:
        """Bytes of all codes."""
        return int(self.codes.nbytes)

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes between neighbours of each dimension."""
        return tuple(self.codes.strides)

    @property
    def flags(self) -> Any:
        """How the codes lie in memory."""
        return self.codes.flags

    @property
    def ctypes(self) -> Any:
        """Where the codes lie."""
        return self.codes.ctypes

    @property
    def data(self) -> Any:
        """The memory of the codes."""
        return self.codes.data

    def copy(self) -> QuantizedArray:
        """The same with memory of its own."""
        return self.with_codes(self.codes.copy())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise refusal(name, self.shape, self.dtype)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Write codes of the same scale, as ReLU and its like do in place."""
        if value.__class__ is not QuantizedArray or value.axis is not None or self.axis is not None:
            raise refusal("writing in place", self.shape, self.dtype)
        if (value.scale, value.zero_point) != (self.scale, self.zero_point):
            raise refusal("writing values of another scale in place", self.shape, self.dtype)
        self.codes[index] = value.codes

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise refusal("conversion to NumPy", self.shape, self.dtype)

    def __repr__(self) -> str:
        return f"QuantizedArray(shape={self.shape}, {self.dtype}, {self.scheme})"

    def __reduce__(self) -> tuple[Any, ...]:
        parts = self.codes, self.dtype, self.scale, self.zero_point, self.axis
        return QuantizedArray, parts


def refusal(what: str, shape: Any = (), dtype: Any = "a quantized dtype") -> DTypeError:
    """The error for an operation that quantized tensors do not have."""
    return DTypeError(
        f"{what}: not there for quantized tensors. Expected numbers. Got {dtype}"
        f"{f', shape {tuple(shape)}' if shape else ''}. Use dequantize() first (or int_repr() for "
        "the codes); a quantized model needs a QuantStub where such a tensor begins and a "
        "DeQuantStub where it ends."
    )
