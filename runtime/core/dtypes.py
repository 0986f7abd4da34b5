"""Element types and PyTorch's promotion rules."""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

from ..errors import DTypeError

__all__ = [
    "bfloat16",
    "complex32",
    "complex64",
    "complex128",
    "dtype",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "float16",
    "float32",
    "float64",
    "get_default_dtype",
    "int8",
    "int16",
    "int32",
    "int64",
    "promote_types",
    "qint8",
    "qint32",
    "quint8",
    "set_default_dtype",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]

QUANTIZED, BOOL, INTEGER, FLOAT, COMPLEX = range(-1, 4)
"""Categories of element types, in order of promotion, in which quantized ones take no part."""


class dtype:
    """An element type; there is one object per type, so `is` compares them.

    `numpy` is the NumPy dtype that carries it, `itemsize` its size in bytes.
    """

    __slots__ = ("category", "is_complex", "is_floating_point", "is_signed", "itemsize", "name",
                 "numpy")  # fmt: skip

    def __init__(self, name: str, numpy: Any, category: int) -> None:
        self.name = name
        self.numpy = np.dtype(numpy)
        self.category = category
        self.itemsize = self.numpy.itemsize
        self.is_floating_point = category == FLOAT
        self.is_complex = category == COMPLEX
        self.is_signed = name != "bool" and not name.startswith(("uint", "quint"))

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return by_name, (self.name,)

    def to_complex(self) -> dtype:
        """The complex type with parts of this type's precision."""
        return complex128 if self is float64 or self is complex128 else complex64

    def to_real(self) -> dtype:
        """The type of the parts of a complex type; any other type is its own."""
        return {complex64: float32, complex128: float64}.get(self, self)


class _NamedOnly(dtype):
    """A type that programs compare with, and of which no tensor can be here."""

    __slots__ = ()

    def __init__(self, name: str, itemsize: int, category: int) -> None:
        self.name, self.itemsize, self.category = name, itemsize, category
        self.is_floating_point, self.is_complex = category == FLOAT, category == COMPLEX
        self.is_signed = True

    @property
    def numpy(self) -> Any:
        """Raises: DTypeError."""
        raise DTypeError(f"Expected a type that tensors can have. Got {self.name}.")


bool_ = dtype("bool", np.bool_, BOOL)
uint8 = dtype("uint8", np.uint8, INTEGER)
uint16 = dtype("uint16", np.uint16, INTEGER)
uint32 = dtype("uint32", np.uint32, INTEGER)
uint64 = dtype("uint64", np.uint64, INTEGER)
int8 = dtype("int8", np.int8, INTEGER)
int16 = dtype("int16", np.int16, INTEGER)
int32 = dtype("int32", np.int32, INTEGER)
int64 = dtype("int64", np.int64, INTEGER)
float16 = dtype("float16", np.float16, FLOAT)
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, FLOAT)
float32 = dtype("float32", np.float32, FLOAT)
float64 = dtype("float64", np.float64, FLOAT)
float8_e4m3fn = dtype("float8_e4m3fn", ml_dtypes.float8_e4m3fn, FLOAT)
float8_e4m3fnuz = dtype("float8_e4m3fnuz", ml_dtypes.float8_e4m3fnuz, FLOAT)
float8_e5m2 = dtype("float8_e5m2", ml_dtypes.float8_e5m2, FLOAT)
float8_e5m2fnuz = dtype("float8_e5m2fnuz", ml_dtypes.float8_e5m2fnuz, FLOAT)
float8_e8m0fnu = dtype("float8_e8m0fnu", ml_dtypes.float8_e8m0fnu, FLOAT)
complex32 = _NamedOnly("complex32", 4, COMPLEX)
complex64 = dtype("complex64", np.complex64, COMPLEX)
complex128 = dtype("complex128", np.complex128, COMPLEX)

qint8 = dtype("qint8", np.int8, QUANTIZED)
quint8 = dtype("quint8", np.uint8, QUANTIZED)
qint32 = dtype("qint32", np.int32, QUANTIZED)

WIDE_UNSIGNED = (uint16, uint32, uint64)
ALL = (bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64, complex64,
       complex128, *WIDE_UNSIGNED)  # fmt: skip
STORED = (float8_e4m3fn, float8_e4m3fnuz, float8_e5m2, float8_e5m2fnuz, float8_e8m0fnu)
"""Types that values are kept in: they take part in no promotion."""

_BY_NAME = {d.name: d for d in (*ALL, *STORED, qint8, quint8, qint32)}
_BY_NUMPY = {d.numpy: d for d in (*ALL, *STORED)}
_PYTHON = {bool: bool_, int: int64}
_OF_CLASS = {bool: bool_, int: int64, float: float64, complex: complex128}
_default = float32


def by_name(name: str) -> dtype:
    """The type called `name`, as in `by_name("float32")`."""
    return _BY_NAME[name]


