"""`torch.onnx.export`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..export.program import ExportedProgram
from ..export.reading import TracerWarning
from ..export.shapes import opened_by_axes, opened_by_shapes
from ..export.tracing import trace
from .builder import OnnxExporterError
from .program import ONNXProgram

__all__ = ["export"]

OPSETS = range(13, 24)
DEFAULT_OPSET = 18


def export(
    model: Any,
    args: Any = (),
    f: Any = None,
    *,
    kwargs: dict[str, Any] | None = None,
    verbose: bool | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
    dynamo: bool = True,
    external_data: bool = True,
    dynamic_shapes: Any = None,
    dynamic_axes: Mapping[str, Any] | None = None,
    export_params: bool = True,
    do_constant_folding: bool = True,
    training: Any = None,
    keep_initializers_as_inputs: bool = False,
    **options: Any,
) -> ONNXProgram:
    """Trace `model`, a module, function or ExportedProgram, on `args` and write it as ONNX.

    `args` is a tuple of arguments, the last of which may be a dict of keyword arguments, or one
    tensor. `f` is the file; without one nothing is written. What stays open in the sizes of inputs
    is told by `dynamic_axes`, `{"input": {0: "batch"}}` by input name, or by `dynamic_shapes`, in
    the shape of the arguments. Modules are exported as in `eval()`; `training` (PRESERVE, TRAINING)
    says otherwise. `opset_version` goes from 13 to 23; for an older one 13 is written, with a
    warning. Tensors go to a file beside `f` where the
    model is beyond 2 GiB. Other options of PyTorch's (`verbose`, `custom_opsets`, ...) are taken
    and change nothing.

    Returns: the `ONNXProgram`, which can be saved, and called if `onnxruntime` is installed.
    Raises: OnnxExporterError for operations without a counterpart in ONNX, ExportError for what
    cannot be traced, ImportError without the package `onnx`.

    Example:
        >>> model, x = torch.nn.Linear(3, 2), torch.ones(4, 3)
        >>> program = torch.onnx.export(model, (x,), dynamic_axes={"input": {0: "batch"}})
        >>> [node.op_type for node in program.model_proto.graph.node]
        ['Gemm']
    """
    require_onnx()
    opset = _opset_of(opset_version)
    if not export_params:
        raise OnnxExporterError("torch.onnx.export: expected export_params=True. Got False.")
    if isinstance(model, ExportedProgram):
        traced = model.traced
    else:
        positional, keywords = _split(args, kwargs)
        opened: Callable[[list[str]], Any] | None = None
        if dynamic_shapes is not None:
            opened = opened_by_shapes(model, positional, keywords, dynamic_shapes)
        elif dynamic_axes is not None:
            opened = opened_by_axes(positional, keywords, dynamic_axes, output_names or ())
        traced = trace(
            model, positional, keywords, opened=opened, names=input_names or (),
            keeps_mode=bool(training),
        )  # fmt: skip
    if traced.updates:
        warnings.warn(
            f"torch.onnx.export: {', '.join(traced.updates)} change while the model runs. An ONNX "
            "model keeps no state: each run begins with the values of now.",
            TracerWarning,
            stacklevel=2,
        )
    program = ONNXProgram.of(traced, list(output_names or ()), opset, do_constant_folding)
    if keep_initializers_as_inputs:
        program.initializers_as_inputs()
    if f is not None:
        program.save(f)
    if verbose:
        print(program)
    return program


def _opset_of(version: int | None) -> int:
    """The opset to write. Raises: OnnxExporterError for one that is too new."""
    if version is None:
        return DEFAULT_OPSET
    if version > OPSETS[-1] or version < 1:
        raise OnnxExporterError(
            f"torch.onnx.export: expected opset_version from {OPSETS[0]} to {OPSETS[-1]}. Got "
            f"{version}."
        )
    if version < OPSETS[0]:
        warnings.warn(
            f"torch.onnx.export: opset {version} is too old, and {OPSETS[0]} is written instead, "
            "which runtimes read since 2020.",
            stacklevel=3,
        )
    return max(version, OPSETS[0])


def _split(args: Any, kwargs: dict[str, Any] | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments; a dict at the end holds keyword arguments."""
    positional = tuple(args) if isinstance(args, tuple | list) else (args,)
    if kwargs is None and positional and isinstance(positional[-1], dict):
        return positional[:-1], dict(positional[-1])
    return positional, dict(kwargs or {})


def require_onnx() -> None:
    """Raises: ImportError if the package `onnx` is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import onnx  # noqa: F401
    except ImportError:
        raise ImportError(
            "torch.onnx needs the package onnx. Install it: pip install 'flambeau[onnx]'."
        ) from None
