"""cuBLASLt, on bytes of the CPU: a library of C functions, called as the real one is.

What they take stands in cublasLt.h. Descriptors refuse attributes that they don't have, and values
of another size; the heuristics refuse layouts that don't fit, and what NVIDIA documents as not
supported; a run refuses operands that lie otherwise than the heuristics were told, addresses of
less alignment, and too little memory beside them, all of which it overwrites.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import types
from collections.abc import Callable
from ctypes import POINTER, c_float, c_int, c_int64, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

from . import blas, memory, streams
from .blas import _by_columns
from .memory import current

SUCCESS, NOT_INITIALIZED, INVALID_VALUE, NOT_SUPPORTED = 0, 1, 7, 15
NAMES = {
    number: ctypes.create_string_buffer(b"CUBLAS_STATUS_" + name)
    for number, name in ((1, b"NOT_INITIALIZED"), (7, b"INVALID_VALUE"), (15, b"NOT_SUPPORTED"))
}
TYPES = blas.TYPES | {3: np.dtype(np.int8), 10: np.dtype(np.int32)}
SUMS: dict[int, Any] = blas.SUMS | {72: np.int32}
SCALES = {64: 2, 68: 0, 77: 0, 70: 1, 72: 10}
"""The cudaDataType of alpha and beta by cublasComputeType_t."""

RECORD = json.loads(
    (Path(__file__).parents[1] / "recorded" / "cublaslt.json").read_text(encoding="utf-8")
)
"""What stands in the header."""
KINDS = {
    "MatmulDesc": "cublasLtMatmulDescAttributes_t",
    "MatrixLayout": "cublasLtMatrixLayoutAttribute_t",
    "MatmulPreference": "cublasLtMatmulPreferenceAttributes_t",
}
"""Enumerations of the attributes of each kind of descriptor."""
SIZES: dict[str, dict[int, int]] = {
    kind: {RECORD["constants"][name][each]: size for each, size in RECORD["sizes"][name].items()}
    for kind, name in KINDS.items()
}
"""Bytes of the attributes of each kind of descriptor, by their numbers."""

HANDLE = 0xB1A5
"""Of device 0; each has its own."""
DOUBLE, HALF, BFLOAT16, INT8, INT32 = 1, 2, 14, 3, 10

objects: dict[int, dict[Any, Any]] = {}
"""Descriptors, and what an algorithm is for, by their addresses."""
waves: dict[int, float] = {}
"""Waves of the algorithms for some epilogues, for tests; 1 for all others."""
fails = False
"""Whether runs are refused that the heuristics had an algorithm for."""
asked: list[dict[str, Any]] = []
"""What ran, for tests that look."""
_numbers = itertools.count(0x1000, 16)


def _new(**facts: Any) -> int:
    number = next(_numbers)
    objects[number] = facts
    return number


def _create(kind: str, place: Any, **facts: Any) -> int:
    place[0] = _new(kind=kind, **facts)
    return SUCCESS


def _destroy(number: int) -> int:
    return SUCCESS if objects.pop(number, None) is not None else INVALID_VALUE


def _set(kind: str) -> Callable[..., int]:
    def set_attribute(number: int, attribute: int, place: int, size: int) -> int:
        if SIZES[kind].get(attribute) != size or objects[number]["kind"] != kind:
            return INVALID_VALUE
        objects[number][attribute] = int.from_bytes(ctypes.string_at(place, size), "little")
        return SUCCESS

    return set_attribute


def create(place: Any) -> int:
    """cublasLtCreate."""
    place[0] = HANDLE + current.device
    return SUCCESS


def _make_layout(place: Any, kind: int, rows: int, columns: int, step: int) -> int:
    if step < rows:
        return INVALID_VALUE
    return _create("MatrixLayout", place, type=kind, rows=rows, columns=columns, step=step)


class Choice(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = (
        ("algorithm", c_uint64 * 8), ("workspace", c_size_t), ("state", c_int), ("waves", c_float),
        ("reserved", c_int * 4),
    )  # fmt: skip


def heuristic(
    handle: int, matmul: int, a: int, b: int, c: int, d: int, preference: int, wanted: int,
    found: Any, count: Any,
) -> int:  # fmt: skip
    """cublasLtMatmulAlgoGetHeuristic: one algorithm, or none."""
    count[0] = 0
    if handle != HANDLE + current.device or wanted < 1:
        return INVALID_VALUE
    given, layouts = objects[matmul], [dict(objects[each]) for each in (a, b, c, d)]
    status = _refusal(given, *layouts)
    if status:
        return status
    limits = objects[preference]
    space = 1536 if layouts[0]["columns"] > 2 else 0
    if space > limits.get(1, 0):
        return NOT_SUPPORTED
    made = _new(
        layouts=layouts, given={k: v for k, v in given.items() if k != 8},
        alignments=[limits.get(k, 256) for k in (5, 6, 7, 8)], space=space,
        aligned=given.get(8, 0) & -given.get(8, 0),
        schemes=limits.get(3, 7),
    )  # fmt: skip
    choice = found[0]
    choice.algorithm[0], choice.workspace, choice.state = made, space, SUCCESS
    choice.waves = waves.get(given.get(7, 1), 1.0)
    count[0] = 1
    return SUCCESS


def _refusal(given: dict[Any, Any], a: Any, b: Any, c: Any, d: Any) -> int:
    """The status for a product that cuBLASLt does not compute; 0 if it does."""
    transposed = given.get(3, 0), given.get(4, 0)
    m, k = (a["columns"], a["rows"]) if transposed[0] else (a["rows"], a["columns"])
    k2, n = (b["columns"], b["rows"]) if transposed[1] else (b["rows"], b["columns"])
    if k != k2 or any((x["rows"], x["columns"]) != (m, n) for x in (c, d)):
        return INVALID_VALUE
    kind = a["type"]
    result = INT32 if kind == INT8 else kind
    if b["type"] != kind or {c["type"], d["type"]} != {result} or kind == INT32:
        return NOT_SUPPORTED
    sums = {INT8: (np.int32,), DOUBLE: (np.float64,), HALF: (np.float16, np.float32)}
    if SUMS[given["sums"]] not in sums.get(kind, (np.float32,)):
        return NOT_SUPPORTED
    if kind == INT8 and (transposed != (1, 0) or m % 4 or k % 4 or a["step"] % 4 or b["step"] % 4):
        return NOT_SUPPORTED
    if SCALES[given["sums"]] != given["scale"] or len({x.get(5, 1) for x in (a, b, c, d)}) > 1:
        return INVALID_VALUE
    epilogue = given.get(7, 1)
    if epilogue & (256 | 512) and (kind not in (HALF, BFLOAT16) or d.get(5, 1) > 1):
        return NOT_SUPPORTED
    return SUCCESS


def matmul(
    handle: int, number: int, alpha: int, a: int, a_lies: int, b: int, b_lies: int, beta: int,
    c: int, c_lies: int, d: int, d_lies: int, algorithm: int, space: int, size: int, stream: int,
) -> int:  # fmt: skip
    """cublasLtMatmul."""
    if handle != HANDLE + current.device or stream != streams.get_current_stream().ptr:
        return NOT_INITIALIZED
    if fails:
        return NOT_SUPPORTED
    known = objects[c_uint64.from_address(algorithm).value]
    given = dict(objects[number])
    layouts = [dict(objects[each]) for each in (a_lies, b_lies, c_lies, d_lies)]
    fits = layouts == known["layouts"] and size >= known["space"]
    fits &= {k: v for k, v in given.items() if k != 8} == known["given"]
    fits &= not any(x % n for x, n in zip((a, b, c, d), known["alignments"], strict=True))
    vector, has_vector = given.get(8, 0), given.get(7, 1) & (4 | 256 | 512)
    if has_vector and (not vector or vector % known["aligned"]):
        return INVALID_VALUE
    if not fits or space % 256 or (size and not space):
        return INVALID_VALUE
    number_type = np.dtype(SUMS[given["sums"]])
    factors = [float(_by_columns(x, number_type, 1, 1, 1)[0, 0]) for x in (alpha, beta)]
    if memory.ledger is not None:
        count, result = layouts[3].get(5, 1), layouts[3]
        depth = layouts[0]["columns" if not given.get(3, 0) else "rows"]
        sizes = count, result["rows"], result["columns"], depth
        extra = {c} - {d} if factors[1] else set()
        places = (a, b, d, given.get(8, 0), given.get(11, 0), *extra)
        memory.ledger.product(sizes, places, bool(factors[1]) and c == d)
        return SUCCESS
    asked.append({"sums": given["sums"], "epilogue": given.get(7, 1), "schemes": known["schemes"]})

    def compute() -> None:
        if size:
            ctypes.memset(space, 0xFF, size)
        for index in range(layouts[3].get(5, 1)):
            places = [
                x + index * lies.get(6, 0) * TYPES[lies["type"]].itemsize
                for x, lies in zip((a, b, c, d), layouts, strict=True)
            ]
            _compute(given, number_type, factors, *map(_matrix, places, layouts))

    for written in [d] + [vector] * bool(given.get(7, 1) & (256 | 512)):
        memory.fill(written)
    kept = streams.capturing()
    if kept is None:
        compute()
    else:
        kept.append(compute)
    return SUCCESS


def _matrix(place: int, lies: dict[Any, Any]) -> Any:
    return _by_columns(place, TYPES[lies["type"]], lies["rows"], lies["columns"], lies["step"])


def _compute(
    given: dict[Any, Any], wide: Any, factors: list[float], a: Any, b: Any, c: Any, d: Any
) -> None:
    """D = epilogue(alpha * op(A) @ op(B) + beta * C)."""
    a = (a.T if given.get(3, 0) else a).astype(wide)
    b = (b.T if given.get(4, 0) else b).astype(wide)
    made = factors[0] * (a @ b)
    if factors[1]:
        made += factors[1] * c.astype(wide)
    epilogue, vector = given.get(7, 1), given.get(8, 0)
    if epilogue & 4:
        made += _by_columns(vector, d.dtype, len(d), 1, len(d)).astype(wide)
    sums = None
    if epilogue & 256:
        sums = a.sum(1)
    elif epilogue & 512:
        sums = b.sum(0)
    if sums is not None:
        _by_columns(vector, d.dtype, len(sums), 1, len(sums))[:, 0] = sums.astype(d.dtype)
    d[...] = made.astype(d.dtype)


def _make_matmul(place: Any, sums: int, scale: int) -> int:
    return _create("MatmulDesc", place, sums=sums, scale=scale)


def _make_preference(place: Any) -> int:
    return _create("MatmulPreference", place)


_places = POINTER(c_uint64)
signatures: dict[str, tuple[Any, Callable[..., Any], tuple[Any, ...]]] = {
    "Create": (c_int, create, (_places,)),
    "GetStatusName": (c_void_p, lambda status: ctypes.addressof(NAMES[status]), (c_int,)),
    "MatmulDescCreate": (c_int, _make_matmul, (_places, c_int, c_int)),
    "MatrixLayoutCreate": (c_int, _make_layout, (_places, c_int, c_uint64, c_uint64, c_int64)),
    "MatmulPreferenceCreate": (c_int, _make_preference, (_places,)),
    "MatmulAlgoGetHeuristic": (
        c_int, heuristic, (*[c_uint64] * 7, c_int, POINTER(Choice), POINTER(c_int)),
    ),
    "Matmul": (c_int, matmul, (*[c_uint64] * 14, c_size_t, c_uint64)),
    **{f"{kind}Destroy": (c_int, _destroy, (c_uint64,)) for kind in SIZES},
    **{
        f"{kind}SetAttribute": (c_int, _set(kind), (c_uint64, c_int, c_uint64, c_size_t))
        for kind in SIZES
    },
}  # fmt: skip


def library() -> Any:
    """The library as ctypes opens it: functions that know neither how many arguments they take nor
    of which types."""
    made = types.SimpleNamespace(closures=[])
    for name, (result, function, arguments) in signatures.items():
        closure = ctypes.CFUNCTYPE(result, *arguments)(function)
        made.closures.append(closure)
        address = ctypes.cast(closure, c_void_p).value
        setattr(made, f"cublasLt{name}", ctypes.CFUNCTYPE(c_int)(address))
    return made
