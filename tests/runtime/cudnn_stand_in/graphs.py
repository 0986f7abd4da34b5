"""What cuDNN checks of tensors, operations and graphs, and what it answers of engines."""

from __future__ import annotations

import ctypes
import json
from itertools import pairwise
from typing import Any

from .interface import NUMBERS, RECORDED, Descriptor, Refused

CONVOLUTIONS = {
    "OPERATION_CONVOLUTION_FORWARD": ("FORWARD", "X", "W", "Y"),
    "OPERATION_CONVOLUTION_BACKWARD_DATA": ("BWD_DATA", "DX", "W", "DY"),
    "OPERATION_CONVOLUTION_BACKWARD_FILTER": ("BWD_FILTER", "X", "DW", "DY"),
}
"""How the attributes of the three operations are called: of images, weights and results."""
TENSOR_CORE, NONDETERMINISTIC = 0, 4
WORKSPACE_BYTES = 700


class Engine:
    """A way of computing: what is to be known of it."""

    def __init__(self, graph: Descriptor, name: str, notes: tuple[int, ...]) -> None:
        self.graph, self.name, self.notes = graph, name, notes
        self.workspace_bytes = WORKSPACE_BYTES if name in ("tensor cores", "flash") else 0
        self.milliseconds = {"tensor cores": 1, "in parts": 2}.get(name, 3)


def role(operation: Descriptor, name: str) -> Any:
    """An attribute of a convolution by its last word."""
    part = CONVOLUTIONS[operation.kind][0]
    return operation[f"OPERATION_CONVOLUTION_{part}_{name}"]


def shape(tensor: Descriptor) -> tuple[int, ...]:
    """Of a tensor."""
    return tuple(tensor["TENSOR_DIMENSIONS"])


def check(descriptor: Descriptor) -> None:
    """Refuse values that do not fit."""
    if descriptor.kind in CONVOLUTIONS:
        _check_convolution(descriptor)
    elif function := CHECKS.get(descriptor.kind):
        function(descriptor)


def _check_tensor(tensor: Descriptor) -> None:
    sizes, strides = tensor["TENSOR_DIMENSIONS"], tensor["TENSOR_STRIDES"]
    if len(sizes) != len(strides) or len(sizes) < 3 or min(sizes) < 1 or min(strides) < 0:
        raise Refused("BAD_PARAM", f"tensor of {sizes} and {strides}")
    if tensor["TENSOR_BYTE_ALIGNMENT"] not in (1, 2, 4, 8, 16, 32, 64, 128):
        raise Refused("BAD_PARAM", "alignment")


