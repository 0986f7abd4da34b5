"""Descriptors of cuDNN's graph interface: the attributes of each kind and their values."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parents[1] / "recorded"
RECORD = json.loads((RECORDED / "cudnn_interface.json").read_text(encoding="utf-8"))
NUMBERS: dict[str, int] = RECORD["numbers"]
STATUS_NAMES = {n: f"CUDNN_{k}" for k, n in NUMBERS.items() if k.startswith("STATUS_")}

ATTRIBUTES = """
POINTWISE_DESCRIPTOR: POINTWISE_MODE POINTWISE_MODE; POINTWISE_MATH_PREC DATA_TYPE;
    POINTWISE_AXIS? INT64
CONVOLUTION_DESCRIPTOR: CONVOLUTION_COMP_TYPE DATA_TYPE; CONVOLUTION_CONV_MODE CONVOLUTION_MODE;
    CONVOLUTION_DILATIONS* INT64; CONVOLUTION_FILTER_STRIDES* INT64;
    CONVOLUTION_POST_PADDINGS* INT64; CONVOLUTION_PRE_PADDINGS* INT64;
    CONVOLUTION_SPATIAL_DIMS INT64
ENGINE_DESCRIPTOR:
ENGINECFG_DESCRIPTOR:
ENGINEHEUR_DESCRIPTOR: ENGINEHEUR_MODE HEUR_MODE; ENGINEHEUR_OPERATION_GRAPH BACKEND_DESCRIPTOR
EXECUTION_PLAN_DESCRIPTOR: EXECUTION_PLAN_HANDLE HANDLE;
    EXECUTION_PLAN_ENGINE_CONFIG BACKEND_DESCRIPTOR
MATMUL_DESCRIPTOR: MATMUL_COMP_TYPE DATA_TYPE
REDUCTION_DESCRIPTOR: REDUCTION_OPERATOR REDUCTION_OPERATOR_TYPE; REDUCTION_COMP_TYPE DATA_TYPE
OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR: OPERATION_CONVOLUTION_FORWARD_ALPHA FLOAT;
    OPERATION_CONVOLUTION_FORWARD_BETA FLOAT;
    OPERATION_CONVOLUTION_FORWARD_CONV_DESC BACKEND_DESCRIPTOR;
    OPERATION_CONVOLUTION_FORWARD_W BACKEND_DESCRIPTOR;
    OPERATION_CONVOLUTION_FORWARD_X BACKEND_DESCRIPTOR;
    OPERATION_CONVOLUTION_FORWARD_Y BACKEND_DESCRIPTOR
OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR: OPERATION_CONVOLUTION_BWD_DATA_ALPHA FLOAT;
    OPERATION_CONVOLUTION_BWD_DATA_BETA FLOAT;
    OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC BACKEND_DESCRIPTOR;
    OPERATION_CONVOLUTION_BWD_DATA_W BACKEND_DESCRIPTOR;
    OPERATION_CONVOLUTION_BWD_DATA_DX BACKEND_DESCRIPTOR;
    OPERATION_CONVOLUTION_BWD_DATA_DY BACKEND_DESCRIPTOR
OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR: OPERATION_CONVOLUTION_BWD_FILTER_ALPHA FLOAT;
    OPERATION_CONVOLUTION_BWD_FILTER_BETA FLOAT;
    OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC BACKEND_DESCRIPTOR;
    OPERATION_CONVOLUTION_BWD_FILTER_DW BACKEND_DESCRIPTOR;
    OPERATION_CONVOLUTION_BWD_FILTER_X BACKEND_DESCRIPTOR;
    OPERATION_CONVOLUTION_BWD_FILTER_DY BACKEND_DESCRIPTOR
OPERATION_POINTWISE_DESCRIPTOR: OPERATION_POINTWISE_PW_DESCRIPTOR BACKEND_DESCRIPTOR;
    OPERATION_POINTWISE_XDESC BACKEND_DESCRIPTOR; OPERATION_POINTWISE_BDESC? BACKEND_DESCRIPTOR;
    OPERATION_POINTWISE_TDESC? BACKEND_DESCRIPTOR; OPERATION_POINTWISE_YDESC BACKEND_DESCRIPTOR
OPERATION_MATMUL_DESCRIPTOR: OPERATION_MATMUL_DESC BACKEND_DESCRIPTOR;
    OPERATION_MATMUL_ADESC BACKEND_DESCRIPTOR; OPERATION_MATMUL_BDESC BACKEND_DESCRIPTOR;
    OPERATION_MATMUL_CDESC BACKEND_DESCRIPTOR
OPERATION_REDUCTION_DESCRIPTOR: OPERATION_REDUCTION_DESC BACKEND_DESCRIPTOR;
    OPERATION_REDUCTION_XDESC BACKEND_DESCRIPTOR; OPERATION_REDUCTION_YDESC BACKEND_DESCRIPTOR
