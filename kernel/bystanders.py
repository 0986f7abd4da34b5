"""The tensors on the line that failed, whatever it failed of."""

from __future__ import annotations

import ast
import linecache
import sysconfig
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from flambeau import Tensor

from .expressions import MISSING, attribute
from .naming import Earlier, Names, Operand
from .tracebacks import is_ours

STANDARD_LIBRARY = sysconfig.get_path("stdlib")
INSTALLED = "site-packages", "dist-packages"
"""Parts of the paths where code lies whose variables say nothing to the user."""

LARGEST_CONTAINER = 8
"""Items of a list or dict up to which its tensors are shown."""


def tensors_on_line(
    error: BaseException, place: Callable[[str], str], earlier: Earlier
) -> list[Operand]:
    """The tensors that the statement names at which the user's innermost code stood, each once."""
    users = _users(error.__traceback__)
    if not users:
        return []
    names = Names(users, place, earlier)
    found: dict[int, Operand] = {}
    for text, tensor in _named(users[-1]):
        if id(tensor) not in found:
            _, origin = names.of_tensor(tensor)
            found[id(tensor)] = Operand(text, tensor, text, origin, is_given=True)
    return list(found.values())


def _users(traceback: TracebackType | None) -> list[TracebackType]:
    found = []
    while traceback is not None:
        if not is_ours(traceback.tb_frame) and not _is_library(
            traceback.tb_frame.f_code.co_filename
        ):
            found.append(traceback)
        traceback = traceback.tb_next
    return found


def _is_library(file: str) -> bool:
    return file.startswith((STANDARD_LIBRARY, "<frozen")) or any(part in file for part in INSTALLED)


def _named(tb: TracebackType) -> Iterator[tuple[str, Any]]:
    """The expressions of the statement at which `tb` stands that are tensors, and their values;
    those of small containers too. Nothing is called."""
    frame = tb.tb_frame
    names = {**frame.f_globals, **frame.f_locals}
    stack: list[ast.AST] = _statement(frame.f_code.co_filename, tb.tb_lineno)[::-1]
    while stack:
        node = stack.pop()
        value = _value(node, names)
        if isinstance(value, Tensor):
            yield ast.unparse(node), value
        elif type(value) in (list, tuple, dict) and len(value) <= LARGEST_CONTAINER:
            items = value.items() if type(value) is dict else enumerate(value)
            for key, item in items:
                if isinstance(item, Tensor):
                    yield f"{ast.unparse(node)}[{key!r}]", item
        else:
            stack += list(ast.iter_child_nodes(node))[::-1]


def _statement(file: str, line: int) -> list[ast.AST]:
    """The innermost statement that holds `line`, of a compound one the parts of its head."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return []
    holding = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    if not holding:
        return []
    innermost = holding[-1]  # the walk goes from the outside to the inside
    return [n for n in ast.iter_child_nodes(innermost) if not isinstance(n, ast.stmt)]


def _value(node: ast.AST, names: dict[str, Any]) -> Any:
    """What an expression of names, attributes and constant keys stands for, found without running
    code; MISSING for every other."""
    match node:
        case ast.Name(id=name):
            return names.get(name, MISSING)
        case ast.Attribute(value=owner, attr=name):
            return attribute(_value(owner, names), name)
        case ast.Subscript(value=owner, slice=ast.Constant(value=key)):
            items = _value(owner, names)
            if type(items) is dict:
                return items.get(key, MISSING)
            if type(items) in (list, tuple) and type(key) is int and key < len(items):
                return items[key]
    return MISSING
