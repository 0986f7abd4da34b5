"""How many floating-point operations a call of an operation takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

Shape = tuple[int, ...]

PRODUCTS = {"matmul", "mm", "bmm", "mv", "dot", "linear", "addmm", "baddbmm", "addmv", "addbmm"}


def is_counted(label: str) -> bool:
    """Whether `flops` is exact for calls of this name."""
    return label in PRODUCTS or "conv" in label or label == "scaled_dot_product_attention"


def flops(label: str, inputs: Sequence[Shape], output: Shape) -> int:
    """Floating-point operations of one call: a product with its sum counts as two.

    Exact for matrix products and convolutions, which are where the work is; one per element of the
    larger of inputs and output for all else.
    """
    if not inputs:
        return 0
    if label in PRODUCTS:
        return 2 * math.prod(output) * _inner_size(inputs)
    if "conv" in label and len(inputs) > 1:
        moved = inputs[0] if "transpose" in label else output
        return 2 * math.prod(moved) * math.prod(inputs[1][1:])
    if label == "scaled_dot_product_attention":
        return 4 * math.prod(inputs[0]) * inputs[1][-2]
    return max(math.prod(output), *(math.prod(shape) for shape in inputs))


def _inner_size(shapes: Sequence[Shape]) -> int:
    """The size that a product sums over: the last of the first operand that is not the bias."""
    operands = [shape for shape in shapes if shape]
    for left, right in pairwise(operands):
        if left[-1] in right[-2:]:
            return left[-1]
    return operands[0][-1] if operands else 1
