"""How the stand-in for cuDNN computes: operation by operation, in float64."""

from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..cupy_stand_in import memory, streams
from ..cupy_stand_in.interface import BFLOAT16
from .graphs import CONVOLUTIONS, Engine, role, shape, tensors, word
from .interface import NUMBERS, Descriptor, Refused

DTYPES = {
    NUMBERS[f"DATA_{name}"]: np.dtype(dtype)
    for name, dtype in {
        "FLOAT": np.float32, "DOUBLE": np.float64, "HALF": np.float16, "BFLOAT16": BFLOAT16,
        "INT32": np.int32, "BOOLEAN": np.bool_,
    }.items()
}  # fmt: skip
TF32_BITS = 10
POISON = 0xEE

Values = dict[int, Any]


def prepared(plan: Descriptor, pack: Descriptor) -> tuple[str, Callable[[], None]]:
    """What an execution does, in words and as a function, if its memory is all there."""
    if not plan.is_final or not pack.is_final:
        raise Refused("BAD_PARAM_NOT_FINALIZED", "plan or pack")
    engine: Engine = plan.facts
    pointers = dict(
        zip(pack["VARIANT_PACK_UNIQUE_IDS"], pack["VARIANT_PACK_DATA_POINTERS"], strict=True)
    )
    workspace = pack["VARIANT_PACK_WORKSPACE"]
    if engine.workspace_bytes:
        _require_memory(workspace, engine.workspace_bytes)
    places = {
        number: _in_memory(tensor, pointers.get(number), tensor.get("TENSOR_IS_BY_VALUE"))
        for number, tensor in engine.graph.facts.items()
        if not tensor.get("TENSOR_IS_VIRTUAL")
    }
    operations = engine.graph["OPERATIONGRAPH_OPS"]

    def work() -> None:
        streams.pass_time(engine.milliseconds)
        if engine.workspace_bytes:
            ctypes.memset(workspace, POISON, engine.workspace_bytes)
        values: Values = {}
        for operation in operations:
            _compute(operation, engine, places, values)

    return f"{engine.name}: {' '.join(map(word, operations))}", work


def counted(plan: Descriptor) -> tuple[str, int, int]:
    """What a launch is called, the bytes of its tensors, and the operations of its products: of
    those under a causal mask half."""
    engine: Engine = plan.facts
    operations = engine.graph["OPERATIONGRAPH_OPS"]
    words = [word(operation) for operation in operations]
    size = sum(
        math.prod(shape(tensor)) * DTYPES[tensor["TENSOR_DATA_TYPE"]].itemsize
        for tensor in engine.graph.facts.values()
        if not (tensor.get("TENSOR_IS_VIRTUAL") or tensor.get("TENSOR_IS_BY_VALUE"))
    )
    products = 0
    for operation in operations:
        if operation.kind in CONVOLUTIONS:
            _, _, weight, result = CONVOLUTIONS[operation.kind]
            taps = shape(role(operation, weight))[1:]
            products += 2 * math.prod(shape(role(operation, result))) * math.prod(taps)
        elif operation.kind == "OPERATION_MATMUL":
            factor, *_, result = [shape(t) for t, _ in sorted(tensors(operation), key=_is_result)]
            products += 2 * math.prod(result) * factor[-1]
    name = words[0] if len(words) == 1 else f"graph of {words.count('matmul')} products"
    return f"cudnn {name}", size, products // (2 if "gen_index" in words else 1)


def _is_result(part: tuple[Descriptor, bool]) -> bool:
    return part[1]


def _require_memory(place: int | None, size: int) -> None:
    """Refuse memory that is not the GPU's."""
    if not place:
        raise Refused("BAD_PARAM_NULL_POINTER", "a tensor or the workspace is nowhere")
    for address, (whole, _, device) in memory.segments.items():
        if address <= place and place + size <= address + whole:
            if device != memory.current.device:
                raise Refused("BAD_PARAM", "memory of another device")
            return
    raise Refused("EXECUTION_FAILED", "memory that nobody allocated")


def _in_memory(tensor: Descriptor, place: int | None, is_by_value: bool) -> Any:
    """The tensor as an array at an address, a number of the CPU's as a copy."""
    dtype = DTYPES[tensor["TENSOR_DATA_TYPE"]]
    sizes, strides = shape(tensor), tensor["TENSOR_STRIDES"]
    size = (1 + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))) * dtype.itemsize
    if is_by_value:
        return np.full(sizes, ctypes.c_float.from_address(place).value, dtype)
    _require_memory(place, size)
    if place % tensor["TENSOR_BYTE_ALIGNMENT"]:
        raise Refused("BAD_PARAM_MISALIGNED_POINTER", f"tensor {tensor['TENSOR_UNIQUE_ID']}")
    held = (ctypes.c_char * size).from_address(place)
    return np.ndarray(sizes, dtype, held, strides=[s * dtype.itemsize for s in strides])


