"""cuBLASLt: products of matrices with what follows them in the same launch: a bias, or the sums
that are the gradient of one.

Its activations are left alone: what its relu makes of NaN is not documented, its gelu is the tanh
form, and no single call of the API is a product with an activation.

The library counts by columns: of row-major arrays it computes right.T @ left.T, which is
(left @ right).T. A `Plan` is one product for operands that lie in one way, with the algorithm that
the library's heuristics chose. A run changes only addresses, packed into memory that a few
instructions of our own read, see `trampoline`.

Source: cublasLt.h of CUDA 13; its enumerations are those of CUDA 12.
"""

from __future__ import annotations

import ctypes
import struct
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ..cpu import loops
from . import libraries
from .matrices import ALIGNED, FACTORS, SORTS, Operand, Problem
from .trampoline import CHANGING, product

LIBRARIES = ("libcublasLt.so.13", "libcublasLt.so.12", "cublasLt64_13.dll", "cublasLt64_12.dll")
FOLDERS = ("cu13/lib", "cublas/lib", "cu13/bin/x86_64", "cublas/bin")
"""Where the wheels have the library, below the package `nvidia`."""

TRANSA, TRANSB, EPILOGUE, BIAS_POINTER = 3, 4, 7, 8
"""Of cublasLtMatmulDescAttributes_t."""
BATCH_COUNT, STRIDED_BATCH_OFFSET = 5, 6
"""Of cublasLtMatrixLayoutAttribute_t."""
MAX_WORKSPACE_BYTES, REDUCTION_SCHEME_MASK, MIN_ALIGNMENTS = 1, 3, (5, 6, 7, 8)
"""Of cublasLtMatmulPreferenceAttributes_t; the alignments are of A, B, C and D."""
REFUSALS = (7, 8, 15)
"""CUBLAS_STATUS_INVALID_VALUE, _ARCH_MISMATCH and _NOT_SUPPORTED: nothing was launched."""
EPILOGUES = {"": 1, "bias": 4, "sums right": 256, "sums left": 512}
"""Of cublasLtEpilogue_t. "sums left" also adds up the columns of the left operand, over the
dimension that the product sums over: the library's B, BGRADB."""
WORKSPACE = 32 << 20
"""Bytes that an algorithm may use beside the operands: what NVIDIA recommends on Hopper."""

functions: Any = None
"""The library; the tests put a stand-in here. False if there is none."""
_handles: dict[int, ctypes.c_void_p] = {}


def is_available() -> bool:
    """Whether the library is there, and LLVM, by whose code it is called."""
    global functions
    if functions is None:
        found = libraries.opened(LIBRARIES, FOLDERS) if loops.is_available() else None
        functions = found or False
    return bool(functions)


def forget() -> None:
    """Drop the library's handles, with the library itself."""
    global functions
    functions = None
    _handles.clear()
    _preference.cache_clear()


def _handle(device: int) -> ctypes.c_void_p:
    """What the library keeps for a device, the current one."""
    found = _handles.get(device)
    if found is None:
        found = ctypes.c_void_p()
        _require(functions.cublasLtCreate(ctypes.byref(found)), "cublasLtCreate")
        _handles[device] = found
    return found


class Refused(RuntimeError):
    """A product is not computed after all."""


def _require(status: int, call: str) -> None:
    if status:
        kind = Refused if status in REFUSALS else RuntimeError
        raise kind(
            f"cuBLASLt: expected {call} to succeed. Got {_name(status)}. Use "
            "torch.backends.cuda.preferred_blas_library('cublas') to do without it."
        )


def _name(status: int) -> str:
    name = functions.cublasLtGetStatusName
    name.restype = ctypes.c_char_p
    return f"status {status} ({(name(ctypes.c_int(status)) or b'unknown').decode()})"


class _Description:
    """A descriptor of the library, of which this owns one."""

    def __init__(self, kind: str, *facts: Any) -> None:
        self.kind, self.pointer = kind, ctypes.c_void_p()
        self._library = functions  # which must outlive it
        self._destroy = getattr(functions, f"cublasLt{kind}Destroy")
        create, self._set = (
            getattr(functions, f"cublasLt{kind}{word}") for word in ("Create", "SetAttribute")
        )
        _require(create(ctypes.byref(self.pointer), *facts), f"cublasLt{kind}Create")

    def set(self, attribute: int, value: Any) -> None:
        """Set an attribute to a ctypes number."""
        size = ctypes.c_size_t(ctypes.sizeof(value))
        status = self._set(self.pointer, ctypes.c_int(attribute), ctypes.byref(value), size)
        _require(status, f"cublasLt{self.kind}SetAttribute({attribute})")

    def __del__(self) -> None:
        if self.pointer:
            self._destroy(self.pointer)


