"""What the user calls a tensor or layer that took part in a failed call, and where it was made."""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Any

from flambeau import Tensor, nn

from .expressions import MISSING, resolve
from .origins import Origin, bindings

LONGEST_EXPRESSION = 40
"""Characters up to which an operand without a name is called by its expression."""

Earlier = Callable[[str, str, int], Origin | None]
"""From a name, a file and a line to where cells of the session bound the name last before it."""


@dataclass(frozen=True)
class Operand:
    """A tensor that took part: what the operation calls it, what the user does (if anything), and
    where the user made it (if known)."""

    role: str
    tensor: Any
    name: str
    origin: Origin | None
    is_given: bool
    """Whether the user handed it over; a layer's own parameters are not."""


def tensors_of(arguments: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The tensors among a call's arguments, also those in lists, each with its role."""
    for role, value in arguments.items():
        if isinstance(value, Tensor):
            yield role, value
        elif isinstance(value, list | tuple):
            for k, item in enumerate(value):
                if isinstance(item, Tensor):
                    yield f"{role}[{k}]", item


class Names:
    """Finds what the user calls a tensor or layer, innermost frame first, and where it was made."""

    def __init__(
        self,
        users: list[TracebackType],
        place: Callable[[str], str],
        earlier: Earlier,
    ) -> None:
        self.users, self.place, self.earlier = users[::-1], place, earlier

    def operands(self, arguments: dict[str, Any], are_written: bool = True) -> Iterator[Operand]:
        """The tensors among a call's arguments; `are_written` says whether they are those of the
        call that stands in the user's line, or of one inside it."""
        texts = expressions(self.users[0]) if are_written else []
        for k, (role, tensor) in enumerate(tensors_of(arguments)):
            name, origin = self.of_tensor(tensor)
            if not name and k < len(texts) and len(texts[k]) <= LONGEST_EXPRESSION:
                name = texts[k]
            yield Operand(role, tensor, name, origin, is_given=True)

    def of_tensor(self, tensor: Any) -> tuple[str, Origin | None]:
        """The variable, or the path of a parameter below one, and where it was bound."""
        for tb in self.users:
            for name, value in _visible(tb.tb_frame):
                if value is tensor:
                    return name, self.binding(tb, name, value)
        for tb in self.users:
            for name, value in _visible(tb.tb_frame):
                if isinstance(value, nn.Module):
                    for path, owned in (*value.named_parameters(), *value.named_buffers()):
                        if owned is tensor:
                            return f"{name}.{path}", self.construction(tb, name, value, path)
        return "", None

    def parameter(self, role: str, tensor: Any, module: str) -> Operand:
        """A parameter of the layer that failed."""
        name, origin = self.of_tensor(tensor)
        return Operand(role, tensor, name or (module and f"{module}.{role}"), origin, False)

    def of_module(self, module: nn.Module) -> str:
        """The layer's path below a variable; empty if no variable leads to it."""
        for tb in self.users:
            for name, value in _visible(tb.tb_frame):
                if isinstance(value, nn.Module):
                    for path, found in value.named_modules():
                        if found is module:
                            return f"{name}.{path}" if path else name
        return ""

    def binding(self, tb: TracebackType, name: str, value: Any) -> Origin | None:
        """The line that bound `name` last before the line that `tb` stands at. A parameter of a
        function is followed to its caller."""
        code, line = tb.tb_frame.f_code, tb.tb_lineno
        if code.co_name.startswith("<"):  # a cell, or a comprehension in one
            earlier = self.earlier(name, code.co_filename, line)
            if earlier is not None:
                return earlier
        found = [k for n, k in bindings(_body(code)) if n == name]
        if found:
            last = max((k for k in found if k < line), default=found[-1])  # or in an earlier turn
            return self._origin(code.co_filename, last)
        for outer in self.users[self.users.index(tb) + 1 :]:
            for other, seen in _visible(outer.tb_frame):
                if seen is value:
                    return self.binding(outer, other, value)
        return None

    def construction(
        self, tb: TracebackType, name: str, owner: nn.Module, path: str
    ) -> Origin | None:
        """The line that made the layer which owns the parameter at `path` below `owner`."""
        start = getattr(type(owner).__init__, "__code__", None)
        attribute = path.partition(".")[0]
        if start is not None and not type(owner).__module__.startswith("flambeau."):
            for node in ast.walk(ast.Module(_body(start), [])):
                match node:
                    case ast.Attribute(attr=found, ctx=ast.Store()) if found == attribute:
                        return self._origin(start.co_filename, node.lineno)
        return self.binding(tb, name, owner)

    def _origin(self, file: str, line: int) -> Origin:
        return Origin(self.place(file), line, linecache.getline(file, line).strip())


def _visible(frame: FrameType) -> Iterator[tuple[str, Any]]:
    """The names of a frame's code: its own, then those of its module."""
    scopes = [frame.f_locals] if frame.f_locals is frame.f_globals else [
        frame.f_locals, frame.f_globals]  # fmt: skip
    for scope in scopes:
        for name, value in list(scope.items()):
            if not name.startswith("_"):
                yield name, value


def _body(code: CodeType) -> list[ast.stmt]:
    """The statements of a function; none if its source is not there."""
    try:
        lines, first = inspect.getsourcelines(code)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError, TypeError):
        return []
    ast.increment_lineno(tree, first - 1)
    return [s for f in tree.body if isinstance(f, ast.FunctionDef) for s in f.body]


def expressions(tb: TracebackType) -> list[str]:
    """The texts of the operands in the expression that `tb` stands at: both sides of an operator,
    or the arguments of a call, a tensor before the dot first."""
    node = _expression(tb)
    parts: list[ast.expr] = []
    if isinstance(node, ast.BinOp):
        parts = [node.left, node.right]
    elif isinstance(node, ast.AugAssign):
        parts = [node.target, node.value]
    elif isinstance(node, ast.Call):
        parts = [a for a in node.args if not isinstance(a, ast.Constant)]
        parts += [k.value for k in node.keywords if not isinstance(k.value, ast.Constant)]
        if isinstance(node.func, ast.Attribute):
            frame = tb.tb_frame
            owner = resolve({**frame.f_globals, **frame.f_locals}, ast.unparse(node.func.value))
            if owner is MISSING or isinstance(owner, Tensor):
                parts.insert(0, node.func.value)
            elif not isinstance(owner, ModuleType | nn.Module):
                return []
    elif isinstance(node, ast.Subscript):
        code = tb.tb_frame.f_code.co_code
        stores = dis.opname[code[tb.tb_lasti]] == "STORE_SUBSCR"  # the value stands elsewhere
        parts = [node.value] if stores else [node.value, node.slice]
    items = [p.elts if isinstance(p, ast.List | ast.Tuple) else [p] for p in parts]
    return [ast.unparse(item) for part in items for item in part]


def _expression(tb: TracebackType) -> ast.AST | None:
    positions = list(tb.tb_frame.f_code.co_positions())[tb.tb_lasti // 2]
    first, last, start, stop = positions
    if first is None or last is None or start is None or stop is None:
        return None
    shift = tb.tb_lineno - first if first != tb.tb_lineno else 0
    lines = linecache.getlines(tb.tb_frame.f_code.co_filename)[first + shift - 1 : last + shift]
    rows = [line.encode() for line in lines]
    if not rows:
        return None
    rows[-1] = rows[-1][:stop]
    rows[0] = rows[0][start:]
    try:
        statement = ast.parse(b"".join(rows).decode().strip()).body[0]
    except (SyntaxError, UnicodeDecodeError, IndexError):
        return None
    return statement.value if isinstance(statement, ast.Expr) else statement
