"""`torch.onnx`: models written as ONNX, which phones, browsers and servers run.

Needs the package `onnx` (`pip install 'flambeau[onnx]'`).
"""

from __future__ import annotations

import enum

from ..export.tracing import is_tracing
from .builder import OnnxExporterError as OnnxExporterError
from .exporting import export as export
from .program import ONNXProgram as ONNXProgram

__all__ = [
    "ONNXProgram", "OnnxExporterError", "OperatorExportTypes", "TrainingMode", "export",
    "is_in_onnx_export",
]  # fmt: skip


class TrainingMode(enum.IntEnum):
    """Which mode a module is exported in."""

    EVAL = 0
    PRESERVE = 1
    TRAINING = 2


class OperatorExportTypes(enum.IntEnum):
    """How operations are exported; only ONNX's own operators are written."""

    ONNX = 0
    ONNX_ATEN = 1
    ONNX_ATEN_FALLBACK = 2
    ONNX_FALLTHROUGH = 3


def is_in_onnx_export() -> bool:
    """Whether an export is under way."""
    return is_tracing()
