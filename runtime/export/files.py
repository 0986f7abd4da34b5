"""Exported programs in files: `torch.export.save` and `load`.

A file is safetensors: the tensors under the names of the model, the graph as JSON in the metadata.
Loading looks operations up by name in a table, and never runs code of the file.
"""

from __future__ import annotations

import operator
import os
from pathlib import Path
from typing import Any

from ..core import creation, dtypes, ranges
from ..core.devices import device
from ..core.dispatch import operations
from ..core.spec import Spec
from ..core.tensor import Tensor
from ..errors import CheckpointError
from ..fx import Graph, GraphModule, Node
from ..ops.steps import Step, steps
from ..serialization import load as load_file
from ..serialization.replacing import replace_file
from ..serialization.safetensors_files import packed
from ..utils._pytree import LEAF, TreeSpec
from .merging import getitem, put, sym_size
from .program import ExportedProgram
from .recording import ExportError
from .sizes import OpenDims
from .tracing import Traced, rooted

__all__ = ["load", "save"]

FORMAT = "flambeau.export 1"
FUNCTIONS: dict[str, Any] = {
    "sym_size": sym_size, "index": getitem, "index_put": put, "full": creation.full,
    "arange": ranges.arange, "reshape": Tensor.reshape,
    **{f"operator.{n}": getattr(operator, n) for n in ("getitem", "add", "sub", "mul", "floordiv")},
}  # fmt: skip
"""What graphs call beside operations, by the name in files."""
TREES: dict[str, type] = {"tuple": tuple, "list": list, "dict": dict}


def save(ep: ExportedProgram, f: str | os.PathLike[str], **options: Any) -> None:
    """Write the program to the file `f`, which appears whole or not at all.

    Raises: ExportError for arguments of operations, or containers, that files have no words for.
    """
    traced = ep.traced
    names = {function: name for name, function in FUNCTIONS.items()}
    nodes = [_written(node, names) for node in traced.module.graph.nodes]
    tensors = {**dict(traced.module.named_buffers()), **dict(traced.module.named_parameters())}
    content = {
        "format": FORMAT,
        "nodes": nodes,
        "input_names": list(traced.input_names),
        "trees": [_tree(traced.inputs), _tree(traced.outputs)],
        "fixed": [_plain(traced.fixed), _plain(traced.fixed_outputs)],
        "open": [{str(d): n for d, n in by_dim.items()} for by_dim in traced.opened.names],
        "parameters": [name for name, _ in traced.module.named_parameters()],
        "training": traced.module.training,
        "updates": traced.updates,
        "tensors": {name: tensor.detach() for name, tensor in tensors.items()},
    }
    data = packed(content)
    replace_file(Path(f), lambda file: file.write(data))


def load(f: str | os.PathLike[str], **options: Any) -> ExportedProgram:
    """The program in the file `f`.

    Raises: CheckpointError for a file that holds none, or operations that are not known here.
    """
    content = load_file(f)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(
            f"torch.export.load: expected a program written by torch.export.save. Got {f}."
        )
    parameters = set(content["parameters"])
    tensors = content["tensors"]
    held = rooted(tensors, parameters)
    graph, known = Graph(), {}
    for words in content["nodes"]:
        known[words["name"]] = _read(graph, words, known)
    module = GraphModule(held, graph)
    module.training = content["training"]
    opened = OpenDims([{int(d): n for d, n in by_dim.items()} for by_dim in content["open"]])
    inputs, outputs = (_tree_read(t) for t in content["trees"])
    fixed = [[None if x is None else tuple(x) for x in xs] for xs in content["fixed"]]
    traced = Traced(
        module, content["input_names"], inputs, fixed[0], outputs, fixed[1], opened, [],
        content.get("updates", []),
    )  # fmt: skip
    return ExportedProgram(traced)


# -- nodes -----------------------------------------------------------------------------------------


def _written(node: Node, names: dict[Any, str]) -> dict[str, Any]:
    target: Any = node.target
    operation = node.meta.get("operation")
    if not isinstance(target, str):
        own = getattr(target, "operation", None) or _step_of(operation, target)
        target = f"op.{own.name}" if own is not None else names.get(target)
        if target is None:
            raise ExportError(f"torch.export.save: {node.target} cannot be written to a file.")
    specs = [[list(s.shape), _dtype_name(s.dtype)] for s in node.meta.get("vals", [])]
    return {
        "name": node.name, "op": node.op, "target": target, "args": _argument(node.args),
        "kwargs": {k: _argument(v) for k, v in node.kwargs.items()}, "specs": specs,
        "shapes": [[list(s) for s in runs] for runs in node.meta.get("shapes", [])],
        "operation": None if operation is None else operation.name,
        "place": node.meta.get("place", ""),
    }  # fmt: skip


