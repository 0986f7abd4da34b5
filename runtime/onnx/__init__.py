"""`torch.onnx`: models written as ONNX, which phones, browsers and servers run.

Needs the package `onnx` (`pip install 'flambeau[onnx]'`).
"""

from __future__ import annotations

import enum

from ..jit import is_tracing
from .builder import OnnxExporterError as OnnxExporterError
from .exporting import export as export
from .importing import load as load
from .phones import quantized as quantized
from .phones import save_ort as save_ort
from .program import ONNXProgram as ONNXProgram
from .web import web_page as web_page

__all__ = [
    "ONNXProgram", "OnnxExporterError", "OperatorExportTypes", "TrainingMode", "export",
    "is_in_onnx_export", "load", "quantized", "save_ort", "web_page",
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
