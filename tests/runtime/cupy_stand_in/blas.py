"""cuBLAS's products, on bytes of the CPU."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from . import memory, streams
from .interface import BFLOAT16, checked

TYPES = {2: np.dtype(np.float16), 14: BFLOAT16, 0: np.dtype(np.float32), 1: np.dtype(np.float64)}
"""By cudaDataType."""
SUMS: dict[int, Any] = {64: np.float16, 68: np.float32, 77: np.float32, 70: np.float64}
"""By cublasComputeType_t."""


def _by_columns(place: int, dtype: Any, rows: int, columns: int, step: int) -> Any:
    """The matrix at an address, whose columns lie `step` elements apart."""
    if step < max(rows, 1):
        raise ValueError(f"cublas: {rows} rows do not fit a leading dimension of {step}")
    count = (columns - 1) * step + rows
    given = {"shape": (count * dtype.itemsize,), "typestr": "|u1", "data": (place, False)}
    memory = np.asarray(types.SimpleNamespace(__array_interface__={**given, "version": 3}))
    return np.ndarray(
        (rows, columns), dtype, memory, strides=(dtype.itemsize, step * dtype.itemsize)
    )


def _value(place: int, dtype: Any) -> float:
    return float(_by_columns(place, np.dtype(dtype), 1, 1, 1)[0, 0])


def gemm_strided_batched(
    handle: int, transa: int, transb: int, m: int, n: int, k: int, alpha: int, A: int, Atype: int,
    lda: int, strideA: int, B: int, Btype: int, ldb: int, strideB: int, beta: int, C: int,
    Ctype: int, ldc: int, strideC: int, batchCount: int, computeType: int, algo: int,
) -> None:  # fmt: skip
    """C = alpha * op(A) @ op(B) + beta * C of each matrix of the stacks."""
    a_type, b_type, c_type, wide = TYPES[Atype], TYPES[Btype], TYPES[Ctype], SUMS[computeType]
    is_narrow = wide is np.float16 and a_type != np.float16
    if (
        not a_type == b_type == c_type
        or is_narrow
        or (wide is np.float64) != (a_type == np.float64)
    ):
        raise ValueError("cublas: CUBLAS_STATUS_NOT_SUPPORTED")
    factors = _value(alpha, wide), _value(beta, wide)
    if memory.ledger is not None:
        memory.ledger.product((batchCount, m, n, k), (A, B, C), bool(factors[1]))
        return

    def compute() -> None:
        for k_batch in range(batchCount):
            places = [
                place + k_batch * stride * a_type.itemsize
                for place, stride in ((A, strideA), (B, strideB), (C, strideC))
            ]
            a = _by_columns(places[0], a_type, *((k, m) if transa else (m, k)), lda)
            b = _by_columns(places[1], a_type, *((n, k) if transb else (k, n)), ldb)
            c = _by_columns(places[2], a_type, m, n, ldc)
            made = (a.T if transa else a).astype(wide) @ (b.T if transb else b).astype(wide)
            before = c.astype(wide) * factors[1] if factors[1] else 0
            c[...] = (factors[0] * made + before).astype(a_type)

    if streams.capturing() is not None:  # CuPy does not even ask cuBLAS
        raise NotImplementedError(
            "calling cuBLAS API during stream capture is currently unsupported"
        )
    memory.fill(C)
    compute()


def gemm(
    handle: int, transa: int, transb: int, m: int, n: int, k: int, alpha: int, A: int, Atype: int,
    lda: int, B: int, Btype: int, ldb: int, beta: int, C: int, Ctype: int, ldc: int,
    computeType: int, algo: int,
) -> None:  # fmt: skip
    """The same of single matrices."""
    gemm_strided_batched(
        handle, transa, transb, m, n, k, alpha, A, Atype, lda, 0, B, Btype, ldb, 0, beta, C, Ctype,
        ldc, 0, 1, computeType, algo,
    )  # fmt: skip


def module() -> Any:
    """`cupy.cuda.cublas`."""
    place = "cupy_backends.cuda.libs.cublas"
    return types.SimpleNamespace(
        gemmEx=checked(f"{place}.gemmEx", gemm),
        gemmStridedBatchedEx=checked(f"{place}.gemmStridedBatchedEx", gemm_strided_batched),
        setMathMode=checked(f"{place}.setMathMode", lambda handle, mode: None),
    )