def _compute(operation: Descriptor, engine: Engine, places: Values, values: Values) -> None:
    """Compute one operation, whose result goes into memory or to the operations after it."""
    operands = [t for t, is_result in tensors(operation) if not is_result]
    result = next(t for t, is_result in tensors(operation) if is_result)
    given = []
    for tensor in operands:
        number = tensor["TENSOR_UNIQUE_ID"]
        value = values[number] if number in values else places[number].astype(np.float64)
        given.append(value)
    function = _convolve if operation.kind in CONVOLUTIONS else OPERATIONS[operation.kind]
    found = function(
        operation, *[_rounded(v, t, engine) for v, t in zip(given, operands, strict=True)]
    )
    number = result["TENSOR_UNIQUE_ID"]
    values[number] = found.astype(DTYPES[result["TENSOR_DATA_TYPE"]]).astype(np.float64)
    if number in places:
        memory.fill(places[number].ctypes.data)
        places[number][...] = found.astype(places[number].dtype)


def _rounded(value: Any, tensor: Descriptor, engine: Engine) -> Any:
    """Factors of float32 as tensor cores take them, in TF32."""
    is_float32 = tensor["TENSOR_DATA_TYPE"] == NUMBERS["DATA_FLOAT"]
    if engine.name != "tensor cores" or not is_float32 or tensor.get("TENSOR_IS_VIRTUAL"):
        return value
    fractions, exponents = np.frexp(value)
    return np.ldexp(np.round(fractions * 2 ** (TF32_BITS + 1)) / 2 ** (TF32_BITS + 1), exponents)


def _convolve(operation: Descriptor, first: Any, second: Any) -> Any:
    """One of the three maps, tap by tap."""
    way, *names = CONVOLUTIONS[operation.kind]
    sizes = {name[-1]: shape(role(operation, name)) for name in names}
    x, w, y = (np.zeros(sizes[name]) for name in "XWY")
    if way == "FORWARD":
        x, w = first, second
    elif way == "BWD_DATA":
        w, y = first, second
    else:
        x, y = first, second
    given = role(operation, "CONV_DESC")
    stride, padding, dilation = (
        given[f"CONVOLUTION_{name}"] for name in ("FILTER_STRIDES", "PRE_PADDINGS", "DILATIONS")
    )
    groups = x.shape[1] // w.shape[1]
    padded = np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in padding]])
    inside = tuple(slice(p, p + n) for p, n in zip(padding, x.shape[2:], strict=True))
    split_w = w.reshape(groups, -1, *w.shape[1:])
    split_y = y.reshape(len(y), groups, -1, *y.shape[2:])
    for taps in itertools.product(*map(range, w.shape[2:])):
        seen = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(taps, dilation, y.shape[2:], stride, strict=True)
        )
        window = padded[:, :, *seen]
        split = window.reshape(len(x), groups, -1, *y.shape[2:])
        tap = split_w[:, :, :, *taps]
        if way == "FORWARD":
            split_y += np.einsum("ngc...,goc->ngo...", split, tap)
        elif way == "BWD_DATA":
            window += np.einsum("ngo...,goc->ngc...", split_y, tap).reshape(window.shape)
        else:
            letters = "xyz"[: len(seen)]
            tap[...] = np.einsum(f"ngo{letters},ngc{letters}->goc", split_y, split)
    return {"FORWARD": y, "BWD_DATA": padded[:, :, *inside], "BWD_FILTER": w}[way]


def _pointwise(operation: Descriptor, *given: Any) -> Any:
    what = operation["OPERATION_POINTWISE_PW_DESCRIPTOR"]
    mode = word(operation)
    if mode == "gen_index":
        axis = what["POINTWISE_AXIS"]
        return np.broadcast_to(
            np.arange(given[0].shape[axis]).reshape(-1, *[1] * (given[0].ndim - 1 - axis)),
            given[0].shape,
        )
    if mode == "binary_select":
        x, b, where = given
        return np.where(where, x, b)
    return POINTWISE[mode](*given)


POINTWISE = {
    "add": np.add, "mul": np.multiply, "div": np.divide, "sub": np.subtract, "exp": np.exp,
    "log": np.log, "identity": np.positive, "cmp_ge": np.greater_equal,
}  # fmt: skip


def _matmul(operation: Descriptor, x: Any, y: Any) -> Any:
    """Heads of y serve several of x."""
    return x @ y.repeat(x.shape[1] // y.shape[1], 1)


def _reduce(operation: Descriptor, x: Any) -> Any:
    """Along the last dimension, or over the heads that share one."""
    heads, width = shape(operation["OPERATION_REDUCTION_YDESC"])[1::2]
    function = {"max": np.max, "sum": np.sum}[word(operation)]
    if width == 1 and x.shape[3] > 1:
        return function(x, -1, keepdims=True)
    return function(x.reshape(len(x), heads, -1, *x.shape[2:]), 2)


def _reshape(operation: Descriptor, x: Any) -> Any:
    """The last two dimensions exchanged."""
    if shape(operation["OPERATION_RESHAPE_YDESC"]) != (*x.shape[:2], x.shape[3], x.shape[2]):
        raise AssertionError("another reshape")
    return x.swapaxes(2, 3)


OPERATIONS = {
    "OPERATION_POINTWISE": _pointwise, "OPERATION_MATMUL": _matmul,
    "OPERATION_REDUCTION": _reduce, "OPERATION_RESHAPE": _reshape,
}  # fmt: skip
