"""A model in ONNX, to be saved, looked at, and run."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ..core.creation import from_numpy
from ..export.tracing import Traced
from ..serialization.replacing import replace_file
from ..utils import _pytree
from .lowering import lower

__all__ = ["ONNXProgram"]

LARGEST_FILE = 2**31 - 2**20
"""Bytes that a protobuf file may have, less some for what is no tensor."""


class ONNXProgram:
    """What `torch.onnx.export` makes: `model_proto` is the model as the package `onnx` knows it.

    `save(path)` writes it, and calling the program with the arguments of the exported model runs it
    by `onnxruntime`.
    """

    def __init__(self, model_proto: Any, traced: Traced) -> None:
        self.model_proto = model_proto
        self.traced = traced
        self._session: Any = None

    @classmethod
    def of(cls, traced: Traced, names: list[str], opset: int, folds: bool = True) -> ONNXProgram:
        """The program of a traced graph, its outputs called `names`, or output, output_1, ..."""
        node = traced.module.graph.find_nodes(op="output")[0]
        count = len(node.args[0]) - len(traced.updates)
        if len(names) > count:
            raise ValueError(
                f"torch.onnx.export: expected at most {count} output_names, one for each tensor. "
                f"Got {len(names)}: {', '.join(names)}."
            )
        taken = set(traced.input_names)
        given = names + [f"output_{k}" if k else "output" for k in range(len(names), count)]
        chosen = [f"{n}_out" if n in taken else n for n in given[:count]]
        return cls(lower(traced, chosen, opset, folds), traced)

    @property
    def exported_program(self) -> Any:
        """The traced graph that the model was made from."""
        from ..export.program import ExportedProgram

        return ExportedProgram(self.traced)

    def save(
        self,
        destination: str | os.PathLike[str] | Any,
        *,
        external_data: bool | None = None,
        **options: Any,
    ) -> None:
        """Write the model to `destination`, a path or an open binary file; with `external_data`, or
        beyond 2 GiB, its tensors to a file beside it. The file appears whole or not at all."""
        apart = self.is_large if external_data is None else external_data
        if hasattr(destination, "write"):
            if apart:
                raise ValueError("ONNXProgram.save: a model beyond 2 GiB needs a path.")
            destination.write(self.model_proto.SerializeToString())
            return
        path = Path(destination)
        if apart:
            _save_apart(self.model_proto, path)
        else:
            data = self.model_proto.SerializeToString()
            replace_file(path, lambda file: file.write(data))

    def optimize(self) -> None:
        """Nothing: the graph is cleaned, and constants are folded, when it is exported."""

    def initializers_as_inputs(self) -> None:
        """List the constants among the inputs too, so that they can be given anew."""
        from onnx import helper

        graph = self.model_proto.graph
        for tensor in graph.initializer:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )

    def initialize_inference_session(self, *, options: Any = None, providers: Any = None) -> Any:
        """The `onnxruntime.InferenceSession` that runs the model, made once.

        Raises: ImportError if onnxruntime is not installed.
        """
        if self._session is None:
            try:
                import onnxruntime
            except ImportError:
                raise ImportError(
                    "ONNXProgram: running a model needs the package onnxruntime. Install it: pip "
                    "install onnxruntime."
                ) from None
            how = {"sess_options": options, "providers": providers or ["CPUExecutionProvider"]}
            if self.is_large:
                with tempfile.TemporaryDirectory() as folder:
                    self.save(Path(folder, "model.onnx"))
                    self._session = onnxruntime.InferenceSession(f"{folder}/model.onnx", **how)
            else:
                data = self.model_proto.SerializeToString()
                self._session = onnxruntime.InferenceSession(data, **how)
        return self._session

    @property
    def is_large(self) -> bool:
        """Whether the tensors do not fit into a protobuf file."""
        return sum(len(t.raw_data) for t in self.model_proto.graph.initializer) > LARGEST_FILE

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What onnxruntime computes, as the exported model returns it."""
        session = self.initialize_inference_session()
        tensors = self.traced.tensors_of(args, kwargs)
        used = {i.name for i in session.get_inputs()}
        feeds = {
            name: x.detach().contiguous().numpy_values()
            for name, x in zip(self.traced.input_names, tensors, strict=True)
            if name in used
        }
        found = iter(session.run(None, feeds))
        kept = self.traced.fixed_outputs
        values = [from_numpy(next(found)) if f is None else f[0] for f in kept]
        return _pytree.tree_unflatten(values, self.traced.outputs)

    def __str__(self) -> str:
        import onnx

        return str(onnx.printer.to_text(self.model_proto))

    def __repr__(self) -> str:
        graph = self.model_proto.graph
        size = sum(len(t.raw_data) for t in graph.initializer)
        return f"<ONNXProgram: {len(graph.node)} nodes, {size:,} bytes of constants>"


def _save_apart(model: Any, path: Path) -> None:
    """The model at `path`, and its tensors in a file beside it with `.data` behind the name."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    data = path.with_name(f"{path.name}.data")
    with tempfile.TemporaryDirectory(dir=path.resolve().parent) as folder:
        part = Path(folder, path.name)
        onnx.save_model(
            copy, str(part), save_as_external_data=True, location=data.name, size_threshold=1024
        )
        os.replace(part.with_name(data.name), data)
        os.replace(part, path)
