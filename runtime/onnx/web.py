"""A model as one web page, which any browser opens: weights, runtime and all in a single file."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ..serialization.replacing import replace_file
from .builder import OnnxExporterError
from .program import ONNXProgram

__all__ = ["web_page"]

LIBRARY, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
"""The files of onnxruntime-web that run models in WebAssembly."""
TYPES = ("float32", "float64", "int64", "int32", "uint8", "int8", "bool")
"""Types of inputs that the page can make."""


def web_page(
    program: ONNXProgram,
    path: str | os.PathLike[str],
    *,
    runtime: str | os.PathLike[str],
    title: str = "",
    labels: Sequence[str] | None = None,
    image: bool | None = None,
    scale: float = 1.0,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
) -> Path:
    """Write a page that runs the model in the browser, without a server and without a network.

    A model of one (N, 1 or 3, H, W) input gets a canvas to draw on and a picker of pictures (unless
    `image` is False): pixels from 0 to `scale`, less `mean`, divided by `std`, per channel. Others
    get their inputs as lists in JSON, beginning with the example of the export. With `labels` the
    last dimension of a single row is shown as shares of classes, by softmax.

    `runtime` is the folder of the npm package onnxruntime-web (`npm install onnxruntime-web`), or
    its `dist`. The page holds a copy of its WebAssembly, about 18 MB.

    Returns: the path. Raises: FileNotFoundError where the runtime's files are not,
    OnnxExporterError for inputs that a page cannot make.
    """
    folder = _runtime_files(Path(runtime))
    pairs = list(zip(_inputs(program), program.traced.examples, strict=True))
    inputs = [_described(i, t) for i, t in pairs]
    fits = _is_image(inputs)
    if not (fits if image is None else image):  # a picture begins empty
        for described, (_, example) in zip(inputs, pairs, strict=True):
            described["example"] = example.detach().tolist()
    if image and not fits:
        raise OnnxExporterError(
            "web_page: expected one float32 input (N, 1 or 3, H, W) of fixed H and W. Got "
            f"{[i['shape'] for i in inputs]}."
        )
    per_channel = [[float(x)] if isinstance(x, int | float) else list(x) for x in (mean, std)]
    settings = {
        "inputs": inputs, "labels": list(labels) if labels is not None else None,
        "image": fits if image is None else image, "scale": scale,
        "mean": per_channel[0], "std": per_channel[1],
    }  # fmt: skip
    parts = {
        "@TITLE@": html.escape(title or "Model"),
        "@SETTINGS@": json.dumps(settings).replace("<", "\\u003c"),
        "@MODEL@": _base64(program.model_proto.SerializeToString()),
        "@LIBRARY@": _base64((folder / LIBRARY).read_bytes()),
        "@WASM@": _base64((folder / WASM).read_bytes()),
    }
    text = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    for mark, value in parts.items():
        text = text.replace(mark, value)
    replace_file(Path(path), lambda file: file.write(text.encode()))
    return Path(path)


def _runtime_files(folder: Path) -> Path:
    for place in (folder, folder / "dist", folder / "node_modules" / "onnxruntime-web" / "dist"):
        if (place / LIBRARY).is_file() and (place / WASM).is_file():
            return place
    raise FileNotFoundError(
        f"web_page: expected {LIBRARY} and {WASM} in {folder}. Get them by npm install "
        "onnxruntime-web, and give that folder."
    )


def _is_image(inputs: list[dict[str, Any]]) -> bool:
    """Whether there is one input, and a picture can be it."""
    (shape, kind), *others = [(i["shape"], i["type"]) for i in inputs]
    if others or kind != "float32" or len(shape) != 4:
        return False
    return shape[1] in (1, 3) and all(isinstance(n, int) for n in shape[1:])


def _inputs(program: ONNXProgram) -> list[Any]:
    held = {t.name for t in program.model_proto.graph.initializer}
    return [i for i in program.model_proto.graph.input if i.name not in held]


def _described(info: Any, example: Any) -> dict[str, Any]:
    """What the page must know of an input; open sizes by name."""
    kind = str(example.dtype).removeprefix("torch.")
    if kind not in TYPES:
        raise OnnxExporterError(
            f"web_page: expected inputs of {', '.join(TYPES)}. Got {info.name} of {kind}."
        )
    shape = [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]
    return {"name": info.name, "type": kind, "shape": shape, "example": []}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
