"""Products of matrices as BLAS libraries are asked for them, and how arrays lie as matrices."""

from __future__ import annotations

import math
from typing import NamedTuple

Shape = tuple[int, ...]


class Sort(NamedTuple):
    """What the libraries call an element type, the one of products of it, and that of the factors
    alpha and beta: cudaDataType of library_types.h."""

    operand: int
    result: int
    factor: int


SORTS = {
    "float16": Sort(2, 2, 0), "bfloat16": Sort(14, 14, 0), "float32": Sort(0, 0, 0),
    "float64": Sort(1, 1, 1), "int8": Sort(3, 10, 10),
}  # fmt: skip
"""Half types are 2 and 14, float32 and float64 0 and 1, int8 and int32 3 and 10."""
FACTORS = {0: "float32", 1: "float64", 2: "float16", 10: "int32"}
"""The types of alpha and beta by number."""
COMPUTE_16F = 64
"""Of cublasComputeType_t: alpha and beta are float16 then."""
COMPUTE_32F, COMPUTE_32F_FAST_TF32, COMPUTE_64F, COMPUTE_32I = 68, 77, 70, 72
"""Of cublasComputeType_t."""


ALIGNED = 256
"""Bytes: from which on the alignment of addresses makes no difference."""


class Operand(NamedTuple):
    """A matrix, or a stack of `count`, that lie `apart`; `step` is from row to row, or from column
    to column of one that lies transposed. In elements."""

    rows: int
    columns: int
    step: int
    is_transposed: bool
    count: int = 1
    apart: int = 0

    @property
    def across(self) -> int:
        """How many elements lie side by side."""
        return self.rows if self.is_transposed else self.columns

    @property
    def down(self) -> int:
        """How many such lines there are."""
        return self.columns if self.is_transposed else self.rows


class Problem(NamedTuple):
    """alpha * left @ right + beta * addend: a matrix (n, m) without gaps, or a stack of `count`.

    `epilogue` names what follows, by the words of `cublaslt.EPILOGUES`; `sums` is the type that
    products are added up in, of cublasComputeType_t; the operands' addresses are multiples of
    `alignment`, that of the addend or vector of `third_alignment`.
    """

    dtype: str
    left: Operand
    right: Operand
    sums: int
    alignment: int
    third_alignment: int
    count: int = 1
    alpha: float = 1.0
    beta: float = 0.0
    epilogue: str = ""
    schemes: int = 7  # how sums of parts may be added up, of cublasLtReductionScheme_t
    addend: Operand | None = None  # if it lies elsewhere than the result

    @property
    def factor(self) -> int:
        """The type of alpha and beta."""
        return 2 if self.sums == COMPUTE_16F else SORTS[self.dtype].factor


def collapsed(shape: Shape, strides: Shape) -> tuple[int, int] | None:
    """The size and stride of the one dimension that visits the same places as these; None if none
    does."""
    size, step = 1, 0
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n == 1:
            continue
        if size == 1:
            step = stride
        elif stride != step * size:
            return None
        size *= n
    return size, step


def operand(shape: Shape, strides: Shape, itemsize: int, batch: Shape = ()) -> Operand | None:
    """An array (..., n, k) as a stack of matrices, one for each index of `batch`, to which its
    leading dimensions broadcast; None if there is no such stack without a copy."""
    missing = len(batch) + 2 - len(shape)
    stacked = collapsed(
        batch,
        (0,) * missing
        + tuple(0 if n == 1 else s for n, s in zip(shape[:-2], strides[:-2], strict=True)),
    )
    if stacked is None or stacked[1] < 0 or any(s % itemsize for s in strides):
        return None
    count, apart = stacked if stacked[1] > 0 else (1, 0)
    rows, columns = shape[-2:]
    down, right = strides[-2] // itemsize, strides[-1] // itemsize
    step = down if rows > 1 else columns
    if (right == 1 or columns == 1) and step >= columns:
        return Operand(rows, columns, step, False, count, apart // itemsize)
    step = right if columns > 1 else rows
    if (down == 1 or rows == 1) and step >= rows:
        return Operand(rows, columns, step, True, count, apart // itemsize)
    return None


def all_rows(shape: Shape, strides: Shape, itemsize: int) -> Operand | None:
    """An array (..., k) as the one matrix of all its rows; None if they don't lie as one."""
    rows = collapsed(shape[:-1], strides[:-1])
    if rows is None:
        return None
    return operand((rows[0], shape[-1]), (rows[1], strides[-1]), itemsize)


def turned(x: Operand) -> Operand:
    """The transposed matrix, or matrices."""
    return x._replace(rows=x.columns, columns=x.rows, is_transposed=not x.is_transposed)


def broadcast(*shapes: Shape) -> Shape | None:
    """The shape that all of these broadcast to, or None."""
    length = max(map(len, shapes))
    found = []
    for sizes in zip(*[(1,) * (length - len(s)) + tuple(s) for s in shapes], strict=True):
        others = set(sizes) - {1}
        if len(others) > 1:
            return None
        found.append(others.pop() if others else 1)
    return tuple(found)


def is_empty(*shapes: Shape) -> bool:
    """Whether one of the shapes has no elements."""
    return not all(math.prod(shape) for shape in shapes)