class _Choice(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = (
        ("algorithm", ctypes.c_uint64 * 8),
        ("workspace", ctypes.c_size_t),
        ("state", ctypes.c_int),
        ("waves", ctypes.c_float),
        ("reserved", ctypes.c_int * 4),
    )


def _layout(kind: int, rows: int, columns: int, step: int, count: int, apart: int) -> _Description:
    """A matrix of the library, counted by columns that lie `step` elements apart."""
    made = _Description(
        "MatrixLayout", ctypes.c_int(kind), ctypes.c_uint64(rows), ctypes.c_uint64(columns),
        ctypes.c_int64(step),
    )  # fmt: skip
    if count > 1:
        made.set(BATCH_COUNT, ctypes.c_int32(count))
        made.set(STRIDED_BATCH_OFFSET, ctypes.c_int64(apart))
    return made


def _operand(kind: int, x: Operand, count: int) -> _Description:
    return _layout(kind, x.across, x.down, x.step, count, x.apart)


class Plan:
    """A product for operands that lie in one way."""

    works_in_place = False  # whether the addend must lie where the result comes

    def __init__(
        self, cuda: Any, choice: _Choice, matmul: _Description, layouts: list[_Description],
        factors: Any, handle: ctypes.c_void_p, epilogue: str,
    ) -> None:  # fmt: skip
        self._kept = functions, choice, matmul, layouts, factors
        self._alloc, self._stream = cuda.alloc, cuda.get_current_stream
        self._workspace = int(choice.workspace)
        self.waves = float(choice.waves)  # of blocks: below 1, which part of the device they fill
        alpha = factors.ctypes.data
        beta = alpha + factors.itemsize
        right, left, addend, out = (each.pointer.value for each in layouts)
        words = (
            _address("Matmul"), handle.value, matmul.pointer.value, alpha, right, left, beta,
            addend, out, ctypes.addressof(choice), self._workspace,
            _address("MatmulDescSetAttribute"), BIAS_POINTER if epilogue else 0,
        )  # fmt: skip
        changing, kept = len(CHANGING), len(words)
        buffer = ctypes.create_string_buffer(8 * (changing + kept))
        struct.pack_into(f"@{kept}N", buffer, 8 * changing, *words)
        self._pack = partial(struct.Struct(f"@{changing}N").pack_into, buffer, 0)
        self._run = partial(product(), ctypes.c_void_p(ctypes.addressof(buffer)))

    def __call__(self, left: int, right: int, addend: int, out: int, vector: int = 0) -> None:
        """Compute into the matrix at `out`. All are addresses: `vector` of the bias or of its
        gradient.

        Raises: RuntimeError with the library's status.
        """
        where, space = 0, None
        if self._workspace:
            space = self._alloc(self._workspace)
            where = space.ptr
        self._pack(right, left, addend, out, where, self._stream().ptr, vector)
        status = self._run()
        if status:
            _require(status, "cublasLtMatmul")


def _address(name: str) -> int:
    """Where a function of the library begins."""
    function = getattr(functions, f"cublasLt{name}")
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


def plan(cuda: Any, device: int, problem: Problem) -> Plan | None:
    """The plan for a problem on the current device `device`; None for what the library has no
    algorithm for. `cuda` is `cupy.cuda`.

    A plan is changed by each run: one thread may use it.
    """
    kind, made, _ = SORTS[problem.dtype]
    factor = problem.factor
    matmul = _Description("MatmulDesc", ctypes.c_int(problem.sums), ctypes.c_int(factor))
    matmul.set(TRANSA, ctypes.c_int32(problem.right.is_transposed))
    matmul.set(TRANSB, ctypes.c_int32(problem.left.is_transposed))
    matmul.set(EPILOGUE, ctypes.c_uint32(EPILOGUES[problem.epilogue]))
    if problem.epilogue:  # an address, at whose alignment the heuristics look
        matmul.set(BIAS_POINTER, ctypes.c_void_p(problem.third_alignment))
    n, m, count = problem.left.rows, problem.right.columns, problem.count
    d = _layout(made, m, n, m, count, n * m)
    c = d if problem.addend is None else _operand(made, problem.addend, count)
    layouts = [_operand(kind, problem.right, count), _operand(kind, problem.left, count), c, d]
    handle = _handle(device)
    choice = _chosen(handle, matmul, layouts, problem)
    if choice is None:
        return None
    factors = np.array([problem.alpha, problem.beta], FACTORS[factor])
    return Plan(cuda, choice, matmul, layouts, factors, handle, problem.epilogue)


def _chosen(
    handle: ctypes.c_void_p, matmul: _Description, layouts: list[_Description], problem: Problem
) -> _Choice | None:
    """The algorithm that the heuristics put first."""
    beside = problem.third_alignment if problem.addend is not None else ALIGNED
    alignments = problem.alignment, problem.alignment, beside, ALIGNED
    preference = _preference(problem.schemes, alignments)
    choice, count = _Choice(), ctypes.c_int()
    status = functions.cublasLtMatmulAlgoGetHeuristic(
        handle, matmul.pointer, *(each.pointer for each in layouts), preference.pointer,
        ctypes.c_int(1), ctypes.byref(choice), ctypes.byref(count),
    )  # fmt: skip
    return choice if not status and count.value and not choice.state else None


@lru_cache
def _preference(schemes: int, alignments: tuple[int, ...]) -> _Description:
    """What algorithms may do and must take; kept, as it takes a fifth of the time of a plan."""
    made = _Description("MatmulPreference")
    made.set(MAX_WORKSPACE_BYTES, ctypes.c_uint64(WORKSPACE))
    made.set(REDUCTION_SCHEME_MASK, ctypes.c_uint32(schemes))
    for attribute, alignment in zip(MIN_ALIGNMENTS, alignments, strict=True):
        made.set(attribute, ctypes.c_uint32(alignment))
    return made
