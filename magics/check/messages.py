"""The words of a finding: what the runtime says, with the names that the user gave the operands."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from flambeau.core.tensor import Tensor
from flambeau.nn import Module

from .findings import Finding

if TYPE_CHECKING:
    from .attempts import Attempts

_HINT = re.compile(r"(Did you mean [^?]+\?|(?:Change|Convert|Use|Pass|Move|Reshape|Write) .+)$")
_META_DEVICE = re.compile(r"\bmeta(?::(\d+))?")


def explained(
    run: Attempts, place: ast.AST, node: ast.AST, error: BaseException, code: str, call: Any
) -> list[Finding]:
    """The findings that `error`, raised at `node` and blamed on `place`, stands for."""
    from .attempts import span

    text = _told_device(str(error)) if code == "device" else str(error)
    text = " ".join(text.split())
    fix = None
    found = _HINT.search(text)
    if found:
        fix = found[1]
    if code == "attribute":
        fix = suggestion(error) or fix
    if code == "arguments":
        fix = keyword_suggestion(call, text) or fix
    operands = dict(_operands(node, call))
    if operands:
        text += f" Here {', '.join(f'{name} is {shape}' for name, shape in operands.items())}."
    if isinstance(error, AttributeError) and fix and fix not in text:
        text = f"{text}. {fix}" if not text.endswith(".") else f"{text} {fix}"
    return [Finding(*span(place), "error", code, text, fix)]


def _told_device(text: str) -> str:
    """Devices by the names that the user knows: checks number the meta device instead."""
    return _META_DEVICE.sub(lambda m: "cpu" if m[1] is None else f"cuda:{int(m[1]) - 1}", text)


def suggestion(error: BaseException) -> str | None:
    """The name that was meant where an attribute is missing."""
    name, owner = getattr(error, "name", None), getattr(error, "obj", None)
    if name is None or owner is None:
        found = re.search(r"attribute '(\w+)'", str(error))
        if found is None or owner is None:
            return None
        name = found[1]
    names = [n for n in dir(owner) if not n.startswith("_")]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"Did you mean {close[0]}?" if close else None


def keyword_suggestion(call: Any, text: str) -> str | None:
    """The keyword that was meant where an argument is not known."""
    import inspect

    found = re.search(r"unexpected keyword argument '(\w+)'", text)
    if found is None or call is None:
        return None
    try:
        names = list(inspect.signature(call[0]).parameters)
    except (TypeError, ValueError):
        return None
    close = difflib.get_close_matches(found[1], names, n=1, cutoff=0.5)
    return f"Did you mean {close[0]}?" if close else f"Leave out {found[1]}."


def described(value: Any) -> str | None:
    """`(32, 10) float32` of a tensor, `Linear(in_features=...)` of a small module."""
    if isinstance(value, Tensor):
        shape = tuple(value.shape)
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
