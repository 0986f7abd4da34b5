"""Descriptors: how cuDNN is told of tensors, operations and graphs of them.

Each is created, filled attribute by attribute, and finalized, which checks it. The numbers are
those of cudnnBackendDescriptorType_t, cudnnBackendAttributeName_t and cudnnBackendAttributeType_t.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from .library import Library

DATA_TYPES = {"float32": 0, "float64": 1, "float16": 2, "int32": 4, "bfloat16": 9, "bool": 11}
"""Of cudnnDataType_t."""


class Kind(IntEnum):
    """Of descriptors."""

    POINTWISE = 0
    CONVOLUTION = 1
    ENGINE = 2
    ENGINE_CONFIG = 3
    HEURISTICS = 4
    PLAN = 5
    CONVOLVE = 10
    CONVOLVE_WEIGHT = 11
    CONVOLVE_INPUT = 12
    APPLY_POINTWISE = 13
    GRAPH = 15
    VARIANT_PACK = 16
    TENSOR = 17
    MATMUL = 18
    MULTIPLY = 19
    REDUCTION = 21
    REDUCE = 22
    RESHAPE = 31


class Type(IntEnum):
    """Of an attribute's values."""

    HANDLE = 0
    DATA_TYPE = 1
    BOOLEAN = 2
    INT64 = 3
    FLOAT = 4
    POINTER = 6
    CONVOLUTION_MODE = 7
    HEURISTICS_MODE = 8
    NUMERICAL_NOTE = 11
    POINTWISE_MODE = 14
    DESCRIPTOR = 15
    REDUCTION_KIND = 18


C_TYPES: dict[Type, Any] = {
    Type.HANDLE: ctypes.c_void_p, Type.POINTER: ctypes.c_void_p, Type.DESCRIPTOR: ctypes.c_void_p,
    Type.INT64: ctypes.c_int64, Type.FLOAT: ctypes.c_float, Type.BOOLEAN: ctypes.c_bool,
}  # fmt: skip
"""The others are enumerations."""


class Attribute(NamedTuple):
    """Of a descriptor: its number, and the type of its values."""

    number: int
    type: Type


POINTWISE_MODE = Attribute(0, Type.POINTWISE_MODE)
POINTWISE_PRECISION = Attribute(1, Type.DATA_TYPE)
POINTWISE_AXIS = Attribute(9, Type.INT64)
CONVOLUTION_PRECISION = Attribute(100, Type.DATA_TYPE)
CONVOLUTION_MODE = Attribute(101, Type.CONVOLUTION_MODE)
CONVOLUTION_DILATIONS = Attribute(102, Type.INT64)
CONVOLUTION_STRIDES = Attribute(103, Type.INT64)
CONVOLUTION_POST_PADDINGS = Attribute(104, Type.INT64)
CONVOLUTION_PRE_PADDINGS = Attribute(105, Type.INT64)
CONVOLUTION_RANK = Attribute(106, Type.INT64)
HEURISTICS_MODE = Attribute(200, Type.HEURISTICS_MODE)
HEURISTICS_GRAPH = Attribute(201, Type.DESCRIPTOR)
HEURISTICS_RESULTS = Attribute(202, Type.DESCRIPTOR)
ENGINE_CONFIG_ENGINE = Attribute(300, Type.DESCRIPTOR)
PLAN_HANDLE = Attribute(400, Type.HANDLE)
PLAN_ENGINE_CONFIG = Attribute(401, Type.DESCRIPTOR)
PLAN_WORKSPACE_SIZE = Attribute(402, Type.INT64)
CONVOLVE = {
    kind: tuple([Attribute(first + k, Type.FLOAT if k < 2 else Type.DESCRIPTOR) for k in range(6)])
    for kind, first in (
        (Kind.CONVOLVE, 700), (Kind.CONVOLVE_INPUT, 706), (Kind.CONVOLVE_WEIGHT, 712),
    )
}  # fmt: skip
"""alpha, beta, the convolution, w, x and y of the three maps."""
APPLY_POINTWISE = Attribute(750, Type.DESCRIPTOR)
APPLY_POINTWISE_X = Attribute(751, Type.DESCRIPTOR)
APPLY_POINTWISE_B = Attribute(752, Type.DESCRIPTOR)
APPLY_POINTWISE_Y = Attribute(753, Type.DESCRIPTOR)
APPLY_POINTWISE_WHERE = Attribute(758, Type.DESCRIPTOR)
GRAPH_HANDLE = Attribute(800, Type.HANDLE)
GRAPH_OPERATIONS = Attribute(801, Type.DESCRIPTOR)
TENSOR_ALIGNMENT = Attribute(900, Type.INT64)
TENSOR_DATA_TYPE = Attribute(901, Type.DATA_TYPE)
TENSOR_SIZES = Attribute(902, Type.INT64)
TENSOR_STRIDES = Attribute(903, Type.INT64)
TENSOR_NUMBER = Attribute(906, Type.INT64)
TENSOR_IS_VIRTUAL = Attribute(907, Type.BOOLEAN)
TENSOR_IS_BY_VALUE = Attribute(908, Type.BOOLEAN)
PACK_NUMBERS = Attribute(1000, Type.INT64)
PACK_POINTERS = Attribute(1001, Type.POINTER)
PACK_WORKSPACE = Attribute(1003, Type.POINTER)
ENGINE_NUMERICAL_NOTES = Attribute(1303, Type.NUMERICAL_NOTE)
MATMUL_PRECISION = Attribute(1500, Type.DATA_TYPE)
MULTIPLY_X = Attribute(1520, Type.DESCRIPTOR)
MULTIPLY_Y = Attribute(1521, Type.DESCRIPTOR)
MULTIPLY_OUT = Attribute(1522, Type.DESCRIPTOR)
MULTIPLY = Attribute(1523, Type.DESCRIPTOR)
REDUCTION_KIND = Attribute(1600, Type.REDUCTION_KIND)
REDUCTION_PRECISION = Attribute(1601, Type.DATA_TYPE)
REDUCE_X = Attribute(1610, Type.DESCRIPTOR)
REDUCE_Y = Attribute(1611, Type.DESCRIPTOR)
REDUCE = Attribute(1612, Type.DESCRIPTOR)
RESHAPE_X = Attribute(2200, Type.DESCRIPTOR)
RESHAPE_Y = Attribute(2201, Type.DESCRIPTOR)