def _check_convolution(operation: Descriptor) -> None:
    given = role(operation, "CONV_DESC")
    lists = [
        given[f"CONVOLUTION_{name}"]
        for name in ("FILTER_STRIDES", "PRE_PADDINGS", "POST_PADDINGS", "DILATIONS")
    ]
    x, w, y = (role(operation, name) for name in CONVOLUTIONS[operation.kind][1:])
    if any(len(shape(t)) != given["CONVOLUTION_SPATIAL_DIMS"] + 2 for t in (x, w, y)):
        raise Refused("BAD_PARAM", "rank")
    sizes = [
        (n + low + high - d * (k - 1) - 1) // s + 1
        for n, k, s, low, high, d in zip(shape(x)[2:], shape(w)[2:], *lists, strict=True)
    ]
    fits = shape(x)[1] % shape(w)[1] == 0 and shape(y) == (shape(x)[0], shape(w)[0], *sizes)
    if not fits or shape(w)[0] % (shape(x)[1] // shape(w)[1]):
        raise Refused("BAD_PARAM_SHAPE_MISMATCH", f"{shape(x)}, {shape(w)}, {shape(y)}")
    if role(operation, "ALPHA") != 1.0 or role(operation, "BETA") != 0.0:
        raise Refused("NOT_SUPPORTED", "factors")


def _check_pointwise(operation: Descriptor) -> None:
    result = shape(operation["OPERATION_POINTWISE_YDESC"])
    for name in ("XDESC", "BDESC", "TDESC"):
        tensor = operation.get(f"OPERATION_POINTWISE_{name}")
        own = result if tensor is None else shape(tensor)
        if len(own) != len(result) or any(
            n not in (1, m) for n, m in zip(own, result, strict=True)
        ):
            raise Refused("BAD_PARAM_SHAPE_MISMATCH", f"{own} and {result}")


def _check_graph(graph: Descriptor) -> None:
    if graph["OPERATIONGRAPH_HANDLE"] not in graph.owner.handles:
        raise Refused("BAD_PARAM", "no handle")
    numbers: dict[int, Descriptor] = {}
    written: set[int] = set()
    for operation in graph["OPERATIONGRAPH_OPS"]:
        for tensor, is_result in tensors(operation):
            number = tensor["TENSOR_UNIQUE_ID"]
            if numbers.setdefault(number, tensor).values != tensor.values:
                raise Refused("BAD_PARAM_DUPLICATED_ENTRIES", f"two tensors of number {number}")
            if is_result and number in written:
                raise Refused("BAD_PARAM", f"tensor {number} is written twice")
            if not is_result and tensor.get("TENSOR_IS_VIRTUAL") and number not in written:
                raise Refused("BAD_PARAM", f"virtual tensor {number} is read before it is written")
            written |= {number} if is_result else set()
    graph.facts = numbers


def tensors(operation: Descriptor) -> list[tuple[Descriptor, bool]]:
    """The tensors of an operation, and whether they are its result, operands first."""
    if operation.kind in CONVOLUTIONS:
        names = CONVOLUTIONS[operation.kind][1:]
        last = {"FORWARD": "Y", "BWD_DATA": "DX", "BWD_FILTER": "DW"}
        result = last[CONVOLUTIONS[operation.kind][0]]
        found = [(role(operation, name), name == result) for name in names]
    else:
        results = ("OPERATION_MATMUL_CDESC",)
        found = [
            (operation[name], name.endswith("_YDESC") or name in results)
            for name in operation.values
            if operation[name].kind == "TENSOR"
        ]
    return sorted(found, key=lambda pair: pair[1])


def is_packed(tensor: Descriptor, order: tuple[int, ...]) -> bool:
    """Whether a tensor lies without gaps, its dimensions in that order."""
    ordered = [(shape(tensor)[k], tensor["TENSOR_STRIDES"][k]) for k in order]
    steps = [s for _, s in ordered]
    return steps[-1] == 1 and all(a[1] == b[0] * b[1] for a, b in pairwise(ordered))


def _engines(heuristics: Descriptor) -> list[Engine]:
    """Those that can compute the graph, by heuristics' mode."""
    graph = heuristics["ENGINEHEUR_OPERATION_GRAPH"]
    operations = graph["OPERATIONGRAPH_OPS"]
    is_last_resort = heuristics["ENGINEHEUR_MODE"] == NUMBERS["HEUR_MODE_FALLBACK"]
    first = operations[0]
    if first.kind not in CONVOLUTIONS:
        return _attention_engines(graph)
    mapped = [t for t, _ in tensors(first)]
    rank = len(shape(mapped[0]))
    orders = [(0, *range(2, rank), 1), tuple(range(rank))]
    fitting = [all(is_packed(t, order) for t in mapped) for order in orders]
    given = role(first, "CONV_DESC")
    if not any(fitting) or given["CONVOLUTION_PRE_PADDINGS"] != given["CONVOLUTION_POST_PADDINGS"]:
        return []
    is_double = mapped[0]["TENSOR_DATA_TYPE"] == NUMBERS["DATA_DOUBLE"]
    if len(operations) > 1:
        return [Engine(graph, "tensor cores", (TENSOR_CORE,))] * (fitting[0] and not is_double)
    if is_last_resort:
        return [Engine(graph, "plain", ())]
    if is_double:
        return []
    parted = Engine(graph, "in parts", (TENSOR_CORE, NONDETERMINISTIC))
    return [parted, Engine(graph, "tensor cores", (TENSOR_CORE,))]


PATTERNS = {
    plan.split(":")[0]
    for label, plan in json.loads((RECORDED / "cudnn_plans.json").read_text(encoding="utf-8"))[
        "plans"
    ].items()
    if label.startswith("attention")
}
"""The operations of the graphs that cuDNN knows as attention and its gradient."""


def word(operation: Descriptor) -> str:
    """What an operation is called in a pattern."""
    for kind, part in (("POINTWISE", "PW_DESCRIPTOR"), ("REDUCTION", "DESC")):
        if operation.kind == f"OPERATION_{kind}":
            given = operation[f"OPERATION_{kind}_{part}"]
            name = "POINTWISE_MODE" if kind == "POINTWISE" else "REDUCTION_OPERATOR"
            prefix = "POINTWISE_" if kind == "POINTWISE" else "REDUCE_TENSOR_"
            number = given[name]
            found = next(k for k, n in NUMBERS.items() if n == number and k.startswith(prefix))
            text = found.removeprefix(prefix).lower()
            return "sum" if kind == "REDUCTION" and text == "add" else text
    return operation.kind.removeprefix("OPERATION_").lower()


def _attention_engines(graph: Descriptor) -> list[Engine]:
    """The one for graphs of a known pattern, whose factors are halves in rows without gaps."""
    operations = graph["OPERATIONGRAPH_OPS"]
    halves = NUMBERS["DATA_HALF"], NUMBERS["DATA_BFLOAT16"]
    for operation in operations:
        if operation.kind != "OPERATION_MATMUL":
            continue
        for tensor in (t for t, is_result in tensors(operation) if not is_result):
            *steps, before, last = sorted(tensor["TENSOR_STRIDES"], reverse=True)
            is_odd = last != 1 or any(s % 8 for s in (*steps, before))
            if not tensor.get("TENSOR_IS_VIRTUAL") and is_odd:
                raise Refused("NOT_SUPPORTED_LAYOUT", f"strides {tensor['TENSOR_STRIDES']}")
            is_middle = tensor.get("TENSOR_IS_VIRTUAL") and word(operations[-1]) == "identity"
            if tensor["TENSOR_DATA_TYPE"] not in halves and not is_middle:
                raise Refused("NOT_SUPPORTED_DATA_TYPE", "attention")
    words = " ".join(map(word, operations))
    if words not in PATTERNS:
        raise Refused("NOT_SUPPORTED_GRAPH_PATTERN", words)
    return [Engine(graph, "flash", (TENSOR_CORE,))]


def _check_plan(plan: Descriptor) -> None:
    if plan["EXECUTION_PLAN_HANDLE"] not in plan.owner.handles:
        raise Refused("BAD_PARAM", "no handle")
    plan.facts = plan["EXECUTION_PLAN_ENGINE_CONFIG"].facts


def _check_heuristics(heuristics: Descriptor) -> None:
    heuristics.facts = _engines(heuristics)


def _check_pack(pack: Descriptor) -> None:
    numbers = pack["VARIANT_PACK_UNIQUE_IDS"]
    if len(set(numbers)) != len(numbers) or len(numbers) != len(pack["VARIANT_PACK_DATA_POINTERS"]):
        raise Refused("BAD_PARAM", f"tensors {numbers}")


CHECKS = {
    "TENSOR": _check_tensor,
    "OPERATION_POINTWISE": _check_pointwise,
    "OPERATIONGRAPH": _check_graph,
    "ENGINEHEUR": _check_heuristics,
    "EXECUTION_PLAN": _check_plan,
    "VARIANT_PACK": _check_pack,
}


def asked(descriptor: Descriptor, number: int, kind: int, room: list[int]) -> tuple[Any, list[int]]:
    """The type and the values of an attribute that the library fills in; of type None if they are
    descriptors, those in `room`, which it fills."""
    names = {
        name: NUMBERS[f"ATTR_{name}"]
        for name in (
            "ENGINEHEUR_RESULTS", "ENGINECFG_ENGINE", "ENGINE_NUMERICAL_NOTE",
            "EXECUTION_PLAN_WORKSPACE_SIZE",
        )
    }  # fmt: skip
    if number == names["EXECUTION_PLAN_WORKSPACE_SIZE"] and kind == NUMBERS["TYPE_INT64"]:
        if not descriptor.is_final or descriptor.kind != "EXECUTION_PLAN":
            raise Refused("BAD_PARAM_NOT_FINALIZED", "the plan")
        return ctypes.c_int64, [descriptor.facts.workspace_bytes]
    if number == names["ENGINE_NUMERICAL_NOTE"] and kind == NUMBERS["TYPE_NUMERICAL_NOTE"]:
        return ctypes.c_int, list(descriptor.facts.notes)
    if kind != NUMBERS["TYPE_BACKEND_DESCRIPTOR"]:
        raise Refused("BAD_PARAM", f"attribute {number} of type {kind}")
    if number == names["ENGINECFG_ENGINE"]:
        engine = descriptor.owner.descriptor(room[0])
        engine.facts, engine.is_final = descriptor.facts, True
        return None, room[:1]
    if number != names["ENGINEHEUR_RESULTS"] or not descriptor.is_final:
        raise Refused("BAD_PARAM", f"attribute {number}")
    for place, engine in zip(room, descriptor.facts, strict=False):
        config = descriptor.owner.descriptor(place)
        config.facts, config.is_final = engine, True
    return None, room[: len(descriptor.facts)]