def as_dtype(given: Any) -> Any:
    """`given`, an element type or None, or Python's bool, int, float or complex, which mean bool,
    int64, float64 and complex128.

    Raises: TypeError for anything else.
    """
    if given is None or isinstance(given, dtype):
        return given
    found = _OF_CLASS.get(given) if isinstance(given, type) else None
    if found is None:
        raise TypeError(
            f"Expected a dtype such as torch.float32. Got {type(given).__name__} {given!r}."
        )
    return found


def codes_of(quantized: dtype) -> dtype:
    """The integer type of the codes of a quantized type."""
    return _BY_NUMPY[quantized.numpy]


@cache
def limits_of(integers: np.dtype[Any]) -> tuple[int, int]:
    """The least and the largest number of a type of integers, which `np.iinfo` works out anew each
    time it is asked (4 us)."""
    found = np.iinfo(integers)
    return int(found.min), int(found.max)


def from_numpy(numpy: Any) -> dtype:
    """The type that carries NumPy's `numpy`.

    Raises: TypeError if there is none.
    """
    try:
        return _BY_NUMPY[np.dtype(numpy)]
    except (KeyError, TypeError):
        names = ", ".join(d.name for d in ALL)
        raise TypeError(
            f"Expected an array of numbers of one of the types {names}. Got {numpy}. "
            f"Convert the array first, for example with .astype('float32')."
        ) from None


def get_default_dtype() -> dtype:
    """The floating type that Python floats become; float32 unless changed."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Make `d`, a floating type, the type that Python floats become.

    Raises: TypeError if `d` is not a floating type.
    """
    global _default
    if not (isinstance(d, dtype) and d.is_floating_point):
        raise TypeError(
            f"set_default_dtype: expected a floating type such as torch.float64. Got {d!r}."
        )
    _default = d


def of_number(value: Any) -> dtype:
    """The type of a Python number: bool, int64, the default floating type or its complex."""
    found = _PYTHON.get(type(value))
    if found is not None:
        return found
    if isinstance(value, np.generic):
        return from_numpy(value.dtype)
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int64
    return _default.to_complex() if isinstance(value, complex) else _default


def wrapped(number: Any, to: dtype) -> Any:
    """The int `number` in the range of the integer type `to`, as C converts it: modulo 2**bits.

    Other numbers, and ints that no 64 bits hold, as they are.
    """
    if to.category != INTEGER or type(number) is not int or not -(2**63) <= number < 2**63:
        return number
    return int(np.asarray(number).astype(to.numpy))


def require_fitting(lowest: Any, highest: Any, to: dtype) -> None:
    """Raises: DTypeError for numbers from `lowest` to `highest` that the integer type `to` cannot
    hold. Unsigned types take negative ones by their absolute value, and wrap them."""
    limits = np.iinfo(to.numpy)
    floor = limits.min or -limits.max
    if not (floor <= lowest <= highest <= limits.max):
        raise DTypeError(
            f"Expected numbers that fit into {to}, from {limits.min} to {limits.max}. Got "
            f"{lowest if not floor <= lowest else highest}. Choose a wider dtype."
        )


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest type to which both can be converted without leaving their category.

    An integer met by a floating type becomes that floating type, whatever its size.
    Raises: DTypeError for uint16, uint32 or uint64 with another integer type: PyTorch has no rule
    for them.
    """
    a, b = type1, type2
    if a is b:
        return a
    if min(a.category, b.category) == QUANTIZED:
        raise DTypeError(
            f"promote_types: expected types that are computed in. Got {a} and {b}. Use "
            "dequantize() first."
        )
    if (a in STORED or b in STORED) and a.category == b.category:
        raise DTypeError(
            f"promote_types: expected types that are computed in. Got {a} and {b}. Convert the "
            "values first, for example with .to(torch.float32)."
        )
    if (a in WIDE_UNSIGNED or b in WIDE_UNSIGNED) and max(a.category, b.category) < FLOAT:
        raise DTypeError(
            f"promote_types: expected no other integers beside {a if a in WIDE_UNSIGNED else b}. "
            f"Got {a} and {b}. Convert one of them, for example with .to(torch.int64)."
        )
    if a.category != b.category:
        low, high = (a, b) if a.category < b.category else (b, a)
        return complex128 if high.is_complex and low is float64 else high
    if {a, b} == {float16, bfloat16}:
        return float32
    if uint8 in (a, b):
        other = b if a is uint8 else a
        return int16 if other is int8 else other
    return a if a.itemsize > b.itemsize else b


def result_type(dimensioned: dtype | None, zero_dim: dtype | None, number: dtype | None) -> dtype:
    """The type of an operation on tensors with dimensions, 0-d tensors and Python numbers.

    The types of each group are promoted beforehand; a weaker group only counts where its category
    is higher. Source: PyTorch's documentation, "Type promotion".
    """
    result = dimensioned
    for weaker in (zero_dim, number):
        if result is None:
            result = weaker
        elif weaker is not None and weaker.category > result.category:
            if result.is_floating_point:
                result = result.to_complex()
            else:
                result = weaker
    assert result is not None
    return result
