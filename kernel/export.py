"""`flambeau export FILE:NAME`: a model of a Python file as ONNX, for phones and for browsers.

The exit status is 1 if the model cannot be exported or onnxruntime computes something else, 2 if
there is no such model, else 0.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flambeau
from flambeau.errors import FlambeauError
from flambeau.nn import Module
from flambeau.serialization import load

from . import torch_alias

EXAMPLE = 2
"""The size that an open dimension has in the example."""
TOLERANCE = 1e-3
"""Of onnxruntime's results, relative to the largest magnitude; half types get 30 times as much."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the sub-command."""
    parser.add_argument(
        "model", metavar="FILE:NAME",
        help="a Python file, and in it a module, or a class or function that makes one",
    )  # fmt: skip
    parser.add_argument(
        "--input", action="append", default=[], metavar="[NAME=]SIZES[:DTYPE]",
        help="an input, in order; words among the sizes stay open: n,3,224,224 or ids=n,t:int64",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", action="append", metavar="PATH",
        help="what to write, by its ending: .onnx, .ort (phones) or .html (browsers)",
    )  # fmt: skip
    parser.add_argument("--weights", metavar="PATH", help="a state dict to load before")
    parser.add_argument("--opset", type=int, help="the version of ONNX, 18 if not given")
    parser.add_argument("--int8", action="store_true", help="weights of products in 8 bits")
    parser.add_argument("--labels", metavar="PATH", help="names of the classes, one a line (.html)")
    parser.add_argument(
        "--runtime", metavar="FOLDER", default="node_modules/onnxruntime-web",
        help="the npm package onnxruntime-web, which a page takes along (.html)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Export the model, say how large it is and how well it agrees, and return the exit status."""
    try:
        model = _model_of(arguments.model)
        if arguments.weights:
            model.load_state_dict(load(arguments.weights))
        inputs = [_Input.read(text) for text in arguments.input]
        for path in arguments.output or ():
            _require_known_ending(path)
    except (OSError, ImportError, AttributeError, TypeError, ValueError, FlambeauError) as error:
        return _failed(error, 2)
    try:
        return _export(model.eval(), inputs, arguments)
    except (OSError, ImportError, TypeError, ValueError, RuntimeError) as error:
        return _failed(error, 1)


def _failed(error: Exception, status: int) -> int:
    print(f"flambeau export: {error}", file=sys.stderr)
    return status


@dataclass
class _Input:
    """One `--input`: its name if it has one, sizes of which words are open, and a dtype."""

    name: str
    sizes: list[int | str]
    dtype: Any

    @classmethod
    def read(cls, text: str) -> _Input:
        """From the words of the command line. Raises: ValueError for anything else."""
        name, _, rest = text.rpartition("=")
        sizes, _, kind = rest.partition(":")
        dtype = getattr(flambeau, kind or "float32", None)
        parts = [int(p) if p.isdecimal() else p for p in sizes.split(",") if p]
        are_sizes = all(isinstance(p, int) or p.isidentifier() for p in parts)
        if not are_sizes or not isinstance(dtype, flambeau.dtype):
            raise ValueError(
                f"--input: expected sizes such as n,3,224,224 or ids=n,t:int64. Got {text!r}."
            )
        return cls(name, parts, dtype)

    def example(self) -> Any:
        """Numbers to trace with: normal ones, or for other types 0 and 1."""
        shape = [n if isinstance(n, int) else EXAMPLE for n in self.sizes]
        if self.dtype.is_floating_point:
            return flambeau.randn(shape).to(self.dtype)
        return flambeau.randint(0, 2, shape).to(self.dtype)

    @property
    def opened(self) -> dict[int, str]:
        """The open dimensions."""
        return {k: n for k, n in enumerate(self.sizes) if isinstance(n, str)}


def _model_of(place: str) -> Any:
    """The module that FILE:NAME stands for, made if it is a class or function.

    Raises: ValueError or TypeError if it stands for none.
    """
    path, _, name = place.rpartition(":")
    if not path or not name.isidentifier():
        raise ValueError(f"expected FILE:NAME, such as model.py:make. Got {place!r}.")
    if not Path(path).is_file():
        raise FileNotFoundError(f"expected a Python file. Found nothing at {path}.")
    torch_alias.install(first=True)
    sys.path.insert(0, str(Path(path).resolve().parent))
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"expected a Python file. Got {path}.")
    source = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = source
    spec.loader.exec_module(source)
    found = getattr(source, name, None)
    if found is None:
        known = [n for n, v in vars(source).items() if isinstance(v, Module | type) and n[0] != "_"]
        raise AttributeError(f"{path} has no {name}. It has {', '.join(known) or 'no model'}.")
    model = found if isinstance(found, Module) else found()
    if not isinstance(model, Module):
        raise TypeError(f"{place}: expected a module. Got {type(model).__name__}.")
    return model


def _export(model: Any, inputs: Sequence[_Input], arguments: argparse.Namespace) -> int:
    examples = tuple(i.example() for i in inputs)
    names = [i.name or f"input_{k}" for k, i in enumerate(inputs)]
    given = names if any(i.name for i in inputs) else None
    shapes = tuple(i.opened for i in inputs) if any(i.opened for i in inputs) else None
    program = flambeau.onnx.export(
        model, examples, input_names=given, opset_version=arguments.opset, dynamic_shapes=shapes
    )
    status = _compare(model, program, examples)
    program = flambeau.onnx.quantized(program) if arguments.int8 else program
    default = f"{arguments.model.rpartition(':')[2]}.onnx"
    for path in map(Path, arguments.output or [default]):
        _write(program, path, arguments)
        print(f"{path}: {path.stat().st_size:,} bytes")
    return status


def _require_known_ending(path: str) -> None:
    if Path(path).suffix not in (".onnx", ".ort", ".html"):
        raise ValueError(f"expected a path that ends in .onnx, .ort or .html. Got {path}.")


def _write(program: Any, path: Path, arguments: argparse.Namespace) -> None:
    """The program in the format that the path's ending names."""
    if path.suffix == ".ort":
        flambeau.onnx.save_ort(program, path)
    elif path.suffix == ".html":
        text = Path(arguments.labels).read_text(encoding="utf-8") if arguments.labels else ""
        labels = text.splitlines() or None
        title = arguments.model.rpartition(":")[2]
        flambeau.onnx.web_page(program, path, runtime=arguments.runtime, title=title, labels=labels)
    else:
        program.save(path)


def _compare(model: Any, program: Any, examples: tuple[Any, ...]) -> int:
    """Say how far onnxruntime's results are from the model's; 1 if that is too far."""
    if importlib.util.find_spec("onnxruntime") is None:
        print("onnxruntime is not installed: results were not compared.")
        return 0
    from flambeau.utils._pytree import tree_leaves

    with flambeau.no_grad():
        results = tree_leaves(program(*examples)), tree_leaves(model(*examples))
    worst, allowed = 0.0, TOLERANCE
    for found, wanted in zip(*results, strict=True):
        if not isinstance(wanted, flambeau.Tensor) or not wanted.numel():
            continue
        allowed = TOLERANCE * 30 if wanted.dtype.itemsize == 2 else allowed
        a, b = found.double(), wanted.double()
        worst = max(worst, ((a - b).abs().max() / b.abs().max().clamp(min=1e-6)).item())
    agrees = worst <= allowed
    print(
        f"onnxruntime {'agrees to' if agrees else 'differs by'} {worst:.1e} of the largest value."
    )
    return int(not agrees)
