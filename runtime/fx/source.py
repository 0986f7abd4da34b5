"""The Python that a graph stands for."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.devices import device
from ..core.dtypes import dtype
from .node import Argument, Node, Target

INFIX = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%",
         "pow": "**", "matmul": "@", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==",
         "ne": "!=", "and_": "&", "or_": "|", "xor": "^"}  # fmt: skip
"""Functions of the module `operator` that have a sign."""


@dataclass
class PythonCode:
    """The source of a function `forward`, and the objects it refers to by global names."""

    src: str
    globals: dict[str, Any]


def written(nodes: Sequence[Node], root: str = "self") -> PythonCode:
    """The function `forward` of the nodes of a graph."""
    writer = _Writer(nodes, root)
    parameters = [root, *(writer.parameter(n) for n in nodes if n.op == "placeholder")]
    lines = [line for n in nodes if n.op != "placeholder" for line in [writer.line(n)] if line]
    body = "".join(f"    {line}\n" for line in lines or ["pass"])
    source = f"def forward({', '.join(parameters)}):\n{body}"
    return PythonCode(source, writer.globals)


class _Writer:
    def __init__(self, nodes: Sequence[Node], root: str) -> None:
        self.root = root
        self.globals: dict[str, Any] = {"torch": importlib.import_module("flambeau")}
        self.taken = {n.name for n in nodes} | {root}
        self.known: dict[int, str] = {}
        self.last: dict[Node, Node] = {}
        for node in nodes:
            for used in node.all_input_nodes:
                self.last[used] = node

    def parameter(self, node: Node) -> str:
        stars = re.match(r"\**", str(node.target))[0]  # type: ignore[index]
        default = f" = {self.value(node.args[0])}" if node.args else ""
        return f"{stars}{node.name}{default}"

    def line(self, node: Node) -> str:
        """The statement of `node`; values are let go after their last reader."""
        if node.op == "output":
            return f"return {self.value(node.args[0])}"
        text = f"{node.name} = {self._expression(node)}"
        done = [n.name for n in node.all_input_nodes if self.last[n] is node]
        done += [] if node.users else [node.name]
        return f"{text};  {' = '.join(done)} = None" if done else text

    def _expression(self, node: Node) -> str:
        if node.op == "get_attr":
            return self._path(str(node.target))
        words = [self.value(a) for a in node.args]
        words += [f"{k} = {self.value(v)}" for k, v in node.kwargs.items()]
        if node.op == "call_module":
            return f"{self._path(str(node.target))}({', '.join(words)})"
        if node.op == "call_method":
            return f"{words[0]}.{node.target}({', '.join(words[1:])})"
        name, plain = getattr(node.target, "__name__", ""), not node.kwargs
        if plain and getattr(node.target, "__module__", "") == "_operator":
            if name in INFIX and len(words) == 2:
                return f"{words[0]} {INFIX[name]} {words[1]}"
            if name == "getitem" and len(words) == 2:
                return f"{words[0]}[{words[1]}]"
        if node.target is getattr and plain and isinstance(node.args[1], str):
            return f"{words[0]}.{node.args[1]}"
        return f"{self.function(node.target)}({', '.join(words)})"

    def _path(self, path: str) -> str:
        text = self.root
        for part in path.split("."):
            text = f"{text}.{part}" if part.isidentifier() else f'getattr({text}, "{part}")'
        return text

    def function(self, target: Target) -> str:
        """A name for a function: `torch.relu` where it is found so, else one of its own."""
        name = getattr(target, "__name__", "function")
        for place in ("", "nn.functional.", "linalg.", "special.", "fft."):
            module = importlib.import_module(f"flambeau.{place}".rstrip("."))
            if getattr(module, name, None) is target:
                return f"torch.{place}{name}"
        return self.outside(target, re.sub(r"\W", "_", name))

    def outside(self, value: Any, name: str) -> str:
        """A global name for `value`."""
        known = self.known.get(id(value))
        if known is None:
            known, count = name, 1
            while known in self.globals or known in self.taken:
                known, count = f"{name}_{count}", count + 1
            self.globals[known], self.known[id(value)] = value, known
        return known

    def value(self, a: Argument) -> str:
        """An argument as Python writes it."""
        if isinstance(a, Node):
            return a.name
        if isinstance(a, tuple) and not hasattr(a, "_fields"):
            parts = [self.value(x) for x in a]
            return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        if isinstance(a, list):
            return f"[{', '.join(self.value(x) for x in a)}]"
        if isinstance(a, dict):
            return "{" + ", ".join(f"{k!r}: {self.value(v)}" for k, v in a.items()) + "}"
        if isinstance(a, slice):
            return f"slice({', '.join(self.value(x) for x in (a.start, a.stop, a.step))})"
        if isinstance(a, dtype):
            return str(a)
        if isinstance(a, device):
            return f"torch.{a!r}"
        if isinstance(a, float) and not math.isfinite(a):
            return f"float('{a}')"
        if a is None or a is Ellipsis or isinstance(a, bool | int | float | complex | str):
            return "..." if a is Ellipsis else repr(a)
        return self.outside(a, f"_{type(a).__name__.lower()}")