ALIGNMENT = 16
"""Bytes that addresses are multiples of, which the fastest loads want."""


class Descriptor:
    """One descriptor, destroyed with its last reference. Those that it names are kept with it."""

    def __init__(self, library: Library, kind: Kind) -> None:
        self.library, self.kind = library, kind
        self.value = ctypes.c_void_p()
        self.kept: list[Any] = []
        library.call("BackendCreateDescriptor", int(kind), ctypes.byref(self.value))

    def __del__(self) -> None:
        if getattr(self, "value", None):
            self.library.functions.cudnnBackendDestroyDescriptor(self.value)

    def set(self, attribute: Attribute, *values: Any) -> None:
        """Give an attribute its values; descriptors are given as they are."""
        if attribute.type is Type.DESCRIPTOR:
            self.kept += values
            values = tuple([v.value for v in values])
        element = C_TYPES.get(attribute.type, ctypes.c_int)
        count, array = ctypes.c_int64(len(values)), (element * len(values))(*values)
        self.library.call(
            "BackendSetAttribute", self.value, attribute.number, int(attribute.type), count, array
        )

    def get(self, attribute: Attribute, room: Any) -> int:
        """Have an attribute's values written into the array `room`; how many there are."""
        count = ctypes.c_int64()
        self.library.call(
            "BackendGetAttribute", self.value, attribute.number, int(attribute.type),
            ctypes.c_int64(len(room)), ctypes.byref(count), room,
        )  # fmt: skip
        return count.value

    def finalize(self) -> None:
        """Have it checked. Raises: CuDNNError if its values do not fit."""
        self.library.call("BackendFinalize", self.value)


def made(library: Library, kind: Kind, values: dict[Attribute, Any]) -> Descriptor:
    """A finalized descriptor of these values, single or in tuples."""
    descriptor = Descriptor(library, kind)
    for attribute, value in values.items():
        descriptor.set(attribute, *(value if isinstance(value, tuple) else (value,)))
    descriptor.finalize()
    return descriptor


def tensor(
    library: Library,
    number: int,
    dtype: str,
    shape: Sequence[int],
    strides: Sequence[int],
    is_virtual: bool = False,
    is_by_value: bool = False,
) -> Descriptor:
    """A tensor with strides in elements, under the number by which a graph knows it. A virtual one
    is never in memory, one by value is a number in the CPU's."""
    values = {
        TENSOR_DATA_TYPE: DATA_TYPES[dtype],
        TENSOR_SIZES: tuple(shape),
        TENSOR_STRIDES: tuple(strides),
        TENSOR_NUMBER: number,
        TENSOR_ALIGNMENT: ALIGNMENT,
        TENSOR_IS_VIRTUAL: is_virtual,
        TENSOR_IS_BY_VALUE: is_by_value,
    }
    return made(library, Kind.TENSOR, values)
