"""Lines of past cells where a gradient may have been lost, found in their text."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CUTS = {
    "detach": "detach() gives a tensor without a past",
    "detach_": "detach_() cuts the tensor off from its past",
    "data": ".data is the memory without a past",
    "item": "item() gives a plain number",
    "tolist": "tolist() gives plain numbers",
    "numpy": "numpy() leaves the graph",
    "argmax": "argmax has no gradient",
    "argmin": "argmin has no gradient",
    "argsort": "argsort has no gradient",
    "long": "integers have no gradient",
    "int": "integers have no gradient",
    "bool": "comparisons have no gradient",
}
"""Methods and attributes after which no gradient flows back."""

MAKERS = {"tensor", "as_tensor", "from_numpy", "float", "int"}
"""Functions that make something new of the values they get."""

MODES = {"no_grad", "inference_mode"}


@dataclass(frozen=True)
class Suspect:
    """A line of a cell, and why it may be the one."""

    cell: int
    line: int
    text: str
    reason: str

    def __str__(self) -> str:
        return f"In [{self.cell}] line {self.line}: {self.text}   ({self.reason})"


def suspects(cells: Sequence[str], name: str, goals: Sequence[str] = ()) -> list[Suspect]:
    """The lines where values that depend on the variable `name` leave the graph, the latest first.

    Dependence is followed by names through assignments, in the order of the cells; with `goals`
    only lines count that these names, as they are now, were computed by. Inside functions and
    classes, whose arguments have other names, every cut is a suspect, behind the others.
    """
    written: list[tuple[int, ast.stmt, bool, bool]] = [
        (number, *found) for number, source in enumerate(cells) for found in _cell(source)
    ]
    slice_ = _behind([statement for _, statement, _, inside in written if not inside], goals)
    tainted = {name}
    sure: list[Suspect] = []
    maybe: list[Suspect] = []
    for number, statement, in_mode, in_function in written:
        if not (_names(statement) & tainted or in_function):
            continue
        text = cells[number].splitlines()[statement.lineno - 1].strip()
        found = [
            Suspect(number, statement.lineno, text, reason)
            for reason in _reasons(statement, in_mode, set() if in_function else tainted)
        ]
        if in_function:
            maybe += found
            continue
        tainted |= _targets(statement)
        if not goals or id(statement) in slice_:
            sure += found
    return list(dict.fromkeys([*reversed(sure), *reversed(maybe)]))


def _cell(source: str) -> Iterator[tuple[ast.stmt, bool, bool]]:
    tree = _parsed(source)
    return _statements(tree.body, False, False) if tree is not None else iter(())


def _behind(statements: list[ast.stmt], goals: Sequence[str]) -> set[int]:
    """The ids of the statements that `goals` depend on at the end: each is needed by what it
    binds, until something earlier is bound anew."""
    needed, found = set(goals), set()
    for statement in reversed(statements):
        targets = _targets(statement)
        if targets & needed:
            found.add(id(statement))
            if not isinstance(statement, ast.AugAssign):
                needed -= targets
            needed |= _names(statement) - targets
    return found


def _parsed(source: str) -> ast.Module | None:
    masked = "\n".join(
        "" if line.lstrip().startswith(("%", "!", "?")) else line for line in source.splitlines()
    )
    try:
        return ast.parse(masked)
    except SyntaxError:
        return None


def _statements(
    body: list[ast.stmt], in_mode: bool, in_function: bool
) -> Iterator[tuple[ast.stmt, bool, bool]]:
    """Simple statements in order, with whether a no_grad block or a function is around them."""
    for statement in body:
        if isinstance(statement, ast.With | ast.AsyncWith):
            mode = any(_names(i.context_expr) & MODES or _attributes(i.context_expr) & MODES
                       for i in statement.items)  # fmt: skip
            yield from _statements(statement.body, in_mode or mode, in_function)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            mode = any(_attributes(d) & MODES for d in statement.decorator_list)
            yield from _statements(statement.body, in_mode or mode, True)
        elif isinstance(statement, ast.For | ast.While | ast.If | ast.Try):
            for part in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(statement, part, []), in_mode, in_function)
            for handler in getattr(statement, "handlers", []):
                yield from _statements(handler.body, in_mode, in_function)
        else:
            yield statement, in_mode, in_function


def _reasons(statement: ast.stmt, in_mode: bool, tainted: set[str]) -> Iterator[str]:
    if in_mode and isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return):
        yield "under no_grad nothing is recorded"
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute) and node.attr in CUTS:
            if isinstance(node.ctx, ast.Load) and (not tainted or _names(node.value) & tainted):
                yield CUTS[node.attr]
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            called = node.func.id if isinstance(node.func, ast.Name) else called
            given = set().union(*(_names(a) for a in node.args)) if node.args else set()
            if called in MAKERS and given & tainted:
                yield f"{called}() makes a new value without a past"


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _attributes(node: ast.AST) -> set[str]:
    return {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)} | _names(node)


def _targets(statement: ast.stmt) -> set[str]:
    stored = (n for n in ast.walk(statement) if isinstance(n, ast.Name))
    return {n.id for n in stored if isinstance(n.ctx, ast.Store)}


def last_binding(cells: Sequence[str], name: str) -> Suspect | None:
    """The last line that bound `name` to something computed."""
    found = None
    for number, source in enumerate(cells):
        for statement, _, in_function in _cell(source):
            if not in_function and name in _targets(statement):
                text = source.splitlines()[statement.lineno - 1].strip()
                found = Suspect(number, statement.lineno, text, "")
    return found
