"""How many floating-point operations a call of an operation takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from flambeau import Tensor

PRODUCTS = {"matmul", "mm", "bmm", "mv", "dot", "linear", "addmm", "baddbmm", "addmv", "addbmm"}


def flops(label: str, inputs: Sequence[Any], outputs: Sequence[Tensor]) -> int:
    """Floating-point operations of one call: a product with its sum counts as two.

    Exact for matrix products and convolutions, which are where the work is; one per element of the
    larger of inputs and outputs for all else.
    """
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    if not outputs or not tensors:
        return 0
    out = outputs[0]
    if label in PRODUCTS:
        inner = _inner_size(tensors, out)
        return 2 * out.numel() * inner
    if "convolution" in label or label.startswith("conv"):
        return _of_convolution(label, tensors, out)
    if label == "scaled_dot_product_attention":
        return 4 * tensors[0].numel() * tensors[1].shape[-2]
    return max(out.numel(), max(t.numel() for t in tensors))


def count_text(count: float) -> str:
    """`1.23 M`, in powers of 1000."""
    for unit in ("", "k", "M", "G", "T"):
        if count < 999.5 or unit == "T":
            return f"{count:.3g} {unit}".rstrip()
        count /= 1000
    raise AssertionError


def _inner_size(tensors: Sequence[Tensor], out: Tensor) -> int:
    """The size that a product sums over: of its operands the first that is not the bias."""
    operands = [t for t in tensors if t.ndim >= 1]
    for left, right in pairwise(operands):
        if left.shape[-1] in right.shape[-2:]:
            return int(left.shape[-1])
    return int(operands[0].shape[-1]) if operands else 1


def _of_convolution(label: str, tensors: Sequence[Tensor], out: Tensor) -> int:
    if len(tensors) < 2:
        return 0
    x, weight = tensors[0], tensors[1]
    per_channel = math.prod(weight.shape[1:])
    moved = x.numel() if "transpose" in label else out.numel()
    return 2 * moved * per_channel
