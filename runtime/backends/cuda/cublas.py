"""Products of matrices by cuBLAS itself, through CuPy's binding: for what cuBLASLt is not asked, or
has no algorithm."""

from __future__ import annotations

from typing import Any

import numpy as np

from .matrices import FACTORS, SORTS, Problem
from .precision import ANY_SCHEME

DEFAULT_ALGORITHM = -1
"""Of cublasGemmAlgo_t."""
DISALLOW_REDUCED_PRECISION_REDUCTION, DEFAULT_MATH = 16, 0
"""Of cublasMath_t."""


def library(cuda: Any) -> Any:
    """CuPy's binding, of `cupy.cuda`; None if it finds no cuBLAS."""
    try:
        return getattr(cuda, "cublas", None)
    except ImportError:
        return None


class Plan:
    """A product for operands that lie in one way."""

    works_in_place = True  # whether the addend must lie where the result comes

    def __init__(self, cuda: Any, problem: Problem) -> None:
        self._library = library(cuda)
        self._handle = cuda.device.get_cublas_handle
        self._rounds_sums = problem.schemes == ANY_SCHEME
        left, right, kind = problem.left, problem.right, SORTS[problem.dtype].operand
        self._factors = factors = np.array([problem.alpha, problem.beta], FACTORS[problem.factor])
        alpha = factors.ctypes.data
        n, m = left.rows, right.columns
        shape = int(right.is_transposed), int(left.is_transposed), m, n, right.rows, alpha
        beta, sums = alpha + factors.itemsize, (problem.sums, DEFAULT_ALGORITHM)
        call = self._library.gemmEx
        if problem.count == 1:
            self._run = lambda handle, a, b, d: call(
                handle, *shape, a, kind, right.step, b, kind, left.step, beta, d, kind, m, *sums
            )
        else:
            call, last = self._library.gemmStridedBatchedEx, (n * m, problem.count, *sums)
            self._run = lambda handle, a, b, d: call(
                handle, *shape, a, kind, right.step, right.apart, b, kind, left.step, left.apart,
                beta, d, kind, m, *last,
            )  # fmt: skip

    def __call__(self, left: int, right: int, addend: int, out: int) -> None:
        """Compute into the matrix at `out`, which is where the addend lies. All are addresses."""
        handle = self._handle()
        if self._rounds_sums:
            self._run(handle, right, left, out)
            return
        self._library.setMathMode(handle, DISALLOW_REDUCED_PRECISION_REDUCTION)
        try:
            self._run(handle, right, left, out)
        finally:
            self._library.setMathMode(handle, DEFAULT_MATH)


def plan(cuda: Any, problem: Problem) -> Plan | None:
    """The plan for a problem; None for what has an epilogue, and for int8."""
    if problem.epilogue or library(cuda) is None or problem.dtype == "int8":
        return None
    return Plan(cuda, problem)
