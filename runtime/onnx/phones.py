"""Models for phones: onnxruntime's own format, and weights in int8."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .program import ONNXProgram

__all__ = ["quantized", "save_ort"]


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ImportError(
            "torch.onnx: formats of phones need the package onnxruntime. Install it: pip install "
            "onnxruntime."
        ) from None
    return onnxruntime


def quantized(program: ONNXProgram, *, per_channel: bool = False) -> ONNXProgram:
    """The program with the weights of its products in int8, a quarter of their bytes; activations
    get their scale at each run, so that no data for calibration is needed.

    Convolutions stay as they are: onnxruntime has no such kernel for them.
    """
    _onnxruntime()
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder, _quiet():
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        program.save(before)
        quantize_dynamic(
            before,
            after,
            op_types_to_quantize=["MatMul", "Gemm", "Gather", "LSTM", "Attention"],
            per_channel=per_channel,
            weight_type=QuantType.QInt8,
            use_external_data_format=program.is_large,
        )
        return ONNXProgram(onnx.load_model(str(after)), program.traced)


@contextmanager
def _quiet() -> Iterator[None]:
    """In this block no advice on other ways to quantize is logged."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def save_ort(program: ONNXProgram, path: str | os.PathLike[str]) -> Path:
    """Write the model in the format that onnxruntime's mobile packages load without a parser, its
    graph optimized for any CPU. The file appears whole or not at all."""
    runtime = _onnxruntime()
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.save_model_format", "ORT")
    target = Path(path)
    with tempfile.TemporaryDirectory(dir=target.resolve().parent) as folder:
        part = Path(folder, "model.ort")
        options.optimized_model_filepath = str(part)
        options.log_severity_level = 3
        whole = Path(folder, "model.onnx")
        program.save(whole)
        runtime.InferenceSession(str(whole), options, providers=["CPUExecutionProvider"])
        os.replace(part, target)
    return target