def _read(graph: Graph, words: dict[str, Any], known: dict[str, Node]) -> Node:
    target: Any = words["target"]
    if words["op"] == "call_function":
        name = target.removeprefix("op.")
        found = _operation(name) if target.startswith("op.") else FUNCTIONS.get(target)
        if found is None:
            raise CheckpointError(f"torch.export.load: no operation is called {name!r} here.")
        target = found.function if target.startswith("op.") else found
    args = _argument_read(words["args"], known)
    kwargs = {k: _argument_read(v, known) for k, v in words["kwargs"].items()}
    node = graph.create_node(words["op"], target, args, kwargs, words["name"])
    if words["specs"]:
        vals = [Spec(tuple(shape), _dtype(name)) for shape, name in words["specs"]]
        shapes = [[tuple(s) for s in runs] for runs in words["shapes"]]
        dims = [
            tuple(ns[0] if len(set(ns)) == 1 else None for ns in zip(*runs, strict=True))
            for runs in shapes
        ]
        node.meta.update(vals=vals, val=vals[0], shapes=shapes, dims=dims, place=words["place"])
    if words["operation"] is not None:
        node.meta["operation"] = _operation(words["operation"])
    return node


def _operation(name: str) -> Any:
    """What is called so: an operation, or a function that is one step; None if nothing is."""
    return operations.get(name) or steps.get(name)


def _step_of(operation: Any, target: Any) -> Any:
    return operation if isinstance(operation, Step) and operation.function is target else None


# -- arguments -------------------------------------------------------------------------------------


def _argument(a: Any) -> Any:
    """An argument as values that files hold: what is no plain value as a dict of one key."""
    if isinstance(a, Node):
        return {"node": a.name}
    if isinstance(a, tuple):
        return {"tuple": [_argument(x) for x in a]}
    if isinstance(a, list):
        return {"list": [_argument(x) for x in a]}
    if isinstance(a, slice):
        return {"slice": [_argument(x) for x in (a.start, a.stop, a.step)]}
    if isinstance(a, dtypes.dtype):
        return {"dtype": _dtype_name(a)}
    if isinstance(a, device):
        return {"device": str(a)}
    if a is Ellipsis:
        return {"ellipsis": True}
    if a is None or isinstance(a, bool | int | float | str):
        return a
    raise ExportError(f"torch.export.save: an argument of {type(a).__name__} cannot be written.")


def _argument_read(a: Any, known: dict[str, Node]) -> Any:
    if not isinstance(a, dict):
        return a
    ((kind, value),) = a.items()
    if kind == "node":
        return known[value]
    if kind in ("tuple", "list", "slice"):
        parts = [_argument_read(x, known) for x in value]
        return slice(*parts) if kind == "slice" else TREES[kind](parts)
    if kind == "dtype":
        return _dtype(value)
    return Ellipsis if kind == "ellipsis" else device(value)


def _dtype_name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _dtype(name: str) -> Any:
    found = getattr(dtypes, "bool_" if name == "bool" else name, None)
    if not isinstance(found, dtypes.dtype):
        raise CheckpointError(f"torch.export.load: no dtype is called {name!r}.")
    return found


# -- trees -----------------------------------------------------------------------------------------


def _tree(spec: TreeSpec) -> Any:
    if spec.type is None:
        return None
    names = {kind: name for name, kind in TREES.items()}
    if spec.type not in names:
        raise ExportError(
            f"torch.export.save: expected tuples, lists and dicts around tensors. Got "
            f"{spec.type.__name__}."
        )
    keys = None if spec.context is None else list(spec.context)
    return {
        "type": names[spec.type],
        "keys": keys,
        "parts": [_tree(c) for c in spec.children_specs],
    }


def _tree_read(words: Any) -> TreeSpec:
    if words is None:
        return LEAF
    keys = None if words["keys"] is None else tuple(words["keys"])
    return TreeSpec(TREES[words["type"]], keys, tuple(_tree_read(p) for p in words["parts"]))


def _plain(fixed: list[Any]) -> list[Any]:
    for x in fixed:
        if x is not None and not (x[0] is None or isinstance(x[0], bool | int | float | str)):
            raise ExportError(
                f"torch.export.save: an argument of {type(x[0]).__name__} cannot be written."
            )
    return [None if x is None else list(x) for x in fixed]