OPERATION_RESHAPE_DESCRIPTOR: OPERATION_RESHAPE_XDESC BACKEND_DESCRIPTOR;
    OPERATION_RESHAPE_YDESC BACKEND_DESCRIPTOR
OPERATIONGRAPH_DESCRIPTOR: OPERATIONGRAPH_HANDLE HANDLE; OPERATIONGRAPH_OPS* BACKEND_DESCRIPTOR
TENSOR_DESCRIPTOR: TENSOR_BYTE_ALIGNMENT INT64; TENSOR_DATA_TYPE DATA_TYPE;
    TENSOR_DIMENSIONS* INT64; TENSOR_STRIDES* INT64; TENSOR_UNIQUE_ID INT64;
    TENSOR_IS_VIRTUAL? BOOLEAN; TENSOR_IS_BY_VALUE? BOOLEAN
VARIANT_PACK_DESCRIPTOR: VARIANT_PACK_UNIQUE_IDS* INT64; VARIANT_PACK_DATA_POINTERS* VOID_PTR;
    VARIANT_PACK_WORKSPACE VOID_PTR
"""
"""Of each kind, with types; `*` follows those of several values, `?` those that may lack."""

C_TYPES: dict[str, Any] = {
    "HANDLE": ctypes.c_void_p, "VOID_PTR": ctypes.c_void_p, "BACKEND_DESCRIPTOR": ctypes.c_void_p,
    "INT64": ctypes.c_int64, "FLOAT": ctypes.c_float, "BOOLEAN": ctypes.c_bool,
}  # fmt: skip


class Refused(Exception):
    """A status that is not success."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status, self.text = NUMBERS[f"STATUS_{status}"], text


def read(place: int | None, element: Any, count: int) -> list[Any]:
    """Values in memory."""
    if not place:
        return []
    return list((element * count).from_address(place))


def write(place: int | None, element: Any, values: list[Any]) -> None:
    """Put values into memory."""
    if values:
        assert place
        (element * len(values)).from_address(place)[:] = values


class Attribute:
    """What an attribute of a kind may be."""

    def __init__(self, name: str, kind: str) -> None:
        self.is_many, self.is_optional = name.endswith("*"), name.endswith("?")
        self.name = name.rstrip("*?")
        self.type, self.element = NUMBERS[f"TYPE_{kind}"], C_TYPES.get(kind, ctypes.c_int)
        self.is_descriptor = kind == "BACKEND_DESCRIPTOR"


def _kinds() -> dict[int, tuple[str, dict[int, Attribute]]]:
    found = {}
    for line in ATTRIBUTES.replace("\n    ", " ").strip().splitlines():
        kind, _, rest = line.partition(":")
        listed = [Attribute(*words.split()) for words in rest.split(";") if words.split()]
        by_number = {NUMBERS[f"ATTR_{a.name}"]: a for a in listed}
        found[NUMBERS[f"BACKEND_{kind}"]] = kind.removesuffix("_DESCRIPTOR"), by_number
    return found


KINDS = _kinds()
"""Names and attributes of descriptors, by their numbers."""


class Descriptor:
    """A descriptor of a kind, with the values of its attributes by name."""

    def __init__(self, kind: int, owner: Any) -> None:
        self.kind, self.attributes = KINDS[kind]
        self.owner = owner
        self.values: dict[str, list[Any]] = {}
        self.is_final = self.is_gone = False
        self.facts: Any = None  # what the library keeps with it

    def __getitem__(self, name: str) -> Any:
        values = self.values[name]
        if any(isinstance(v, Descriptor) and v.is_gone for v in values):
            raise Refused("BAD_PARAM_NULL_POINTER", f"{name} has been destroyed")
        attribute = next(a for a in self.attributes.values() if a.name == name)
        return values if attribute.is_many else values[0]

    def get(self, name: str) -> Any:
        """The value of an attribute that may lack."""
        return self[name] if name in self.values else None

    def set(self, number: int, kind: int, count: int, place: int) -> None:
        """Take values from memory."""
        attribute = self.attributes.get(number)
        if self.is_final:
            raise Refused("BAD_PARAM", f"{self.kind} is final")
        if attribute is None or attribute.type != kind or count < 1 or not place:
            raise Refused("BAD_PARAM", f"{self.kind}: attribute {number} of type {kind}, {count}")
        if count > 1 and not attribute.is_many:
            raise Refused("BAD_PARAM_SIZE_INSUFFICIENT", f"{attribute.name} takes one value")
        values = read(place, attribute.element, count)
        if attribute.is_descriptor:
            values = [self.owner.descriptor(v) for v in values]
            if not all(v.is_final for v in values):
                raise Refused("BAD_PARAM_NOT_FINALIZED", attribute.name)
        self.values[attribute.name] = values

    def require_all(self) -> None:
        """Refuse to be finalized twice, or without what is required."""
        missing = [
            a.name
            for a in self.attributes.values()
            if a.name not in self.values and not a.is_optional
        ]
        if self.is_final or missing:
            raise Refused("BAD_PARAM", f"{self.kind}: {missing}")
