"""Products of matrices, and what is made of them: linear layers and attention."""

from __future__ import annotations

import math
from typing import Any

from ...core import dtypes
from ..builder import Builder, OnnxExporterError, Value
from .registry import rule


@rule("matmul")
def matmul(b: Builder, x: Value, y: Value) -> Value:
    """NumPy's product, integers included."""
    return b.MatMul(x, y)


@rule("linear")
def linear(b: Builder, x: Value, weight: Value, bias: Value | None = None) -> Value:
    """Gemm for rows, which keeps the weight as it is; MatMul of its transpose for the rest."""
    if x.ndim == 2 and weight.ndim == 2 and x.is_float:
        return b.Gemm(x, weight, bias, transB=1)
    turned = b.permuted(weight, list(range(weight.ndim))[::-1])
    out = b.MatMul(x, turned)
    return out if bias is None else b.Add(out, bias)


@rule("product_sum", "scaled_product_sum")
def product_sum(
    b: Builder, x: Value, left: Value, right: Value, *, beta: float = 1, alpha: float = 1
) -> Value:
    """beta * x + alpha * (left @ right)."""
    product = b.MatMul(left, right)
    product = product if alpha == 1 else b.Mul(product, b.constant(alpha, x.dtype))
    x = x if beta == 1 else b.Mul(x, b.constant(beta, x.dtype))
    return product if beta == 0 else b.Add(x, product)


@rule("_int_mm")
def int_mm(b: Builder, x: Value, y: Value) -> Value:
    """int8 times int8, added up in int32."""
    return b.MatMulInteger(x, y, dtype=dtypes.int32)


@rule("determinant")
def determinant(b: Builder, x: Value) -> Value:
    """ONNX's own."""
    return b.Det(x)


@rule("attention", "tiled_attention")
def attention(
    b: Builder,
    query: Value,
    key: Value,
    value: Value,
    mask: Value | None = None,
    *,
    scale: float,
    is_causal: bool,
    dropped: float = 0.0,
    **generator: Any,
) -> Any:
    """softmax(query @ key.mT * scale + mask) @ value; runtimes fuse the pattern."""
    if dropped:
        raise OnnxExporterError(
            "ONNX: attention with dropout cannot be exported, as its numbers are drawn anew at "
            "each run. Export in eval mode (training=TrainingMode.EVAL)."
        )
    order = list(range(key.ndim))
    order[-2:] = order[-1], order[-2]
    factor = b.constant(math.sqrt(abs(scale)), query.dtype)
    turned = b.Mul(b.permuted(key, order), factor)
    left = b.Mul(query, factor if scale >= 0 else b.constant(-math.sqrt(-scale), query.dtype))
    scores = b.MatMul(left, turned)
    low = b.constant(-math.inf, query.dtype)
    if is_causal:
        sizes = [b.size_of(query, -2), b.size_of(key, -2)]
        scores = b.Where(b.triangle(b.ints(sizes), 0, False), scores, low)
    if mask is not None:
        is_flag = mask.dtype is dtypes.bool_
        scores = b.Where(mask, scores, low) if is_flag else b.Add(scores, b.cast(mask, query.dtype))
    weights = b.Softmax(scores, axis=-1)
    if mask is not None:  # rows that see nothing are NaN in softmax, and 0 in attention
        weights = b.Where(b.IsNaN(weights), b.constant(0.0, query.dtype), weights)
    out = b.MatMul(weights, value)
    return (out, out) if b.operation.name == "tiled_attention" else out


@rule("embedding_lookup")
def embedding(b: Builder, weight: Value, index: Value, **gradient_only: Any) -> Value:
    """Rows of the weight."""
    return b.Gather(weight, index, axis=0)
