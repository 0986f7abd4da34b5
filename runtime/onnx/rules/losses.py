"""Losses by classes."""

from __future__ import annotations

from typing import Any

from ...core import dtypes
from ..builder import Builder, OnnxExporterError, Value
from .registry import rule


@rule("nll_of_indices")
def nll(
    b: Builder, x: Value, target: Value, weight: Value | None = None, *, ignore_index: int,
    reduction: str, label_smoothing: float,
) -> Value:  # fmt: skip
    """ONNX's own loss; it has no label smoothing."""
    if label_smoothing:
        raise OnnxExporterError(
            "ONNX: cross_entropy with label_smoothing cannot be exported. Export the model without "
            "its loss."
        )
    is_single = x.ndim == 1
    rows = b.unsqueeze(x, 0) if is_single else x
    classes = b.unsqueeze(target, 0) if is_single else target
    weights = None if weight is None else b.cast(weight, x.dtype)
    out = b.NegativeLogLikelihoodLoss(
        rows, b.cast(classes, dtypes.int64), weights, reduction=reduction, ignore_index=ignore_index
    )
    return b.squeeze(out, 0) if is_single and reduction == "none" else out


@rule("cross_entropy_of_indices")
def cross_entropy(
    b: Builder, x: Value, target: Value, weight: Value | None = None, **how: Any
) -> Any:
    """The loss of log-softmax, and the probabilities."""
    logs = b.LogSoftmax(x, axis=0 if x.ndim == 1 else 1)
    logs.dims = x.dims
    return nll(b, logs, target, weight, **how), b.Exp(logs)
