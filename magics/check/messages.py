"""The words of a finding: what the runtime says, with the names that the user gave the operands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from flambeau.core.devices import device as Device
from flambeau.core.tensor import Tensor
from flambeau.nn import Module

from .devices import told_device
from .findings import Edit, Finding
from .fixes import layer_size, verified_fixes
from .source import span
from .spelling import attribute_fix, key_fix, keyword_fix
from .symbols import Symbols

if TYPE_CHECKING:
    from .attempts import Attempts

FIXABLE = ("shape", "dtype", "device", "value", "runtime")
_HINT = re.compile(r"(Did you mean [^?]+\?|(?:Change|Convert|Use|Pass|Move|Reshape|Write) .+)$")
_NUMBER = re.compile(r"\b\d{5,}\b")  # that may be a symbolic size
_META_DEVICE = re.compile(r"\bmeta(?::(\d+))?")


def explained(
    run: Attempts, place: ast.AST, node: ast.AST, error: BaseException, code: str, call: Any
) -> list[Finding]:
    """The findings that `error`, raised at `node` and blamed on `place`, stands for."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = " ".join((_told_device(text) if code == "device" else text).split())
    fix, edits = None, tuple[Edit, ...]()
    found = _HINT.search(text)
    if found:
        fix = found[1]
    meant = {
        "attribute": lambda: attribute_fix(error, node),
        "arguments": lambda: keyword_fix(text, node, call),
        "name": lambda: key_fix(text, node),
    }.get(code, lambda: None)()
    if meant is not None:
        fix, edits = meant if place is node else (meant[0], ())
    operands = dict(_operands(node, call))
    if code in FIXABLE and call is not None:
        fix = _verified(node, call) or fix
    if operands:
        text += f" Here {', '.join(f'{name} is {shape}' for name, shape in operands.items())}."
    if isinstance(error, AttributeError) and fix and fix not in text:
        text = f"{text}. {fix}" if not text.endswith(".") else f"{text} {fix}"
    text = _NUMBER.sub(lambda m: run.symbols.text(int(m[0])) or m[0], text)
    related = _companion(run, node, code, call, error)
    if related and related[0].fix is not None:
        fix = related[0].fix
    lines = tuple((f.line, f.message) for f in related)
    return [Finding(*span(place), "error", code, text, fix, edits, lines), *related]


def _companion(
    run: Attempts, node: ast.AST, code: str, call: Any, error: BaseException
) -> list[Finding]:
    """A finding at another line that has its share: the layer of the wrong size, the write in
    place, the end of the graph."""
    if call is None:
        return []
    function, args = call[:2]
    owner = getattr(function, "__self__", None)
    made = run.made.get(id(function)) if isinstance(function, Module) else None
    if made is not None and code in ("shape", "value", "runtime"):
        wrong = layer_size(function, args)
        if wrong is not None:
            name, old, new = wrong
            line = getattr(node, "lineno", 0)
            text = f"{type(function).__name__} has {name}={old}, and line {line} gives it {new}."
            edits = _size_edit(made[1], name, old, new)
            fix = f"Set {name} to {new}."
            return [Finding(*span(made[1]), "error", code, text, fix, edits)]
    if code == "gradient" and "changed in place" in str(error) and run.writes:
        text = "This changes a value in place that a backward pass needs."
        fix = "Use the out-of-place operation, or clone() first."
        return [Finding(*span(run.writes[-1][1]), "error", code, text, fix)]
    if code == "gradient" and isinstance(owner, Tensor):
        cut = owner.__dict__.get("_cut")
        if cut is not None and cut is not node:
            text = "Here the value loses its way back to the parameters: the loss reaches none."
            return [Finding(*_first_line(cut), "error", code, text, "Keep the graph here.")]
    return []


def _first_line(node: ast.AST) -> tuple[int, int, int, int]:
    line, column, end_line, end_column = span(node)
    if isinstance(node, ast.With):
        last = node.items[-1].context_expr
        return line, column, last.end_lineno or line, last.end_col_offset or column
    return line, column, end_line, end_column


def _size_edit(node: ast.AST, name: str, old: Any, new: Any) -> tuple[Edit, ...]:
    """The edit that gives a layer's constructor the right size, where it is written there."""
    if not isinstance(node, ast.Call):
        return ()
    written = next((k.value for k in node.keywords if k.arg == name), None)
    if written is None and node.args and name != "normalized_shape":
        position = 1 if name == "num_channels" else 0
        written = node.args[position] if position < len(node.args) else None
    if not isinstance(written, ast.Constant) or written.value != old:
        return ()
    return (
        Edit(
            written.lineno,
            written.col_offset,
            written.end_lineno or written.lineno,
            written.end_col_offset or written.col_offset,
            str(new),
        ),
    )


def _verified(node: ast.AST, call: Any) -> str | None:
    """A change of one operand with which the call works, if there is one."""
    function, args, kwargs = call
    names = [ast.unparse(each) for each in _written(node)]
    if len(names) != len(args) or isinstance(function, Module):
        return None
    found = verified_fixes(function, args, kwargs, [n if len(n) <= 40 else None for n in names])
    return " or ".join(dict.fromkeys(fix.text for fix in found)) if found else None


def _written(node: ast.AST) -> list[ast.expr]:
    """The positional operands at `node` as they are written."""
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.Call) and not any(isinstance(a, ast.Starred) for a in node.args):
        return list(node.args)
    return []


def _told_device(text: str) -> str:
    """Devices by the names that the user knows: checks number the meta device instead."""
    return _META_DEVICE.sub(lambda m: str(told_device(Device(m[0]))), text)


def described(value: Any, symbols: Symbols | None = None) -> str | None:
    """`(32, 10) float32` of a tensor, `Linear(in_features=...)` of a small module."""
    if isinstance(value, Tensor):
        sizes = [str(n) if symbols is None else symbols.text(n) or str(n) for n in value.shape]
        shape = f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
        return f"{shape} {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, Module) and not value._modules:
        return f"{type(value).__name__}({value.extra_repr()})"
    return None


def _operands(node: ast.AST, call: Any) -> Iterator[tuple[str, str]]:
    """The operands at `node` as the user wrote them, with their shapes."""
    if call is None:
        return
    function, args = call[:2]
    written: list[ast.expr] = []
    values = list(args)
    if isinstance(node, ast.BinOp):
        written = [node.left, node.right]
    elif isinstance(node, ast.Subscript):
        written = [node.value, node.slice]
    elif isinstance(node, ast.Call):
        written = list(node.args)
        owner = getattr(function, "__self__", None)
        if isinstance(function, Module) or isinstance(owner, Module):
            owner = function if isinstance(function, Module) else owner
        if owner is not None and not isinstance(owner, ModuleType):
            if isinstance(node.func, ast.Attribute) and not isinstance(function, Module):
                written, values = [node.func.value, *written], [owner, *values]
            else:
                written, values = [node.func, *written], [owner, *values]
    if any(isinstance(each, ast.Starred) for each in written):
        return
    for expression, value in zip(written, values, strict=False):
        words = described(value)
        name = ast.unparse(expression)
        if words is not None and len(name) <= 40 and not isinstance(expression, ast.Constant):
            yield name, words
